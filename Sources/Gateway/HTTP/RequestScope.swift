import Admission
import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import StreamCodecs

/// One request as it passes through the gateway: the parts read once, its id, when it began.
struct RequestScope: Sendable {
    let method: HTTPRequest.Method
    /// Undecoded, without query.
    let path: String
    let query: [(name: String, value: String)]
    /// What stands behind the first `?`, undecoded; nil without `?`.
    let rawQuery: String?
    let headers: HTTPFields
    let id: String
    let startedAt: NIODeadline
    let connection: ClientConnection
    /// As the client named us: host and port.
    let authority: String
    let edge: EdgePolicy
    /// The client's own address, behind however many proxies of ours; nil where the connection has none.
    let clientAddress: IPAddress?
    /// As the request's credential says.
    var principal = Principal.nobody
    /// What the request is charged; nil where nothing limits it.
    var limits: LimitPass?

    init(_ request: Request, connection: ClientConnection, edge: EdgePolicy = .none) {
        self.method = request.method
        let target = request.head.path ?? "/"
        let split = target.utf8.firstIndex(of: UInt8(ascii: "?"))
        self.path = split.map { String(target[..<$0]) } ?? target
        let rawQuery = split.map { target[target.utf8.index(after: $0)...] }
        self.query = rawQuery.map(Self.items) ?? []
        self.rawQuery = rawQuery.map(String.init)
        self.headers = request.headers
        self.id = Self.requestID(request.headers[.requestID])
        self.startedAt = .now()
        self.connection = connection
        self.authority = request.head.authority ?? ""
        self.edge = edge
        self.clientAddress = edge.proxies.client(peer: connection.peer, request.headers)
    }

    func query(_ name: String) -> String? {
        self.query.first { $0.name == name }?.value
    }

    /// On every response: the request's id, how long the gateway took to begin to answer, where the client stands within its
    /// limits, and what a browser may do with it.
    var responseHeaders: HTTPFields {
        let milliseconds = Double((NIODeadline.now() - self.startedAt).nanoseconds / 10_000) / 100
        var fields = HTTPFields(listed: [
            HTTPField(name: .requestID, value: self.id),
            HTTPField(name: .serverTiming, value: "gateway;dur=\(milliseconds)"),
            HTTPField(name: .contentTypeOptions, value: "nosniff"),
            // A path may hold a job's id, which for nobody's jobs is the key to it.
            HTTPField(name: .referrerPolicy, value: "no-referrer"),
            HTTPField(name: .frameOptions, value: "DENY"),
        ])
        self.edge.origins.write(self.headers[.origin], into: &fields)
        self.limits?.write(into: &fields)
        return fields
    }

    /// A client's own id is kept where it is short and harmless, so that both sides' logs can be matched.
    private static func requestID(_ given: String?) -> String {
        if let given, (1...128).contains(given.utf8.count), given.utf8.allSatisfy(Self.isIDByte) { return given }
        return self.newID()
    }

    static func newID() -> String {
        var generator = PooledRandomNumbers()
        return Base32.encode("req_", high: generator.next(), low: generator.next())
    }

    private static func isIDByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            || byte == 0x2D || byte == 0x2E || byte == 0x5F
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }

    private static func items(_ text: Substring) -> [(name: String, value: String)] {
        text.split(separator: "&").map { item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (Self.decode(parts[0]), parts.count > 1 ? Self.decode(parts[1]) : "")
        }
    }

    /// Percent-decodes; what is not valid stays as it is.
    private static func decode(_ text: Substring) -> String {
        guard text.utf8.contains(where: { $0 == 0x25 || $0 == 0x2B }) else { return String(text) }
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == 0x2B {
                bytes.append(0x20)
            } else if byte == 0x25, rest.count >= 2, rest.prefix(2).allSatisfy(Self.isHexDigit),
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension HTTPFields {
    /// All at once, since each single field would be inserted by moving it about.
    init(listed fields: [HTTPField]) {
        self.init()
        self.add(fields)
    }

    mutating func add(_ fields: [HTTPField]) { self.replaceSubrange(self.endIndex..<self.endIndex, with: fields) }
}

extension HTTPField.Name {
    static let requestID = HTTPField.Name(StaticFieldName.requestID)
    static let serverTiming = HTTPField.Name(StaticFieldName.serverTiming)
    static let contentTypeOptions = HTTPField.Name(StaticFieldName.contentTypeOptions)
    static let accelBuffering = HTTPField.Name(StaticFieldName.accelBuffering)

    static let idempotencyKey = HTTPField.Name(StaticFieldName.idempotencyKey)
    static let lastEventID = HTTPField.Name(StaticFieldName.lastEventID)
    static let prefer = HTTPField.Name(StaticFieldName.prefer)
    static let preferenceApplied = HTTPField.Name(StaticFieldName.preferenceApplied)

    /// Names the job a response belongs to.
    static let jobID = HTTPField.Name(StaticFieldName.jobID)

    private enum StaticFieldName: String {
        case jobID = "x-safelight-job-id"
        case idempotencyKey = "idempotency-key"
        case lastEventID = "last-event-id"
        case prefer
        case preferenceApplied = "preference-applied"
        case requestID = "x-request-id"
        case serverTiming = "server-timing"
        case contentTypeOptions = "x-content-type-options"
        case accelBuffering = "x-accel-buffering"
    }

    /// The names above are valid tokens, so the fallback is never used.
    private init(_ name: StaticFieldName) { self = HTTPField.Name(name.rawValue) ?? .server }
}
