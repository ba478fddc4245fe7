import NIOCore
import StreamCodecs

/// What the later calls of a job need of the past: its id, the URLs that the submission's answer named, and the model
/// it was submitted with where a later call names that. So an exchange of another process can go on from there.
///
/// As text one JSON object without white space, at most ``maximumBytes`` long:
/// `{"v":1,"provider":"queue","id":"…","links":{"status_url":"https://…"},"model":"…"}`, without `links` and `model`
/// where there are none.
struct QueueHandle: Equatable, Sendable {
    /// Raised whenever a reader of today could misread the text.
    static let version = 1
    static let provider = "queue"
    static let maximumBytes = 8192

    /// A key with fewer bytes is a placeholder such as `x`, which any id may hold by chance.
    private static let shortestSecret = 4

    var jobID: String
    var links: [String: String] = [:]
    var model: String?

    /// An id that can be named in a URL and a log: at most 256 visible ASCII characters, not dots alone.
    static func isUsable(jobID id: String) -> Bool {
        id.utf8.count <= 256 && id.utf8.allSatisfy { (0x21...0x7E).contains($0) } && id.contains { $0 != "." }
    }
}

// MARK: Writing

extension QueueHandle {
    /// Nil where the text would be too long to keep, or would hold the secret because the upstream named it.
    func text(hiding secret: String?) -> String? {
        let values = [self.jobID] + self.links.values + [self.model ?? ""]
        guard values.reduce(0, { $0 + $1.utf8.count }) <= Self.maximumBytes else { return nil }
        if let secret, secret.utf8.count >= Self.shortestSecret,
            values.contains(where: { $0.contains(secret) || QueueURL.decoded($0).contains(secret) })
        {
            return nil
        }
        var json = JSONWriter()
        json.beginObject()
        json.field("v", Self.version)
        json.field("provider", Self.provider)
        json.field("id", self.jobID)
        if !self.links.isEmpty {
            json.key("links")
            json.beginObject()
            for (name, link) in self.links.sorted(by: { $0.key < $1.key }) {
                json.key(dynamic: name)
                json.value(link)
            }
            json.endObject()
        }
        json.field("model", self.model)
        json.endObject()
        return json.buffer.readableBytes <= Self.maximumBytes ? String(buffer: json.buffer) : nil
    }
}

// MARK: Reading

extension QueueHandle {
    private static let members = ["v", "provider", "id", "links", "model"]

    /// Nil for text that is no handle, is another provider's or a later version's, or has links that the definition
    /// lacks; and where a URL in it may not be called with the key of today's configuration.
    init?(_ text: String, definition: QueueDefinition, base: String) {
        guard text.utf8.count <= Self.maximumBytes,
            let root = try? JSONDocument(ByteBuffer(string: text), maximumNesting: 2, maximumNodes: 512).root,
            root.kind == .object, root["v"]?.integer == Int64(Self.version),
            root["provider"]?.string == Self.provider,
            root.members.allSatisfy({ Self.members.contains($0.key) }),
            let id = root["id"]?.string, Self.isUsable(jobID: id),
            let links = Self.links(root["links"], definition, base: base)
        else { return nil }
        if let model = root["model"], model.string?.isEmpty ?? true { return nil }
        self.init(jobID: id, links: links, model: root["model"]?.string)
    }

    private static func links(_ node: JSONNode?, _ definition: QueueDefinition, base: String) -> [String: String]? {
        guard let node else { return [:] }
        guard node.kind == .object else { return nil }
        var links: [String: String] = [:]
        for member in node.members {
            guard let link = member.value.string, definition.reply.links.contains(where: { $0.name == member.key }),
                QueueURL.isTrusted(link, base: base, hosts: definition.linkHosts)
            else { return nil }
            links[member.key] = link
        }
        return links
    }
}
