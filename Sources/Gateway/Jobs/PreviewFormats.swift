import ImageGeneration
import NIOCore
import StreamCodecs

/// The format of a job's previews, read from their first bytes. Previews of one job are alike: the signature is decoded
/// once, and after that only compared.
struct PreviewFormats {
    /// The first 16 characters of base64, which hold every signature but that of AVIF under a foreign brand.
    private var head: (UInt64, UInt64)?
    private var known: ImageFormat?

    mutating func format(of payload: ImagePayload) -> ImageFormat? {
        let index = payload.base64.readerIndex
        guard let first = payload.base64.getInteger(at: index, as: UInt64.self),
            let second = payload.base64.getInteger(at: index + 8, as: UInt64.self)
        else { return Self.read(payload) }
        if let head = self.head, head == (first, second) { return self.known }
        let format = Self.read(payload)
        self.head = format == .avif ? nil : (first, second)
        self.known = format
        return format
    }

    private static func read(_ payload: ImagePayload) -> ImageFormat? {
        ImageHeader.format(of: Base64.decodePrefix(payload.base64, maximumBytes: 64))
    }
}
