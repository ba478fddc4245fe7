import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

@testable import Dialects

/// A dialect that nobody speaks. It is this folder, its fixtures and one line in ``ConformanceSubjects``; the suite asks of it
/// all that it asks of the others.
struct PostcardDialect: Dialect {
    let name = "postcard"
    let endpoints = [DialectEndpoint(method: .post, subpath: "", action: .create)]
    let traits = DialectTraits(head: .now, heartbeat: ": ka\n\n")

    func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        let parameters = try RequestParameters(request, formFiles: [])
        return DecodedRequest(image: ImageRequest(operation: operation, prompt: try parameters.prompt()), mode: .stream)
    }

    func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        EndpointDocument(
            "Sends a postcard", body: .object(["prompt": RequestSchemas.prompt], required: ["prompt"]),
            answers: [.init(200, "The postcard.", .events("`data:` lines."))], failure: .init("text/plain", .string()))
    }

    func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder { PostcardEncoder() }

    func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder { PostcardAnswerEncoder() }

    func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        DialectResponse(
            status: error.code.status, headers: ErrorHeaders.make(error, contentType: "text/plain"),
            body: ByteBuffer(string: error.message))
    }

    func render(_ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext) -> DialectResponse {
        UnifiedSnapshot.response(snapshot, action: endpoint.action, context: context)
    }
}

/// `data: front:<base64>`, `data: sent`, `data: lost:<why>`.
struct PostcardEncoder: DialectEncoder {
    private var isFinished = false

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        switch event.event {
        case .stage, .partialImage, .textDelta: break
        case .image(let image):
            out.write("data: front:")
            if let payload = image.payload { out.splice(payload) }
            out.write("\n\n")
        case .completed:
            self.isFinished = true
            out.write("data: sent\n\n")
        case .error(let error): self.lose(error, into: &out)
        case .cancelled(let cancellation): self.lose(cancellation.asError, into: &out)
        }
    }

    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {
        if !self.isFinished { self.lose(error, into: &out) }
    }

    private mutating func lose(_ error: GatewayError, into out: inout FrameOutput) {
        self.isFinished = true
        out.write("data: lost:")
        out.json.buffer.writeString(error.code.rawValue)
        out.write(" ")
        out.json.value(error.message)
        out.write("\n\n")
    }
}

struct PostcardAnswerEncoder: DialectAnswerEncoder {
    private var outcome = JobOutcome()

    mutating func add(_ event: SequencedEvent) { self.outcome.add(event) }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        switch self.outcome.result {
        case .failure(let error):
            let response = PostcardDialect().render(error, requestID: "")
            out.splice(response.body)
            return DialectAnswerHead(status: response.status, headers: response.headers, error: error)
        case .success:
            out.json.beginObject()
            if let payload = self.outcome.images.first?.payload { out.field("front", payload: payload) }
            out.json.endObject()
            return DialectAnswerHead(status: 200, headers: [.contentType: "application/json"])
        }
    }
}
