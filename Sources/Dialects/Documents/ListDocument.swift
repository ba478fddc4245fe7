/// Lists of jobs.
package enum ListDocument {
    package static let query: [EndpointDocument.QueryParameter] = [
        .init("limit", .integer(1...100), "Jobs of one page; 20 unless said."),
        .init("cursor", .string(pattern: "^1[0-9a-z]{7}-[a-z2-7]{26}$"), "`next_cursor` of the page before."),
        .init("status", .words(["queued", "processing", "completed", "failed", "cancelled"]), "Only these."),
    ]

    /// - Parameter job: one of the list.
    package static func document(of job: JSONSchema, failure: EndpointDocument.Content) -> EndpointDocument {
        let page = JSONSchema.object(
            ["jobs": .array(of: job), "next_cursor": JSONSchema.string().orNull], required: ["jobs", "next_cursor"])
        return EndpointDocument(
            "Lists the caller's jobs", query: self.query, answers: [.init(200, "Newest first.", .json(page))],
            failure: failure)
    }
}
