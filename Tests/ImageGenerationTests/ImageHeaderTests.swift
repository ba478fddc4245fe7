import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import Testing

@Suite struct ImageHeaderTests {
    private static let folder = SharedFiles.vectors.appendingPathComponent("images")

    private struct Manifest: Decodable {
        let images: [Entry]

        struct Entry: Decodable {
            let file: String
            let media_type: String?
            let width: Int?
            let height: Int?
            let verdict: String
            let visible_at: String?
        }
    }

    @Test(.enabled(if: SharedFiles.has(folder), "needs the folder vectors/images of the shared data"))
    func vectors() throws {
        let manifest = try SharedFiles.bytes(Self.folder.appendingPathComponent("manifest.json"))
        let entries = try JSONDecoder().decode(Manifest.self, from: Data(manifest)).images
        #expect(entries.count == 366)
        var judged = 0
        for entry in entries {
            let bytes = try SharedFiles.bytes(Self.folder.appendingPathComponent(entry.file))
            let header = ImageHeader.read(ByteBuffer(bytes: bytes))
            if entry.verdict == "accept" {
                judged += 1
                #expect(header?.format.mediaType == entry.media_type, "\(entry.file)")
                #expect(header?.width == entry.width, "\(entry.file)")
                #expect(header?.height == entry.height, "\(entry.file)")
            } else if entry.verdict == "reject", entry.visible_at == "magic" || entry.visible_at == "header" {
                judged += 1
                #expect(header == nil, "\(entry.file)")
                if entry.visible_at == "magic" { self.expectNoForeignFormat(bytes, entry) }
            } else if let header, let type = entry.media_type {
                #expect(header.format.mediaType == type, "\(entry.file)")
                if let width = entry.width { #expect(header.width == width, "\(entry.file)") }
            }
        }
        #expect(judged > 280)
    }

    /// The signature alone may pass where the fault stands just behind it; it never names a type the content is not.
    private func expectNoForeignFormat(_ bytes: [UInt8], _ entry: Manifest.Entry) {
        let format = ImageHeader.format(of: ByteBuffer(bytes: bytes))
        #expect(format == nil || format?.mediaType == entry.media_type, "\(entry.file)")
    }

    /// Any prefix gives the whole picture's answer or none.
    @Test(.enabled(if: SharedFiles.has(folder), "needs the folder vectors/images of the shared data"))
    func prefixesAndChangedBytes() throws {
        let folder = Self.folder.appendingPathComponent("valid")
        for name in SharedFiles.names(in: folder) {
            let bytes = try SharedFiles.bytes(folder.appendingPathComponent(name))
            let whole = try #require(ImageHeader.read(ByteBuffer(bytes: bytes)), "\(name)")
            var answered = false
            for count in 0...min(bytes.count, 2048) {
                guard let header = ImageHeader.read(ByteBuffer(bytes: bytes[..<count])) else {
                    #expect(!answered, "\(name): more bytes must not take the answer away")
                    continue
                }
                answered = true
                #expect(header == whole, "\(name)")
            }
            for index in 0..<min(bytes.count, 400) {
                for byte: UInt8 in [0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF] {
                    var changed = bytes
                    changed[index] = byte
                    guard let header = ImageHeader.read(ByteBuffer(bytes: changed)) else { continue }
                    #expect(header.width * header.height <= ImageHeader.maximumPixels)
                }
            }
        }
    }

    @Test(.enabled(if: SharedFiles.has(folder), "needs the folder vectors/images of the shared data"))
    func readsFromTheReaderIndexOn() throws {
        for name in [
            "valid/png-1x1.png", "valid/jpeg-jfif-17x11.jpg", "valid/avif-16x12.avif", "valid/webp-lossy-17x11.webp",
        ] {
            let bytes = try SharedFiles.bytes(Self.folder.appendingPathComponent(name))
            var shifted = ByteBuffer(bytes: [1, 2, 3] + bytes)
            shifted.moveReaderIndex(forwardBy: 3)
            #expect(ImageHeader.read(shifted) == ImageHeader.read(ByteBuffer(bytes: bytes)))
            #expect(ImageHeader.format(of: shifted) != nil)
        }
    }

    @Test func pngSides() {
        func png(_ width: UInt32, _ height: UInt32) -> ImageHeader? {
            var bytes = ByteBuffer(bytes: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13])
            bytes.writeString("IHDR")
            bytes.writeInteger(width)
            bytes.writeInteger(height)
            bytes.writeBytes([8, 6, 0, 0, 0, 1, 2, 3, 4])
            return ImageHeader.read(bytes)
        }
        #expect(png(1024, 1536).map { [$0.width, $0.height] } == [1024, 1536])
        #expect(png(16_384, 6103)?.format == .png)
        #expect(png(16_384, 6104) == nil, "above 100 million pixels")
        #expect(png(16_385, 1) == nil)
        #expect(png(0, 1) == nil)
        #expect(png(.max, .max) == nil)
    }

    @Test func aJPEGMayHoldMuchBeforeItsSizeButNotWithoutEnd() {
        func jpeg(segments: Int) -> ByteBuffer {
            var bytes = ByteBuffer(bytes: [0xFF, 0xD8])
            for _ in 0..<segments {
                bytes.writeBytes([0xFF, 0xE1, 0x40, 0x00])
                bytes.writeRepeatingByte(0xFF, count: 0x3FFE)
            }
            bytes.writeBytes([0xFF, 0xC2, 0, 11, 8, 0x04, 0x00, 0x06, 0x00, 1, 1, 0x11, 0])
            return bytes
        }
        #expect(ImageHeader.read(jpeg(segments: 3)).map { [$0.width, $0.height] } == [1536, 1024])
        #expect(ImageHeader.read(jpeg(segments: 4)) == nil, "behind the first 64 KiB")
    }

    /// Alpha and thumbnails have sizes of their own; the primary item's counts, wherever it stands in the list.
    @Test func theSizeOfAnAVIFIsThatOfItsPrimaryItem() {
        func box(_ type: String, _ content: [UInt8]) -> [UInt8] {
            let size = UInt32(content.count + 8)
            return (0..<4).map { UInt8(truncatingIfNeeded: size >> (24 - 8 * $0)) } + Array(type.utf8) + content
        }
        func avif(primary: UInt8, associations: [UInt8]) -> ByteBuffer {
            let ispe = { (side: UInt8) in box("ispe", [0, 0, 0, 0, 0, 0, 0, side, 0, 0, 0, side]) }
            let properties = box("ipco", ispe(16) + box("pixi", [0, 0, 0, 0]) + ispe(32)) + box("ipma", associations)
            let meta = [0, 0, 0, 0] + box("pitm", [0, 0, 0, 0, 0, primary]) + box("iprp", properties)
            return ByteBuffer(bytes: box("ftyp", Array("avif\0\0\0\0avifmif1".utf8)) + box("meta", meta))
        }
        // Item 1 has the properties 1 and 2, item 2 has 2 (essential) and 3.
        let narrow: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 2, 1, 2, 0, 2, 2, 0x82, 3]
        #expect(ImageHeader.read(avif(primary: 1, associations: narrow))?.width == 16)
        #expect(ImageHeader.read(avif(primary: 2, associations: narrow))?.width == 32)
        #expect(ImageHeader.read(avif(primary: 3, associations: narrow)) == nil)
        let wide: [UInt8] = [1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 2, 0x80, 2, 0, 3]
        #expect(ImageHeader.read(avif(primary: 2, associations: wide))?.width == 32)
        let endless: [UInt8] = [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, 255, 0, 9]
        #expect(ImageHeader.read(avif(primary: 2, associations: endless)) == nil)
    }
}
