package import NIOCore

/// What a client wants, free of any API's spelling. Dialects decode into it, providers encode from it.
package struct ImageRequest: Sendable {
    package var operation: Operation
    /// Where the client sent a conversation: the text of its last message by the user.
    package var prompt: String
    /// The conversation, oldest first, up to the message whose text is ``prompt``; empty where the client sent a prompt
    /// alone. Pictures of that last message are in ``images`` and not here.
    package var messages: [Message]
    /// What the upstream's model is told ahead of the conversation.
    package var instructions: String?
    /// Whether a picture is wanted at all.
    package var picture: PictureWish
    package var negativePrompt: String?
    package var model: String?
    /// The model that draws, where ``model`` converses.
    package var imageModel: String?
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
    /// The client's own labels, at most 16; handed to upstreams that keep such.
    package var metadata: [String: String]
    /// Fields that some upstreams know and the model has no word for, kept as scalar text: `moderation`,
    /// `input_fidelity`, `stages`' `blog_id`, `is_draft`, …
    package var extensions: [String: ExtensionValue]

    package init(operation: Operation, prompt: String) {
        self.operation = operation
        self.prompt = prompt
        self.messages = []
        self.picture = .always
        self.count = 1
        self.images = []
        self.metadata = [:]
        self.extensions = [:]
    }

    package enum Operation: String, Sendable, CaseIterable { case generate, edit }

    package struct Message: Sendable {
        package var role: Role
        package var text: String
        /// Pictures of an earlier message.
        package var images: [InputImage]

        package init(role: Role, text: String, images: [InputImage] = []) {
            self.role = role
            self.text = text
            self.images = images
        }

        package enum Role: String, Sendable, CaseIterable { case system, user, assistant }
    }

    package enum PictureWish: String, Sendable, CaseIterable {
        case always
        /// The upstream's model decides.
        case model
        case never
    }

    /// The three ways clients name a size. `named` is passed on as the upstream's own word (`auto`, `1024x1024`).
    package enum Size: Hashable, Sendable {
        case named(String)
        case aspectRatio(width: Int, height: Int)
        case pixels(width: Int, height: Int)

        /// As clients spell it: a word, `1024x768`, `4:3`.
        package var text: String {
            switch self {
            case .named(let name): name
            case .pixels(let width, let height): "\(width)x\(height)"
            case .aspectRatio(let width, let height): "\(width):\(height)"
            }
        }
    }

    package enum ExtensionValue: Hashable, Sendable {
        case text(String)
        case integer(Int64)
        case boolean(Bool)
    }
}

extension ImageRequest {
    /// Bytes of the pictures that were sent along, as they are held.
    package var pictureBytes: Int {
        let earlier = self.messages.flatMap(\.images)
        return (self.images + earlier + [self.mask].compactMap { $0 }).reduce(0) { $0 + $1.byteCount }
    }
}

extension InputImage {
    fileprivate var byteCount: Int {
        switch self.content {
        case .bytes(let bytes), .base64(let bytes): bytes.readableBytes
        case .url, .fileID: 0
        }
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
