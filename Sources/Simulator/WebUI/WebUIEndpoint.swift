import HTTPTypes
import NIOCore
import StreamCodecs

/// The API of AUTOMATIC1111's web UI: calls that block until the pictures are done, and questions beside them.
///
/// Unlike the rest of the simulator it has a state: the tasks it works on, one after the other.
struct WebUIEndpoint: Sendable {
    enum Call: Equatable, Sendable {
        case txt2img, img2img, progress, taskProgress, interrupt
    }

    let defaults: SimulatorScript
    let cache: PictureCache
    private let tasks = WebUITasks()

    /// How often a waiting or working call looks around, in milliseconds.
    private static let tick = 20

    init(defaults: SimulatorScript, cache: PictureCache) {
        self.defaults = defaults
        self.cache = cache
    }

    func respond(to request: SimulatorRequest, _ call: Call) async throws -> SimulatorResponse {
        do {
            if request.headers[.authorization] == "Basic YmFkOmJhZA==" {
                throw SimulatorError(401, "Incorrect username or password")
            }
            switch call {
            case .txt2img: return try await self.draw(request, edit: false)
            case .img2img: return try await self.draw(request, edit: true)
            case .progress: return try await self.progress(request)
            case .taskProgress: return try await self.taskProgress(request)
            case .interrupt:
                self.tasks.interrupt()
                return .json([ByteBuffer(string: "{}")], script: SimulatorScript())
            }
        } catch let error as SimulatorError {
            return .json(
                status: error.status, headers: error.headers, [Self.document(of: error)],
                script: error.script ?? self.defaults)
        }
    }

    /// FastAPI's form: a list where a field is at fault.
    private static func document(of error: SimulatorError) -> ByteBuffer {
        var json = JSONWriter()
        json.beginObject()
        if error.status >= 500 { json.field("error", error.code ?? "RuntimeError") }
        json.key("detail")
        if let parameter = error.parameter {
            json.beginArray()
            json.beginObject()
            json.key("loc")
            json.beginArray()
            json.value(staticText: "body")
            json.value(parameter)
            json.endArray()
            json.field("msg", error.message)
            json.field("type", staticText: "type_error.integer")
            json.endObject()
            json.endArray()
        } else {
            json.value(error.status >= 500 ? "" : error.message)
        }
        if error.status >= 500 { json.field("errors", error.message) }
        json.endObject()
        return json.takeBuffer()
    }

    // MARK: - Drawing

    private func draw(_ request: SimulatorRequest, edit: Bool) async throws -> SimulatorResponse {
        var job = try WebUIJob(request.body, edit: edit)
        (job.script, job.prompt) = try request.script(over: self.defaults, prompt: job.prompt)
        try StatusFault.check(job.script, openAI: false)
        let id = job.taskID ?? "task(\(UInt64.random(in: .min ... .max)))"
        guard self.tasks.add(id, job) else {
            throw SimulatorError(422, "this task exists already", parameter: "force_task_id")
        }
        defer { self.tasks.remove(id) }
        while !self.tasks.begins(id, now: request.visit.now) {
            try await request.visit.pause(for: .milliseconds(Self.tick))
        }
        let fraction = try await self.work(id, job, request.visit)
        var script = job.script
        script.stall = script.stall == .head ? .head : nil
        return .json(try await self.result(job, fraction: fraction), script: script)
    }

    /// - Returns: how far the work came before it was interrupted; 1 where it was not.
    private func work(_ id: String, _ job: WebUIJob, _ visit: Visit) async throws -> Double {
        let began = visit.now
        while true {
            let fraction = job.fraction(began: began, now: visit.now)
            if self.tasks.isInterrupted(id) || fraction >= 1 { return fraction }
            if fraction >= 0.5, job.script.fail != nil || job.script.refuse == .stream {
                var error = SimulatorError(500, "CUDA out of memory.", code: "OutOfMemoryError")
                error.script = job.script
                throw error
            }
            let left = (1 - fraction) * Double(job.script.duration.milliseconds)
            try await visit.pause(for: .milliseconds(min(Self.tick, max(1, Int(left.rounded(.up))))))
        }
    }

    /// Interrupted work answers like finished work, with what there is.
    private func result(_ job: WebUIJob, fraction: Double) async throws -> [ByteBuffer] {
        var writer = PieceWriter(ByteBuffer())
        writer.json.beginObject()
        writer.json.key("images")
        writer.json.beginArray()
        let development = fraction < 1 ? job.development(at: fraction) ?? .preview(step: 0, count: 3) : .finished
        for index in 0..<job.count where job.script.malformed != .event {
            let entry = try await self.cache.entry(
                job.picture.sibling(index), development, paddedTo: job.script.payload)
            writer.splice(entry.base64, breaks: job.script.malformed == .base64)
        }
        writer.json.endArray()
        writer.json.key("parameters")
        writer.json.beginObject()
        writer.json.field("steps", job.steps)
        writer.json.endObject()
        writer.json.field("info", "{\"index_of_first_image\": 0, \"steps\": \(job.steps)}")
        writer.json.endObject()
        return GeminiJob.spoilt(writer.finish(), job.script.malformed)
    }

    // MARK: - Questions

    private func progress(_ request: SimulatorRequest) async throws -> SimulatorResponse {
        let (task, wasInterrupted) = self.tasks.running
        let skips = request.query.split(separator: "&").contains("skip_current_image=true")
        let fraction = task.map { $0.job.fraction(began: $0.began ?? 0, now: request.visit.now) } ?? 0
        let preview = skips ? nil : try await self.preview(task, fraction)
        var writer = PieceWriter(ByteBuffer())
        writer.json.beginObject()
        writer.json.field("progress", task == nil ? 0 : min(1, 0.01 + fraction))
        writer.json.field("eta_relative", task.map { Self.left($0, fraction) } ?? 0)
        writer.json.key("state")
        writer.json.beginObject()
        writer.json.field("skipped", false)
        writer.json.field("interrupted", wasInterrupted)
        writer.json.field("stopping_generation", false)
        writer.json.field("job", task == nil ? "" : "scripts_txt2img")
        writer.json.field("job_count", task?.job.count ?? 0)
        writer.json.field("job_no", task.map { min($0.job.count - 1, Int(fraction * Double($0.job.count))) } ?? 0)
        writer.json.field("sampling_step", task.map { Int(fraction * Double($0.job.steps)) } ?? 0)
        writer.json.field("sampling_steps", task?.job.steps ?? 0)
        writer.json.endObject()
        Self.write(preview, "current_image", prefix: "", into: &writer)
        writer.json.key("textinfo")
        writer.json.null()
        writer.json.endObject()
        return .json(writer.finish(), script: SimulatorScript())
    }

    private func taskProgress(_ request: SimulatorRequest) async throws -> SimulatorResponse {
        guard let root = try? JSONDocument(request.body).root, let id = root["id_task"]?.string else {
            throw SimulatorError(422, "field required", parameter: "id_task")
        }
        var writer = PieceWriter(ByteBuffer())
        writer.json.beginObject()
        switch self.tasks.standing(of: id) {
        case .running(let task):
            let fraction = task.job.fraction(began: task.began ?? 0, now: request.visit.now)
            let number = task.job.development(at: fraction) == nil ? -1 : Int(fraction * 4)
            let isKnown = root["id_live_preview"]?.integer == Int64(number) || root["live_preview"]?.boolean == false
            Self.writeStanding(active: true, into: &writer.json)
            writer.json.field("progress", min(1, 0.01 + fraction))
            writer.json.field("eta", Self.left(task, fraction))
            Self.write(
                isKnown ? nil : try await self.preview(task, fraction), "live_preview",
                prefix: "data:image/png;base64,", into: &writer)
            writer.json.field("id_live_preview", number)
        case .queued(let place, let count):
            Self.writeStanding(queued: true, into: &writer.json)
            writer.json.field("id_live_preview", -1)
            writer.json.field("textinfo", "In queue: \(place)/\(count)")
        case .done:
            Self.writeStanding(completed: true, into: &writer.json)
            writer.json.field("id_live_preview", -1)
            writer.json.field("textinfo", staticText: "Waiting...")
        case .unknown: Self.writeStanding(into: &writer.json)
        }
        writer.json.endObject()
        return .json(writer.finish(), script: SimulatorScript())
    }

    private static func writeStanding(
        active: Bool = false, queued: Bool = false, completed: Bool = false, into json: inout JSONWriter
    ) {
        json.field("active", active)
        json.field("queued", queued)
        json.field("completed", completed)
    }

    /// Seconds.
    private static func left(_ task: WebUITasks.Task, _ fraction: Double) -> Double {
        (1 - fraction) * Double(task.job.script.duration.milliseconds) / 1000
    }

    private func preview(_ task: WebUITasks.Task?, _ fraction: Double) async throws -> ByteBuffer? {
        guard let task, let development = task.job.development(at: fraction) else { return nil }
        let index = min(task.job.count - 1, Int(fraction * Double(task.job.count)))
        return try await self.cache.entry(
            task.job.picture.sibling(index), development, paddedTo: task.job.script.payload
        ).base64
    }

    private static func write(
        _ preview: ByteBuffer?, _ key: StaticString, prefix: String, into writer: inout PieceWriter
    ) {
        if let preview { return writer.splice(key, preview, prefix: prefix) }
        writer.json.key(key)
        writer.json.null()
    }
}
