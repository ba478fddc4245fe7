package import NIOCore

/// What the first bytes of a picture say of it. Nothing is decompressed, and nothing behind the first 64 KiB is
/// looked at.
package struct ImageHeader: Hashable, Sendable {
    package let format: ImageFormat
    /// In pixels, as the header gives it: orientation marks do not turn it.
    package let width: Int
    package let height: Int

    /// Longest side taken, in pixels.
    package static let maximumSide = 16_384
    /// Most pixels taken.
    package static let maximumPixels = 100_000_000
    /// How far into the picture ``read(_:)`` looks, in bytes.
    package static let maximumBytes = 64 << 10

    /// Reads format and size. Nil when the bytes are no picture of a known format, when the header is broken or not
    /// complete within the bytes given, and when the size is zero or above the limits.
    ///
    /// 64 bytes are enough for png, gif and webp; jpeg and avif may hold much before the size.
    package static func read(_ bytes: ByteBuffer) -> ImageHeader? {
        let head = bytes.getSlice(at: bytes.readerIndex, length: min(bytes.readableBytes, self.maximumBytes))
        guard let head = head?.slice(), let format = self.format(of: head) else { return nil }
        let size: Size?
        switch format {
        case .png: size = self.pngSize(head)
        case .jpeg: size = self.jpegSize(head)
        case .webp: size = self.webPSize(head)
        case .gif: size = self.gifSize(head)
        case .avif: size = self.avifSize(head)
        }
        let sides = 1...self.maximumSide
        guard let size, sides.contains(size.width), sides.contains(size.height),
            size.width * size.height <= self.maximumPixels
        else { return nil }
        return ImageHeader(format: format, width: size.width, height: size.height)
    }

    /// The format by the signature alone; needs the first 3 to 16 bytes, and for avif under a foreign major brand the
    /// list of brands.
    package static func format(of bytes: ByteBuffer) -> ImageFormat? {
        let bytes = bytes.slice()
        if bytes.has([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], at: 0) { return .png }
        if bytes.has([0xFF, 0xD8, 0xFF], at: 0) { return .jpeg }
        if bytes.has("GIF87a".utf8, at: 0) || bytes.has("GIF89a".utf8, at: 0) { return .gif }
        if bytes.has("RIFF".utf8, at: 0), bytes.has("WEBP".utf8, at: 8) { return .webp }
        return self.hasAVIFBrand(bytes) ? .avif : nil
    }

    typealias Size = (width: Int, height: Int)
}

// MARK: - PNG and GIF

extension ImageHeader {
    /// https://www.w3.org/TR/png-3/#11IHDR
    private static func pngSize(_ bytes: ByteBuffer) -> Size? {
        guard bytes.readableBytes >= 33, bytes.number(at: 8, as: UInt32.self) == 13, bytes.has("IHDR".utf8, at: 12),
            let width = bytes.number(at: 16, as: UInt32.self), let height = bytes.number(at: 20, as: UInt32.self),
            let depth = bytes.number(at: 24, as: UInt8.self), let color = bytes.number(at: 25, as: UInt8.self),
            bytes.number(at: 26, as: UInt8.self) == 0, bytes.number(at: 27, as: UInt8.self) == 0,
            let interlace = bytes.number(at: 28, as: UInt8.self), interlace <= 1
        else { return nil }
        let depths: [Int]
        switch color {
        case 0: depths = [1, 2, 4, 8, 16]
        case 3: depths = [1, 2, 4, 8]
        case 2, 4, 6: depths = [8, 16]
        default: return nil
        }
        return depths.contains(depth) ? (width, height) : nil
    }

    /// The logical screen descriptor: https://www.w3.org/Graphics/GIF/spec-gif89a.txt, section 18.
    private static func gifSize(_ bytes: ByteBuffer) -> Size? {
        guard bytes.readableBytes >= 13, let width = bytes.number(at: 6, .little, as: UInt16.self),
            let height = bytes.number(at: 8, .little, as: UInt16.self)
        else { return nil }
        return (width, height)
    }
}

// MARK: - Reading

extension ByteBuffer {
    /// Nil when the buffer ends before the number does. Counts from the beginning of a buffer whose reader index is 0.
    func number<Number: FixedWidthInteger>(
        at offset: Int, _ endianness: Endianness = .big, as type: Number.Type
    ) -> Int? {
        self.getInteger(at: offset, endianness: endianness, as: type).flatMap { Int(exactly: $0) }
    }

    func has(_ signature: some Collection<UInt8>, at offset: Int) -> Bool {
        guard let slice = self.getSlice(at: offset, length: signature.count) else { return false }
        return slice.readableBytesView.elementsEqual(signature)
    }
}
