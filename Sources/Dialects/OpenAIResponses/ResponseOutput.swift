import ImageGeneration
import NIOCore
import StreamCodecs

/// The `output` of a response as it grows: pictures and one message, in the order in which they began.
struct ResponseOutput: Sendable {
    enum Item: Hashable {
        case image(Int)
        case message
    }

    private(set) var items: [Item] = []
    private(set) var text = ""
    private var images: [Int: FinishedImage] = [:]
    private var failures: [Int: ImageFailure] = [:]
    /// What all ids have behind their kind.
    private let suffix: Substring

    init(job: JobID) { self.suffix = job.text.dropFirst(4) }

    /// - Returns: the item's place, and whether it was just given one.
    mutating func place(_ item: Item) -> (index: Int, isNew: Bool) {
        if let index = self.items.firstIndex(of: item) { return (index, false) }
        self.items.append(item)
        return (self.items.count - 1, true)
    }

    mutating func finish(_ image: FinishedImage) {
        _ = self.place(.image(image.imageIndex))
        self.images[image.imageIndex] = image
    }

    mutating func fail(_ failure: ImageFailure) {
        guard self.images[failure.imageIndex] == nil else { return }
        _ = self.place(.image(failure.imageIndex))
        self.failures[failure.imageIndex] = failure
    }

    mutating func append(_ text: String) {
        _ = self.place(.message)
        self.text += text
    }

    /// Whether there is a finished picture whose bytes are gone.
    var lacksPayload: Bool { self.images.values.contains { $0.payload == nil } }

    func id(_ item: Item) -> String {
        switch item {
        case .image(let index): "ig_\(self.suffix)_\(index)"
        case .message: "msg_\(self.suffix)"
        }
    }

    /// As array. Once the response is over, pictures that did not come are left out.
    func write(isOver: Bool, _ operation: ImageRequest.Operation, into out: inout FrameOutput) {
        out.json.beginArray()
        for item in self.items where !isOver || self.isThere(item) {
            self.write(item, isDone: isOver || self.images[item.imageIndex ?? -1] != nil, operation, into: &out)
        }
        out.json.endArray()
    }

    private func isThere(_ item: Item) -> Bool {
        guard let index = item.imageIndex else { return true }
        return self.images[index] != nil || self.failures[index] != nil
    }

    /// - Parameter isDone: else the item has only begun.
    func write(_ item: Item, isDone: Bool, _ operation: ImageRequest.Operation, into out: inout FrameOutput) {
        switch item {
        case .message: self.writeMessage(isDone: isDone, into: &out.json)
        case .image(let index):
            out.json.beginObject()
            out.json.field("id", self.id(item))
            out.json.field("type", staticText: "image_generation_call")
            if let image = self.images[index] {
                Self.write(image, operation, into: &out)
            } else if let failure = self.failures[index] {
                Self.write(failure, into: &out.json)
            } else {
                out.json.field("status", staticText: "in_progress")
                out.json.key("result")
                out.json.null()
            }
            out.json.endObject()
        }
    }

    private static func write(
        _ image: FinishedImage, _ operation: ImageRequest.Operation, into out: inout FrameOutput
    ) {
        out.json.field("status", staticText: "completed")
        out.json.field("action", operation == .edit ? "edit" : "generate")
        if !image.attributes.background.isEmpty { out.json.field("background", image.attributes.background) }
        out.json.field("output_format", image.attributes.outputFormat.isEmpty ? "png" : image.attributes.outputFormat)
        if !image.attributes.quality.isEmpty { out.json.field("quality", image.attributes.quality) }
        out.json.field("revised_prompt", image.revisedPrompt)
        let size = image.sizeText
        if !size.isEmpty { out.json.field("size", size) }
        guard let payload = image.payload else {
            out.json.key("result")
            return out.json.null()
        }
        out.field("result", payload: payload)
    }

    /// A picture that failed inside a response that did not.
    private static func write(_ failure: ImageFailure, into json: inout JSONWriter) {
        json.field("status", staticText: "failed")
        json.key("result")
        json.null()
        json.key("error")
        json.beginObject()
        json.field("type", OpenAIErrorBody.type(failure.code))
        json.field("code", OpenAIErrorBody.code(failure.code))
        json.field("message", failure.message)
        json.endObject()
    }

    private func writeMessage(isDone: Bool, into json: inout JSONWriter) {
        json.beginObject()
        json.field("id", self.id(.message))
        json.field("type", staticText: "message")
        json.field("status", isDone ? "completed" : "in_progress")
        json.field("role", staticText: "assistant")
        json.key("content")
        json.beginArray()
        if isDone { Self.writeText(self.text, into: &json) }
        json.endArray()
        json.endObject()
    }

    /// One part of a message's content.
    static func writeText(_ text: String, into json: inout JSONWriter) {
        json.beginObject()
        json.field("type", staticText: "output_text")
        json.field("text", text)
        for key: StaticString in ["annotations", "logprobs"] {
            json.key(key)
            json.beginArray()
            json.endArray()
        }
        json.endObject()
    }
}

extension ResponseOutput.Item {
    fileprivate var imageIndex: Int? {
        if case .image(let index) = self { index } else { nil }
    }
}
