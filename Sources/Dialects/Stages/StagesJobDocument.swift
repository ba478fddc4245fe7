import ImageGeneration
import NIOCore
import StreamCodecs

/// A job as `GET …/jobs/{job_id}` shows it, and the parts of it that stream events share.
struct StagesJobDocument: Sendable {
    private let request: ImageRequest
    private let publicURL: String

    /// Seconds, told at submission while nothing has been measured: the gateway's own first guess for any upstream.
    private static let assumedSeconds = 30
    /// Characters of the prompt that describe a picture.
    static let altTextLength = 120

    init(_ context: EncoderContext) {
        self.request = context.request
        self.publicURL = context.publicURL
    }

    static func writeSubmission(_ snapshot: JobSnapshot, request: ImageRequest, into json: inout JSONWriter) {
        json.beginObject()
        json.field("job_id", snapshot.job.text)
        json.field("status", snapshot.statusName)
        json.field("message", snapshot.message)
        json.field("estimated_completion_time", self.secondsLeft(snapshot) ?? self.assumedSeconds)
        json.field("is_draft", self.isDraft(request))
        json.endObject()
    }

    /// Rounded up; nil where nobody can say.
    private static func secondsLeft(_ snapshot: JobSnapshot) -> Int? {
        if snapshot.stage.isTerminal { return 0 }
        return snapshot.estimatedMilliseconds.map { ($0 + 999) / 1000 }
    }

    static func isDraft(_ request: ImageRequest) -> Bool {
        request.extensions[StagesRequest.isDraft] == .boolean(true)
    }

    func write(_ snapshot: JobSnapshot, into json: inout JSONWriter) {
        json.beginObject()
        json.field("job_id", snapshot.job.text)
        json.field("status", snapshot.statusName)
        json.field("progress_percentage", snapshot.progress)
        json.field("current_stage", Self.stage(snapshot.stage))
        if case .completed = snapshot.terminal {
            self.writeResult(snapshot.images, altTextLength: Self.altTextLength, into: &json)
        } else {
            json.key("result")
            json.null()
        }
        json.field("error_message", orNull: Self.errorMessage(snapshot.terminal))
        json.field("estimated_time_remaining", orNull: Self.secondsLeft(snapshot))
        self.writeEcho(into: &json)
        json.field("created_at", time: snapshot.createdAt)
        Self.write("started_at", snapshot.startedAt, into: &json)
        Self.write("completed_at", snapshot.finishedAt, into: &json)
        json.endObject()
    }

    /// `result.images[]`.
    func writeResult(_ images: some Sequence<FinishedImage>, altTextLength: Int, into json: inout JSONWriter) {
        json.key("result")
        json.beginObject()
        json.key("images")
        json.beginArray()
        for image in images {
            json.beginObject()
            json.field("image_id", image.imageID.text)
            json.field("image_url", self.url(of: image))
            json.field("width", image.width)
            json.field("height", image.height)
            json.field("format", image.attributes.outputFormat)
            json.field("alt_text", self.altText(maximumCount: altTextLength))
            json.endObject()
        }
        json.endArray()
        json.endObject()
    }

    /// What the client sent for itself.
    func writeEcho(into json: inout JSONWriter) {
        json.field("is_draft", Self.isDraft(self.request))
        self.write("blog_id", self.request.extensions[StagesRequest.blogID], into: &json)
        self.write("blog_job_id", self.request.extensions[StagesRequest.blogJobID], into: &json)
    }

    /// A cancelled job's stage is `error`; its status tells the two apart.
    static func stage(_ stage: Stage) -> String { stage == .cancelled ? Stage.error.name : stage.name }

    static func errorMessage(_ terminal: JobEvent?) -> String? {
        switch terminal {
        case .error(let error): error.message
        case .cancelled(let cancellation): cancellation.asError.message
        case .stage, .partialImage, .textDelta, .image, .completed, nil: nil
        }
    }

    /// The signed URL; without an image store the plain one, which its owner can use.
    private func url(of image: FinishedImage) -> String {
        image.url?.text ?? "\(self.publicURL)/v1/images/\(image.imageID.text)"
    }

    /// The prompt's beginning on one line.
    private func altText(maximumCount: Int) -> String {
        var text = String.UnicodeScalarView()
        for scalar in self.request.prompt.unicodeScalars.prefix(maximumCount) {
            text.append(scalar.properties.isWhitespace || scalar.value < 0x20 ? " " : scalar)
        }
        return String(text)
    }

    private func write(_ key: StaticString, _ value: ImageRequest.ExtensionValue?, into json: inout JSONWriter) {
        switch value {
        case .text(let text): json.field(key, text)
        case .integer(let number): json.field(key, number)
        case .boolean(let flag): json.field(key, flag)
        case nil: break
        }
    }

    private static func write(_ key: StaticString, _ time: Timestamp?, into json: inout JSONWriter) {
        guard let time else {
            json.key(key)
            return json.null()
        }
        json.field(key, time: time)
    }
}
