import Glibc

/// Counts the starts of the gateway in a file, so that event ids never repeat across restarts.
package enum StartCounter {
    /// Raises the counter by one, durably, and returns it. The first start is 1.
    /// - Parameter path: its folder must exist.
    /// - Throws: ``StartCounterError`` when the file holds something else or cannot be written.
    package static func next(at path: String) throws(StartCounterError) -> UInt32 {
        let previous = try self.read(path)
        guard previous < UInt32.max else { throw StartCounterError("\(path) has reached its end.") }
        try self.write(previous + 1, path)
        return previous + 1
    }

    /// The value of the last start; 0 before the first.
    package static func current(at path: String) throws(StartCounterError) -> UInt32 { try self.read(path) }

    private static func read(_ path: String) throws(StartCounterError) -> UInt32 {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return 0 }
            throw StartCounterError("\(path) cannot be read: \(String(cString: strerror(errno))).")
        }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = Glibc.read(file, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        guard let value = UInt32(text.split(separator: "\n").first ?? "") else {
            throw StartCounterError("\(path) does not hold a number; remove it to begin anew.")
        }
        return value
    }

    private static func write(_ value: UInt32, _ path: String) throws(StartCounterError) {
        let temporary = "\(path).new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard file >= 0 else {
            throw StartCounterError("\(path) cannot be written: \(String(cString: strerror(errno))).")
        }
        defer { close(file) }
        let text = Array("\(value)\n".utf8)
        guard Glibc.write(file, text, text.count) == text.count, fsync(file) == 0, rename(temporary, path) == 0 else {
            throw StartCounterError("\(path) cannot be written: \(String(cString: strerror(errno))).")
        }
        do throws(DiskError) {
            try DiskFile.flushFolder(ofFile: path)
        } catch {
            throw StartCounterError("\(path) cannot be written: \(String(cString: strerror(error.code))).")
        }
    }
}

package struct StartCounterError: Error, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
