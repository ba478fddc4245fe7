import Foundation
import GRDB
import Testing

@testable import SQLiteStorage

/// What may befall a store's files.
enum StoreDamage {
    static func edit(_ path: String, _ body: (Database) throws -> Void) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.write(body)
        try queue.close()
    }

    /// Brings the log into the database and removes it.
    static func checkpoint(_ path: String) throws {
        try self.edit(path) { _ in }
    }

    static func size(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? NSNumber).intValue
    }

    static func index(_ path: String) throws -> WriteAheadLog.Index {
        let bytes = try #require(FileManager.default.contents(atPath: "\(path)-shm"))
        return try #require(bytes.withUnsafeBytes { WriteAheadLog.Index($0) })
    }

    static func truncate(_ path: String, to size: Int) throws {
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        try file.truncate(atOffset: UInt64(size))
        try file.close()
    }

    static func overwrite(_ path: String, at offset: Int, with bytes: [UInt8]) throws {
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        try file.seek(toOffset: UInt64(offset))
        try file.write(contentsOf: Data(bytes))
        try file.close()
    }

    static func append(to path: String, _ bytes: [UInt8]) throws {
        try self.overwrite(path, at: self.size(path), with: bytes)
    }
}
