import NIOCore
import StreamCodecs

/// A definition that comes with the gateway, and what its service's upstreams need not say themselves.
package struct QueuePreset: Sendable {
    package let name: String
    /// Root of the service's API; nil where everybody runs their own.
    package let baseURL: String?
    /// Hosts besides that one from which its pictures are fetched.
    package let resultHosts: [String]
    let definition: JSONNode

    /// Keys of a preset's file that are no part of the definition.
    private static let ownKeys = ["base_url", "result_hosts"]

    package static let all: [QueuePreset] = [
        ("stages", PackageResources.stages_json), ("fal", PackageResources.fal_json),
        ("replicate", PackageResources.replicate_json), ("bfl", PackageResources.bfl_json),
    ].compactMap { QueuePreset(name: $0, file: $1) }

    package static func named(_ name: String) -> QueuePreset? { self.all.first { $0.name == name } }

    static var choice: String { self.all.map(\.name).joined(separator: ", ") }

    /// Nil for a file that is no JSON object; a test holds the shipped ones to theirs.
    private init?(name: String, file: [UInt8]) {
        guard let root = try? JSONDocument(ByteBuffer(bytes: file)).root, root.kind == .object else { return nil }
        var writer = JSONWriter()
        writer.beginObject()
        for member in root.members where !Self.ownKeys.contains(member.key) {
            writer.key(dynamic: member.key)
            writer.value(raw: member.value.raw)
        }
        writer.endObject()
        guard let definition = try? JSONDocument(writer.buffer).root else { return nil }
        self.name = name
        self.baseURL = root["base_url"]?.string
        self.resultHosts = root["result_hosts"]?.elements.compactMap(\.string) ?? []
        self.definition = definition
    }
}
