import NIOCore
import Testing

@testable import Simulator

@Suite struct PictureTests {
    private static func picture(
        _ prompt: String, seed: UInt64 = 0, width: Int = 256, height: Int = 256, transparent: Bool = false
    ) -> Picture {
        var hash = FNV1a()
        hash.combine(prompt.utf8)
        return Picture(
            key: Picture.key(subject: hash.value, seed: seed), width: width, height: height, transparent: transparent)
    }

    private static let developments: [Development] =
        (0..<3).map { .preview(step: $0, count: 3) } + [.finished]

    @Test(arguments: [(256, 256), (16, 16), (17, 33), (2048, 16), (60, 500), (320, 192)])
    func everySizeAndStageIsAWholePNG(width: Int, height: Int) throws {
        for transparent in [false, true] {
            for development in Self.developments {
                let picture = Self.picture("shore", width: width, height: height, transparent: transparent)
                let png = try PNGReader(PictureRenderer.png(picture, development))
                #expect(png.width == width)
                #expect(png.height == height)
                #expect(png.channels == (transparent ? 4 : 3))
            }
        }
    }

    @Test func equalPicturesAreEqualBytesAndOthersDiffer() {
        let first = PictureRenderer.png(Self.picture("a"), .finished)
        #expect(first == PictureRenderer.png(Self.picture("a"), .finished))
        #expect(first != PictureRenderer.png(Self.picture("b"), .finished))
        #expect(first != PictureRenderer.png(Self.picture("a", seed: 1), .finished))
        #expect(first != PictureRenderer.png(Self.picture("a").sibling(1), .finished))
        #expect(Self.picture("a").sibling(0) == Self.picture("a"))
    }

    /// Pins the drawing: a change here changes every recorded picture.
    @Test func drawingIsTheSameOnEveryMachine() throws {
        let png = try PNGReader(PictureRenderer.png(Self.picture("pinned", width: 64, height: 64), .finished))
        var hash = FNV1a()
        hash.combine(png.pixels)
        #expect(hash.value == 3_814_620_535_126_537_186)
    }

    @Test func previewsSharpenStepByStep() throws {
        let sharpness = try Self.developments.map {
            try PNGReader(PictureRenderer.png(Self.picture("a lake"), $0)).steepest
        }
        #expect(sharpness == sharpness.sorted())
        #expect(Set(sharpness).count == sharpness.count)
    }

    @Test(arguments: developments)
    func everyStageCarriesTheWatermark(development: Development) throws {
        let side = 512
        let png = try PNGReader(
            PictureRenderer.png(Self.picture("night", width: side, height: side), development))
        let place = Watermark.place(width: side, height: side, centred: false)
        for (index, letter) in Watermark.text.enumerated() {
            let rows = try #require(Watermark.face[letter])
            for (row, dots) in rows.enumerated() {
                for column in 0..<5 where dots >> (4 - column) & 1 == 1 {
                    let x = place.x + (index * 6 + column) * place.scale
                    #expect(png.brightness(x, place.y + row * place.scale) > 600)
                }
            }
        }
    }

    @Test func transparentPicturesAreOval() throws {
        let png = try PNGReader(PictureRenderer.png(Self.picture("sticker", transparent: true), .finished))
        #expect(png.pixel(0, 0) == [0, 0, 0, 0])
        #expect(png.pixel(255, 255) == [0, 0, 0, 0])
        #expect(png.pixel(128, 128)[3] == 255)
    }

    @Test(arguments: [100_000, 1 << 20, (1 << 20) + 1, 8 << 20])
    func paddingReachesTheExactSize(bytes: Int) throws {
        let file = PictureRenderer.png(Self.picture("padded"), .finished, paddedTo: bytes)
        #expect(file.readableBytes == bytes)
        let png = try PNGReader(file)
        #expect(png.chunkTypes == ["IHDR", PNGWriter.paddingType, "IDAT", "IEND"])
        #expect(png.pixels == (try PNGReader(PictureRenderer.png(Self.picture("padded"), .finished))).pixels)
    }

    @Test func paddingSmallerThanThePictureIsLeftOut() throws {
        let file = PictureRenderer.png(Self.picture("padded"), .finished, paddedTo: 10)
        #expect(try PNGReader(file).chunkTypes == ["IHDR", "IDAT", "IEND"])
    }

    @Test func theCacheKeepsItsBound() async throws {
        let cache = PictureCache(capacity: 200_000)
        for seed in 0..<20 { _ = try await cache.entry(Self.picture("x", seed: UInt64(seed)), .finished) }
        #expect(cache.bytes <= 200_000)
        let again = try await cache.entry(Self.picture("x", seed: 3), .finished)
        #expect(again.png == PictureRenderer.png(Self.picture("x", seed: 3), .finished))
    }
}
