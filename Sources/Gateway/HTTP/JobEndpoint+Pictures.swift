import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage

extension JobEndpoint {
    // MARK: A picture that develops

    /// `?image_index=` tells which of several pictures; default 0.
    func live(
        _ id: JobID, _ scope: RequestScope, _ table: LiveTable, _ writer: consuming ResponseWriter
    ) async throws {
        let job: JobView
        let index: Int
        do {
            job = try await self.job(id, scope)
            index = try Self.imageIndex(scope.query("image_index"))
            if scope.method != .head { try self.uses.takeFollowing(scope.principal, now: self.streams.now()) }
        } catch {
            return try await writer.writeWhole(GatewayResponder.failure(error), for: scope)
        }
        let every = table.table.routes.first { $0.name == job.route }?.heartbeat.every ?? .seconds(15)
        var delivery = LivePictureDelivery(
            imageIndex: index, heartbeat: TimeAmount(every), connection: scope.connection,
            payloads: self.streams.supervisor.payloads, budget: self.streams.supervisor.budget)
        var fields = Self.headers(scope, job)
        fields[.contentType] = delivery.contentType
        fields[.accelBuffering] = "no"
        let head = HTTPResponse(status: .ok, headerFields: fields)
        if scope.method == .head { return try await writer.writeResponse(head) }
        let subscription = job.subscribe()
        defer { self.streams.left(job, subscription) }
        self.streams.deliveries.begin(.whole(on: scope.connection))
        defer { self.streams.deliveries.end(.whole(on: scope.connection)) }
        try await delivery.run(subscription, writer: writer, head: head)
    }

    private static func imageIndex(_ text: String?) throws(GatewayError) -> Int {
        guard let text else { return 0 }
        guard let index = Call.index(text) else {
            throw GatewayError(.invalidParameter, "image_index must be a whole number.", parameter: "image_index")
        }
        return index
    }

    // MARK: One picture

    /// The finished picture, else its newest preview.
    func preview(
        _ id: JobID, _ index: Int, _ scope: RequestScope, _ writer: consuming ResponseWriter
    ) async throws {
        let job: JobView
        let picture: ShownPicture
        let mediaType: String
        do {
            job = try await self.job(id, scope)
            guard let found = ShownPicture.newest(of: index, in: job.log.retained),
                let readable = try await found.readable(self.streams.supervisor.payloads)
            else { throw GatewayError(.notFound, "There is no preview of this picture.") }
            picture = readable
            mediaType = try await readable.mediaType()
        } catch let error as GatewayError {
            return try await writer.writeWhole(GatewayResponder.failure(error), for: scope)
        }
        var fields = Self.headers(scope, job)
        fields[.contentType] = mediaType
        fields[.contentLength] = String(picture.byteCount)
        let head = HTTPResponse(status: .ok, headerFields: fields)
        if scope.method == .head { return try await writer.writeResponse(head) }
        var body = try await writer.writeHead(head)
        try await picture.write(to: &body, budget: self.streams.supervisor.budget, connection: scope.connection)
        try await body.finish(nil)
    }

    /// Nothing a browser might run, nothing that is kept: the next preview has the same address.
    private static func headers(_ scope: RequestScope, _ job: JobView) -> HTTPFields {
        var fields = scope.responseHeaders
        fields[.cacheControl] = "no-store"
        fields[.contentSecurityPolicy] = "default-src 'none'; sandbox"
        fields[.jobID] = job.id.text
        return fields
    }
}
