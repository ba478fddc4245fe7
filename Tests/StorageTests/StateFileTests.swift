import Foundation
import Storage
import Testing

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
