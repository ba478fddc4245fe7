import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

extension SyncDefinition {
    private static let keys = [
        "maximum_count", "key", "generate", "edit", "images", "refused", "refused_headers", "empty_means", "failure",
        "model", "usage",
    ]

    /// - Parameter layers: objects of members; those of an earlier one replace those of a later one whole.
    init(layers: [JSONNode]) throws(ProviderConfigurationProblem) {
        let reader = DefinitionReader(layers, path: "definition")
        try reader.check(keys: Self.keys)
        self.maximumCount = try reader.integer("maximum_count", in: 1...16) ?? 1
        self.key = try Self.key(reader.object("key"))
        self.generate = try reader.object("generate").map { value throws(ProviderConfigurationProblem) in
            try Call(value)
        }
        self.edit = try reader.object("edit").map { value throws(ProviderConfigurationProblem) in try Call(value) }
        self.reply = try SyncReplyPaths(reader)
        guard self.generate != nil || self.edit != nil else { throw reader.problem("generate", "is missing") }
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
}

extension SyncDefinition.Call {
    init(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) {
        try reader.check(keys: ["request", "encoding", "accept", "body"])
        guard let request = reader.object("request") else { throw reader.problem("request", "is missing") }
        guard let body = reader.node("body") else { throw reader.problem("body", "is missing") }
        self.request = try QueueCallTemplate(request, links: [])
        guard !self.request.names(.jobID) else {
            throw request.problem("url", "{job_id} has no value here")
        }
        self.body = try QueueTemplate([body], path: reader.path + ".body", depth: 0)
        self.encoding = try reader.choice("encoding", of: SyncDefinition.Encoding.self) ?? .json
        self.accept = try reader.string("accept") ?? "application/json"
        guard self.accept.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw reader.problem("accept", "expected printable ASCII")
        }
        if self.encoding == .form, body.kind != .object {
            throw reader.problem("body", "expected an object for a form")
        }
    }
}

extension SyncReplyPaths {
    init(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) {
        var table = ReplyPathTable()
        self.images = try Self.images(reader, &table)
        self.refused = try Self.refused(reader, &table)
        self.refusedHeaders = try Self.refusedHeaders(reader)
        self.emptyMeansRefused = try reader.choice("empty_means", of: Empty.self) == .refused
        let failure = reader.object("failure")
        try failure?.check(keys: ["when", "code", "message"])
        self.failureWhen = try table.indexes(failure, "when")
        self.failureCode = try table.indexes(failure, "code")
        self.failureMessage = try table.indexes(failure, "message")
        self.model = try table.indexes(reader, "model")
        let usage = reader.object("usage")
        try usage?.check(keys: ["input", "output", "total"])
        self.inputTokens = try table.indexes(usage, "input")
        self.outputTokens = try table.indexes(usage, "output")
        self.totalTokens = try table.indexes(usage, "total")
        self.paths = JSONFieldPaths(table.paths)
    }

    private enum Empty: String, CaseIterable { case refused, failed }

    private static func images(
        _ reader: DefinitionReader, _ table: inout ReplyPathTable
    ) throws(ProviderConfigurationProblem) -> [Images] {
        var images: [Images] = []
        for node in reader.node("images")?.elements ?? [] {
            let source = DefinitionReader([node], path: reader.path + ".images")
            try source.check(keys: ["base64", "url", "format", "size", "revised_prompt"])
            let entry = Images(
                base64: try table.single(source, "base64"), url: try table.single(source, "url"),
                format: try table.single(source, "format"), size: try table.single(source, "size"),
                revisedPrompt: try table.single(source, "revised_prompt"))
            guard entry.base64 != nil || entry.url != nil else {
                throw source.problem(nil, "each entry needs base64 or url")
            }
            images.append(entry)
        }
        // Without any the answer is the picture itself.
        return images
    }

    private static func refused(
        _ reader: DefinitionReader, _ table: inout ReplyPathTable
    ) throws(ProviderConfigurationProblem) -> [Refusal] {
        var refused: [Refusal] = []
        for node in reader.node("refused")?.elements ?? [] {
            let entry = DefinitionReader([node], path: reader.path + ".refused")
            try entry.check(keys: ["path", "is"])
            guard let path = try table.single(entry, "path") else { throw entry.problem("path", "is missing") }
            let value = entry.node("is")
            let wanted = value?.boolean.map { Refusal.Value.boolean($0) } ?? value?.string.map { .text($0) }
            guard value == nil || wanted != nil else { throw entry.problem("is", "expected a string, true or false") }
            refused.append(Refusal(path: path, value: wanted))
        }
        return refused
    }

    private static func refusedHeaders(
        _ reader: DefinitionReader
    ) throws(ProviderConfigurationProblem) -> [(name: HTTPField.Name, value: String)] {
        guard let headers = reader.object("refused_headers") else { return [] }
        var pairs: [(name: HTTPField.Name, value: String)] = []
        for member in headers.layers[0].members {
            guard let name = HTTPField.Name(member.key), let value = member.value.string else {
                throw reader.problem("refused_headers", "expected header names with their values")
            }
            pairs.append((name, value))
        }
        return pairs
    }
}
