package import Admission
package import ImageGeneration
import NIOCore
import StreamCodecs

/// What a page is given instead of a token: good for a short time and for little. It says all of that itself, so nothing about it is
/// kept until it is used.
package struct Ticket: Hashable, Sendable {
    /// Tells its uses apart from those of others.
    package var id: String
    /// For whom it stands: what it makes belongs to this principal.
    package var principal: String
    /// The static token it was made with; once that is revoked, the ticket is too.
    package var token: String?
    package var scopes: [String]
    /// Names of limits of its maker's.
    package var limits: [String]
    package var claims: [String: String]
    package var expiresAt: Timestamp
    package var bounds: TicketGrant.Bounds
    /// The start of the process that counts its uses.
    package var epoch: UInt32

    package init(
        id: String = Ticket.newID(), principal: String, token: String?, scopes: [String], limits: [String],
        claims: [String: String] = [:], expiresAt: Timestamp, bounds: TicketGrant.Bounds, epoch: UInt32
    ) {
        self.id = id
        self.principal = principal
        self.token = token
        self.scopes = scopes
        self.limits = limits
        self.claims = claims
        self.expiresAt = expiresAt
        self.bounds = bounds
        self.epoch = epoch
    }

    package static let prefix: StaticString = "sft_"
    /// Characters.
    package static let maximumLength = 4096

    package static func newID() -> String {
        var numbers = PooledRandomNumbers()
        return Base32.encode("tik_", high: numbers.next(), low: numbers.next())
    }
}

extension SigningKeys {
    /// - Returns: nil for one that would be too long to be sent back.
    package func sign(_ ticket: Ticket) -> String? {
        let text = self.sign(ticket.payload.readableBytesView, prefix: Ticket.prefix)
        return text.utf8.count <= Ticket.maximumLength ? text : nil
    }

    /// The ticket, if it is one of ours and not over at `now`.
    package func ticket(_ text: some StringProtocol, now: Timestamp) -> Ticket? {
        guard let bytes = self.verify(text, prefix: Ticket.prefix, maximumLength: Ticket.maximumLength),
            let ticket = Ticket(payload: bytes), ticket.expiresAt > now
        else { return nil }
        return ticket
    }
}

// MARK: - As JSON

extension Ticket {
    fileprivate var payload: ByteBuffer {
        var json = JSONWriter()
        json.beginObject()
        json.field("i", self.id)
        json.field("p", self.principal)
        json.field("t", self.token)
        json.field("e", self.expiresAt.milliseconds)
        json.field("s", Int(self.epoch))
        json.field("c", list: self.scopes)
        json.field("l", list: self.limits)
        if !self.claims.isEmpty {
            json.key("m")
            json.beginObject()
            for (name, value) in self.claims.sorted(by: { $0.key < $1.key }) {
                json.key(dynamic: name)
                json.value(value)
            }
            json.endObject()
        }
        json.field("job", self.bounds.job)
        json.field("routes", list: self.bounds.routes)
        json.field("model", self.bounds.model)
        json.field("size", self.bounds.size)
        json.field("n", self.bounds.maximumCount)
        json.field("origin", self.bounds.origin)
        json.field("uses", self.bounds.uses)
        json.endObject()
        return json.buffer
    }

    fileprivate init?(payload: [UInt8]) {
        guard let document = try? JSONDocument(ByteBuffer(bytes: payload), maximumNesting: 4, maximumNodes: 512) else {
            return nil
        }
        let root = document.root
        guard let id = root["i"]?.string, let principal = root["p"]?.string, let expires = root["e"]?.integer,
            let epoch = root["s"]?.integer.flatMap({ UInt32(exactly: $0) })
        else { return nil }
        self.init(
            id: id, principal: principal, token: root["t"]?.string, scopes: Self.names(root["c"]),
            limits: Self.names(root["l"]),
            claims: Dictionary(
                (root["m"]?.members ?? []).compactMap { member in member.value.string.map { (member.key, $0) } },
                uniquingKeysWith: { first, _ in first }),
            expiresAt: Timestamp(milliseconds: expires),
            bounds: TicketGrant.Bounds(
                job: root["job"]?.string, routes: Self.names(root["routes"]), model: root["model"]?.string,
                size: root["size"]?.string, maximumCount: root["n"]?.integer.map { Int($0) },
                origin: root["origin"]?.string, uses: root["uses"]?.integer.map { Int($0) }), epoch: epoch)
    }

    private static func names(_ node: JSONNode?) -> [String] { node?.elements.compactMap(\.string) ?? [] }
}
