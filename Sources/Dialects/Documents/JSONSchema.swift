import NIOCore
import StreamCodecs

/// A JSON Schema (2020-12), by which the gateway describes its API, kept as the text it is published as.
package struct JSONSchema: Sendable, Hashable {
    /// One JSON value.
    package let text: String

    private init(_ members: [(name: String, value: String?)]) {
        let written = members.compactMap { name, value in value.map { "\(Self.quoted(name)):\($0)" } }
        self.text = "{\(written.joined(separator: ","))}"
    }

    package static let any = JSONSchema([])
    package static let null = JSONSchema([("type", "\"null\"")])
    package static let boolean = JSONSchema([("type", "\"boolean\"")])
    package static let number = JSONSchema([("type", "\"number\"")])
    package static let integer = JSONSchema([("type", "\"integer\"")])

    private static let shortName = JSONSchema([("minLength", "1"), ("maxLength", "64")])

    package static func integer(_ range: ClosedRange<Int64>) -> JSONSchema {
        JSONSchema([
            ("type", "\"integer\""), ("minimum", String(range.lowerBound)), ("maximum", String(range.upperBound)),
        ])
    }

    /// - Parameters:
    ///   - minimum: Unicode scalars, as `maximum`.
    ///   - pattern: ECMA-262, of the kind that other engines read alike.
    package static func string(
        minimum: Int? = nil, maximum: Int? = nil, pattern: String? = nil, format: String? = nil,
        _ description: String? = nil
    ) -> JSONSchema {
        JSONSchema([
            ("type", "\"string\""), ("minLength", minimum.map(String.init)), ("maxLength", maximum.map(String.init)),
            ("pattern", pattern.map(self.quoted)), ("format", format.map(self.quoted)),
            ("description", description.map(self.quoted)),
        ])
    }

    package static func words(_ words: [String]) -> JSONSchema {
        JSONSchema([("type", "\"string\""), ("enum", self.list(words.map(self.quoted)))])
    }

    /// - Parameter one: of at least one of them.
    package static func array(
        of items: JSONSchema, _ count: ClosedRange<Int>? = nil, containing one: JSONSchema? = nil
    ) -> JSONSchema {
        JSONSchema([
            ("type", "\"array\""), ("items", items.text), ("contains", one?.text),
            ("minItems", count.map { String($0.lowerBound) }),
            ("maxItems", count.flatMap { $0.upperBound == .max ? nil : String($0.upperBound) }),
        ])
    }

    /// - Parameter others: of members that are not listed; nil: whatever they are.
    package static func object(
        _ properties: KeyValuePairs<String, JSONSchema>, required: [String] = [], others: Others = .allowed,
        _ description: String? = nil
    ) -> JSONSchema {
        self.object(properties.map { ($0.key, $0.value) }, required: required, others: others, description)
    }

    package static func object(
        _ properties: [(name: String, schema: JSONSchema)], required: [String] = [], others: Others = .allowed,
        _ description: String? = nil
    ) -> JSONSchema {
        let members = properties.map { "\(self.quoted($0.name)):\($0.schema.text)" }.joined(separator: ",")
        return JSONSchema([
            ("type", "\"object\""), ("properties", "{\(members)}"),
            ("required", required.isEmpty ? nil : self.list(required.map(self.quoted))),
            ("additionalProperties", others.text), ("propertyNames", others.names),
            ("description", description.map(self.quoted)),
        ])
    }

    /// What members an object may have besides those that are listed.
    package enum Others: Sendable {
        case allowed, refused
        /// Under names as parts of forms have.
        case worded
        /// Under names of 1 to 64 characters.
        case values(JSONSchema)

        fileprivate var text: String? {
            switch self {
            case .allowed, .worded: nil
            case .refused: "false"
            case .values(let schema): schema.text
            }
        }

        fileprivate var names: String? {
            switch self {
            case .allowed, .refused: nil
            case .worded: JSONSchema([("pattern", JSONSchema.quoted(#"^[A-Za-z0-9_.\[\]-]{1,64}$"#))]).text
            case .values: JSONSchema.shortName.text
            }
        }
    }

    /// An object of any names of 1 to 64 characters.
    package static func map(of values: JSONSchema, atMost count: Int) -> JSONSchema {
        JSONSchema([
            ("type", "\"object\""), ("additionalProperties", values.text), ("maxProperties", String(count)),
            ("propertyNames", self.shortName.text),
        ])
    }

    package static func anyOf(_ schemas: [JSONSchema], _ description: String? = nil) -> JSONSchema {
        JSONSchema([("anyOf", self.list(schemas.map(\.text))), ("description", description.map(self.quoted))])
    }

    package static func allOf(_ schemas: [JSONSchema]) -> JSONSchema {
        JSONSchema([("allOf", self.list(schemas.map(\.text)))])
    }

    /// One of the schemas that are published once for all dialects.
    package static func shared(_ name: SharedSchema) -> JSONSchema {
        JSONSchema([("$ref", self.quoted("#/components/schemas/\(name.rawValue)"))])
    }

    /// `null` counts as absent.
    package var orNull: JSONSchema { .anyOf([self, .null]) }

    private static func list(_ values: [String]) -> String { "[\(values.joined(separator: ","))]" }

    static func quoted(_ text: String) -> String {
        var json = JSONWriter()
        json.value(text)
        return String(buffer: json.buffer)
    }
}

/// What several dialects speak of.
package enum SharedSchema: String, Sendable, CaseIterable {
    /// A failure told outside any dialect, or in our own form.
    case problem = "Problem"
    /// Where a job stands.
    case job = "Job"
    case usage = "Usage"

    package var schema: JSONSchema {
        switch self {
        case .problem:
            .object(
                [
                    "type": .string(), "title": .string(), "status": .integer(400...599), "detail": .string(),
                    "request_id": .string(),
                    "error": .object(
                        [
                            "code": .string("One of docs/errors.md"), "message": .string(),
                            "source": .words(["client", "upstream", "gateway"]),
                            "retryable": .boolean, "billed": .words(["no", "maybe", "yes"]),
                            "retry_after_ms": .integer, "param": .string(),
                        ], required: ["code", "message", "source", "retryable", "billed"]),
                ], required: ["title", "status", "error"])
        case .job:
            .object(
                [
                    "job_id": .string(pattern: RequestSchemas.jobID), "route": .string(),
                    "status": .words(["queued", "processing", "completed", "failed", "cancelled"]),
                    "stage": .string(), "progress": .integer(0...100), "message": .string(),
                    "queue_position": .integer, "last_seq": .integer, "created_at": .string(format: "date-time"),
                    "started_at": .string(format: "date-time"), "finished_at": .string(format: "date-time"),
                    "events_url": .string(format: "uri"),
                ], required: ["job_id", "route", "status", "stage", "progress", "created_at"])
        case .usage:
            .object(
                ["input_tokens": .integer, "output_tokens": .integer, "total_tokens": .integer],
                required: ["input_tokens", "output_tokens", "total_tokens"])
        }
    }
}
