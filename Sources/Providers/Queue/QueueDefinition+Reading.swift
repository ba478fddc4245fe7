import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

extension QueueDefinition {
    /// All members; the manual and the published schema are held to them.
    static let keys = [
        "operations", "maximum_count", "key", "follow", "submit", "submit_stream", "status", "events", "result",
        "cancel", "body", "body_form", "poll", "link_hosts", "links", "job_id", "state", "failure", "removed",
        "progress", "queue_position", "estimate", "message", "images",
    ]

    /// - Parameter layers: objects of members. Those of an earlier one replace those of a later one whole, but for
    ///   `body`, which is merged member by member. `null` takes a member away.
    init(layers: [JSONNode]) throws(ProviderConfigurationProblem) {
        let reader = DefinitionReader(layers, path: "definition")
        try reader.check(keys: Self.keys)
        let links = try Self.links(reader)
        func call(_ key: String, also more: [String] = []) throws(ProviderConfigurationProblem) -> QueueCallTemplate? {
            try reader.object(key).map { value throws(ProviderConfigurationProblem) in
                try QueueCallTemplate(value, links: links, also: more)
            }
        }
        guard let submit = try call("submit") else { throw reader.problem("submit", "is missing") }
        guard let status = try call("status") else { throw reader.problem("status", "is missing") }
        let bodies = reader.nodes("body")
        guard !bodies.isEmpty else { throw reader.problem("body", "is missing") }
        self.submit = submit
        self.status = status
        self.submitStream = try call("submit_stream")
        self.events = try call("events", also: ["named"])
        self.namedEvents = try Self.namedEvents(reader.object("events")?.object("named"))
        self.result = try call("result")
        self.cancel = try call("cancel")
        self.body = try QueueTemplate(bodies, path: "definition.body", depth: 0)
        self.bodyForm = try reader.choice("body_form", of: BodyForm.self) ?? .json
        self.operations = try Self.operations(reader)
        self.maximumCount = try reader.integer("maximum_count", in: 1...16) ?? 1
        self.key = try Self.key(reader.object("key"))
        self.follow = try reader.choice("follow", of: Follow.self) ?? .poll
        self.poll = try Self.poll(reader.object("poll"))
        self.linkHosts = try Self.hosts(reader)
        self.failureCodes = try Self.failureCodes(reader.object("failure")?.object("codes"))
        self.reply = try QueueReplyPaths(reader)
        if self.follow == .events, self.events == nil { throw reader.problem("events", "is missing, though followed") }
        if self.follow == .submit, self.submitStream == nil {
            throw reader.problem("submit_stream", "is missing, though followed")
        }
        if self.bodyForm == .multipart, !self.body.isObject {
            throw reader.problem("body", "expected an object for a multipart form")
        }
    }

    private static func namedEvents(
        _ reader: DefinitionReader?
    ) throws(ProviderConfigurationProblem) -> [String: EventUse] {
        var uses: [String: EventUse] = [:]
        guard let reader else { return uses }
        for key in try reader.memberKeys() { uses[key] = try reader.choice(key, of: EventUse.self) }
        return uses
    }

    private static func failureCodes(
        _ reader: DefinitionReader?
    ) throws(ProviderConfigurationProblem) -> QueueFailureCodes {
        var codes = QueueFailureCodes()
        guard let reader else { return codes }
        for key in try reader.memberKeys() {
            if let meaning = try reader.choice(key, of: QueueFailureCodes.Meaning.self) {
                codes.meanings.append((key, meaning))
            }
        }
        return codes
    }

    private static func hosts(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) -> [String] {
        let hosts = try reader.strings("link_hosts").map { $0.lowercased() }
        for host in hosts {
            let name = host.hasPrefix("*.") ? String(host.dropFirst(2)) : host
            guard StrictURL("https://\(name)")?.host == name, !host.hasPrefix("*.") || name.contains(".") else {
                throw reader.problem("link_hosts", "expected hosts such as \"api.example\" or \"*.api.example\"")
            }
        }
        return hosts
    }

    private static func links(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) -> [String] {
        guard let links = reader.object("links") else { return [] }
        return try links.memberKeys()
    }

    private static func operations(
        _ reader: DefinitionReader
    ) throws(ProviderConfigurationProblem) -> Set<ImageRequest.Operation> {
        let names = try reader.strings("operations")
        let operations = names.compactMap(ImageRequest.Operation.init)
        guard operations.count == names.count else {
            throw reader.problem("operations", "expected \"generate\" and \"edit\"")
        }
        return operations.isEmpty ? [.generate] : Set(operations)
    }

    private static func key(_ reader: DefinitionReader?) throws(ProviderConfigurationProblem) -> KeyHeader? {
        guard let reader else { return nil }
        try reader.check(keys: ["header", "prefix"])
        guard let text = try reader.string("header"), let name = HTTPField.Name(text) else {
            throw reader.problem("header", "expected the name of a header")
        }
        let prefix = try reader.string("prefix") ?? ""
        guard prefix.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw reader.problem("prefix", "expected printable ASCII")
        }
        return KeyHeader(name: name, prefix: prefix)
    }

    private static func poll(_ reader: DefinitionReader?) throws(ProviderConfigurationProblem) -> Poll {
        var poll = Poll()
        guard let reader else { return poll }
        try reader.check(keys: ["interval", "maximum_interval", "unknown_job_grace"])
        poll.interval = try reader.duration("interval") ?? poll.interval
        poll.maximumInterval = try reader.duration("maximum_interval") ?? max(poll.maximumInterval, poll.interval)
        poll.unknownJobGrace = try reader.duration("unknown_job_grace") ?? poll.unknownJobGrace
        guard poll.interval >= 100 else { throw reader.problem("interval", "expected at least 100ms") }
        guard poll.maximumInterval >= poll.interval else {
            throw reader.problem("maximum_interval", "expected at least the interval")
        }
        return poll
    }
}

extension QueueCallTemplate {
    init(
        _ reader: DefinitionReader, links: [String], also more: [String] = []
    ) throws(ProviderConfigurationProblem) {
        try reader.check(keys: ["method", "url", "query", "headers"] + more)
        let methods: [String: HTTPRequest.Method] = [
            "GET": .get, "POST": .post, "PUT": .put, "PATCH": .patch, "DELETE": .delete,
        ]
        guard let method = methods[try reader.string("method") ?? "GET"] else {
            throw reader.problem("method", "expected GET, POST, PUT, PATCH or DELETE")
        }
        self.method = method
        guard let url = try reader.string("url") else { throw reader.problem("url", "is missing") }
        self.url = try Self.parts(url, links: links, reader, "url")
        switch self.url.first {
        // The key goes where the configuration says, never where a template's own host is.
        case .base, .link: break
        default: throw reader.problem("url", "must begin with {base} or one of links")
        }
        self.query = []
        if let query = reader.object("query") {
            for name in try query.memberKeys() {
                guard !name.isEmpty, QueueURL.encoded(name, keeping: "-._~") == name else {
                    throw query.problem(nil, "expected names of letters, digits, \"-\", \".\", \"_\" and \"~\"")
                }
                guard let value = try query.string(name) else { continue }
                self.query.append((name, try Self.parts(value, links: links, query, name)))
            }
        }
        self.headers = try Self.headers(reader)
    }

    private static func headers(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) -> HTTPFields {
        var headers: HTTPFields = [:]
        for member in reader.object("headers")?.layers[0].members ?? [] {
            guard let name = HTTPField.Name(member.key), let value = member.value.string,
                value.utf8.allSatisfy({ (0x20...0x7E).contains($0) })
            else { throw reader.problem("headers", "expected header names with printable ASCII values") }
            headers[name] = value
        }
        return headers
    }

    private static func parts(
        _ text: String, links: [String], _ reader: DefinitionReader, _ key: String
    ) throws(ProviderConfigurationProblem) -> [URLPart] {
        var parts: [URLPart] = []
        for (index, piece) in text.split(separator: "{", omittingEmptySubsequences: false).enumerated() {
            var literal = piece
            if index > 0 {
                guard let end = piece.firstIndex(of: "}") else { throw reader.problem(key, "has a { without its }") }
                let name = String(piece[..<end])
                literal = piece[piece.index(after: end)...]
                switch name {
                case "base": parts.append(.base)
                case "job_id": parts.append(.jobID)
                case "model": parts.append(.model)
                default:
                    guard links.contains(name) else {
                        throw reader.problem(
                            key, "{\(name.prefix(64))} is neither base, job_id, model nor one of links")
                    }
                    parts.append(.link(name))
                }
            }
            guard literal.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw reader.problem(key, "expected visible ASCII")
            }
            if !literal.isEmpty { parts.append(.literal(String(literal))) }
        }
        return parts
    }
}

extension QueueReplyPaths {
    init(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) {
        var table = ReplyPathTable()
        self.jobID = try table.indexes(reader, "job_id")
        self.links = []
        if let links = reader.object("links") {
            for key in try links.memberKeys() { self.links.append((key, try table.indexes(links, key))) }
        }
        guard let state = reader.object("state") else { throw reader.problem("state", "is missing") }
        try state.check(keys: ["paths", "map"])
        self.state = try table.indexes(state, "paths")
        self.states = try Self.states(state)
        let failure = reader.object("failure")
        try failure?.check(keys: ["when", "code", "message", "codes"])
        self.failureWhen = try table.indexes(failure, "when")
        self.failureCode = try table.indexes(failure, "code")
        self.failureMessage = try table.indexes(failure, "message")
        self.removed = try table.indexes(reader, "removed")
        let progress = reader.object("progress")
        try progress?.check(keys: ["paths", "scale", "stage", "log", "log_form"])
        self.progress = try table.indexes(progress, "paths")
        self.progressScale = try progress?.positive("scale") ?? 1
        self.progressStage = try progress?.choice("stage", of: QueueState.self)
        if let stage = self.progressStage, stage.stage == nil {
            throw reader.problem("progress.stage", "expected queued, processing, generating or uploading")
        }
        self.progressLog = try table.indexes(progress, "log")
        self.progressLogForm = try progress?.choice("log_form", of: ProgressBar.Form.self) ?? .bar
        self.queuePosition = try table.indexes(reader, "queue_position")
        let estimate = reader.object("estimate")
        try estimate?.check(keys: ["paths", "unit"])
        self.estimate = try table.indexes(estimate, "paths")
        self.estimateUnit = try estimate?.string("unit") == "ms" ? 1 : 1000
        self.message = try table.indexes(reader, "message")
        self.images = try Self.images(reader, &table)
        self.paths = JSONFieldPaths(table.paths)
    }

    private static func states(
        _ reader: DefinitionReader
    ) throws(ProviderConfigurationProblem) -> [String: QueueState] {
        guard let map = reader.object("map"), map.layers[0].kind == .object else {
            throw reader.problem("map", "expected an object")
        }
        var states: [String: QueueState] = [:]
        for key in try map.memberKeys() { states[key] = try map.choice(key, of: QueueState.self) }
        guard states.values.contains(.succeeded) else { throw reader.problem("map", "no state means \"succeeded\"") }
        return states
    }

    private static func images(
        _ reader: DefinitionReader, _ table: inout ReplyPathTable
    ) throws(ProviderConfigurationProblem) -> [Images] {
        var images: [Images] = []
        for node in reader.node("images")?.elements ?? [] {
            let source = DefinitionReader([node], path: "definition.images")
            try source.check(keys: ["url", "base64", "width", "height", "format", "revised_prompt", "refused"])
            let entry = Images(
                url: try table.single(source, "url"), base64: try table.single(source, "base64"),
                width: try table.single(source, "width"), height: try table.single(source, "height"),
                format: try table.single(source, "format"), revisedPrompt: try table.single(source, "revised_prompt"),
                refused: try table.single(source, "refused"))
            guard entry.url != nil || entry.base64 != nil else {
                throw source.problem(nil, "each entry needs url or base64")
            }
            images.append(entry)
        }
        guard !images.isEmpty else { throw reader.problem("images", "expected a list with at least one entry") }
        return images
    }
}
