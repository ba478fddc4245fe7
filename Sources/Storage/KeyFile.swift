import Glibc

/// A signing secret that the gateway made itself because none is configured.
package enum KeyFile {
    /// Reads the 32 bytes kept at `path`, or makes them: mode 0600, in a folder of mode 0700.
    /// - Returns: the bytes, and whether they are new.
    /// - Throws: ``KeyFileError`` when the file is not such a key or cannot be made.
    package static func readOrMake(folder: String, name: String) throws(KeyFileError) -> (bytes: [UInt8], isNew: Bool) {
        let path = "\(folder)/\(name)"
        do {
            try StateFolder.make(folder)
        } catch {
            throw KeyFileError(path: path, reason: error.description)
        }
        guard chmod(folder, 0o700) == 0 else {
            throw KeyFileError(path: path, reason: String(cString: strerror(errno)))
        }
        if let bytes = try self.read(path) { return (bytes, false) }
        return (try self.make(path), true)
    }

    private static func read(_ path: String) throws(KeyFileError) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw KeyFileError(path: path, reason: String(cString: strerror(errno)))
        }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 33)
        guard Glibc.read(file, &bytes, bytes.count) == 32 else {
            throw KeyFileError(path: path, reason: "it is not a key of 32 bytes")
        }
        return Array(bytes.prefix(32))
    }

    private static func make(_ path: String) throws(KeyFileError) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw KeyFileError(path: path, reason: String(cString: strerror(errno))) }
        defer { close(file) }
        guard write(file, bytes, bytes.count) == bytes.count, fsync(file) == 0 else {
            unlink(path)
            throw KeyFileError(path: path, reason: String(cString: strerror(errno)))
        }
        do throws(DiskError) {
            try DiskFile.flushFolder(ofFile: path)
        } catch {
            throw KeyFileError(path: path, reason: String(cString: strerror(error.code)))
        }
        return bytes
    }
}

package struct KeyFileError: Error, Sendable, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String { "The key \(self.path) cannot be used: \(self.reason)." }
}
