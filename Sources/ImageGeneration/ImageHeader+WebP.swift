import NIOCore

// https://developers.google.com/speed/webp/docs/riff_container, RFC 9649

extension ImageHeader {
    static func webPSize(_ bytes: ByteBuffer) -> Size? {
        guard let chunkSize = bytes.number(at: 16, .little, as: UInt32.self) else { return nil }
        if bytes.has("VP8 ".utf8, at: 12) { return chunkSize >= 10 ? self.lossySize(bytes) : nil }
        if bytes.has("VP8L".utf8, at: 12) { return chunkSize >= 5 ? self.losslessSize(bytes) : nil }
        if bytes.has("VP8X".utf8, at: 12) { return chunkSize >= 10 ? self.extendedSize(bytes) : nil }
        return nil
    }

    /// Frame header of a key frame, RFC 6386 section 9.1; the two top bits of a side are its scaling.
    private static func lossySize(_ bytes: ByteBuffer) -> Size? {
        guard let tag = bytes.number(at: 20, as: UInt8.self), tag & 1 == 0, bytes.has([0x9D, 0x01, 0x2A], at: 23),
            let width = bytes.number(at: 26, .little, as: UInt16.self),
            let height = bytes.number(at: 28, .little, as: UInt16.self)
        else { return nil }
        return (width & 0x3FFF, height & 0x3FFF)
    }

    /// Signature byte, then 14 bits for each side less one, one for alpha and three for the version, which is 0.
    private static func losslessSize(_ bytes: ByteBuffer) -> Size? {
        guard bytes.number(at: 20, as: UInt8.self) == 0x2F, let bits = bytes.number(at: 21, .little, as: UInt32.self),
            bits >> 29 == 0
        else { return nil }
        return (bits & 0x3FFF + 1, bits >> 14 & 0x3FFF + 1)
    }

    /// The canvas: 24 bits for each side less one.
    private static func extendedSize(_ bytes: ByteBuffer) -> Size? {
        guard let low = bytes.number(at: 24, .little, as: UInt32.self),
            let high = bytes.number(at: 26, .little, as: UInt32.self)
        else { return nil }
        return (low & 0xFF_FFFF + 1, high >> 8 + 1)
    }
}
