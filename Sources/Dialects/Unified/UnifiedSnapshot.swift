import HTTPTypes
package import ImageGeneration
import NIOCore
package import StreamCodecs

/// Where a job stands, as `GET /v1/jobs/{id}`, cancel calls, `202` answers and `gap` events show it.
package enum UnifiedSnapshot {
    /// - Parameters:
    ///   - delivery: Whether images show their URLs.
    ///   - publicURL: Base of the link to the job's events, without trailing slash; nil leaves the link out.
    package static func write(
        _ snapshot: JobSnapshot, delivery: Delivery = .both, publicURL: String? = nil, into json: inout JSONWriter
    ) {
        json.beginObject()
        json.field("job_id", snapshot.job.text)
        json.field("route", snapshot.route)
        json.field("status", snapshot.statusName)
        json.field("stage", snapshot.stage.name)
        json.field("progress", snapshot.progress)
        json.field("message", snapshot.message)
        json.field("queue_position", snapshot.queuePosition)
        json.key("last_seq")
        json.value(snapshot.lastSequence.rawValue)
        json.field("created_at", time: snapshot.createdAt)
        json.field("started_at", time: snapshot.startedAt)
        json.field("finished_at", time: snapshot.finishedAt)
        if let publicURL { json.field("events_url", "\(publicURL)/v1/jobs/\(snapshot.job.text)/events") }
        UnifiedJSON.writeDescriptions(snapshot.images, withURL: delivery.carriesURL, into: &json)
        self.writeTerminal(snapshot.terminal, into: &json)
        json.field("upstream_cancel", snapshot.upstreamCancel?.rawValue)
        json.endObject()
    }

    /// `202` with `Location` for a job just queued, else `200`.
    package static func response(
        _ snapshot: JobSnapshot, action: DialectEndpoint.Action, context: EncoderContext
    ) -> DialectResponse {
        var json = JSONWriter()
        self.write(snapshot, publicURL: context.publicURL, into: &json)
        var headers: HTTPFields = [.contentType: "application/json"]
        var status = 200
        switch action {
        case .create, .createStreaming, .submit:
            status = 202
            headers[.location] = "\(context.publicURL)/v1/jobs/\(snapshot.job.text)"
        case .snapshot, .answer, .stream, .list, .cancel, .describe: break
        }
        return DialectResponse(status: status, headers: headers, body: json.buffer)
    }

    /// `{"jobs": [snapshot…], "next_cursor": text or null}`.
    package static func response(
        _ jobs: [(snapshot: JobSnapshot, context: EncoderContext)], nextCursor: String?
    ) -> DialectResponse {
        var json = JSONWriter()
        json.beginObject()
        json.key("jobs")
        json.beginArray()
        for job in jobs { self.write(job.snapshot, publicURL: job.context.publicURL, into: &json) }
        json.endArray()
        json.field("next_cursor", orNull: nextCursor)
        json.endObject()
        return DialectResponse(status: 200, headers: [.contentType: "application/json"], body: json.buffer)
    }

    private static func writeTerminal(_ terminal: JobEvent?, into json: inout JSONWriter) {
        switch terminal {
        case .completed(let completion): UnifiedJSON.writeOutcome(completion, into: &json)
        case .error(let error): UnifiedJSON.writeError(error, into: &json)
        case .cancelled(let cancellation):
            json.key("cancelled")
            json.beginObject()
            UnifiedJSON.writeCancellation(cancellation, into: &json)
            json.endObject()
        case .stage, .partialImage, .textDelta, .image, nil: break
        }
    }
}
