import Dialects
import HTTPTypes

/// `POST /v1/tickets` for `/openapi.json`.
enum TicketDocument {
    /// - Parameter routes: the names of those that can be asked for.
    static func call(_ routes: [String]) -> APIDocument.Call {
        APIDocument.Call(
            path: TicketEndpoint.path, method: .post, name: "createTicket", group: "gateway", auth: .required,
            document: EndpointDocument(
                "Makes a ticket for a page", description: "For a route or for a job, with a token: docs/tokens.md.",
                body: self.wish(routes), answers: [.init(201, "The ticket.", .json(self.ticket))], failure: .problem))
    }

    private typealias Most = TicketWish.Most

    private static func wish(_ routes: [String]) -> JSONSchema {
        .anyOf([
            .object(
                [
                    ("route", .words(routes)), ("job", .null), ("model", self.text(Most.model).orNull),
                    ("size", self.text(Most.size).orNull), ("n", JSONSchema.integer(1...Int64(Most.pictures)).orNull),
                ] + self.terms, required: ["route"], others: .refused),
            .object(
                [
                    ("job", self.text(Most.name, "The job it may watch, ask about and cancel.")), ("route", .null),
                    ("model", .null), ("size", .null), ("n", .null),
                ] + self.terms, required: ["job"], others: .refused),
        ])
    }

    private static let terms: [(name: String, schema: JSONSchema)] = [
        ("uses", JSONSchema.integer(1...Int64(Most.uses)).orNull),
        ("origin", origin.orNull),
        ("expires_in", JSONSchema.integer(1...Int64(Most.seconds)).orNull),
    ]

    private static let origin = JSONSchema.string(
        maximum: Most.origin, pattern: NetworkNames.originPattern, "The page it serves, as browsers name it.")

    private static func text(_ maximum: Int, _ description: String? = nil) -> JSONSchema {
        .string(minimum: 1, maximum: maximum, description)
    }

    private static let ticket = JSONSchema.object(
        [
            "ticket": .string(), "expires_at": .string(format: "date-time"), "expires_in": .integer,
            "route": .string(), "job": .string(), "model": .string(), "size": .string(), "n": .integer,
            "uses": .integer, "origin": .string(), "events_url": .string(format: "uri"),
        ], required: ["ticket", "expires_at", "expires_in"])
}
