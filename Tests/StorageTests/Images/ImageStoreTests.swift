import Foundation
import GatewayTesting
import Glibc
import ImageGeneration
import NIOCore
import NIOPosix
import StreamCodecs
import Testing

@testable import Storage

@Suite struct ImageStoreTests {
    private static let pictures = SharedFiles.vectors.appendingPathComponent("images")

    private func code(_ body: () async throws -> Void) async -> GatewayError.Code? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? GatewayError)?.code
        }
    }

    // MARK: Round trips

    @Test(arguments: ImageFormat.allCases) func storesReadsAndRemoves(_ format: ImageFormat) async throws {
        try await StoreBench.run { bench in
            try await bench.store.count()
            let bytes = SamplePicture.bytes(format, size: 200_001)
            let id = ImageID()
            let stored = try await bench.keep(bytes, as: format, id: id)
            #expect(stored.size == 200_001)
            #expect(stored.storedAt == StoreBench.now)
            #expect(bench.files == ["\(id.text.dropFirst(4).prefix(2))/\(id.text).\(format.fileExtension)"])
            let read = try #require(try await bench.store.read(id))
            #expect(Array(read.bytes.readableBytesView) == bytes)
            #expect(read.image.format == format)
            #expect(read.image.storedAt == StoreBench.now)
            #expect(read.image.version == stored.version)
            #expect(bench.store.gauge == bench.counted)
            #expect(bench.store.gauge.bytes == 200_001)
            #expect(try await bench.store.remove(id))
            #expect(try await bench.store.read(id) == nil)
            #expect(try await !bench.store.remove(id))
            #expect(bench.store.gauge == bench.counted)
            #expect(bench.files.isEmpty)
        }
    }

    private struct Manifest: Decodable {
        let images: [Entry]

        struct Entry: Decodable {
            let file: String
            let media_type: String?
            let verdict: String
            let visible_at: String?
        }
    }

    /// Real pictures of every kind, hostile ones, and what is no picture at all.
    @Test(.enabled(if: SharedFiles.has(pictures), "needs the folder vectors/images of the shared data"))
    func keepsOnlyWhatItsFirstBytesSayItIs() async throws {
        let manifest = try SharedFiles.bytes(Self.pictures.appendingPathComponent("manifest.json"))
        let entries = try JSONDecoder().decode(Manifest.self, from: Data(manifest)).images
        try await StoreBench.run { bench in
            var kept = 0
            for entry in entries {
                let bytes = try SharedFiles.bytes(Self.pictures.appendingPathComponent(entry.file))
                let format = ImageHeader.format(of: ByteBuffer(bytes: bytes))
                let id = ImageID()
                let failure = await self.code { try await bench.keep(bytes, as: format ?? .png, id: id) }
                if entry.verdict == "accept" { #expect(failure == nil, "\(entry.file)") }
                if entry.verdict == "reject", entry.visible_at == "magic" || entry.visible_at == "header" {
                    #expect(failure == .imageRefused, "\(entry.file)")
                }
                guard failure == nil else { continue }
                kept += 1
                let read = try #require(try await bench.store.read(id))
                #expect(Array(read.bytes.readableBytesView) == bytes, "\(entry.file)")
                #expect(read.image.format.mediaType == entry.media_type, "\(entry.file)")
            }
            #expect(kept > 100)
            #expect(bench.files.count == kept)
        }
    }

    @Test(arguments: [
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", ImageFormat.png), ("<!doctype html><script>1</script>", .gif),
        ("", .png), ("GIF89a", .gif), ("\u{1F}\u{8B}\u{8}", .webp),
    ]) func refusesWhatIsNoPicture(_ text: String, _ format: ImageFormat) async throws {
        try await StoreBench.run { bench in
            #expect(await self.code { try await bench.keep(Array(text.utf8), as: format) } == .imageRefused)
            #expect(bench.files.isEmpty)
            #expect(bench.store.gauge.isWritable, "that is not the disk's fault")
        }
    }

    @Test func refusesAPictureOfAnotherFormatThanTold() async throws {
        try await StoreBench.run { bench in
            #expect(
                await self.code { try await bench.keep(SamplePicture.bytes(.png), as: .jpeg) } == .imageRefused)
            #expect(bench.files.isEmpty)
        }
    }

    @Test(arguments: ["!AAA", "A", "AAA=AAAA", "=AAA"]) func leavesNoPartOfABrokenPicture(_ end: String) async throws {
        try await StoreBench.run { bench in
            var text = Base64.encode(ByteBuffer(bytes: SamplePicture.bytes(.png, size: 300_000)))
            text.writeString(end)
            let payload = ImagePayload(canonical: text)
            let failure = await self.code { _ = try await bench.store.store(payload, id: ImageID(), format: .png) }
            #expect(failure == .upstreamProtocol)
            #expect(bench.files.isEmpty)
            #expect(bench.store.gauge.isWritable)
        }
    }

    // MARK: Reading in pieces

    @Test func aLargePictureIsNeverInMemoryAsAWhole() async throws {
        try await StoreBench.run { bench in
            let bytes = SamplePicture.bytes(.png, size: 20 << 20)
            let image = try await bench.keep(bytes)
            let reader = try #require(try await bench.store.open(image.id))
            var position = 0
            var largest = 0
            for try await piece in reader.pieces(of: 0..<image.size) {
                largest = max(largest, piece.readableBytes)
                #expect(piece.storageCapacity <= 64 << 10)
                #expect(piece == ByteBuffer(bytes: bytes[position..<position + piece.readableBytes]))
                position += piece.readableBytes
            }
            #expect(position == 20 << 20)
            #expect(largest == 64 << 10)
        }
    }

    @Test(arguments: [0..<1, 0..<65_536, 65_535..<65_537, 1..<200_000, 199_999..<200_000, 70_000..<70_000])
    func piecesAreExactlyTheRange(_ range: Range<Int>) async throws {
        try await StoreBench.run { bench in
            let bytes = SamplePicture.bytes(.webp, size: 200_000)
            let image = try await bench.keep(bytes, as: .webp)
            let reader = try #require(try await bench.store.open(image.id))
            var read: [UInt8] = []
            for try await piece in reader.pieces(of: range) { read += Array(piece.readableBytesView) }
            #expect(read == Array(bytes[range]))
        }
    }

    @Test func anOpenPictureOutlivesItsRemovalAndItsReplacement() async throws {
        try await StoreBench.run { bench in
            let bytes = SamplePicture.bytes(.png, size: 150_000)
            let id = ImageID()
            try await bench.keep(bytes, id: id)
            let before = try #require(try await bench.store.open(id))
            try await bench.keep(SamplePicture.bytes(.png, size: 90_000, seed: 2), id: id)
            let between = try #require(try await bench.store.open(id))
            #expect(try await bench.store.remove(id))
            #expect(try await Array(before.read(0..<150_000).readableBytesView) == bytes)
            #expect(try await between.read(0..<90_000).readableBytes == 90_000)
            #expect(before.image.version != between.image.version)
        }
    }

    @Test func aFileThatBecameShorterIsNeverToldAsWhole() async throws {
        try await StoreBench.run { bench in
            let image = try await bench.keep(SamplePicture.bytes(.png, size: 150_000))
            let reader = try #require(try await bench.store.open(image.id))
            #expect(truncate(bench.path(image.id), 100_000) == 0)
            let failure = await self.code { for try await _ in reader.pieces(of: 0..<150_000) {} }
            #expect(failure == .storageUnavailable)
        }
    }

    // MARK: Hostile and broken folders

    @Test func linksAndFoldersAreNoPictures() async throws {
        try await StoreBench.run { bench in
            let link = ImageID()
            let folder = ImageID()
            for id in [link, folder] { mkdir("\(bench.folder)/\(id.text.dropFirst(4).prefix(2))", 0o750) }
            symlink("/etc/hostname", bench.path(link))
            mkdir(bench.path(folder), 0o750)
            #expect(try await bench.store.open(link) == nil)
            #expect(try await bench.store.open(folder) == nil)
            #expect(try await !bench.store.remove(link))
            try await bench.store.count()
            #expect(bench.store.gauge.files == 0)
        }
    }

    @Test func aFolderThatCannotBeUsedIsSaidAtOnce() throws {
        let file = NSTemporaryDirectory() + "safelight-file-\(UInt64.random(in: 0 ... .max))"
        defer { unlink(file) }
        try Data([1]).write(to: URL(fileURLWithPath: file))
        let threads = NIOThreadPool(numberOfThreads: 1)
        for folder in [file + "/images", file] {
            #expect(throws: GatewayError.self) {
                try DiskImageStore(folder: folder, threads: threads) { StoreBench.now }
            }
        }
    }

    @Test func aShelfThatCannotBeWrittenIsUnavailableUntilItCan() async throws {
        try await StoreBench.run { bench in
            let id = ImageID()
            let shelf = "\(bench.folder)/\(id.text.dropFirst(4).prefix(2))"
            try Data([1]).write(to: URL(fileURLWithPath: shelf))
            let failure = await self.code { try await bench.keep(SamplePicture.bytes(.png), id: id) }
            #expect(failure == .storageUnavailable)
            #expect(!bench.store.gauge.isWritable)
            unlink(shelf)
            try await bench.keep(SamplePicture.bytes(.png), id: id)
            #expect(bench.store.gauge.isWritable)
        }
    }

    @Test func aStoreThatWasRemovedIsMadeAgain() async throws {
        try await StoreBench.run { bench in
            try FileManager.default.removeItem(atPath: bench.folder)
            let image = try await bench.keep(SamplePicture.bytes(.gif), as: .gif)
            #expect(try await bench.store.open(image.id)?.image.format == .gif)
        }
    }

    @Test func aStoppedThreadPoolIsAFailureNotATrap() async throws {
        try await StoreBench.run { bench in
            let image = try await bench.keep(SamplePicture.bytes(.png))
            let reader = try #require(try await bench.store.open(image.id))
            try await bench.threads.shutdownGracefully()
            #expect(await self.code { try await bench.keep(SamplePicture.bytes(.png)) } == .storageUnavailable)
            #expect(await self.code { _ = try await bench.store.open(image.id) } == .storageUnavailable)
            #expect(await self.code { _ = try await reader.read(0..<10) } == .storageUnavailable)
            #expect(await !bench.store.probe())
        }
    }

    // MARK: At once

    @Test func storesOfOneIDLeaveOneWholePicture() async throws {
        try await StoreBench.run { bench in
            try await bench.store.count()
            let id = ImageID()
            let pictures = (0..<24).map { index -> (ImageFormat, [UInt8]) in
                let format = ImageFormat.allCases[index % ImageFormat.allCases.count]
                return (format, SamplePicture.bytes(format, size: 100_000 + index * 10_000, seed: UInt8(index)))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (format, bytes) in pictures {
                    group.addTask { try await bench.keep(bytes, as: format, id: id) }
                    group.addTask {
                        // Whatever is seen meanwhile is whole.
                        guard let read = try await bench.store.read(id) else { return }
                        #expect(pictures.contains { $0.1.count == read.image.size })
                    }
                }
                try await group.waitForAll()
            }
            #expect(bench.files.count == 1)
            let (image, bytes) = try #require(try await bench.store.read(id))
            #expect(
                pictures.contains { $0.0 == image.format && $0.1.elementsEqual(bytes.readableBytesView) })
            #expect(bench.store.gauge == bench.counted)
        }
    }

    @Test func theGaugeIsExactWhateverHappensWhileItCounts() async throws {
        try await StoreBench.run { bench in
            var ids: [ImageID] = []
            for index in 0..<400 {
                ids.append(try await bench.keep(SamplePicture.bytes(.png, size: 100 + index)).id)
            }
            let restarted = try bench.restarted()
            #expect(!restarted.gauge.isComplete)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await restarted.count() }
                for (index, id) in ids.enumerated() {
                    group.addTask {
                        switch index % 4 {
                        case 0: _ = try await restarted.remove(id)
                        case 1:
                            let bytes = SamplePicture.bytes(.gif, size: 1000 + index)
                            _ = try await restarted.store(SamplePicture.payload(bytes), id: id, format: .gif)
                        case 2:
                            let bytes = SamplePicture.bytes(.png, size: 5000 + index)
                            _ = try await restarted.store(SamplePicture.payload(bytes), id: ImageID(), format: .png)
                        default: break
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(restarted.gauge == bench.counted)
            #expect(restarted.gauge.files == 400)
        }
    }
}
