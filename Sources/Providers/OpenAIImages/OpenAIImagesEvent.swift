import ImageGeneration
import NIOCore
import StreamCodecs

/// What kind of event a frame is: by `type` in its data, else by its event name. Look-alikes send only one of the two.
enum OpenAIImagesEvent {
    case partialImage
    /// A finished picture; from some look-alikes the end of the job, without a picture.
    case completed
    /// Look-alikes: one finished picture of several.
    case imageSucceeded
    /// Look-alikes: one picture of several failed.
    case imageFailed
    case error
    case unknown(String)

    private static let names: [(name: StaticString, event: OpenAIImagesEvent)] = [
        ("image_generation.partial_image", .partialImage), ("image_edit.partial_image", .partialImage),
        ("image_generation.completed", .completed), ("image_edit.completed", .completed),
        ("image_generation.partial_succeeded", .imageSucceeded), ("image_edit.partial_succeeded", .imageSucceeded),
        ("image_generation.partial_failed", .imageFailed), ("image_edit.partial_failed", .imageFailed),
        ("error", .error),
    ]

    init(_ frame: ServerSentEventFrame, fields: OpenAIImagesFields) {
        let type = fields.field(.type).flatMap { $0.kind == .string ? $0 : nil }
        for (name, event) in Self.names {
            let matches = type.map { JSONValueReader.equals($0, name, in: fields.document) } ?? frame.isEvent(name)
            if matches {
                self = event
                return
            }
        }
        if fields.hasError {
            self = .error
        } else {
            let name =
                type.flatMap { $0.range.count <= 256 ? JSONValueReader.string($0, in: fields.document) : nil }
                ?? frame.eventName
            self = .unknown(UpstreamText.label(name ?? "message"))
        }
    }

    /// The end mark some proxies add.
    static func isEndMark(_ frame: ServerSentEventFrame) -> Bool {
        frame.data.readableBytes <= 16
            && frame.data.readableBytesView.filter { $0 != 0x20 }.elementsEqual("[DONE]".utf8)
    }
}
