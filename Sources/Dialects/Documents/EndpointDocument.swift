import ImageGeneration

/// One call of a dialect, as `/openapi.json` describes it.
package struct EndpointDocument: Sendable {
    /// One line.
    package var summary: String
    /// What is to be known besides; Markdown.
    package var description: String?
    /// Of the request as JSON; nil: it has no body.
    package var body: JSONSchema?
    /// Of the request as `multipart/form-data`, where it may be one.
    package var form: JSONSchema?
    package var query: [QueryParameter] = []
    package var answers: [Answer]
    /// Of every failure before the first byte.
    package var failure: Content

    package init(
        _ summary: String, description: String? = nil, body: JSONSchema? = nil, form: JSONSchema? = nil,
        query: [QueryParameter] = [], answers: [Answer], failure: Content
    ) {
        self.summary = summary
        self.description = description
        self.body = body
        self.form = form
        self.query = query
        self.answers = answers
        self.failure = failure
    }

    package struct QueryParameter: Sendable {
        package let name: String
        package let schema: JSONSchema
        package let description: String

        package init(_ name: String, _ schema: JSONSchema, _ description: String) {
            self.name = name
            self.schema = schema
            self.description = description
        }
    }

    package struct Content: Sendable {
        /// Without parameters.
        package let mediaType: String
        package let schema: JSONSchema

        package init(_ mediaType: String, _ schema: JSONSchema) {
            self.mediaType = mediaType
            self.schema = schema
        }

        package static func json(_ schema: JSONSchema) -> Content { Content("application/json", schema) }
        /// The schema of server-sent events is that of one of them, as tools read it.
        package static func events(_ description: String) -> Content {
            Content(
                "text/event-stream",
                .object(["event": .string(), "id": .string(), "data": .string(), "retry": .integer], description))
        }
        package static let problem = Content("application/problem+json", .shared(.problem))
    }

    package struct Answer: Sendable {
        package let status: Int
        package let description: String
        /// Which of them is sent is the request's choice; empty: no body.
        package let contents: [Content]

        package init(_ status: Int, _ description: String, _ contents: Content...) {
            self.status = status
            self.description = description
            self.contents = contents
        }

        /// Of a create call that asks to be queued with `Prefer: respond-async`.
        package static let accepted = Answer(
            202, "Accepted. `Location` is where the job stands.", .json(.shared(.job)))
    }
}

/// Values that requests of many dialects have, as they are read by ``RequestParameters``.
enum RequestSchemas {
    static let jobID = "^job_[a-z2-7]{26}$"
    /// Not all of it white space, which is what Unicode calls so.
    static let prompt = JSONSchema.string(
        maximum: 32_000,
        pattern: #"[^\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"#,
        "What the picture shows.")
    static let longText = JSONSchema.string(maximum: 32_000).orNull
    static let text = JSONSchema.string(maximum: 256).orNull
    static let word = RequestSchemas.word(64)
    static let count = JSONSchema.integer(1...10).orNull
    static let previews = JSONSchema.integer(0...3).orNull
    static let compression = JSONSchema.integer(0...100).orNull
    static let seed = JSONSchema.integer(Int64.min...Int64.max).orNull
    static let flag = JSONSchema.boolean.orNull
    static let format = JSONSchema.words(ImageFormat.allCases.map(\.rawValue)).orNull
    static let formatOrJPG = JSONSchema.words(ImageFormat.allCases.map(\.rawValue) + ["jpg"]).orNull
    static let background = JSONSchema.words(["transparent", "opaque", "auto"]).orNull
    static let side = JSONSchema.integer(1...16_384)

    private static let pair = "[1-9][0-9]{0,3}x[1-9][0-9]{0,3}"
    private static let name = "[A-Za-z_-][A-Za-z0-9_-]{0,31}"
    private static let ratio = "[1-9][0-9]{0,3}:[1-9][0-9]{0,3}"
    /// `auto`, `1024x1024`.
    static let pixels = JSONSchema.string(pattern: "^(auto|\(pair))$")
    /// The same, or an upstream's own name.
    static let size = JSONSchema.string(pattern: "^(\(name)|\(pair))$")
    static let aspectRatio = JSONSchema.string(pattern: "^(\(ratio))$")
    static let sizeOrRatio = JSONSchema.string(pattern: "^(\(name)|\(pair)|\(ratio))$")

    /// Visible ASCII.
    static func word(_ maximum: Int) -> JSONSchema {
        JSONSchema.string(pattern: "^[ -~]{1,\(maximum)}$").orNull
    }

    /// A picture as a `data:` URL, at least so far as it is described here: other media types and line breaks are taken too.
    static let dataURL = JSONSchema.string(
        pattern: "^data:image/png;base64,([A-Za-z0-9+/]{4})+$", "A `data:` URL with base64.")

    /// An edit as `multipart/form-data`. Not all of its names are listed.
    static func form(others: JSONSchema.Others) -> JSONSchema {
        .object(
            [
                "prompt": self.prompt, "image": .string(format: "binary"),
            ], required: ["prompt", "image"], others: others,
            "`image` may be repeated, `mask` added, and most other names of the JSON body may stand beside.")
    }
}
