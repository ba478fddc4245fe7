import ImageGeneration
import NIOCore
import StreamCodecs

/// A JSON body in pieces: payloads stand between the pieces that were written, uncopied.
struct SplicingWriter {
    var json = JSONWriter()
    private var pieces: [ByteBuffer] = []

    /// Writes a string value: `prefix`, which must need no escaping, and then the payload.
    mutating func splice(prefix: String = "", _ payload: ByteBuffer) {
        self.json.beginSplicedString()
        self.json.buffer.writeString(prefix)
        self.pieces.append(self.json.takeBuffer())
        self.pieces.append(payload)
        self.json.endSplicedString()
    }

    /// Writes a picture that is no reference as the string of a `data:` URL.
    mutating func spliceDataURL(_ image: InputImage) {
        guard let (type, text) = InputMediaType.encoded(image) else { return self.json.null() }
        self.splice(prefix: "data:\(type);base64,", text)
    }

    consuming func finish() -> [ByteBuffer] { self.pieces + [self.json.buffer] }
}

/// Deterministic numbers from a job's entropy.
struct SplitMix: RandomNumberGenerator, Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// The media type of a picture on its way upstream.
enum InputMediaType {
    /// What the bytes are; else what the client declared, where that is an image type; else PNG.
    static func of(_ image: InputImage, bytes: ByteBuffer) -> String {
        if let format = self.format(of: bytes) { return format.mediaType }
        let declared = (image.mediaType ?? "").lowercased()
        let isPlain = declared.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0.isDigit || "/+.-".utf8.contains($0) }
        return declared.hasPrefix("image/") && declared.utf8.count <= 64 && isPlain ? declared : "image/png"
    }

    /// Type and canonical base64; nil for a picture that is only referred to.
    static func encoded(_ image: InputImage) -> (mediaType: String, base64: ByteBuffer)? {
        switch image.content {
        case .bytes(let bytes): (self.of(image, bytes: bytes), Base64.encode(bytes))
        case .base64(let text): (self.of(image, bytes: Base64.decodePrefix(text, maximumBytes: 64)), text)
        case .url, .fileID: nil
        }
    }

    static func fileExtension(of mediaType: String) -> String {
        ImageFormat.allCases.first { $0.mediaType == mediaType }?.fileExtension ?? "png"
    }

    private static func format(of bytes: ByteBuffer) -> ImageFormat? {
        let start = Array(bytes.readableBytesView.prefix(12))
        func has(_ signature: [UInt8], at offset: Int = 0) -> Bool { start.dropFirst(offset).starts(with: signature) }
        if has([0x89, 0x50, 0x4E, 0x47]) { return .png }
        if has([0xFF, 0xD8, 0xFF]) { return .jpeg }
        if has(Array("RIFF".utf8)), has(Array("WEBP".utf8), at: 8) { return .webp }
        if has(Array("GIF8".utf8)) { return .gif }
        return has(Array("ftypavif".utf8), at: 4) ? .avif : nil
    }
}

extension InputImage {
    /// Only named, by a URL or an id.
    var isReference: Bool {
        switch self.content {
        case .url, .fileID: true
        case .bytes, .base64: false
        }
    }
}
