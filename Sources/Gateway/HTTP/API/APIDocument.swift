import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// `GET /openapi.json`: the API as configured, in OpenAPI 3.1. What a call looks like is told by its dialect
/// (``Dialect/document(_:operation:)``), for the gateway's own paths by ``OwnCalls``.
struct APIDocument {
    /// One method of one path.
    struct Call {
        let path: String
        let method: HTTPRequest.Method
        let name: String
        /// By what calls are grouped for readers.
        let group: String
        var auth: RouteAuth
        let document: EndpointDocument

        func asking(_ auth: RouteAuth) -> Call {
            var call = self
            call.auth = auth
            return call
        }
    }

    /// In order; of two of one path and method the first counts, as in routing.
    private var paths: [(path: String, calls: [Call])] = []
    private let publicURL: String

    init(_ table: RouteTable, publicURL: String) {
        self.publicURL = publicURL
        for call in table.routes.flatMap(Self.calls) + OwnCalls.all(table) { self.add(call) }
    }

    private mutating func add(_ call: Call) {
        guard let index = self.paths.firstIndex(where: { $0.path == call.path }) else {
            return self.paths.append((call.path, [call]))
        }
        guard !self.paths[index].calls.contains(where: { $0.method == call.method }) else { return }
        self.paths[index].calls.append(call)
    }

    private static func calls(_ route: RouteTable.Route) -> [Call] {
        guard let dialect = DialectRegistry.dialect(named: route.dialect) else { return [] }
        return route.endpoints.map { endpoint in
            // `{name...}` stands for several segments, which OpenAPI has no word for.
            let subpath = endpoint.subpath.split(separator: "...").joined()
            let words = subpath.filter { $0 != "{" && $0 != "}" }.split(separator: "/")
            return Call(
                path: route.location.text + (subpath.isEmpty ? "" : "/" + subpath), method: endpoint.method,
                name: ([route.name, endpoint.method.rawValue.lowercased()] + words.map(String.init))
                    .joined(separator: "."),
                group: route.name, auth: route.auth,
                document: dialect.document(endpoint, operation: route.operation))
        }
    }

    // MARK: Writing

    var encoded: ByteBuffer {
        var json = JSONWriter()
        self.write(into: &json)
        return json.buffer
    }

    private func write(into json: inout JSONWriter) {
        json.beginObject()
        json.field("openapi", staticText: "3.1.0")
        json.key("info")
        json.beginObject()
        json.field("title", staticText: "Safelight")
        json.field("version", staticText: "1")
        json.endObject()
        json.key("servers")
        json.beginArray()
        json.beginObject()
        json.field("url", self.publicURL)
        json.endObject()
        json.endArray()
        json.key("paths")
        json.beginObject()
        for (path, calls) in self.paths {
            json.key(dynamic: path)
            json.beginObject()
            for call in calls { Self.write(call, into: &json) }
            json.endObject()
        }
        json.endObject()
        self.writeComponents(into: &json)
        json.endObject()
    }

    private func writeComponents(into json: inout JSONWriter) {
        json.key("components")
        json.beginObject()
        json.key("schemas")
        json.beginObject()
        for shared in SharedSchema.allCases {
            json.key(dynamic: shared.rawValue)
            json.value(raw: ByteBuffer(string: shared.schema.text))
        }
        json.endObject()
        if self.paths.contains(where: { $0.calls.contains { $0.auth != .public } }) {
            json.key("securitySchemes")
            json.value(raw: ByteBuffer(string: #"{"token":{"type":"http","scheme":"bearer"}}"#))
        }
        json.endObject()
    }

    private static func write(_ call: Call, into json: inout JSONWriter) {
        json.key(dynamic: call.method.rawValue.lowercased())
        json.beginObject()
        json.field("operationId", call.name)
        json.key("tags")
        json.beginArray()
        json.value(call.group)
        json.endArray()
        json.field("summary", call.document.summary)
        json.field("description", call.document.description)
        if let security = Self.security(call.auth) {
            json.key("security")
            json.value(raw: ByteBuffer(staticString: security))
        }
        self.writeParameters(call, into: &json)
        self.writeBody(call.document, into: &json)
        self.writeAnswers(call.document, into: &json)
        json.endObject()
    }

    private static func security(_ auth: RouteAuth) -> StaticString? {
        switch auth {
        case .required: #"[{"token":[]}]"#
        case .optional: #"[{},{"token":[]}]"#
        case .public: nil
        }
    }

    private static func writeParameters(_ call: Call, into json: inout JSONWriter) {
        let names = call.path.split(separator: "/").filter { $0.hasPrefix("{") }.map { $0.dropFirst().dropLast() }
        guard !names.isEmpty || !call.document.query.isEmpty else { return }
        json.key("parameters")
        json.beginArray()
        for name in names {
            json.beginObject()
            json.field("name", String(name))
            json.field("in", staticText: "path")
            json.field("required", true)
            json.key("schema")
            json.value(raw: ByteBuffer(staticString: #"{"type":"string","minLength":1}"#))
            json.endObject()
        }
        for parameter in call.document.query {
            json.beginObject()
            json.field("name", parameter.name)
            json.field("in", staticText: "query")
            json.field("description", parameter.description)
            json.key("schema")
            json.value(raw: ByteBuffer(string: parameter.schema.text))
            json.endObject()
        }
        json.endArray()
    }

    private static func writeBody(_ document: EndpointDocument, into json: inout JSONWriter) {
        guard let body = document.body else { return }
        var contents = [EndpointDocument.Content.json(body)]
        if let form = document.form { contents.append(.init("multipart/form-data", form)) }
        json.key("requestBody")
        json.beginObject()
        json.field("required", true)
        self.write(contents, into: &json)
        json.endObject()
    }

    private static func writeAnswers(_ document: EndpointDocument, into json: inout JSONWriter) {
        // What is wrong before the dialect is known is told in the gateway's own form.
        let failures = [document.failure, .problem]
        json.key("responses")
        json.beginObject()
        for answer in document.answers {
            json.key(dynamic: String(answer.status))
            json.beginObject()
            json.field("description", answer.description)
            self.write(answer.contents + (answer.status < 400 ? [] : failures), into: &json)
            json.endObject()
        }
        for range in ["4XX", "5XX"] {
            json.key(dynamic: range)
            json.beginObject()
            json.field("description", staticText: "A failure: docs/errors.md.")
            self.write(failures, into: &json)
            json.endObject()
        }
        json.endObject()
    }

    private static func write(_ contents: [EndpointDocument.Content], into json: inout JSONWriter) {
        guard !contents.isEmpty else { return }
        var types: [(name: String, schemas: [JSONSchema])] = []
        for content in contents {
            if let index = types.firstIndex(where: { $0.name == content.mediaType }) {
                if !types[index].schemas.contains(content.schema) { types[index].schemas.append(content.schema) }
            } else {
                types.append((content.mediaType, [content.schema]))
            }
        }
        json.key("content")
        json.beginObject()
        for type in types {
            json.key(dynamic: type.name)
            json.beginObject()
            json.key("schema")
            let schema = type.schemas.count == 1 ? type.schemas[0] : .anyOf(type.schemas)
            json.value(raw: ByteBuffer(string: schema.text))
            json.endObject()
        }
        json.endObject()
    }
}
