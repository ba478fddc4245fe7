package import NIOCore

/// What a client wants, free of any API's spelling. Dialects decode into it, providers encode from it.
package struct ImageRequest: Sendable {
    package var operation: Operation
    package var prompt: String
    package var negativePrompt: String?
    package var model: String?
    /// Pictures asked for; at least 1.
    package var count: Int
    package var size: Size?
    package var quality: String?
    package var outputFormat: ImageFormat?
    /// 0…100, for jpeg and webp.
    package var outputCompression: Int?
    package var background: String?
    package var style: String?
    package var seed: Int64?
    /// Previews asked for: nil when the client did not say (none are asked of the upstream), 0…3.
    package var partialImages: Int?
    /// Pictures to edit, in order.
    package var images: [InputImage]
    package var mask: InputImage?
    package var user: String?
    /// Fields that some upstreams know and the model has no word for, kept as scalar text: `moderation`,
    /// `input_fidelity`, `stages`' `blog_id`, `is_draft`, …
    package var extensions: [String: ExtensionValue]

    package init(operation: Operation, prompt: String) {
        self.operation = operation
        self.prompt = prompt
        self.count = 1
        self.images = []
        self.extensions = [:]
    }

    package enum Operation: String, Sendable, CaseIterable { case generate, edit }

    /// The three ways clients name a size. `named` is passed on as the upstream's own word (`auto`, `1024x1024`).
    package enum Size: Hashable, Sendable {
        case named(String)
        case aspectRatio(width: Int, height: Int)
        case pixels(width: Int, height: Int)
    }

    package enum ExtensionValue: Hashable, Sendable {
        case text(String)
        case integer(Int64)
        case boolean(Bool)
    }
}

/// A picture the client sent along, still as it came.
package struct InputImage: Sendable {
    package var content: Content
    /// As declared by the client; nil when it did not say.
    package var mediaType: String?
    package var fileName: String?

    package init(content: Content, mediaType: String? = nil, fileName: String? = nil) {
        self.content = content
        self.mediaType = mediaType
        self.fileName = fileName
    }

    package enum Content: Sendable {
        /// Raw bytes of an upload.
        case bytes(ByteBuffer)
        /// Canonical base64, from a `data:` URL or a JSON field.
        case base64(ByteBuffer)
        /// An `https:` URL, passed on untouched and never fetched; only where the route says `"input_urls": "forward"`.
        case url(String)
        /// An id at the upstream.
        case fileID(String)
    }
}
