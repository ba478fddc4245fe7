import ImageGeneration
import NIOCore
import StreamCodecs

/// The parts that events, answers and snapshots of the unified schema share; each writes members of an open object.
enum UnifiedJSON {
    static func writeAttributes(_ attributes: ImageAttributes, into json: inout JSONWriter) {
        json.field("size", attributes.size)
        json.field("quality", attributes.quality)
        json.field("background", attributes.background)
        json.field("output_format", attributes.outputFormat)
    }

    /// The members of an `image` event. Where only the other form of delivery is at hand, that one is written: a
    /// finished picture is never announced without a way to it.
    static func writeImage(_ image: FinishedImage, delivery: Delivery, into out: inout FrameOutput) {
        let payload = delivery.carriesPayload || image.url == nil ? image.payload : nil
        self.writeDescription(image, withURL: delivery.carriesURL || payload == nil, into: &out.json)
        if let payload { out.field("b64_json", payload: payload) }
    }

    /// The members of an `image` event but for the payload.
    static func writeDescription(_ image: FinishedImage, withURL: Bool, into json: inout JSONWriter) {
        json.field("image_index", image.imageIndex)
        json.field("image_id", image.imageID.text)
        json.field("width", image.width)
        json.field("height", image.height)
        self.writeAttributes(image.attributes, into: &json)
        json.field("file_size", image.fileSize)
        json.field("created_at", image.attributes.createdAt)
        if let usage = image.usage { json.field("usage", usage: usage) }
        json.field("revised_prompt", image.revisedPrompt)
        guard withURL, let url = image.url else { return }
        json.field("url", url.text)
        json.field("url_expires_at", time: url.expiresAt)
    }

    /// `images`, each without payload.
    static func writeDescriptions(_ images: [FinishedImage], withURL: Bool, into json: inout JSONWriter) {
        json.key("images")
        json.beginArray()
        for image in images {
            json.beginObject()
            self.writeDescription(image, withURL: withURL, into: &json)
            json.endObject()
        }
        json.endArray()
    }

    static func writeCompletion(_ completion: Completion, delivery: Delivery, into json: inout JSONWriter) {
        self.writeDescriptions(completion.images, withURL: delivery.carriesURL, into: &json)
        self.writeOutcome(completion, into: &json)
    }

    /// What a `completed` event says besides its images.
    static func writeOutcome(_ completion: Completion, into json: inout JSONWriter) {
        if !completion.failures.isEmpty {
            json.key("failures")
            json.beginArray()
            for failure in completion.failures {
                json.beginObject()
                json.field("image_index", failure.imageIndex)
                json.field("code", failure.code.rawValue)
                json.field("message", failure.message)
                json.endObject()
            }
            json.endArray()
        }
        json.field("usage", usage: completion.usage)
        json.field("cost", completion.cost)
        json.field("upstream", completion.upstream)
        json.field("model", completion.model)
        json.key("timings")
        json.beginObject()
        json.field("queued_ms", completion.timings.queued)
        json.field("first_preview_ms", orNull: completion.timings.firstPreview)
        json.field("generating_ms", completion.timings.generating)
        json.field("uploading_ms", completion.timings.uploading)
        json.field("total_ms", completion.timings.total)
        json.endObject()
    }

    /// `error`, as events carry it.
    static func writeError(_ error: GatewayError, into json: inout JSONWriter) {
        json.key("error")
        json.beginObject()
        self.writeErrorMembers(error, into: &json)
        json.endObject()
    }

    static func writeErrorMembers(_ error: GatewayError, into json: inout JSONWriter) {
        json.field("code", error.code.rawValue)
        json.field("message", error.message)
        json.field("source", error.source.rawValue)
        json.field("retryable", error.isRetryable)
        json.field("billed", error.billed.rawValue)
        json.field("retry_after_ms", error.retryAfterMilliseconds)
        json.field("upstream_status", error.upstreamStatus)
    }

    static func writeCancellation(_ cancellation: Cancellation, into json: inout JSONWriter) {
        json.field("reason", cancellation.reason.rawValue)
        json.field("billed", cancellation.billed.rawValue)
    }
}
