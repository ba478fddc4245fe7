import Glibc
import ImageGeneration

/// Where files of the image store lie: `<root>/<shelf>/<image id>.<extension>`, the shelf being the first two characters of the
/// id's random part.
///
/// What is being written has a name ending in `.part` and is locked by its writer, so that one left behind by a crash can be
/// told from one at work, also of another process.
struct ImageFolder: Sendable {
    let root: String

    static let shelfCount = 1024
    private static let temporarySuffix = ".part"

    // MARK: Names

    static func shelf(of id: ImageID) -> Int {
        id.text.utf8.dropFirst(4).prefix(2).reduce(0) { $0 << 5 | Self.value($1) }
    }

    func shelfPath(_ shelf: Int) -> String {
        let name = [Self.digit(shelf >> 5), Self.digit(shelf & 31)]
        return "\(self.root)/\(String(decoding: name, as: UTF8.self))"
    }

    func path(_ id: ImageID, _ format: ImageFormat) -> String {
        "\(self.shelfPath(Self.shelf(of: id)))/\(id.text).\(format.fileExtension)"
    }

    /// Nil for names that are not the store's.
    static func picture(_ name: String) -> (id: ImageID, format: ImageFormat)? {
        let parts = name.split(separator: ".", maxSplits: 1)
        guard parts.count == 2, let id = ImageID(parts[0]),
            let format = ImageFormat.allCases.first(where: { $0.fileExtension == parts[1] })
        else { return nil }
        return (id, format)
    }

    /// Base32 as in ids: `a…z`, `2…7`.
    private static func value(_ digit: UInt8) -> Int { Int(digit) - (digit >= 0x61 ? 0x61 : 0x32 - 26) }

    private static func digit(_ value: Int) -> UInt8 { UInt8(value < 26 ? 0x61 + value : 0x32 + value - 26) }

    // MARK: Folders

    /// Makes the root or a shelf where it is absent.
    func make(_ path: String) throws(DiskError) {
        if mkdir(path, 0o750) != 0 {
            guard errno == ENOENT else {
                if errno == EEXIST { return }
                throw DiskError(errno)
            }
            // Somebody removed the whole store.
            do { try StateFolder.make(path) } catch { throw DiskError(ENOENT) }
        }
        try DiskFile.flushFolder(self.root)
    }

    /// Names in a folder but `.` and `..`; none when it is absent or unreadable.
    static func names(in folder: String) -> [String] {
        guard let handle = opendir(folder) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Size and age of a file; nil when it is no regular file.
    static func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 && status.isRegularFile ? status : nil
    }

    // MARK: Temporary files

    /// A new file of a name that no other has, locked.
    func makeTemporary(in folder: String, for name: String) throws(DiskError) -> TemporaryFile {
        while true {
            var generator = SystemRandomNumberGenerator()
            let unique = String(UInt64.random(in: 0 ... .max, using: &generator), radix: 36)
            let path = "\(folder)/\(name).\(unique)\(Self.temporarySuffix)"
            let file = try DiskFile(path: path, flags: O_WRONLY | O_CREAT | O_EXCL)
            // A file system without locks has none for the cleaner either, which then leaves the file alone.
            while flock(file.descriptor, LOCK_EX) != 0 && errno == EINTR {}
            // The cleaner may have come between the two calls.
            if try file.status().st_nlink > 0 { return TemporaryFile(path: path, file: file) }
        }
    }

    /// Removes temporary files of `names` that nobody holds any more.
    /// - Returns: how many.
    func removeStale(_ names: [String], in folder: String) -> Int {
        names.count { name in
            guard name.hasSuffix(Self.temporarySuffix) else { return false }
            let path = "\(folder)/\(name)"
            guard let file = try? DiskFile(path: path, flags: O_WRONLY | O_NONBLOCK),
                flock(file.descriptor, LOCK_EX | LOCK_NB) == 0
            else { return false }
            return unlink(path) == 0
        }
    }
}

/// Removes itself unless it was given its own name.
struct TemporaryFile: ~Copyable {
    let path: String
    let file: DiskFile
    private var isPublished = false

    init(path: String, file: consuming DiskFile) {
        self.path = path
        self.file = file
    }

    deinit { if !self.isPublished { unlink(self.path) } }

    mutating func rename(to path: String) throws(DiskError) {
        guard Glibc.rename(self.path, path) == 0 else { throw DiskError(errno) }
        self.isPublished = true
    }
}
