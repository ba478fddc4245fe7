import ImageGeneration
import NIOCore
import StreamCodecs

/// A template's body as a form: a part for each member of the object, files for pictures.
///
/// Nested objects and lists of anything but pictures have no form of their own: they are written as JSON text.
struct SyncRequestBody {
    let request: ImageRequest
    let model: String?

    func form(_ template: QueueTemplate, entropy: UInt64) throws(GatewayError) -> (
        contentType: String, body: [ByteBuffer]
    ) {
        var generator = SplitMix(state: entropy)
        var form = MultipartFormWriter(drawingFrom: &generator)
        if case .object(let members) = template {
            for (name, value) in members { try self.append(value, name: name, to: &form) }
        }
        return (form.contentType, form.finish())
    }

    private func append(
        _ template: QueueTemplate, name: String, to form: inout MultipartFormWriter
    ) throws(GatewayError) {
        switch template {
        case .field(.image, _):
            if let image = self.request.images.first {
                try form.append(image, name: name, fileName: "image", parameter: "images")
            }
        case .field(.images, _):
            for (index, image) in self.request.images.enumerated() {
                try form.append(image, name: name, fileName: "image-\(index + 1)", parameter: "images")
            }
        case .field(.mask, _):
            if let mask = self.request.mask {
                try form.append(mask, name: name, fileName: "mask", parameter: "mask")
            }
        case .field(let field, let rule):
            switch rule.applied(to: field.value(in: self.request, model: self.model, rule: rule)) {
            case .text(let text): form.append(name: name, text: text)
            case .integer(let number): form.append(name: name, text: String(number))
            case .boolean(let flag): form.append(name: name, text: flag ? "true" : "false")
            case .payload, .list, nil: break
            }
        case .literal(let raw): form.append(name: name, text: Self.text(raw))
        case .object, .array:
            let pieces = template.body(self.request, model: self.model)
            form.append(name: name, text: pieces.map { String(buffer: $0) }.joined())
        }
    }

    /// A literal string without its quotes; every other literal as it stands.
    private static func text(_ raw: ByteBuffer) -> String {
        (try? JSONDocument(raw).root.string) ?? String(buffer: raw)
    }
}
