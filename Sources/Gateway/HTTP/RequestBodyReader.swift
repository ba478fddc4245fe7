import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage

/// Reads a request's body into one buffer, refusing what is too large before reading it.
enum RequestBodyReader {
    /// What a body may hold without being counted, in bytes: part of what a connection costs.
    private static let uncounted = 64 << 10

    /// - Parameters:
    ///   - limit: in bytes.
    ///   - budget: what the body's memory is counted by.
    /// - Returns: the body, and what it is counted by where it is large.
    /// - Throws: `too_large`, `request_timeout`, `overloaded`; after either the connection closes with its answer.
    static func read(
        _ request: Request, limit: Int, budget: PayloadBudget, connection: ClientConnection
    ) async throws -> (bytes: ByteBuffer, lease: PayloadLease?) {
        var lease: PayloadLease?
        // A connection of HTTP/2 has many streams.
        let uncounted = connection.isStreamOfAnother ? 0 : Self.uncounted
        let declared = request.headers[.contentLength].flatMap(Int.init)
        if let declared, declared > limit { throw Self.tooLarge(limit, connection) }
        if request.headers[.expect]?.lowercased() == "100-continue" { connection.directBody?.writeContinue() }
        var buffer = ByteBuffer()
        var iterator = request.body.makeAsyncIterator()
        while let piece = try await iterator.next() {
            guard buffer.readableBytes + piece.readableBytes <= limit else { throw Self.tooLarge(limit, connection) }
            if buffer.readableBytes + piece.readableBytes > max(uncounted, lease?.bytes ?? 0) {
                // Twofold, as the buffer grows; a declared length at once.
                let wanted = max(2 * (buffer.readableBytes + piece.readableBytes), declared ?? 0)
                lease = nil
                lease = budget.leaseUpload(wanted)
                if lease == nil { throw Self.overloaded(connection) }
            }
            if buffer.readableBytes == 0 {
                buffer = piece
            } else {
                // A declared length is only believed as far as bytes come.
                if let declared { buffer.reserveCapacity(min(declared, 1 << 20)) }
                buffer.writeImmutableBuffer(piece)
            }
        }
        if connection.isGone { throw ClientGone() }
        return (buffer, lease)
    }

    private static func overloaded(_ connection: ClientConnection) -> GatewayError {
        connection.closeAfterResponse()
        return GatewayError(.overloaded, "The gateway holds as much as it may.", retryAfterMilliseconds: 2000)
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
