import CZlib
import NIOCore

/// Writes PNG files: 8 bits a channel, filter Sub, deflate at its quickest.
enum PNGWriter {
    private static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    /// Ancillary, private, safe to copy: decoders skip it.
    static let paddingType = "siMp"

    /// - Parameter oval: cut the picture to an oval on transparent ground.
    /// - Parameter paddedTo: bytes of the whole file; a file that is larger already stays as it is.
    /// - Returns: nil when zlib refuses, which it does only without memory.
    static func encode(_ canvas: Canvas, oval: Bool, paddedTo: Int?) -> ByteBuffer? {
        let raw = oval ? self.ovalRows(canvas) : self.rows(canvas)
        guard let compressed = self.deflate(raw) else { return nil }
        var file = ByteBuffer()
        let padding = paddedTo.map { max(0, $0 - compressed.count - 69) } ?? 0
        file.reserveCapacity(compressed.count + padding + 69)
        file.writeBytes(self.signature)
        var header = ByteBuffer()
        header.writeInteger(UInt32(canvas.width))
        header.writeInteger(UInt32(canvas.height))
        header.writeBytes([8, oval ? 6 : 2, 0, 0, 0])
        self.chunk("IHDR", Array(header.readableBytesView), into: &file)
        if padding > 0 { self.chunk(self.paddingType, self.filler(padding), into: &file) }
        self.chunk("IDAT", compressed, into: &file)
        self.chunk("IEND", [], into: &file)
        return file
    }

    private static func chunk(_ type: String, _ body: [UInt8], into file: inout ByteBuffer) {
        let typeBytes = Array(type.utf8)
        var checksum = crc32(0, typeBytes, UInt32(typeBytes.count))
        // zlib takes a null pointer for "start anew", so an empty body must not reach it.
        if !body.isEmpty { checksum = crc32(checksum, body, UInt32(body.count)) }
        file.writeInteger(UInt32(body.count))
        file.writeBytes(typeBytes)
        file.writeBytes(body)
        file.writeInteger(UInt32(truncatingIfNeeded: checksum))
    }

    /// Bytes that look like compressed data, so that nothing on the way can shrink them.
    private static func filler(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            var random = SplitMix64(seed: UInt64(count))
            let raw = UnsafeMutableRawBufferPointer(buffer)
            var at = 0
            while at &+ 8 <= count {
                raw.storeBytes(of: random.next(), toByteOffset: at, as: UInt64.self)
                at &+= 8
            }
            for rest in at..<count { raw[rest] = UInt8(truncatingIfNeeded: random.next()) }
            filled = count
        }
    }

    private static func deflate(_ raw: [UInt8]) -> [UInt8]? {
        var length = compressBound(uLong(raw.count))
        var succeeded = false
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(length)) { buffer, filled in
            succeeded = compress2(buffer.baseAddress, &length, raw, uLong(raw.count), 1) == Z_OK
            filled = succeeded ? Int(length) : 0
        }
        return succeeded ? bytes : nil
    }

    private static func rows(_ canvas: Canvas) -> [UInt8] {
        let count = canvas.height * (canvas.width * 3 + 1)
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            canvas.pixels.withUnsafeBufferPointer { pixels in
                guard var out = buffer.baseAddress, var pixel = pixels.baseAddress else { return }
                for _ in 0..<canvas.height {
                    out[0] = 1
                    out += 1
                    var left: UInt32 = 0
                    for _ in 0..<canvas.width {
                        let colour = pixel[0]
                        out[0] = UInt8(truncatingIfNeeded: (colour >> 16) &- (left >> 16))
                        out[1] = UInt8(truncatingIfNeeded: (colour >> 8) &- (left >> 8))
                        out[2] = UInt8(truncatingIfNeeded: colour &- left)
                        left = colour
                        out += 3
                        pixel += 1
                    }
                }
                filled = count
            }
        }
    }

    private static func ovalRows(_ canvas: Canvas) -> [UInt8] {
        let count = canvas.height * (canvas.width * 4 + 1)
        let oval = Oval(width: canvas.width, height: canvas.height)
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            canvas.pixels.withUnsafeBufferPointer { pixels in
                guard var out = buffer.baseAddress, var pixel = pixels.baseAddress else { return }
                for y in 0..<canvas.height {
                    out[0] = 1
                    out += 1
                    var left: (colour: UInt32, alpha: UInt8) = (0, 0)
                    for x in 0..<canvas.width {
                        let alpha = oval.alpha(x: x, y: y)
                        let colour = alpha == 0 ? 0 : pixel[0]
                        out[0] = UInt8(truncatingIfNeeded: (colour >> 16) &- (left.colour >> 16))
                        out[1] = UInt8(truncatingIfNeeded: (colour >> 8) &- (left.colour >> 8))
                        out[2] = UInt8(truncatingIfNeeded: colour &- left.colour)
                        out[3] = alpha &- left.alpha
                        left = (colour, alpha)
                        out += 4
                        pixel += 1
                    }
                }
                filled = count
            }
        }
    }
}

/// The ellipse that fills 96 % of a rectangle, with a soft edge about a pixel and a half wide.
private struct Oval {
    private let centre: (x: Int, y: Int)
    private let scale: (x: Int, y: Int)
    private let edge: Int

    init(width: Int, height: Int) {
        // Half pixels, so that an even size has its centre between two of them.
        self.centre = (width, height)
        let half = (x: max(1, width * 96 / 100), y: max(1, height * 96 / 100))
        self.scale = ((1 << 32) / (half.x * half.x), (1 << 32) / (half.y * half.y))
        self.edge = max(1, (6 << 16) / min(half.x, half.y))
    }

    @inline(__always)
    func alpha(x: Int, y: Int) -> UInt8 {
        let dx = 2 &* x &+ 1 &- self.centre.x
        let dy = 2 &* y &+ 1 &- self.centre.y
        let inside = 65536 &- ((dx &* dx &* self.scale.x &+ dy &* dy &* self.scale.y) >> 16)
        return UInt8(truncatingIfNeeded: min(max(inside &* 255 / self.edge, 0), 255))
    }
}
