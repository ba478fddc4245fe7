import Glibc
package import NIOCore
import StreamCodecs

/// What became of a `routes.json`.
package struct LoadedConfiguration: Sendable {
    /// Nil when any problem is an error.
    package let table: RouteTable?
    /// In the order of the file.
    package let problems: [ConfigurationProblem]
}

extension RoutesFile {
    /// Largest file that is read, in bytes.
    package static let maximumBytes = 4 << 20

    /// Reads a file from disk, with the process's environment. Never throws: what is wrong stands in the problems.
    package static func load(_ path: String, catalog: ConfigurationCatalog = .current) -> LoadedConfiguration {
        let surroundings = ConfigurationSurroundings.process(directory: self.directory(of: path))
        do {
            let bytes = try ConfigurationDisk.read(path, limit: self.maximumBytes)
            return self.load(ByteBuffer(bytes: bytes), surroundings: surroundings, catalog: catalog)
        } catch {
            return self.failure("the file cannot be read: \(error.reason)", line: 1, column: 1)
        }
    }

    /// The same without touching anything but what `surroundings` give.
    package static func load(
        _ bytes: ByteBuffer, surroundings: ConfigurationSurroundings, catalog: ConfigurationCatalog = .current
    ) -> LoadedConfiguration {
        let document: JSONDocument
        do {
            document = try JSONDocument(bytes)
        } catch {
            return self.failure("not valid JSON: \(error.message)", line: error.line, column: error.column)
        }
        let source = ConfigurationSource(bytes)
        let root = ConfigurationValue(node: document.root, path: "$", source: source)
        guard let file = ValueForm.object(RoutesFile.self).read(root) else {
            return LoadedConfiguration(table: nil, problems: source.problems)
        }
        var builder = RouteTableBuilder(file: file, surroundings: surroundings, catalog: catalog)
        let table = builder.build()
        let problems = (source.problems + builder.problems).sortedByPlace()
        return LoadedConfiguration(table: problems.hasErrors ? nil : table, problems: problems)
    }

    private static func failure(_ message: String, line: Int, column: Int) -> LoadedConfiguration {
        let place = ConfigurationPlace(path: "$", line: line, column: column)
        return LoadedConfiguration(table: nil, problems: [ConfigurationProblem(.error, at: place, message)])
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

extension ConfigurationSurroundings {
    /// The process's environment and the disk.
    package static func process(directory: String) -> ConfigurationSurroundings {
        ConfigurationSurroundings(
            directory: directory,
            environment: { name in getenv(name).map { String(cString: $0) } },
            readFile: { path throws(ConfigurationFileError) in try ConfigurationDisk.read(path, limit: 64 << 10) })
    }
}

/// Reads small files whole.
private enum ConfigurationDisk {
    /// - Throws: with the system's reason, or when the file is longer than `limit` bytes or no ordinary file.
    static func read(_ path: String, limit: Int) throws(ConfigurationFileError) -> [UInt8] {
        // Without O_NONBLOCK opening a pipe would wait for its writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw self.systemError() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw self.systemError() }
        guard status.st_mode & S_IFMT == S_IFREG else { throw ConfigurationFileError(reason: "not an ordinary file") }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw self.systemError() }
            guard count > 0 else { return bytes }
            bytes += piece[..<count]
            guard bytes.count <= limit else { throw ConfigurationFileError(reason: "longer than \(limit) bytes") }
        }
    }

    private static func systemError() -> ConfigurationFileError {
        ConfigurationFileError(reason: String(cString: strerror(errno)))
    }
}
