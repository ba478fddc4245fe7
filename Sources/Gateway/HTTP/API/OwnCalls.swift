import Dialects
import HTTPTypes

/// The gateway's own paths, for ``APIDocument``.
enum OwnCalls {
    static func all(_ table: RouteTable) -> [APIDocument.Call] {
        // Where every route is public there are no tokens to speak of.
        let knowsTokens = table.routes.contains { $0.auth != .public }
        let asked = knowsTokens ? RouteAuth.optional : .public
        let jobs = [self.list, self.snapshot, self.cancel, self.events, self.live, self.preview]
        let images = table.storage.images == nil ? [] : [self.image, self.deleteImage]
        let tickets = knowsTokens ? [TicketDocument.call(table.routes.map(\.name))] : []
        return (jobs + images).map { $0.asking(asked) } + tickets + [self.models, self.api]
    }

    private static let job = EndpointDocument.Content.json(.shared(.job))
    private static let id = "/v1/jobs/{id}"

    private static func call(
        _ method: HTTPRequest.Method, _ path: String, _ name: String, group: String = "jobs",
        _ document: EndpointDocument
    ) -> APIDocument.Call {
        APIDocument.Call(path: path, method: method, name: name, group: group, auth: .public, document: document)
    }

    private static let picture = "/v1/images/{image}"

    private static var list: APIDocument.Call {
        self.call(.get, "/v1/jobs", "listJobs", ListDocument.document(of: .shared(.job), failure: .problem))
    }

    private static var snapshot: APIDocument.Call {
        self.call(
            .get, self.id, "getJob",
            EndpointDocument(
                "Tells where a job stands", answers: [.init(200, "Where it stands.", self.job)], failure: .problem))
    }

    private static var cancel: APIDocument.Call {
        self.call(
            .delete, self.id, "cancelJob",
            EndpointDocument(
                "Cancels a job", description: "The job stays known, as cancelled or as it had ended before.",
                answers: [.init(200, "Where it stands.", self.job)], failure: .problem))
    }

    private static var events: APIDocument.Call {
        self.call(
            .get, self.id + "/events", "followJob",
            EndpointDocument(
                "Streams a job's events", description: "Goes on behind `Last-Event-ID`.",
                query: [
                    .init(
                        "dialect", .words(DialectRegistry.dialects.map(\.name)), "In whose form; `unified` unless said."
                    ),
                    .init("last_event_id", .string(), "Where there is no `Last-Event-ID`."),
                ],
                answers: [
                    .init(
                        200, "The events.", .events("Server-sent events of docs/events.md."),
                        .init("application/x-ndjson", .string("The same, one JSON object a line."))),
                    .init(204, "The job is over and all of it was seen."),
                ], failure: .problem))
    }

    private static var live: APIDocument.Call {
        self.call(
            .get, self.id + "/live", "watchJob",
            EndpointDocument(
                "A picture that develops in an `<img>`", query: [self.imageIndex],
                answers: [.init(200, "Each preview a part.", .init("multipart/x-mixed-replace", .string()))],
                failure: .problem))
    }

    private static var preview: APIDocument.Call {
        let answers = EndpointDocument.Answer(
            200, "The finished picture, else its newest preview.", .init("image/png", .string()),
            .init("image/jpeg", .string()), .init("image/webp", .string()), .init("image/gif", .string()))
        return self.call(
            .get, self.id + "/previews/{image_index}", "getPreview",
            EndpointDocument("The newest preview of a picture", answers: [answers], failure: .problem))
    }

    private static let imageIndex = EndpointDocument.QueryParameter(
        "image_index", .integer(0...9999), "Which of several pictures; 0 unless said.")

    private static var image: APIDocument.Call {
        let answers: [EndpointDocument.Answer] = [
            .init(
                200, "The picture.", .init("image/png", .string()), .init("image/jpeg", .string()),
                .init("image/webp", .string()), .init("image/gif", .string())),
            .init(304, "As the client has it."),
        ]
        return self.call(
            .get, self.picture, "getImage", group: "images",
            EndpointDocument(
                "A stored picture", description: "By its signed URL, or as its owner.", answers: answers,
                failure: .problem))
    }

    private static var deleteImage: APIDocument.Call {
        self.call(
            .delete, self.picture, "deleteImage", group: "images",
            EndpointDocument(
                "Deletes a stored picture", description: "As its owner; a signed URL only shows it.",
                answers: [.init(204, "It is gone.")], failure: .problem))
    }

    private static var models: APIDocument.Call {
        let model = JSONSchema.object(
            [
                "id": .string(), "object": .words(["model"]), "created": .integer, "owned_by": .string(),
                "routes": .array(of: .string()),
            ], required: ["id", "object", "created", "owned_by", "routes"])
        return self.call(
            .get, "/v1/models", "listModels", group: "gateway",
            EndpointDocument(
                "Lists models by route",
                answers: [
                    .init(
                        200, "In OpenAI's list form.",
                        .json(
                            .object(
                                ["object": .words(["list"]), "data": .array(of: model)], required: ["object", "data"])))
                ], failure: .problem))
    }

    private static var api: APIDocument.Call {
        self.call(
            .get, "/openapi.json", "describeAPI", group: "gateway",
            EndpointDocument(
                "This description", answers: [.init(200, "OpenAPI 3.1.", .json(.object([:])))], failure: .problem))
    }
}
