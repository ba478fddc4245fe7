import NIOCore

// ITU-T T.81, annex B: https://www.w3.org/Graphics/JPEG/itu-t81.pdf

extension ImageHeader {
    /// Walks the segments to the frame header. Pictures inside segments (thumbnails) are skipped with them.
    static func jpegSize(_ bytes: ByteBuffer) -> Size? {
        var offset = 2
        while let marker = self.marker(bytes, at: &offset) {
            guard let length = bytes.number(at: offset, as: UInt16.self), length >= 2 else { return nil }
            switch marker {
            case 0xC0...0xC3, 0xC5...0xC7, 0xC9...0xCB, 0xCD...0xCF:
                return self.frameSize(bytes, at: offset, length: length)
            case 0x00...0x01, 0xD0...0xDA:
                return nil  // No frame header may follow: entropy-coded data, or an end.
            default:
                offset += length
            }
        }
        return nil
    }

    /// Takes the marker at `offset` and the fill bytes before it.
    private static func marker(_ bytes: ByteBuffer, at offset: inout Int) -> Int? {
        guard bytes.number(at: offset, as: UInt8.self) == 0xFF else { return nil }
        while let byte = bytes.number(at: offset, as: UInt8.self) {
            offset += 1
            if byte != 0xFF { return byte }
        }
        return nil
    }

    private static func frameSize(_ bytes: ByteBuffer, at offset: Int, length: Int) -> Size? {
        guard offset + length <= bytes.readableBytes, let precision = bytes.number(at: offset + 2, as: UInt8.self),
            (2...16).contains(precision),
            let height = bytes.number(at: offset + 3, as: UInt16.self),
            let width = bytes.number(at: offset + 5, as: UInt16.self),
            let components = bytes.number(at: offset + 7, as: UInt8.self), (1...4).contains(components),
            length == 8 + 3 * components
        else { return nil }
        return (width, height)
    }
}
