import CZlib
import NIOCore

/// A small reader for the PNG files the simulator writes: checks every checksum and undoes the filters.
struct PNGReader {
    enum Problem: Error { case signature, truncated, checksum(String), inflate, filter(UInt8), colourType(UInt8) }

    let width: Int
    let height: Int
    let channels: Int
    /// Row by row, `channels` bytes a pixel.
    let pixels: [UInt8]
    let chunkTypes: [String]

    init(_ file: ByteBuffer) throws {
        var rest = file
        guard rest.readBytes(length: 8) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] else {
            throw Problem.signature
        }
        var chunks: [(type: String, body: ByteBuffer)] = []
        while rest.readableBytes > 0 {
            guard let length = rest.readInteger(as: UInt32.self),
                let checked = rest.getBytes(at: rest.readerIndex, length: 4 + Int(length)),
                let type = rest.readString(length: 4), let body = rest.readSlice(length: Int(length)),
                let checksum = rest.readInteger(as: UInt32.self)
            else { throw Problem.truncated }
            guard UInt32(truncatingIfNeeded: crc32(0, checked, UInt32(checked.count))) == checksum else {
                throw Problem.checksum(type)
            }
            chunks.append((type, body))
        }
        self.chunkTypes = chunks.map(\.type)
        guard var header = chunks.first(where: { $0.type == "IHDR" })?.body,
            let width = header.readInteger(as: UInt32.self), let height = header.readInteger(as: UInt32.self),
            let rest = header.readBytes(length: 5)
        else { throw Problem.truncated }
        self.width = Int(width)
        self.height = Int(height)
        switch rest[1] {
        case 2: self.channels = 3
        case 6: self.channels = 4
        default: throw Problem.colourType(rest[1])
        }
        let compressed = chunks.filter { $0.type == "IDAT" }.flatMap { Array($0.body.readableBytesView) }
        self.pixels = try Self.unfilter(
            try Self.inflate(compressed, count: self.height * (self.width * self.channels + 1)), height: self.height,
            stride: self.width * self.channels, channels: self.channels)
    }

    private static func inflate(_ compressed: [UInt8], count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var length = uLong(count)
        guard uncompress(&bytes, &length, compressed, uLong(compressed.count)) == Z_OK, Int(length) == count else {
            throw Problem.inflate
        }
        return bytes
    }

    private static func unfilter(_ raw: [UInt8], height: Int, stride: Int, channels: Int) throws -> [UInt8] {
        var pixels = [UInt8](repeating: 0, count: height * stride)
        for y in 0..<height {
            let filter = raw[y * (stride + 1)]
            guard filter <= 1 else { throw Problem.filter(filter) }
            for x in 0..<stride {
                let left = filter == 1 && x >= channels ? pixels[y * stride + x - channels] : 0
                pixels[y * stride + x] = raw[y * (stride + 1) + 1 + x] &+ left
            }
        }
        return pixels
    }

    func pixel(_ x: Int, _ y: Int) -> [UInt8] {
        let at = (y * self.width + x) * self.channels
        return Array(self.pixels[at..<at + self.channels])
    }

    func brightness(_ x: Int, _ y: Int) -> Int { self.pixel(x, y).prefix(3).reduce(0) { $0 + Int($1) } }

    /// Sum of the differences between neighbours in the upper half: the sharper, the more sudden they are.
    var steepest: Int {
        var steepest = 0
        for y in 0..<self.height / 2 {
            for x in 1..<self.width {
                steepest = max(steepest, abs(self.brightness(x, y) - self.brightness(x - 1, y)))
            }
        }
        return steepest
    }
}
