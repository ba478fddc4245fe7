import HTTPTypes
import HummingbirdCore
import NIOCore

/// Reads a request, finds its endpoint, and delivers what that answers with the faults its script asks for.
struct SimulatorResponder: Sendable {
    private let configuration: SimulatorConfiguration
    private let time: SimulatorTime
    private let images: OpenAIImagesEndpoint
    private let stages: StagesEndpoint
    private let responses: ResponsesEndpoint
    private let gemini: GeminiEndpoint
    private let webUI: WebUIEndpoint
    private let stability: StabilityEndpoint
    private let fal: FalEndpoint
    private let replicate: ReplicateEndpoint
    private let bfl: BFLEndpoint
    /// Bytes of a request body.
    private static let maximumBody = 256 << 20

    init(configuration: SimulatorConfiguration, time: SimulatorTime) {
        let cache = PictureCache(capacity: configuration.cacheBytes)
        self.configuration = configuration
        self.time = time
        self.images = OpenAIImagesEndpoint(defaults: configuration.defaults, cache: cache)
        self.stages = StagesEndpoint(defaults: configuration.defaults, cache: cache)
        self.responses = ResponsesEndpoint(defaults: configuration.defaults, cache: cache)
        self.gemini = GeminiEndpoint(defaults: configuration.defaults, cache: cache)
        self.webUI = WebUIEndpoint(defaults: configuration.defaults, cache: cache)
        self.stability = StabilityEndpoint(defaults: configuration.defaults, cache: cache)
        self.fal = FalEndpoint(defaults: configuration.defaults)
        self.replicate = ReplicateEndpoint(defaults: configuration.defaults, cache: cache)
        self.bfl = BFLEndpoint(defaults: configuration.defaults)
    }

    func respond(to request: Request, writer: consuming ResponseWriter, channel: any Channel) async throws {
        let presence = try await channel.pipeline.handler(type: ClientPresence.self).get()
        let visit = Visit(time: self.time, presence: presence)
        if request.headers[.expect]?.lowercased() == "100-continue" {
            try await writer.writeInformationalHead(HTTPResponse(status: .continue))
        }
        guard let body = try await self.body(of: request) else {
            let refusal = SimulatorError(413, "The request body is larger than 256 MiB.").response(
                openAI: true, defaults: self.configuration.defaults)
            try await self.deliver(refusal, method: request.method, writer: writer, visit: visit, channel: channel)
            // The rest of the body is not read, so the connection cannot be used again.
            throw ConnectionCut()
        }
        let response = try await self.response(to: request, body: body, visit: visit, channel: channel)
        try await self.deliver(response, method: request.method, writer: writer, visit: visit, channel: channel)
    }

    private func body(of request: Request) async throws -> ByteBuffer? {
        do {
            return try await request.body.collect(upTo: Self.maximumBody)
        } catch is NIOTooManyBytesError {
            return nil
        }
    }

    private func response(
        to request: Request, body: ByteBuffer, visit: Visit, channel: any Channel
    ) async throws -> SimulatorResponse {
        let target = (request.head.path ?? "/").split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = String(target[0])
        let match = Endpoint.match(method: request.method, path: path)
        var prefix = ""
        if case .found(_, let found) = match { prefix = found }
        let simulated = SimulatorRequest(
            method: request.method, path: path, prefix: prefix, query: target.count > 1 ? String(target[1]) : "",
            headers: request.headers, body: body,
            origin: "http://" + Self.host(request.head.authority, channel.localAddress), visit: visit)
        do {
            if request.method == .post, let replay = self.configuration.replay {
                return replay.response(script: try simulated.script(over: self.configuration.defaults))
            }
            return try await self.route(match, simulated)
        } catch let error as SimulatorError {
            return error.response(openAI: Endpoint.speaksOpenAI(path: path), defaults: self.configuration.defaults)
        }
    }

    private func route(_ match: Endpoint.Match, _ request: SimulatorRequest) async throws -> SimulatorResponse {
        switch match {
        case .notFound: throw SimulatorError(404, "Nothing is simulated at \(request.path.prefix(200)).")
        case .methodNotAllowed(let allow):
            throw SimulatorError(405, "This path answers \(allow).", headers: [.allow: allow])
        case .found(let endpoint, _):
            switch endpoint {
            case .index: return self.text(Self.index)
            case .health: return self.text("ok\n")
            case .generations: return try await self.images.respond(to: request, edit: false)
            case .edits: return try await self.images.respond(to: request, edit: true)
            case .submit: return try self.stages.submit(request)
            case .submitStream: return try self.stages.submitStream(request)
            case .job(let id): return try self.stages.status(id, request)
            case .jobEvents(let id): return try self.stages.events(id, request)
            case .cancelJob(let id): return try self.stages.cancel(id, request)
            case .image(let id): return try await self.stages.image(id, request)
            case .responses: return try await self.responses.create(request)
            case .response(let id): return try await self.responses.retrieve(id, request)
            case .cancelResponse(let id): return try self.responses.cancel(id, request)
            case .gemini(let model, let method):
                return try await self.gemini.respond(to: request, model: model, method: method)
            case .webUI(let call): return try await self.webUI.respond(to: request, call)
            case .stability(let edit): return try await self.stability.respond(to: request, edit: edit)
            case .queuedService(.fal(let call)): return try self.fal.respond(to: call, request)
            case .queuedService(.replicate(let call)): return try self.replicate.respond(to: call, request)
            case .queuedService(.bfl(let call)): return try self.bfl.respond(to: call, request)
            }
        }
    }

    private func deliver(
        _ response: SimulatorResponse, method: HTTPRequest.Method, writer: consuming ResponseWriter, visit: Visit,
        channel: any Channel
    ) async throws {
        var response = response
        let script = response.script
        try await visit.pause(for: script.firstByte)
        if script.stall == .head { try await visit.stall() }
        if script.malformed == .html {
            response.headers[.contentType] = "text/html; charset=utf-8"
            response.body = .whole([MalformedContent.page])
        }
        if case .whole(let pieces) = response.body {
            response.headers[.contentLength] = String(pieces.reduce(0) { $0 + $1.readableBytes })
        }
        let head = HTTPResponse(status: .init(code: response.status), headerFields: response.headers)
        if method == .head { return try await writer.writeResponse(head) }
        let bodyWriter: any ResponseBodyWriter = try await writer.writeHead(head)
        var stream = ResponseStream(writer: bodyWriter, script: script, visit: visit)
        do {
            switch response.body {
            case .whole(let pieces): try await stream.send(pieces, last: true)
            case .stream(let write): try await write(&stream)
            }
            try await stream.finish()
        } catch let cut as ConnectionCut {
            // What was written goes out before the connection closes.
            try? await channel.close(mode: .output).get()
            throw cut
        }
    }

    private func text(_ text: String) -> SimulatorResponse {
        var script = SimulatorScript()
        script.chunk = self.configuration.defaults.chunk
        return SimulatorResponse(
            type: "text/plain; charset=utf-8", body: .whole([ByteBuffer(string: text)]), script: script)
    }

    /// The host as the client named it, if it is one; else where we listen.
    private static func host(_ authority: String?, _ local: SocketAddress?) -> String {
        if let authority, !authority.isEmpty, authority.utf8.count <= 255,
            authority.utf8.allSatisfy({ Self.hostBytes.contains($0) })
        {
            return authority
        }
        let address = local?.ipAddress ?? "127.0.0.1"
        return (address.contains(":") ? "[\(address)]" : address) + ":\(local?.port ?? 80)"
    }

    private static let hostBytes = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]".utf8)

    private static let index = """
        Safelight simulator. It draws its own pictures; nothing here calls anyone.

        POST   …/images/generations      OpenAI Images, JSON; with "stream": true as events
        POST   …/images/edits            the same, multipart/form-data or JSON
        POST   {base}/generate           queues a job
        POST   {base}/generate/stream    queues a job and streams its stages
        GET    {base}/jobs/{id}          where a job stands
        GET    {base}/jobs/{id}/events   the same as events
        DELETE {base}/jobs/{id}          cancels; also POST {base}/jobs/{id}/cancel
        GET    {base}/images/{id}.png    a finished picture
        POST   …/responses               OpenAI Responses with its drawing tool
        GET    …/responses/{id}          a background response; POST …/responses/{id}/cancel
        POST   …/models/{model}:streamGenerateContent?alt=sse   Gemini; also :generateContent and :predict
        POST   …/sdapi/v1/txt2img        AUTOMATIC1111; img2img, progress, interrupt, /internal/progress
        POST   …/stable-image/generate/{model}   Stability; also …/stable-image/edit/{kind}
        …      /fal/…                    fal's queue
        …      /replicate/v1/…           Replicate's predictions
        …      /bfl/v1/…                 the FLUX API of Black Forest Labs
        GET    /healthz

        Script it by [sim key=value] in the prompt, by the header x-simulator, or by ?sim=key=value.
        Keys: \(SimulatorScript.keys.joined(separator: ", ")).

        """
}
