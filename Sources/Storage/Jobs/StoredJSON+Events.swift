package import ImageGeneration
import StreamCodecs

// MARK: - Terminal events

extension StoredJSON {
    /// Nil for events that do not end a job.
    /// - Parameter keepsPrompts: without, what upstreams made of the prompts is left out.
    package static func terminal(_ event: JobEvent, keepsPrompts: Bool = true) -> String? {
        switch event {
        case .completed(let completion):
            self.write { self.write(completion, keepsPrompts: keepsPrompts, &$0) }
        case .error(let error):
            self.write { self.write(error, &$0) }
        case .cancelled(let cancellation):
            self.write { writer in
                writer.beginObject()
                writer.field("type", staticText: "cancelled")
                writer.field("reason", cancellation.reason.rawValue)
                writer.field("billed", cancellation.billed.rawValue)
                writer.endObject()
            }
        case .stage, .partialImage, .textDelta, .image: nil
        }
    }

    package static func terminal(_ text: String) throws(StoredJSONError) -> JobEvent {
        let node = try self.read(text)
        switch try node.text("type") {
        case "completed": return .completed(try self.completion(node))
        case "error": return .error(try self.error(node))
        case "cancelled":
            return .cancelled(Cancellation(reason: try node.word("reason"), billed: try node.word("billed")))
        case let type: throw StoredJSONError("unknown type: \(type)")
        }
    }

    private static func write(_ completion: Completion, keepsPrompts: Bool, _ writer: inout JSONWriter) {
        writer.beginObject()
        writer.field("type", staticText: "completed")
        writer.key("images")
        writer.beginArray()
        for image in completion.images { self.write(image, keepsPrompts: keepsPrompts, &writer) }
        writer.endArray()
        writer.key("failures")
        writer.beginArray()
        for failure in completion.failures { self.write(failure, &writer) }
        writer.endArray()
        writer.key("usage")
        self.write(completion.usage, &writer)
        writer.field("cost", completion.cost.flatMap { $0.isFinite ? $0 : nil })
        writer.field("upstream", completion.upstream)
        writer.field("model", completion.model)
        writer.key("timings")
        self.write(completion.timings, &writer)
        writer.endObject()
    }

    private static func completion(_ node: JSONNode) throws(StoredJSONError) -> Completion {
        var images: [FinishedImage] = []
        for image in try node.required("images").elements { images.append(try self.image(image)) }
        var failures: [ImageFailure] = []
        for failure in try node.required("failures").elements { failures.append(try self.failure(failure)) }
        return Completion(
            images: images, failures: failures, usage: try self.usage(try node.required("usage")),
            cost: node["cost"]?.double, upstream: try node.text("upstream"), model: try node.text("model"),
            timings: try self.timings(try node.required("timings")))
    }

    private static func write(_ timings: Timings, _ writer: inout JSONWriter) {
        writer.beginObject()
        writer.field("queued_ms", timings.queued)
        writer.field("first_preview_ms", timings.firstPreview)
        writer.field("generating_ms", timings.generating)
        writer.field("uploading_ms", timings.uploading)
        writer.field("total_ms", timings.total)
        writer.endObject()
    }

    private static func timings(_ node: JSONNode) throws(StoredJSONError) -> Timings {
        Timings(
            queued: try node.integer("queued_ms"), firstPreview: node.optionalInteger("first_preview_ms"),
            generating: try node.integer("generating_ms"), uploading: try node.integer("uploading_ms"),
            total: try node.integer("total_ms"))
    }
}

// MARK: - Errors

extension StoredJSON {
    private static func write(_ error: GatewayError, _ writer: inout JSONWriter) {
        writer.beginObject()
        writer.field("type", staticText: "error")
        writer.field("code", error.code.rawValue)
        writer.field("message", error.message)
        writer.field("billed", error.billed.rawValue)
        writer.field("retry_after_ms", error.retryAfterMilliseconds)
        writer.field("upstream_status", error.upstreamStatus)
        writer.field("parameter", error.parameter)
        writer.field("line", error.position?.line)
        writer.field("column", error.position?.column)
        writer.field("cause", error.cause)
        writer.endObject()
    }

    private static func error(_ node: JSONNode) throws(StoredJSONError) -> GatewayError {
        var position: (line: Int, column: Int)?
        if let line = node.optionalInteger("line"), let column = node.optionalInteger("column") {
            position = (line, column)
        }
        return GatewayError(
            try node.word("code"), try node.text("message"), billed: try node.word("billed"),
            retryAfterMilliseconds: node.optionalInteger("retry_after_ms"),
            upstreamStatus: node.optionalInteger("upstream_status"), parameter: node["parameter"]?.string,
            position: position, cause: node["cause"]?.string)
    }
}

// MARK: - Pictures

extension StoredJSON {
    package static func image(_ image: FinishedImage, keepsPrompts: Bool = true) -> String {
        self.write { self.write(image, keepsPrompts: keepsPrompts, &$0) }
    }

    package static func image(_ text: String) throws(StoredJSONError) -> FinishedImage {
        try self.image(try self.read(text))
    }

    package static func failure(_ failure: ImageFailure) -> String {
        self.write { self.write(failure, &$0) }
    }

    package static func failure(_ text: String) throws(StoredJSONError) -> ImageFailure {
        try self.failure(try self.read(text))
    }

    private static func write(_ image: FinishedImage, keepsPrompts: Bool, _ writer: inout JSONWriter) {
        writer.beginObject()
        writer.field("image_index", image.imageIndex)
        writer.field("image_id", image.imageID.text)
        writer.field("width", image.width)
        writer.field("height", image.height)
        writer.field("size", image.attributes.size)
        writer.field("quality", image.attributes.quality)
        writer.field("background", image.attributes.background)
        writer.field("output_format", image.attributes.outputFormat)
        writer.field("created_at", image.attributes.createdAt)
        writer.field("file_size", image.fileSize)
        if let usage = image.usage {
            writer.key("usage")
            self.write(usage, &writer)
        }
        if keepsPrompts { writer.field("revised_prompt", image.revisedPrompt) }
        writer.endObject()
    }

    private static func image(_ node: JSONNode) throws(StoredJSONError) -> FinishedImage {
        guard let id = ImageID(try node.text("image_id")) else { throw StoredJSONError("'image_id' is no image id") }
        let attributes = ImageAttributes(
            size: try node.text("size"), quality: try node.text("quality"), background: try node.text("background"),
            outputFormat: try node.text("output_format"), createdAt: Int64(try node.integer("created_at")))
        var usage: Usage?
        if let stored = node["usage"] { usage = try self.usage(stored) }
        return FinishedImage(
            imageIndex: try node.integer("image_index"), imageID: id, width: try node.integer("width"),
            height: try node.integer("height"), attributes: attributes, fileSize: try node.integer("file_size"),
            usage: usage, revisedPrompt: node["revised_prompt"]?.string)
    }

    private static func write(_ failure: ImageFailure, _ writer: inout JSONWriter) {
        writer.beginObject()
        writer.field("image_index", failure.imageIndex)
        writer.field("code", failure.code.rawValue)
        writer.field("message", failure.message)
        writer.endObject()
    }

    private static func failure(_ node: JSONNode) throws(StoredJSONError) -> ImageFailure {
        ImageFailure(
            imageIndex: try node.integer("image_index"), code: try node.word("code"), message: try node.text("message"))
    }
}

// MARK: - Usage

extension StoredJSON {
    package static func usage(_ usage: Usage) -> String { self.write { self.write(usage, &$0) } }

    package static func usage(_ text: String) throws(StoredJSONError) -> Usage { try self.usage(try self.read(text)) }

    private static func write(_ usage: Usage, _ writer: inout JSONWriter) {
        writer.beginObject()
        writer.field("input_tokens", usage.inputTokens)
        writer.field("input_text_tokens", usage.inputTextTokens)
        writer.field("input_image_tokens", usage.inputImageTokens)
        writer.field("output_tokens", usage.outputTokens)
        writer.field("total_tokens", usage.totalTokens)
        writer.endObject()
    }

    private static func usage(_ node: JSONNode) throws(StoredJSONError) -> Usage {
        Usage(
            inputTokens: try node.integer("input_tokens"), inputTextTokens: try node.integer("input_text_tokens"),
            inputImageTokens: try node.integer("input_image_tokens"), outputTokens: try node.integer("output_tokens"),
            totalTokens: try node.integer("total_tokens"))
    }
}
