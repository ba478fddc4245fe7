import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore

/// Feeds dialects as the gateway does.
enum DialectDriving {
    static func request(
        _ body: some Sequence<UInt8>, contentType: String? = "application/json"
    ) -> DialectRequest {
        var headers = HTTPFields()
        headers[.contentType] = contentType
        return DialectRequest(headers: headers, body: ByteBuffer(bytes: body))
    }

    static func createEndpoint(_ dialect: any Dialect) throws -> DialectEndpoint {
        let streaming = dialect.endpoints.first { $0.action == .createStreaming }
        guard let endpoint = streaming ?? dialect.endpoints.first(where: { $0.action == .create }) else {
            throw GatewayError(.internal, "\(dialect.name) has no endpoint that creates a streamed job")
        }
        return endpoint
    }

    /// Every name of the endpoint's path stands for itself.
    static func call(
        _ endpoint: DialectEndpoint, query: [(name: String, value: String)] = [], headers: HTTPFields = [:]
    ) -> DialectCall {
        let names = endpoint.subpath.split(separator: "/").filter { $0.hasPrefix("{") }.map { pattern in
            String(pattern.prefix { $0 != "." && $0 != "}" }.dropFirst())
        }
        return DialectCall(
            endpoint: endpoint,
            parameters: Dictionary(uniqueKeysWithValues: names.map { ($0, $0) }), query: query, headers: headers,
            base: "\(CanonicalJob.publicURL)/mount")
    }

    static func decode(
        _ dialect: any Dialect, _ body: String, operation: ImageRequest.Operation = .generate,
        contentType: String? = "application/json"
    ) throws -> DecodedRequest {
        try dialect.decode(
            self.request(body.utf8, contentType: contentType), endpoint: try self.createEndpoint(dialect),
            operation: operation)
    }

    /// The error a body is refused with; nil when it is taken.
    static func refusal(
        _ dialect: any Dialect, _ body: String, operation: ImageRequest.Operation = .generate,
        contentType: String? = "application/json"
    ) -> GatewayError? {
        do {
            _ = try self.decode(dialect, body, operation: operation, contentType: contentType)
            return nil
        } catch {
            return error as? GatewayError
        }
    }

    /// Bytes of each event in turn.
    static func frames(_ encoder: any DialectEncoder, _ events: [SequencedEvent]) -> [[UInt8]] {
        var encoder = encoder
        var out = FrameOutput()
        return events.map { event in
            encoder.encode(event, into: &out)
            return self.bytes(out.take().pieces)
        }
    }

    static func stream(_ dialect: any Dialect, _ context: EncoderContext, _ events: [SequencedEvent]) -> [UInt8] {
        self.frames(dialect.makeStreamEncoder(context), events).flatMap { $0 }
    }

    static func answer(_ dialect: any Dialect, _ context: EncoderContext, _ events: [SequencedEvent]) -> DialectResponse
    {
        var encoder = dialect.makeAnswerEncoder(context)
        for event in events { encoder.add(event) }
        var out = FrameOutput()
        let head = encoder.finish(into: &out)
        let body = self.bytes(out.take().pieces)
        return DialectResponse(status: head.status, headers: head.headers, body: ByteBuffer(bytes: body))
    }

    static func bytes(_ pieces: [ByteBuffer]) -> [UInt8] { pieces.flatMap { Array($0.readableBytesView) } }

    /// Status, headers in order of their names, body.
    static func text(_ response: DialectResponse) -> [UInt8] {
        let headers = response.headers.map { "\($0.name.canonicalName): \($0.value)\n" }.sorted().joined()
        return Array("\(response.status)\n\(headers)\n".utf8) + Array(response.body.readableBytesView) + [0x0A]
    }
}
