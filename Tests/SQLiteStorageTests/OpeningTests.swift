import Foundation
import GRDB
import Storage
import Testing

@testable import SQLiteStorage

/// What is found in a store's place at the start.
@Suite struct OpeningTests {
    struct Damage: Sendable, CustomTestStringConvertible {
        let name: String
        let expected: @Sendable (SQLiteStoreError.Reason) -> Bool
        let make: @Sendable (String) throws -> Void

        init(
            _ name: String, _ expected: @escaping @Sendable (SQLiteStoreError.Reason) -> Bool,
            make: @escaping @Sendable (String) throws -> Void
        ) {
            self.name = name
            self.expected = expected
            self.make = make
        }

        var testDescription: String { self.name }
    }

    static let damages: [Damage] = [
        Damage("no database", { $0 == .notADatabase }) { path in
            try Data("prompt,size\n".utf8).write(to: URL(fileURLWithPath: path))
        },
        Damage("header of zeros", { $0 == .notADatabase }) { path in
            try StoreDamage.overwrite(path, at: 0, with: [UInt8](repeating: 0, count: 100))
        },
        Damage("broken page size", isCorrupt) { try StoreDamage.overwrite($0, at: 16, with: [3, 0]) },
        Damage("header alone", isCorrupt) { try StoreDamage.truncate($0, to: 60) },
        Damage("half of the database", isCorrupt) { path in
            // The log would repair what it holds.
            try StoreDamage.checkpoint(path)
            try StoreDamage.truncate(path, to: StoreDamage.size(path) / 2 & ~4095)
        },
        Damage("pages overwritten", isCorrupt) { path in
            try StoreDamage.checkpoint(path)
            for page in 2..<20 {
                try StoreDamage.overwrite(path, at: page * 4096, with: [UInt8](repeating: 0x5A, count: 64))
            }
        },
        Damage("database gone, log there", { $0 == .databaseMissing }) {
            try FileManager.default.removeItem(atPath: $0)
        },
        Damage("database empty, log there", { $0 == .databaseMissing }) { try StoreDamage.truncate($0, to: 0) },
        Damage("log cut in half", { $0 == .logTruncated }) { path in
            try StoreDamage.truncate("\(path)-wal", to: 32 + StoreDamage.index(path).frames * 4120 / 2)
        },
        Damage("log without the last byte that counts", { $0 == .logTruncated }) { path in
            try StoreDamage.truncate("\(path)-wal", to: 32 + StoreDamage.index(path).frames * 4120 - 1)
        },
        Damage("log empty", { $0 == .logTruncated }) { try StoreDamage.truncate("\($0)-wal", to: 0) },
        Damage("log of ten bytes", { $0 == .logTruncated }) { try StoreDamage.truncate("\($0)-wal", to: 10) },
        Damage("log of ten bytes, no index", { $0 == .logTruncated }) { path in
            try StoreDamage.truncate("\(path)-wal", to: 10)
            try FileManager.default.removeItem(atPath: "\(path)-shm")
        },
        Damage("log gone", { $0 == .logTruncated }) { try FileManager.default.removeItem(atPath: "\($0)-wal") },
        Damage("log broken in the middle", { $0 == .logCorrupt }) { path in
            try StoreDamage.overwrite("\(path)-wal", at: 32 + 4120 + 1000, with: Array("damage".utf8))
        },
        Damage("log of random bytes", { $0 == .logForeign }) { path in
            let bytes = (0..<20_000).map { _ in UInt8.random(in: 0...255) }
            try Data(bytes).write(to: URL(fileURLWithPath: "\(path)-wal"))
        },
        Damage("log of random bytes, no index", { $0 == .logForeign }) { path in
            try Data(repeating: 0x37, count: 20_000).write(to: URL(fileURLWithPath: "\(path)-wal"))
            try FileManager.default.removeItem(atPath: "\(path)-shm")
        },
        Damage("log of another store", { $0 == .logForeign }) { path in
            try FileManager.default.removeItem(atPath: "\(path)-wal")
            try FileManager.default.copyItem(atPath: "\(path)-other-wal", toPath: "\(path)-wal")
        },
        Damage("newer schema", { $0 == .newerSchema(found: 99, known: Schema.version) }) { path in
            try StoreDamage.edit(path) { try $0.execute(sql: "PRAGMA user_version = 99") }
        },
        Damage("another program's database", { $0 == .foreignDatabase }) { path in
            for suffix in ["", "-wal", "-shm"] { try FileManager.default.removeItem(atPath: path + suffix) }
            try StoreDamage.edit(path) { try $0.execute(sql: "CREATE TABLE note (text TEXT)") }
        },
        Damage("another program's mark", { $0 == .foreignDatabase }) { path in
            try StoreDamage.edit(path) { try $0.execute(sql: "PRAGMA application_id = 7") }
        },
    ]

    @Test(arguments: Self.damages) func aDamagedStoreIsLeftAlone(_ damage: Damage) async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let path = try await self.crashed(store, fixture)
        try damage.make(path)
        let before = try self.contents(of: path)
        for attempt in 1...2 {
            let error = #expect(throws: SQLiteStoreError.self) { try fixture.openCopy(path) }
            guard let error else { continue }
            #expect(damage.expected(error.reason), "attempt \(attempt): \(error)")
            #expect(!error.description.contains("\n") && error.description.contains(path))
            #expect(try self.contents(of: path) == before, "attempt \(attempt)")
        }
        await fixture.end(store)
    }

    @Test func whatACrashLeavesIsNoDamage() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let cases: [(String, @Sendable (String) throws -> Void)] = [
            ("as it was", { _ in }),
            ("index lost", { try FileManager.default.removeItem(atPath: "\($0)-shm") }),
            (
                "a transaction half written",
                { try StoreDamage.append(to: "\($0)-wal", [UInt8](repeating: 0xEE, count: 6000)) }
            ),
            (
                "index of zeros",
                { try StoreDamage.overwrite("\($0)-shm", at: 0, with: [UInt8](repeating: 0, count: 136)) }
            ),
            (
                "everything copied, log gone",
                { path in
                    try StoreDamage.checkpoint(path)
                    try? FileManager.default.removeItem(atPath: "\(path)-wal")
                }
            ),
        ]
        for (index, (name, change)) in cases.enumerated() {
            let path = try await self.crashed(store, fixture, to: "copy\(index)")
            try change(path)
            let copy = try fixture.openCopy(path)
            let known = try await store.unfinished(after: nil, limit: 1000).jobs.map(\.id)
            #expect(try await copy.unfinished(after: nil, limit: 1000).jobs.map(\.id) == known, Comment(rawValue: name))
            await copy.close()
        }
        await fixture.end(store)
    }

    /// A crash while the database was made leaves less than a schema; the next start makes it.
    @Test(arguments: [
        "PRAGMA journal_mode = WAL", "CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY)",
    ])
    func aDatabaseHalfMadeIsMade(_ sql: String) async throws {
        let fixture = try StoreFixture()
        let queue = try DatabaseQueue(path: fixture.path)
        try await queue.writeWithoutTransaction { try $0.execute(sql: sql) }
        try queue.close()
        let store = try fixture.open()
        let acceptance = try await store.accept(Samples.job())
        #expect(acceptance == .accepted)
        await fixture.end(store)
    }

    @Test func aJournalThatACrashLeftIsRolledBack() async throws {
        let fixture = try StoreFixture()
        let queue = try DatabaseQueue(path: fixture.path)
        try await queue.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA cache_size = 1; BEGIN; CREATE TABLE half (x)")
            // More than the cache holds, so that the journal is flushed and the database written to.
            for _ in 0..<20 { try db.execute(sql: "INSERT INTO half VALUES (zeroblob(9000))") }
            for suffix in ["", "-journal"] {
                try FileManager.default.copyItem(
                    atPath: fixture.path + suffix, toPath: "\(fixture.folder)/copy.db\(suffix)")
            }
            try db.execute(sql: "ROLLBACK")
        }
        try queue.close()
        let store = try fixture.openCopy("\(fixture.folder)/copy.db")
        let acceptance = try await store.accept(Samples.job())
        #expect(acceptance == .accepted)
        await fixture.end(store)
    }

    @Test func foldersThatCannotBeWrittenAreNamed() throws {
        let fixture = try StoreFixture()
        try Data([1]).write(to: URL(fileURLWithPath: "\(fixture.folder)/file"))
        for path in ["\(fixture.folder)/file/jobs.db", "/proc/no-such-folder/jobs.db", "/proc/jobs.db"] {
            let error = #expect(throws: SQLiteStoreError.self) { try fixture.openCopy(path) }
            guard case .folder? = error?.reason else {
                Issue.record("\(path): \(String(describing: error))")
                continue
            }
        }
        #expect(throws: SQLiteStoreError.self) { try fixture.openCopy(fixture.folder) }
        try FileManager.default.removeItem(atPath: fixture.folder)
    }

    @Test(.enabled(if: geteuid() != 0, "the superuser may write everywhere")) func readOnlyFoldersAreNamed() throws {
        let fixture = try StoreFixture()
        try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: fixture.folder)
        let error = #expect(throws: SQLiteStoreError.self) { try fixture.open() }
        guard case .folder? = error?.reason else { return #expect(Bool(false)) }
    }

    @Test func oneProcessAtATime() async throws {
        let fixture = try StoreFixture()
        let first = try fixture.open()
        #expect(throws: SQLiteStoreError(fixture.path, .inUse(process: getpid()))) { try fixture.open() }
        await first.close()
        // The lock ends with its store, as it does with the process.
        try await self.reopen(fixture)
        let second = try fixture.open()
        await fixture.end(second)
    }

    private func reopen(_ fixture: StoreFixture) async throws {
        let store = try fixture.open()
        #expect(store.epoch == 2)
        await store.close()
    }

    @Test func theDatabaseIsNotForEverybody() async throws {
        try await StoreFixture.with { store, fixture in
            _ = try await store.accept(Samples.job())
            for suffix in ["", "-wal", "-shm", ".lock"] {
                let attributes = try FileManager.default.attributesOfItem(atPath: fixture.path + suffix)
                let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
                #expect(mode & 0o007 == 0, Comment(rawValue: suffix))
            }
        }
    }

    @Test func writesAreFlushedAndForeignKeysHold() async throws {
        try await StoreFixture.with { store, _ in
            let (synchronous, keys, automatic, mode) = try await store.pool.writeWithoutTransaction { db in
                (
                    try Int.fetchOne(db, sql: "PRAGMA synchronous"), try Int.fetchOne(db, sql: "PRAGMA foreign_keys"),
                    try Int.fetchOne(db, sql: "PRAGMA wal_autocheckpoint"),
                    try String.fetchOne(db, sql: "PRAGMA journal_mode")
                )
            }
            #expect(synchronous == 2 && keys == 1 && mode == "wal")
            #expect(automatic == 0, "SQLite's own checkpoints are off")
        }
    }
}

// MARK: - Crashed stores

extension OpeningTests {
    /// A store as a killed process leaves it: some jobs in the database, some in the log, and another store's log
    /// beside it.
    private func crashed(_ store: SQLiteJobStore, _ fixture: StoreFixture, to name: String = "copy") async throws
        -> String
    {
        for number in 0..<60 {
            _ = try await store.accept(Samples.job(prompt: String(repeating: "lamp ", count: 200)))
            if number == 30 { try await store.pool.writeWithoutTransaction { _ = try $0.checkpoint(.passive) } }
        }
        var path: String
        var index: WriteAheadLog.Index
        repeat {
            // A pause of this test may have let the writer bring everything into the database.
            _ = try await store.accept(Samples.job())
            path = try fixture.copy(to: name, withIndex: true)
            index = try StoreDamage.index(path)
        } while index.copied == index.frames
        let other = try fixture.openCopy("\(fixture.folder)/\(name)-other/jobs.db")
        for _ in 0..<10 { _ = try await other.accept(Samples.job()) }
        try FileManager.default.copyItem(
            atPath: "\(fixture.folder)/\(name)-other/jobs.db-wal", toPath: "\(path)-other-wal")
        await other.close()
        return path
    }

    private func contents(of path: String) throws -> [Data?] {
        ["", "-wal"].map { FileManager.default.contents(atPath: path + $0) }
    }
}

@Sendable private func isCorrupt(_ reason: SQLiteStoreError.Reason) -> Bool {
    if case .corrupt = reason { true } else { false }
}
