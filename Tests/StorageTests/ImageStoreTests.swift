import Foundation
import ImageGeneration
import NIOCore
import NIOPosix
import Storage
import StreamCodecs
import Testing

@Suite struct ImageStoreTests {
    private func withStore(_ body: (DiskImageStore, String) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "safelight-images-\(UInt64.random(in: 0 ... .max))"
        let threads = NIOThreadPool(numberOfThreads: 2)
        threads.start()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try DiskImageStore(folder: folder, threads: threads) { Timestamp(milliseconds: 5) }
        try await body(store, folder)
        try await threads.shutdownGracefully()
    }

    @Test func storesReadsAndRemoves() async throws {
        try await self.withStore { store, _ in
            let bytes = ByteBuffer(bytes: (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let id = ImageID()
            let payload = ImagePayload(canonical: Base64.encode(bytes))
            let stored = try await store.store(payload, id: id, format: .png)
            #expect(stored.size == 200_000)
            let read = try await store.read(id)
            #expect(read?.bytes == bytes)
            #expect(read?.image.format == .png)
            #expect(try await store.remove(id))
            #expect(try await store.read(id) == nil)
            #expect(try await !store.remove(id))
        }
    }

    @Test func leavesNoPartOfABrokenPicture() async throws {
        try await self.withStore { store, folder in
            let payload = ImagePayload(canonical: ByteBuffer(string: "AAAA!AAA"))
            await #expect(throws: GatewayError.self) { try await store.store(payload, id: ImageID(), format: .png) }
            let left = FileManager.default.enumerator(atPath: folder)?.allObjects.compactMap { $0 as? String } ?? []
            #expect(left.filter { $0.contains(".") }.isEmpty)
        }
    }

    @Test func startupRemovesWhatACrashLeft() async throws {
        try await self.withStore { _, folder in
            try FileManager.default.createDirectory(atPath: folder + "/ab", withIntermediateDirectories: true)
            try Data([1]).write(to: URL(fileURLWithPath: folder + "/ab/x.png.part"))
            _ = try DiskImageStore(folder: folder, threads: NIOThreadPool(numberOfThreads: 1)) {
                Timestamp(milliseconds: 0)
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/ab/x.png.part"))
        }
    }
}

@Suite struct URLSignerTests {
    private let now = Timestamp(seconds: 1000)
    private let id = ImageID()

    private func signer(_ secrets: String...) -> URLSigner? { URLSigner(secrets: secrets.map { Array($0.utf8) }) }

    private func parts(_ query: String) -> (expires: String, signature: String) {
        let values = query.split(separator: "&").map { String($0.split(separator: "=")[1]) }
        return (values[0], values[1])
    }

    @Test func acceptsItsOwnAndNothingElse() throws {
        let signer = try #require(self.signer("0123456789abcdef"))
        let (expires, signature) = self.parts(signer.query(for: self.id, expiresAt: Timestamp(seconds: 2000)))
        #expect(signer.verify(self.id, expires: expires, signature: signature, now: self.now))
        #expect(!signer.verify(self.id, expires: expires, signature: signature, now: Timestamp(seconds: 2000)))
        #expect(!signer.verify(ImageID(), expires: expires, signature: signature, now: self.now))
        let edits = ["2001", "02000", "+2000", "2000 ", "", "-1", "99999999999999999999"]
        for edit in edits { #expect(!signer.verify(self.id, expires: edit, signature: signature, now: self.now)) }
        for edit in [String(signature.dropLast(2)), signature.uppercased(), signature + "00", "", "zz"] {
            #expect(!signer.verify(self.id, expires: expires, signature: edit, now: self.now) || edit == signature)
        }
    }

    @Test func everyKeyVerifiesAndTheFirstSigns() throws {
        let old = try #require(self.signer("old-old-old-old-old"))
        let both = try #require(self.signer("new-new-new-new-new", "old-old-old-old-old"))
        let new = try #require(self.signer("new-new-new-new-new"))
        let (expires, signature) = self.parts(old.query(for: self.id, expiresAt: Timestamp(seconds: 2000)))
        #expect(both.verify(self.id, expires: expires, signature: signature, now: self.now))
        #expect(!new.verify(self.id, expires: expires, signature: signature, now: self.now))
        #expect(
            both.query(for: self.id, expiresAt: self.now) == new.query(for: self.id, expiresAt: self.now))
    }

    @Test func refusesWeakSecrets() {
        #expect(URLSigner(secrets: []) == nil)
        #expect(self.signer("short") == nil)
    }
}

@Suite struct StartCounterTests {
    @Test func risesByOneAtEachStart() throws {
        let path = NSTemporaryDirectory() + "safelight-epoch-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(try StartCounter.next(at: path) == 1)
        #expect(try StartCounter.next(at: path) == 2)
        try Data("nonsense".utf8).write(to: URL(fileURLWithPath: path))
        #expect(throws: StartCounterError.self) { try StartCounter.next(at: path) }
    }

    @Test func keysAreMadeOnceAndPrivate() throws {
        let folder = NSTemporaryDirectory() + "safelight-keys-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let first = try KeyFile.readOrMake(folder: folder, name: "urls")
        let second = try KeyFile.readOrMake(folder: folder, name: "urls")
        #expect(first.isNew && !second.isNew)
        #expect(first.bytes == second.bytes && first.bytes.count == 32)
        let mode = try FileManager.default.attributesOfItem(atPath: folder + "/urls")[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }
}
