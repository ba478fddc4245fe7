import NIOCore
import StreamCodecs

/// Writes what the queue says of a job.
struct StagesDocuments: Sendable {
    let job: StagesJob
    let id: String
    /// `scheme://host/prefix`, in front of `/images/…`.
    let base: String
    var blogID: String?
    var blogJobID: String?

    static let errorMessage = "The picture could not be drawn."
    static let refusalMessage = "Your request was rejected by the safety system."

    private var failureMessage: String {
        self.job.script.refuse == .stream ? Self.refusalMessage : Self.errorMessage
    }

    func accepted() -> ByteBuffer {
        let milliseconds = self.job.script.queue.milliseconds + self.job.script.duration.milliseconds
        var writer = JSONWriter(asciiOnly: true)
        writer.beginObject()
        writer.field("job_id", self.id)
        writer.field("status", staticText: "queued")
        writer.field("message", staticText: "Queued.")
        writer.field("estimated_completion_time", (milliseconds + 999) / 1000)
        writer.field("is_draft", self.job.isDraft)
        writer.endObject()
        return writer.takeBuffer()
    }

    /// One event: `data:` and a blank line.
    func event(_ state: StagesTimeline.State, cancelled: Bool = false) -> ByteBuffer {
        var writer = JSONWriter(ByteBuffer(string: "data: "), asciiOnly: true)
        writer.beginObject()
        writer.field("stage", cancelled ? "error" : state.stage.rawValue)
        writer.field("progress", state.progress)
        writer.field("message", self.message(state, cancelled: cancelled))
        writer.field("job_id", self.id)
        writer.field("status", cancelled ? "cancelled" : self.status(state))
        writer.key("data")
        self.writeData(state, cancelled: cancelled, into: &writer)
        writer.endObject()
        var frame = writer.takeBuffer()
        frame.writeString("\n\n")
        return frame
    }

    func snapshot(_ state: StagesTimeline.State, age: Int64, cancelled: Bool) -> ByteBuffer {
        let timeline = StagesTimeline(self.job.script)
        let over = state.isTerminal || cancelled
        var writer = JSONWriter(asciiOnly: true)
        writer.beginObject()
        writer.field("job_id", self.id)
        writer.field("status", cancelled ? "cancelled" : self.status(state))
        writer.field("progress_percentage", state.progress)
        writer.field("current_stage", cancelled ? "error" : state.stage.rawValue)
        writer.field("queue_position", cancelled ? nil : state.position)
        self.writeResult(of: state, orNull: cancelled, into: &writer)
        self.writeOptional("error_message", self.errorMessage(state, cancelled: cancelled), into: &writer)
        let left = over ? nil : max(0, (timeline.end - age + 999) / 1000)
        writer.key("estimated_time_remaining")
        if let left { writer.value(left) } else { writer.null() }
        writer.field("is_draft", self.job.isDraft)
        writer.field("created_at", SimulatorTime.text(unixMilliseconds: self.job.start))
        self.writeOptional(
            "started_at", age >= timeline.workBegins ? self.date(timeline.workBegins) : nil, into: &writer)
        self.writeOptional("completed_at", state.isTerminal ? self.date(timeline.end) : nil, into: &writer)
        writer.endObject()
        return writer.takeBuffer()
    }

    private func date(_ age: Int64) -> String { SimulatorTime.text(unixMilliseconds: self.job.start + age) }

    private func status(_ state: StagesTimeline.State) -> String {
        switch state.stage {
        case .queued: "queued"
        case .processing, .generating, .uploading: "processing"
        case .completed: "completed"
        case .error: "failed"
        }
    }

    private func message(_ state: StagesTimeline.State, cancelled: Bool) -> String {
        if cancelled { return "Cancelled." }
        switch state.stage {
        case .queued: return state.position.map { $0 > 0 ? "Queued, \($0) ahead." : "Queued." } ?? "Queued."
        case .processing: return "Reading the prompt."
        case .generating: return "Developing the picture."
        case .uploading: return "Storing the picture."
        case .completed: return "Done."
        case .error: return self.failureMessage
        }
    }

    private func errorMessage(_ state: StagesTimeline.State, cancelled: Bool) -> String? {
        if cancelled { return "Cancelled." }
        return state.stage == .error ? self.failureMessage : nil
    }

    private func writeOptional(_ key: StaticString, _ value: String?, into writer: inout JSONWriter) {
        writer.key(key)
        if let value { writer.value(value) } else { writer.null() }
    }

    private func writeData(_ state: StagesTimeline.State, cancelled: Bool, into writer: inout JSONWriter) {
        writer.beginObject()
        writer.field("is_draft", self.job.isDraft)
        writer.field("blog_id", self.blogID)
        writer.field("blog_job_id", self.blogJobID)
        writer.field("queue_position", cancelled ? nil : state.position)
        if state.stage == .completed, !cancelled { self.writeResult(of: state, orNull: false, into: &writer) }
        writer.field("error", self.errorMessage(state, cancelled: cancelled))
        if state.stage == .error, self.job.script.refuse == .stream {
            writer.field("code", staticText: "moderation_blocked")
        }
        writer.endObject()
    }

    private func writeResult(of state: StagesTimeline.State, orNull: Bool, into writer: inout JSONWriter) {
        writer.key("result")
        guard state.stage == .completed, !orNull else { return writer.null() }
        writer.beginObject()
        writer.key("images")
        writer.beginArray()
        for index in 0..<self.job.count {
            let id = ImageID(picture: self.job.picture.sibling(index), payload: self.job.script.payload).text
            writer.beginObject()
            writer.field("image_id", id)
            writer.field("image_url", "\(self.base)/images/\(id).png")
            writer.field("width", self.job.picture.width)
            writer.field("height", self.job.picture.height)
            writer.field("format", staticText: "png")
            writer.field("alt_text", staticText: "A simulated picture")
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
    }
}
