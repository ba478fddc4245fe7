import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

extension QueueDefinition {
    private static let keys = [
        "operations", "maximum_count", "key", "follow", "submit", "submit_stream", "status", "events", "result",
        "cancel",
        "body", "poll", "link_hosts", "links", "job_id", "state", "failure", "progress", "queue_position", "estimate",
        "message", "images",
    ]

    /// - Parameter layers: objects of members; those of an earlier one replace those of a later one whole.
    init(layers: [JSONNode]) throws(ProviderConfigurationProblem) {
        let reader = DefinitionReader(layers, path: "definition")
        try reader.check(keys: Self.keys)
        let links = try Self.links(reader)
        func call(_ key: String) throws(ProviderConfigurationProblem) -> QueueCallTemplate? {
            try reader.object(key).map { value throws(ProviderConfigurationProblem) in
                try QueueCallTemplate(value, links: links)
            }
        }
        guard let submit = try call("submit") else { throw reader.problem("submit", "is missing") }
        guard let status = try call("status") else { throw reader.problem("status", "is missing") }
        guard let body = reader.node("body") else { throw reader.problem("body", "is missing") }
        self.submit = submit
        self.status = status
        self.submitStream = try call("submit_stream")
        self.events = try call("events")
        self.result = try call("result")
        self.cancel = try call("cancel")
        self.body = try QueueTemplate(body, path: "definition.body", depth: 0)
        self.operations = try Self.operations(reader)
        self.maximumCount = try reader.integer("maximum_count", in: 1...16) ?? 1
        self.key = try Self.key(reader.object("key"))
        self.follow = try reader.choice("follow", of: Follow.self) ?? .poll
        self.poll = try Self.poll(reader.object("poll"))
        self.linkHosts = try reader.strings("link_hosts").map { $0.lowercased() }
        self.reply = try QueueReplyPaths(reader)
        if self.follow == .events, self.events == nil { throw reader.problem("events", "is missing, though followed") }
        if self.follow == .submit, self.submitStream == nil {
            throw reader.problem("submit_stream", "is missing, though followed")
        }
    }

    private static func links(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) -> [String] {
        guard let links = reader.object("links") else { return [] }
        try links.check(keys: links.layers[0].members.map(\.key))
        return links.layers[0].members.map(\.key)
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
    init(_ reader: DefinitionReader, links: [String]) throws(ProviderConfigurationProblem) {
        try reader.check(keys: ["method", "url", "headers"])
        let methods: [String: HTTPRequest.Method] = [
            "GET": .get, "POST": .post, "PUT": .put, "PATCH": .patch, "DELETE": .delete,
        ]
        guard let method = methods[try reader.string("method") ?? "GET"] else {
            throw reader.problem("method", "expected GET, POST, PUT, PATCH or DELETE")
        }
        self.method = method
        guard let url = try reader.string("url") else { throw reader.problem("url", "is missing") }
        self.url = try Self.parts(url, links: links, reader)
        self.headers = [:]
        for member in reader.object("headers")?.layers[0].members ?? [] {
            guard let name = HTTPField.Name(member.key), let value = member.value.string,
                value.utf8.allSatisfy({ (0x20...0x7E).contains($0) })
            else { throw reader.problem("headers", "expected header names with printable ASCII values") }
            self.headers[name] = value
        }
    }

    private static func parts(
        _ url: String, links: [String], _ reader: DefinitionReader
    ) throws(ProviderConfigurationProblem) -> [URLPart] {
        var parts: [URLPart] = []
        for (index, piece) in url.split(separator: "{", omittingEmptySubsequences: false).enumerated() {
            var literal = piece
            if index > 0 {
                guard let end = piece.firstIndex(of: "}") else { throw reader.problem("url", "has a { without its }") }
                let name = String(piece[..<end])
                literal = piece[piece.index(after: end)...]
                switch name {
                case "base": parts.append(.base)
                case "job_id": parts.append(.jobID)
                case "model": parts.append(.model)
                default:
                    guard links.contains(name) else {
                        throw reader.problem(
                            "url", "{\(name.prefix(64))} is neither base, job_id, model nor one of links")
                    }
                    parts.append(.link(name))
                }
            }
            guard literal.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw reader.problem("url", "expected visible ASCII")
            }
            if !literal.isEmpty { parts.append(.literal(String(literal))) }
        }
        switch parts.first {
        // The key goes where the configuration says, never where a template's own host is.
        case .base, .link: return parts
        default: throw reader.problem("url", "must begin with {base} or one of links")
        }
    }
}

extension QueueReplyPaths {
    init(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) {
        var table = ReplyPathTable()
        self.jobID = try table.indexes(reader, "job_id")
        self.links = []
        if let links = reader.object("links") {
            for key in links.layers[0].members.map(\.key) { self.links.append((key, try table.indexes(links, key))) }
        }
        guard let state = reader.object("state") else { throw reader.problem("state", "is missing") }
        try state.check(keys: ["paths", "map"])
        self.state = try table.indexes(state, "paths")
        self.states = try Self.states(state)
        let failure = reader.object("failure")
        try failure?.check(keys: ["when", "code", "message"])
        self.failureWhen = try table.indexes(failure, "when")
        self.failureCode = try table.indexes(failure, "code")
        self.failureMessage = try table.indexes(failure, "message")
        let progress = reader.object("progress")
        try progress?.check(keys: ["paths", "scale", "log"])
        self.progress = try table.indexes(progress, "paths")
        self.progressScale = try progress?.positive("scale") ?? 1
        self.progressLog = try table.indexes(progress, "log")
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
        for key in map.layers[0].members.map(\.key) { states[key] = try map.choice(key, of: QueueState.self) }
        guard states.values.contains(.succeeded) else { throw reader.problem("map", "no state means \"succeeded\"") }
        return states
    }

    private static func images(
        _ reader: DefinitionReader, _ table: inout ReplyPathTable
    ) throws(ProviderConfigurationProblem) -> [Images] {
        var images: [Images] = []
        for node in reader.node("images")?.elements ?? [] {
            let source = DefinitionReader([node], path: "definition.images")
            try source.check(keys: ["url", "base64", "width", "height", "format", "revised_prompt"])
            let entry = Images(
                url: try table.single(source, "url"), base64: try table.single(source, "base64"),
                width: try table.single(source, "width"), height: try table.single(source, "height"),
                format: try table.single(source, "format"), revisedPrompt: try table.single(source, "revised_prompt"))
            guard entry.url != nil || entry.base64 != nil else {
                throw source.problem(nil, "each entry needs url or base64")
            }
            images.append(entry)
        }
        guard !images.isEmpty else { throw reader.problem("images", "expected a list with at least one entry") }
        return images
    }
}

extension QueueTemplate {
    init(_ node: JSONNode, path: String, depth: Int) throws(ProviderConfigurationProblem) {
        guard depth < 32 else { throw ProviderConfigurationProblem(key: path, message: "is nested too deep") }
        switch node.kind {
        case .string:
            guard let text = node.string, text.hasPrefix("$") else { break }
            guard let field = QueueRequestField(String(text.dropFirst())) else {
                throw ProviderConfigurationProblem(key: path, message: "\(text.prefix(64)) is no field of the request")
            }
            self = .field(field, QueueFieldRule())
            return
        case .array:
            var elements: [QueueTemplate] = []
            for element in node.elements {
                elements.append(try QueueTemplate(element, path: "\(path).\(elements.count)", depth: depth + 1))
            }
            self = .array(elements)
            return
        case .object:
            if node["$field"] != nil {
                self = try Self.ruled(DefinitionReader([node], path: path))
                return
            }
            var members: [(key: String, value: QueueTemplate)] = []
            for member in node.members {
                let value = try QueueTemplate(member.value, path: "\(path).\(member.key)", depth: depth + 1)
                members.append((member.key, value))
            }
            self = .object(members)
            return
        case .number, .boolean, .null: break
        }
        self = .literal(node.raw)
    }

    private static func ruled(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) -> QueueTemplate {
        try reader.check(keys: ["$field", "map", "others", "nearest", "form"])
        guard let name = try reader.string("$field"), let field = QueueRequestField(name) else {
            throw reader.problem("$field", "is no field of the request")
        }
        var rule = QueueFieldRule()
        if let map = reader.object("map") {
            for key in map.layers[0].members.map(\.key) { rule.map[key] = try map.string(key) }
        }
        rule.keepsOthers = try reader.choice("others", of: Others.self) != .drop
        rule.asDataURL = try reader.choice("form", of: Form.self) == .dataURL
        for text in try reader.strings("nearest") {
            guard let ratio = AspectRatio(text) else {
                throw reader.problem("nearest", "expected ratios such as \"16:9\"")
            }
            rule.nearest.append(ratio)
        }
        return .field(field, rule)
    }

    private enum Others: String, CaseIterable { case keep, drop }
    private enum Form: String, CaseIterable { case base64, dataURL = "data_url" }
}
