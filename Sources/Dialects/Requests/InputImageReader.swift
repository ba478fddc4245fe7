import ImageGeneration
import NIOCore
import StreamCodecs

/// Reads the pictures a client sends along. The bytes stay slices of the request's body.
enum InputImageReader {
    /// Pictures of one request.
    static let maximumCount = 16
    /// A `data:` URL's comma must stand within its first bytes.
    private static let maximumHeadBytes = 256

    /// Every picture of a JSON array; `element` reads one.
    static func list(
        _ parameter: RequestParameter,
        element: (RequestParameter) throws(GatewayError) -> InputImage
    ) throws(GatewayError) -> [InputImage] {
        guard case .json(let node) = parameter.value, node.kind == .array else {
            throw parameter.invalid("must be an array")
        }
        let elements = node.elements
        guard elements.count <= self.maximumCount else {
            throw parameter.invalid("must be at most \(self.maximumCount) pictures")
        }
        var images: [InputImage] = []
        for (index, value) in elements.enumerated() {
            images.append(try element(RequestParameter(name: "\(parameter.name)[\(index)]", value: .json(value))))
        }
        return images
    }

    /// A `data:` URL in a JSON string.
    static func dataURL(_ parameter: RequestParameter) throws(GatewayError) -> InputImage {
        let text: ByteBuffer
        switch parameter.value {
        case .text(let value): text = ByteBuffer(string: value)
        case .json(let node):
            guard let slice = node.stringSlice else { throw parameter.invalid("must be a data: URL") }
            text = slice
        }
        return try self.dataURL(text, parameter)
    }

    static func dataURL(_ text: ByteBuffer, _ parameter: RequestParameter) throws(GatewayError) -> InputImage {
        let view = text.readableBytesView
        if self.starts(view, with: "http:") || self.starts(view, with: "https:") {
            throw parameter.invalid("URLs are not fetched here; send an upload or a data: URL")
        }
        guard self.starts(view, with: "data:"),
            let comma = view.prefix(self.maximumHeadBytes).firstIndex(of: UInt8(ascii: ",")),
            let head = String(validating: view[view.startIndex..<comma].dropFirst(5), as: UTF8.self)?.lowercased(),
            head.hasSuffix(";base64")
        else {
            throw parameter.invalid("must be a data: URL with base64, like data:image/png;base64,…")
        }
        var content = text
        content.moveReaderIndex(to: comma + 1)
        let mediaType = head.prefix { $0 != ";" }
        return try self.base64(content, mediaType: mediaType.isEmpty ? nil : String(mediaType), parameter)
    }

    static func base64(_ text: ByteBuffer, mediaType: String?, _ parameter: RequestParameter) throws(GatewayError)
        -> InputImage
    {
        if let mediaType, !self.isImageType(mediaType) {
            throw parameter.invalid("must be a picture, by its media type image/…")
        }
        guard text.readableBytes > 0 else { throw parameter.invalid("must not be empty") }
        let canonical: ByteBuffer
        do {
            canonical = try Base64.canonical(text: text)
        } catch {
            throw parameter.invalid("is not valid base64")
        }
        return InputImage(content: .base64(canonical), mediaType: mediaType)
    }

    /// An uploaded file; a text part with a `data:` URL counts as one.
    static func upload(_ part: MultipartPart) throws(GatewayError) -> InputImage {
        let parameter = RequestParameter(name: part.name, value: .text(""))
        guard part.body.readableBytes > 0 else { throw parameter.invalid("must not be empty") }
        if part.fileName == nil, self.starts(part.body.readableBytesView, with: "data:") {
            return try self.dataURL(part.body, parameter)
        }
        if part.fileName == nil, part.contentType == nil {
            throw parameter.invalid("must be a file or a data: URL")
        }
        let declared = part.contentType.map { String($0.prefix { $0 != ";" }.filter { $0 != " " }).lowercased() }
        return InputImage(
            content: .bytes(part.body), mediaType: declared.flatMap { self.isImageType($0) ? $0 : nil },
            fileName: part.fileName)
    }

    /// The files of a form: `mask`, and all others in order.
    static func readUploads(_ parameters: RequestParameters, into image: inout ImageRequest) throws(GatewayError) {
        for file in parameters.files {
            let upload = try self.upload(file)
            guard RequestParameters.nameWithoutIndex(file.name) == "mask" else {
                image.images.append(upload)
                continue
            }
            guard image.mask == nil else {
                throw GatewayError(.invalidParameter, "mask: given more than once.", parameter: "mask")
            }
            image.mask = upload
        }
        guard image.images.count <= self.maximumCount else {
            throw GatewayError(
                .invalidParameter, "image: must be at most \(self.maximumCount) pictures.", parameter: "image")
        }
    }

    /// An edit needs a picture, and a route that generates takes none.
    static func checkOperation(_ image: ImageRequest, imagesName: String) throws(GatewayError) {
        switch image.operation {
        case .edit where image.images.isEmpty:
            throw GatewayError(
                .invalidParameter, "\(imagesName): an edit needs at least one picture.", parameter: imagesName)
        case .generate where !image.images.isEmpty || image.mask != nil:
            let name = image.images.isEmpty ? "mask" : imagesName
            throw GatewayError(
                .invalidParameter, "\(name): this path generates; send pictures to one that edits.", parameter: name)
        case .edit, .generate: return
        }
    }

    private static func isImageType(_ text: String) -> Bool {
        guard text.hasPrefix("image/"), (7...64).contains(text.utf8.count) else { return false }
        return text.utf8.dropFirst(6).allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2B || byte == 0x2D || byte == 0x2E
        }
    }

    private static func starts(_ view: ByteBufferView, with scheme: StaticString) -> Bool {
        guard view.count >= scheme.utf8CodeUnitCount else { return false }
        return scheme.withUTF8Buffer { bytes in
            zip(view, bytes).allSatisfy { $0 == $1 || ($0 | 0x20) == $1 }
        }
    }
}
