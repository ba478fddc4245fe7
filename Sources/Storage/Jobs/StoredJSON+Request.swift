package import ImageGeneration
package import NIOCore
import StreamCodecs

/// A request taken apart for the store: what may be forgotten at the job's end, what is a file, and the rest.
package struct RequestParts: Sendable {
    /// Everything but prompts and picture bytes.
    package var request: String
    package var prompts: String
    /// In the order in which ``StoredJSON/attach(_:to:)`` expects them back.
    package var uploads: [ByteBuffer]

    package init(request: String, prompts: String, uploads: [ByteBuffer]) {
        self.request = request
        self.prompts = prompts
        self.uploads = uploads
    }
}

extension StoredJSON {
    package static func parts(of request: ImageRequest) -> RequestParts {
        var uploads: [ByteBuffer] = []
        let text = self.write { writer in
            writer.beginObject()
            self.writeParameters(request, &writer)
            writer.key("images")
            writer.beginArray()
            for image in request.images { self.write(image, &uploads, &writer) }
            writer.endArray()
            if let mask = request.mask {
                writer.key("mask")
                self.write(mask, &uploads, &writer)
            }
            writer.endObject()
        }
        let prompts = self.write { writer in
            writer.beginObject()
            writer.field("prompt", request.prompt)
            writer.field("negative_prompt", request.negativePrompt)
            writer.field("instructions", request.instructions)
            if !request.messages.isEmpty { self.write(request.messages, &uploads, &writer) }
            writer.endObject()
        }
        return RequestParts(request: text, prompts: prompts, uploads: uploads)
    }

    /// - Parameter prompts: nil when they were forgotten; the prompt is empty then.
    package static func request(_ text: String, prompts: String?) throws(StoredJSONError) -> ImageRequest {
        let node = try self.read(text)
        var request = ImageRequest(operation: try node.word("operation"), prompt: "")
        if let prompts {
            let prompts = try self.read(prompts)
            request.prompt = try prompts.text("prompt")
            request.negativePrompt = prompts["negative_prompt"]?.string
            request.instructions = prompts["instructions"]?.string
            for message in prompts["messages"]?.elements ?? [] { request.messages.append(try self.message(message)) }
        }
        try self.readParameters(node, into: &request)
        for image in try node.required("images").elements { request.images.append(try self.input(image)) }
        if let mask = node["mask"] { request.mask = try self.input(mask) }
        return request
    }

    /// Puts uploads back where they were taken from.
    package static func attach(_ uploads: [ByteBuffer], to request: inout ImageRequest) throws(StoredJSONError) {
        var rest = uploads[...]
        for index in request.images.indices { try self.fill(&request.images[index], from: &rest) }
        if var mask = request.mask {
            try self.fill(&mask, from: &rest)
            request.mask = mask
        }
        for turn in request.messages.indices {
            for index in request.messages[turn].images.indices {
                try self.fill(&request.messages[turn].images[index], from: &rest)
            }
        }
    }

    private static func fill(_ image: inout InputImage, from uploads: inout ArraySlice<ByteBuffer>)
        throws(StoredJSONError)
    {
        switch image.content {
        case .url, .fileID: return
        case .bytes, .base64: break
        }
        guard let upload = uploads.popFirst() else { throw StoredJSONError("an upload is missing") }
        if case .bytes = image.content { image.content = .bytes(upload) } else { image.content = .base64(upload) }
    }
}

// MARK: - Parameters

extension StoredJSON {
    private static func writeParameters(_ request: ImageRequest, _ writer: inout JSONWriter) {
        writer.field("operation", request.operation.rawValue)
        if request.picture != .always { writer.field("picture", request.picture.rawValue) }
        writer.field("model", request.model)
        writer.field("image_model", request.imageModel)
        writer.field("n", request.count)
        if let size = request.size { self.write(size, &writer) }
        writer.field("quality", request.quality)
        writer.field("output_format", request.outputFormat?.rawValue)
        writer.field("output_compression", request.outputCompression)
        writer.field("background", request.background)
        writer.field("style", request.style)
        writer.field("seed", request.seed)
        writer.field("partial_images", request.partialImages)
        writer.field("user", request.user)
        if !request.metadata.isEmpty { self.write(request.metadata, &writer) }
        writer.key("extensions")
        writer.beginObject()
        for (name, value) in request.extensions.sorted(by: { $0.key < $1.key }) {
            writer.key(dynamic: name)
            switch value {
            case .text(let text): writer.value(text)
            case .integer(let integer): writer.value(integer)
            case .boolean(let boolean): writer.value(boolean)
            }
        }
        writer.endObject()
    }

    private static func readParameters(_ node: JSONNode, into request: inout ImageRequest) throws(StoredJSONError) {
        if node["picture"] != nil { request.picture = try node.word("picture") as ImageRequest.PictureWish }
        request.model = node["model"]?.string
        request.imageModel = node["image_model"]?.string
        request.count = try node.integer("n")
        request.size = try self.size(node)
        request.quality = node["quality"]?.string
        if node["output_format"] != nil { request.outputFormat = try node.word("output_format") as ImageFormat }
        request.outputCompression = node.optionalInteger("output_compression")
        request.background = node["background"]?.string
        request.style = node["style"]?.string
        request.seed = node["seed"]?.integer
        request.partialImages = node.optionalInteger("partial_images")
        request.user = node["user"]?.string
        for member in node["metadata"]?.members ?? [] { request.metadata[member.key] = member.value.string }
        for member in try node.required("extensions").members {
            request.extensions[member.key] = try self.extensionValue(member.value)
        }
    }

    private static func write(_ metadata: [String: String], _ writer: inout JSONWriter) {
        writer.key("metadata")
        writer.beginObject()
        for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
            writer.key(dynamic: name)
            writer.value(value)
        }
        writer.endObject()
    }

    private static func extensionValue(_ node: JSONNode) throws(StoredJSONError) -> ImageRequest.ExtensionValue {
        if let text = node.string { return .text(text) }
        if let integer = node.integer { return .integer(integer) }
        if let boolean = node.boolean { return .boolean(boolean) }
        throw StoredJSONError("an extension is no scalar")
    }

    private static func write(_ size: ImageRequest.Size, _ writer: inout JSONWriter) {
        switch size {
        case .named(let name): writer.field("size", name)
        case .aspectRatio(let width, let height): self.write(width, height, "aspect_ratio", &writer)
        case .pixels(let width, let height): self.write(width, height, "pixels", &writer)
        }
    }

    private static func write(_ width: Int, _ height: Int, _ key: StaticString, _ writer: inout JSONWriter) {
        writer.key(key)
        writer.beginArray()
        writer.value(width)
        writer.value(height)
        writer.endArray()
    }

    private static func size(_ node: JSONNode) throws(StoredJSONError) -> ImageRequest.Size? {
        if let name = node["size"]?.string { return .named(name) }
        if let ratio = node["aspect_ratio"] {
            let (width, height) = try self.pair(ratio)
            return .aspectRatio(width: width, height: height)
        }
        guard let pixels = node["pixels"] else { return nil }
        let (width, height) = try self.pair(pixels)
        return .pixels(width: width, height: height)
    }

    private static func pair(_ node: JSONNode) throws(StoredJSONError) -> (Int, Int) {
        let numbers = node.elements.compactMap(\.integer)
        guard numbers.count == 2 else { throw StoredJSONError("a size is no pair of integers") }
        return (Int(numbers[0]), Int(numbers[1]))
    }
}

// MARK: - Conversations

extension StoredJSON {
    private static func write(
        _ messages: [ImageRequest.Message], _ uploads: inout [ByteBuffer], _ writer: inout JSONWriter
    ) {
        writer.key("messages")
        writer.beginArray()
        for message in messages {
            writer.beginObject()
            writer.field("role", message.role.rawValue)
            writer.field("text", message.text)
            writer.key("images")
            writer.beginArray()
            for image in message.images { self.write(image, &uploads, &writer) }
            writer.endArray()
            writer.endObject()
        }
        writer.endArray()
    }

    private static func message(_ node: JSONNode) throws(StoredJSONError) -> ImageRequest.Message {
        var message = ImageRequest.Message(role: try node.word("role"), text: try node.text("text"))
        for image in try node.required("images").elements { message.images.append(try self.input(image)) }
        return message
    }
}

// MARK: - Input pictures

extension StoredJSON {
    private static func write(_ image: InputImage, _ uploads: inout [ByteBuffer], _ writer: inout JSONWriter) {
        writer.beginObject()
        switch image.content {
        case .bytes(let bytes):
            writer.field("kind", staticText: "bytes")
            uploads.append(bytes)
        case .base64(let text):
            writer.field("kind", staticText: "base64")
            uploads.append(text)
        case .url(let url):
            writer.field("kind", staticText: "url")
            writer.field("value", url)
        case .fileID(let id):
            writer.field("kind", staticText: "file_id")
            writer.field("value", id)
        }
        writer.field("media_type", image.mediaType)
        writer.field("file_name", image.fileName)
        writer.endObject()
    }

    private static func input(_ node: JSONNode) throws(StoredJSONError) -> InputImage {
        let content: InputImage.Content
        switch try node.text("kind") {
        case "bytes": content = .bytes(ByteBuffer())
        case "base64": content = .base64(ByteBuffer())
        case "url": content = .url(try node.text("value"))
        case "file_id": content = .fileID(try node.text("value"))
        case let kind: throw StoredJSONError("unknown kind of picture: \(kind)")
        }
        return InputImage(
            content: content, mediaType: node["media_type"]?.string, fileName: node["file_name"]?.string)
    }
}
