import HTTPTypes
import NIOCore
import StreamCodecs

/// The FLUX API of Black Forest Labs: submit, and poll at the address that the submission's answer names. All states come with 200.
struct BFLEndpoint: Sendable {
    private let jobs: QueuedJobs

    init(defaults: SimulatorScript) { self.jobs = QueuedJobs(defaults: defaults) }

    func respond(to call: QueuedServiceCall.BFLCall, _ request: SimulatorRequest) throws -> SimulatorResponse {
        if request.headers[.xKey]?.lowercased().hasPrefix("bad") ?? false {
            throw SimulatorError(403, "Not authenticated - Invalid Authentication")
        }
        switch call {
        case .submit: return try self.submit(request)
        case .result: return try self.result(request)
        }
    }

    private func submit(_ request: SimulatorRequest) throws -> SimulatorResponse {
        let fields = try SubmittedFields(request.body)
        var order = QueuedJobs.Order(prompt: try fields.prompt())
        order.seed = try fields.seed()
        let sides: [(String, WritableKeyPath<QueuedJobs.Order, Int>)] = [("width", \.width), ("height", \.height)]
        for (key, path) in sides {
            guard let side = try fields.integer(key, 64...2048) else { continue }
            guard side % 32 == 0 else {
                throw SubmittedFields.invalid(key, "Input should be a multiple of 32", type: "multiple_of")
            }
            order[keyPath: path] = side
        }
        let standing = try self.jobs.accept(order, request)
        var writer = JSONWriter()
        writer.beginObject()
        writer.field("id", standing.id)
        writer.field("polling_url", "\(request.origin)\(request.prefix)/get_result?id=\(standing.id)")
        writer.field("cost", Double(standing.job.count) * 4)
        writer.endObject()
        return standing.submissionAnswer(status: 200, writer.takeBuffer())
    }

    private func result(_ request: SimulatorRequest) throws -> SimulatorResponse {
        let id = request.query.split(separator: "&").first { $0.hasPrefix("id=") }.map { String($0.dropFirst(3)) } ?? ""
        guard let standing = try self.jobs.find(PercentEncoding.decode(id), request) else {
            return .json([Self.document(id: "unknown", "Task not found")], script: SimulatorScript())
        }
        let script = standing.job.script
        let document: ByteBuffer
        switch standing.state.stage {
        case _ where script.refuse == .head: document = Self.moderated(standing.id, "Request Moderated")
        case .error where script.refuse == .stream: document = Self.moderated(standing.id, "Content Moderated")
        case .error: document = Self.document(id: standing.id, "Error")
        case .completed:
            let file = standing.files.first ?? ""
            document = Self.document(id: standing.id, "Ready", progress: 1) { writer in
                writer.field("sample", "\(request.origin)\(request.prefix)/images/\(file)")
                writer.field("duration", Double(script.duration.milliseconds) / 1000)
            }
        case .queued: document = Self.document(id: standing.id, "Pending")
        case .processing, .generating, .uploading:
            document = Self.document(id: standing.id, "Pending", progress: Double(standing.state.progress) / 100)
        }
        return standing.answer(document, wrongFields: #"{"id":7,"status":"Ready","result":[]}"#)
    }

    private static func moderated(_ id: String, _ status: String) -> ByteBuffer {
        self.document(id: id, status, details: #"{"Moderation Reasons":["Safety Filter"]}"#)
    }

    private static func document(
        id: String, _ status: String, progress: Double? = nil, details: String? = nil,
        result: ((inout JSONWriter) -> Void)? = nil
    ) -> ByteBuffer {
        var writer = JSONWriter()
        writer.beginObject()
        writer.field("id", id)
        writer.field("status", status)
        writer.key("result")
        if let result {
            writer.beginObject()
            result(&writer)
            writer.endObject()
        } else {
            writer.null()
        }
        writer.key("progress")
        if let progress { writer.value(progress) } else { writer.null() }
        writer.key("details")
        if let details { writer.value(raw: ByteBuffer(string: details)) } else { writer.null() }
        writer.key("preview")
        writer.null()
        writer.endObject()
        return writer.takeBuffer()
    }
}

extension HTTPField.Name {
    fileprivate static let xKey = Self("x-key")!
}
