import Dialects
import HTTPTypes

/// `POST /v1/tickets` for `/openapi.json`.
enum TicketDocument {
    static var call: APIDocument.Call {
        APIDocument.Call(
            path: TicketEndpoint.path, method: .post, name: "createTicket", group: "gateway", auth: .required,
            document: EndpointDocument(
                "Makes a ticket for a page", description: "For a route or for a job, with a token: docs/tokens.md.",
                body: self.wish, answers: [.init(201, "The ticket.", .json(self.ticket))], failure: .problem))
    }

    private typealias Most = TicketWish.Most

    /// The gateway counts bytes, schemas count characters: a text of other than ASCII may be refused below its maximum.
    private static let wish = JSONSchema.anyOf([
        .object(
            [
                ("route", .string(maximum: Most.name, "The route it may create on.")),
                ("model", .string(maximum: Most.model)), ("size", .string(maximum: Most.size)),
                ("n", .integer(1...Int64(Most.pictures))),
            ] + Self.terms, required: ["route"], others: .refused),
        .object(
            [("job", .string(maximum: Most.name, "The job it may watch, ask about and cancel."))] + Self.terms,
            required: ["job"], others: .refused),
    ])

    private static let terms: [(name: String, schema: JSONSchema)] = [
        ("uses", .integer(1...Int64(Most.uses))),
        ("origin", .string(maximum: Most.origin, "The page it serves, as browsers name it.")),
        ("expires_in", .integer(1...Int64(Most.seconds))),
    ]

    private static let ticket = JSONSchema.object(
        [
            "ticket": .string(), "expires_at": .string(format: "date-time"), "expires_in": .integer,
            "route": .string(), "job": .string(), "model": .string(), "size": .string(), "n": .integer,
            "uses": .integer, "origin": .string(), "events_url": .string(format: "uri"),
        ], required: ["ticket", "expires_at", "expires_in"])
}
