import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs
import Synchronization
import Transport

/// A job of a running gateway, asked for in the unified dialect.
struct RemoteGeneration: Sendable {
    let server: String
    let path: String
    /// What the gateway is shown; nil: nothing.
    let token: String?
    let transport: any UpstreamTransport

    func events(_ request: ImageRequest) -> AsyncStream<GenerationEvent> {
        let (events, out) = AsyncStream.makeStream(of: GenerationEvent.self)
        let receiver = RemoteReceiver(out: out)
        let session = self.transport.open(receiver)
        out.onTermination = { _ in session.close() }
        var headers = HTTPFields()
        headers[.contentType] = "application/json"
        headers[.accept] = "text/event-stream"
        if let token = self.token { headers[.authorization] = "Bearer \(token)" }
        session.send(
            UpstreamCall(
                method: .post, url: self.server + self.path, headers: headers, body: [Self.body(request)],
                timeouts: UpstreamTimeouts(connect: .seconds(5), firstByte: .seconds(60), idle: .seconds(60))),
            id: UpstreamCallID(0))
        return events
    }

    private static func body(_ request: ImageRequest) -> ByteBuffer {
        var json = JSONWriter()
        json.beginObject()
        json.field("prompt", request.prompt)
        json.field("stream", true)
        json.field("model", request.model)
        if case .named(let size)? = request.size { json.field("size", size) }
        json.field("quality", request.quality)
        json.field("partial_images", request.partialImages)
        json.field("n", request.count)
        json.field("seed", request.seed)
        json.endObject()
        return json.buffer
    }
}

/// Reads the unified event stream. Its state is touched by one transport thread only, and guarded all the same.
private final class RemoteReceiver: UpstreamReceiver {
    private struct State: ~Copyable {
        var decoder = ServerSentEventDecoder(scanner: JSONFieldScanner(RemoteReceiver.fields))
        var status = 0
        var refusal = ByteBuffer()
    }

    private static let fields = JSONFieldPaths([
        "stage", "progress", "message", "image_index", "partial_image_index", "b64_json", "url", "timings.total_ms",
        "error.code", "error.message", "reason",
    ])
    private let out: AsyncStream<GenerationEvent>.Continuation
    private let state = Mutex(State())

    init(out: AsyncStream<GenerationEvent>.Continuation) { self.out = out }

    func received(head: UpstreamResponseHead, call: UpstreamCallID) {
        self.state.withLock { $0.status = head.status }
    }

    func received(bytes: UnsafeRawBufferPointer, call: UpstreamCallID) {
        let events = self.state.withLock { state -> [GenerationEvent] in
            guard state.status == 200 else {
                if state.refusal.readableBytes < 4096 { state.refusal.writeBytes(bytes) }
                return []
            }
            var rest = bytes
            var events: [GenerationEvent] = []
            do {
                while let frame = try state.decoder.consume(&rest) {
                    if let event = Self.event(frame, state.decoder.scanner) { events.append(event) }
                }
            } catch {
                events.append(.failed(code: "upstream_protocol", message: "The gateway's stream cannot be read."))
            }
            return events
        }
        for event in events { self.out.yield(event) }
    }

    func ended(call: UpstreamCallID, failure: UpstreamFailure?) {
        if let failure {
            self.out.yield(.failed(code: failure.reason.rawValue, message: failure.detail))
        } else {
            let (status, refusal) = self.state.withLock { ($0.status, String(buffer: $0.refusal)) }
            if status != 200 { self.out.yield(.failed(code: "HTTP \(status)", message: refusal)) }
        }
        self.out.finish()
    }

    func timerFired(_ id: UpstreamTimerID) {}

    private static func event(_ frame: ServerSentEventFrame, _ found: JSONFieldScanner) -> GenerationEvent? {
        func text(_ path: Int) -> String {
            found.last(path).flatMap { JSONValueReader.string($0, in: frame.data) } ?? ""
        }
        func number(_ path: Int) -> Int {
            Int(found.last(path).flatMap { JSONValueReader.integer($0, in: frame.data) } ?? 0)
        }
        if frame.isEvent("stage") { return .progress(stage: text(0), percent: number(1), message: text(2)) }
        if frame.isEvent("partial_image"), let payload = found.last(5) {
            return .preview(
                image: number(3), number: number(4), base64: JSONValueReader.slice(payload, in: frame.data))
        }
        if frame.isEvent("image") {
            guard let payload = found.last(5) else { return .pictureAt(image: number(3), url: text(6)) }
            return .picture(image: number(3), base64: JSONValueReader.slice(payload, in: frame.data))
        }
        if frame.isEvent("completed") { return .completed(milliseconds: number(7)) }
        if frame.isEvent("error") { return .failed(code: text(8), message: text(9)) }
        if frame.isEvent("cancelled") { return .failed(code: "cancelled", message: text(10)) }
        return nil
    }
}
