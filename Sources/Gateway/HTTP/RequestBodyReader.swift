import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore

/// Reads a request's body into one buffer, refusing what is too large before reading it.
enum RequestBodyReader {
    /// - Parameter limit: in bytes.
    /// - Throws: `too_large`, `request_timeout`; after either the connection closes with its answer.
    static func read(_ request: Request, limit: Int, connection: ClientConnection) async throws -> ByteBuffer {
        let declared = request.headers[.contentLength].flatMap(Int.init)
        if let declared, declared > limit { throw Self.tooLarge(limit, connection) }
        if request.headers[.expect]?.lowercased() == "100-continue" { connection.directBody?.writeContinue() }
        var buffer = ByteBuffer()
        var iterator = request.body.makeAsyncIterator()
        while let piece = try await iterator.next() {
            guard buffer.readableBytes + piece.readableBytes <= limit else { throw Self.tooLarge(limit, connection) }
            if buffer.readableBytes == 0 {
                buffer = piece
            } else {
                // A declared length is only believed as far as bytes come.
                if let declared { buffer.reserveCapacity(min(declared, 1 << 20)) }
                buffer.writeImmutableBuffer(piece)
            }
        }
        if connection.isGone { throw ClientGone() }
        return buffer
    }

    /// Lets go of a body that nobody will read. A small one is taken in first, so that the connection can serve the next request;
    /// with any other it closes behind the answer.
    static func discard(_ request: Request, connection: ClientConnection) async {
        let declared = request.headers[.contentLength].flatMap(Int.init)
        if declared == nil, request.headers[.transferEncoding] == nil { return }
        guard let declared, declared <= Self.smallBody else { return connection.closeAfterResponse() }
        do {
            for try await _ in request.body {}
        } catch {
            connection.closeAfterResponse()
        }
    }

    /// In bytes.
    private static let smallBody = 64 << 10

    private static func tooLarge(_ limit: Int, _ connection: ClientConnection) -> GatewayError {
        connection.closeAfterResponse()
        return GatewayError(.tooLarge, "The request's body is larger than \(limit) bytes.")
    }
}

/// Nobody is left to answer.
struct ClientGone: Error {}
