/// A value that is never printed: descriptions, dumps and mirrors show a mask.
package struct Secret: Sendable, Equatable {
    private let value: String

    package init(_ value: String) { self.value = value }

    /// The value itself, for the one place that signs or sends it.
    package func reveal() -> String { self.value }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "•••" }
    package var debugDescription: String { "•••" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Where a secret is kept. The file itself never holds one.
package enum SecretReference: Hashable, Sendable {
    /// An environment variable. An empty one counts as unset.
    case environment(String)
    /// A file, relative to `routes.json`; line ends at its end are not part of the secret.
    case file(String)
}

/// What reading `routes.json` may ask of the world; tests give their own.
package struct ConfigurationSurroundings: Sendable {
    /// The folder of `routes.json`, by which relative paths are resolved. Empty for the working directory.
    package var directory: String
    package var environment: @Sendable (_ name: String) -> String?
    /// At most 64 KiB are wanted.
    package var readFile: @Sendable (_ path: String) throws(ConfigurationFileError) -> [UInt8]

    package init(
        directory: String, environment: @escaping @Sendable (String) -> String?,
        readFile: @escaping @Sendable (String) throws(ConfigurationFileError) -> [UInt8]
    ) {
        self.directory = directory
        self.environment = environment
        self.readFile = readFile
    }

    /// `path` as it is when absolute, else below ``directory``; `.`, `..` and doubled slashes are resolved by text
    /// alone.
    package func resolve(_ path: String) -> String {
        let joined = path.hasPrefix("/") || self.directory.isEmpty ? path : self.directory + "/" + path
        var parts: [Substring] = []
        for part in joined.split(separator: "/") where part != "." {
            if part == "..", let last = parts.last, last != ".." {
                parts.removeLast()
            } else if part != ".." || !joined.hasPrefix("/") {
                parts.append(part)
            }
        }
        let text = parts.joined(separator: "/")
        return joined.hasPrefix("/") ? "/" + text : text.isEmpty ? "." : text
    }
}

/// A file could not be read; `reason` is the system's, such as `No such file or directory`.
package struct ConfigurationFileError: Error, Sendable {
    package let reason: String
    package init(reason: String) { self.reason = reason }
}

/// A secret that is not there, said without its value.
struct SecretUnavailable: Error {
    let reason: String
}

extension ConfigurationSurroundings {
    func secret(_ reference: SecretReference) throws(SecretUnavailable) -> Secret {
        switch reference {
        case .environment(let name):
            guard let value = self.environment(name), !value.isEmpty else {
                throw SecretUnavailable(reason: "environment variable \(name) is not set")
            }
            return Secret(value)
        case .file(let path):
            return try self.secret(file: self.resolve(path))
        }
    }

    private func secret(file: String) throws(SecretUnavailable) -> Secret {
        let name = ConfigurationText.quoted(file)
        var bytes: ArraySlice<UInt8>
        do {
            bytes = try self.readFile(file)[...]
        } catch {
            throw SecretUnavailable(reason: "secret file \(name): \(error.reason)")
        }
        while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
        guard !bytes.isEmpty else { throw SecretUnavailable(reason: "secret file \(name) is empty") }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw SecretUnavailable(reason: "secret file \(name) is not UTF-8")
        }
        return Secret(text)
    }
}
