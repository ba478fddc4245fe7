import Glibc

/// The folder where the gateway keeps what it makes itself: start counter, keys.
package enum StateFolder {
    /// Makes the folder and those above it where they are absent.
    package static func make(_ path: String) throws(StartCounterError) {
        var made = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            made += made.isEmpty || made == "/" ? String(part) : "/\(part)"
            guard mkdir(made, 0o750) == 0 || errno == EEXIST else {
                throw StartCounterError("The folder \(path) cannot be made: \(String(cString: strerror(errno))).")
            }
        }
    }
}
