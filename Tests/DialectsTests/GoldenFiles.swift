import Foundation
import Testing

/// Frozen bytes under `Fixtures/`. `SAFELIGHT_RECORD=1` writes them anew; the difference is then reviewed like code.
enum GoldenFiles {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

    private static let isRecording = ProcessInfo.processInfo.environment["SAFELIGHT_RECORD"] == "1"

    static func bytes(_ path: String) throws -> [UInt8] {
        let file = self.folder.appendingPathComponent(path)
        guard FileManager.default.fileExists(atPath: file.path) else {
            throw Missing(
                description: """
                    Tests/DialectsTests/Fixtures/\(path) is missing. Write it by hand if it is a request.json; else run the \
                    tests with SAFELIGHT_RECORD=1, read what was recorded, and add it. See docs/adding-a-dialect.md.
                    """)
        }
        return [UInt8](try Data(contentsOf: file))
    }

    static func expect(_ bytes: [UInt8], equal path: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        if self.isRecording {
            let file = self.folder.appendingPathComponent(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(bytes).write(to: file)
        }
        let expected = try self.bytes(path)
        guard bytes != expected else { return }
        Issue.record(
            """
            \(path) differs.
            expected: \(String(decoding: expected, as: UTF8.self))
            found:    \(String(decoding: bytes, as: UTF8.self))
            """, sourceLocation: sourceLocation)
    }

    struct Missing: Error, CustomStringConvertible {
        let description: String
    }
}
