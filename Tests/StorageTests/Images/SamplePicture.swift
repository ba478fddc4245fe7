import Foundation
import Glibc
import ImageGeneration
import NIOCore
import NIOPosix
import StreamCodecs

@testable import Storage

/// Bytes that have the header of a picture, and noise behind it.
enum SamplePicture {
    /// Behind the header the same kibibyte again and again, so that large ones are made quickly.
    static func bytes(_ format: ImageFormat, size: Int = 0, seed: UInt8 = 1) -> [UInt8] {
        var state = UInt32(seed) &* 2_654_435_761 | 1
        let noise = (0..<1021).map { _ in
            state ^= state << 13
            state ^= state >> 17
            state ^= state << 5
            return UInt8(truncatingIfNeeded: state)
        }
        var bytes = self.header(format)
        while bytes.count + noise.count <= size { bytes += noise }
        if bytes.count < size { bytes += noise[..<(size - bytes.count)] }
        return bytes
    }

    static func payload(_ bytes: [UInt8]) -> ImagePayload {
        ImagePayload(canonical: Base64.encode(ByteBuffer(bytes: bytes)))
    }

    private static func header(_ format: ImageFormat) -> [UInt8] {
        switch format {
        case .png:
            [0x89, 0x50, 0x4E, 0x47, 13, 10, 26, 10, 0, 0, 0, 13] + Array("IHDR".utf8)
                + [0, 0, 0, 16, 0, 0, 0, 12, 8, 6, 0, 0, 0, 0, 0, 0, 0]
        case .jpeg: [0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8, 0, 12, 0, 16, 1, 1, 0x11, 0]
        case .gif: Array("GIF89a".utf8) + [16, 0, 12, 0, 0, 0, 0]
        case .webp:
            Array("RIFF".utf8) + [26, 0, 0, 0] + Array("WEBPVP8L".utf8) + [13, 0, 0, 0, 0x2F, 15, 0xC0, 2, 0]
        case .avif: self.avif
        }
    }

    private static var avif: [UInt8] {
        let size = self.box("ipco", self.box("ispe", [0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 12]))
        let owner = self.box("ipma", [0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1])
        let meta = [0, 0, 0, 0] + self.box("pitm", [0, 0, 0, 0, 0, 1]) + self.box("iprp", size + owner)
        return self.box("ftyp", Array("avif\0\0\0\0avifmif1".utf8)) + self.box("meta", meta)
    }

    private static func box(_ type: String, _ content: [UInt8]) -> [UInt8] {
        [0, 0, 0, UInt8(content.count + 8)] + Array(type.utf8) + content
    }
}

/// A store in a folder of its own, removed at the end.
struct StoreBench: Sendable {
    let folder: String
    let threads: NIOThreadPool
    let store: DiskImageStore
    static let now = Timestamp(milliseconds: 1_781_870_400_123)

    static func run(
        folder given: String? = nil, now: @escaping @Sendable () -> Timestamp = { StoreBench.now },
        _ body: (StoreBench) async throws -> Void
    ) async throws {
        let folder = given ?? NSTemporaryDirectory() + "safelight-images-\(UInt64.random(in: 0 ... .max))"
        let threads = NIOThreadPool(numberOfThreads: 4)
        threads.start()
        defer { if given == nil { try? FileManager.default.removeItem(atPath: folder) } }
        do {
            let store = try DiskImageStore(folder: folder, threads: threads, now: now)
            try await body(StoreBench(folder: folder, threads: threads, store: store))
        } catch {
            try await threads.shutdownGracefully()
            throw error
        }
        try await threads.shutdownGracefully()
    }

    /// Another start on the same folder.
    func restarted() throws -> DiskImageStore {
        try DiskImageStore(folder: self.folder, threads: self.threads) { StoreBench.now }
    }

    @discardableResult
    func keep(
        _ bytes: [UInt8], as format: ImageFormat = .png, id: ImageID = ImageID()
    ) async throws -> StoredImage {
        try await self.store.store(SamplePicture.payload(bytes), id: id, format: format)
    }

    /// Every file below the folder, as paths relative to it.
    var files: [String] {
        let all = FileManager.default.enumerator(atPath: self.folder)?.allObjects.compactMap { $0 as? String } ?? []
        return all.filter { name in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(self.folder)/\(name)", isDirectory: &isFolder)
                && !isFolder.boolValue
        }.sorted()
    }

    func path(_ id: ImageID, _ format: ImageFormat = .png) -> String {
        "\(self.folder)/\(id.text.dropFirst(4).prefix(2))/\(id.text).\(format.fileExtension)"
    }

    /// What the gauge should say.
    var counted: ImageStoreGauge {
        var gauge = ImageStoreGauge()
        for name in self.files where !name.hasSuffix(".part") {
            let size = (try? FileManager.default.attributesOfItem(atPath: "\(self.folder)/\(name)"))?[.size] as? Int
            gauge.add(files: 1, bytes: size ?? 0)
        }
        gauge.isComplete = true
        return gauge
    }
}

/// Time stands still until the test lets one sleeper go on.
struct HeldClock: Clock {
    typealias Instant = ContinuousClock.Instant
    private let permits: AsyncStream<Void>
    private let permit: AsyncStream<Void>.Continuation

    init() { (self.permits, self.permit) = AsyncStream.makeStream() }

    var now: Instant { ContinuousClock().now }
    var minimumResolution: Duration { .zero }

    func step() { self.permit.yield() }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        for await _ in self.permits { return }
        throw CancellationError()
    }
}
