package import Foundation

/// Third-party test data and wire fixtures that lie beside the checkout. A test that needs a folder which is absent skips
/// with a message that names it.
package enum SharedFiles {
    package static let vectors = root.appendingPathComponent("vectors")
    package static let fixtures = root.appendingPathComponent("reference/fixtures")

    private static let root: URL = {
        let checkout = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let resolved = checkout.resolvingSymlinksInPath()
        let named = ProcessInfo.processInfo.environment["SAFELIGHT_SHARED"].map { URL(fileURLWithPath: $0) }
        return named ?? resolved.deletingLastPathComponent().appendingPathComponent("shared")
    }()

    package static func has(_ folder: URL) -> Bool {
        FileManager.default.fileExists(atPath: folder.path)
    }

    package static func bytes(_ file: URL) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: file))
    }

    /// File names in the folder, sorted.
    package static func names(in folder: URL) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
    }
}
