import ImageGeneration
import NIOCore
import StreamCodecs

/// The body of a submission with places for fields of the unified request. A member whose field is not set is left out.
indirect enum QueueTemplate: Sendable {
    case object([(key: String, value: QueueTemplate)])
    case array([QueueTemplate])
    /// Of several the first that is set.
    case first([QueueTemplate])
    /// A JSON value as it stands in the definition.
    case literal(ByteBuffer)
    case field(QueueRequestField, QueueFieldRule)

    /// What a submission is made of.
    struct Source {
        let request: ImageRequest
        /// The upstream's name of the model.
        let model: String?
    }

    /// The body's pieces; payloads are not copied.
    func json(_ source: Source) -> [ByteBuffer] {
        var writer = SplicingWriter()
        self.write(source, into: &writer)
        return writer.finish()
    }

    private func write(_ source: Source, into writer: inout SplicingWriter) {
        switch self {
        case .object(let members):
            writer.json.beginObject()
            for (key, value) in members where value.isSet(source) {
                writer.json.key(dynamic: key)
                value.write(source, into: &writer)
            }
            writer.json.endObject()
        case .array(let elements):
            writer.json.beginArray()
            for element in elements where element.isSet(source) { element.write(source, into: &writer) }
            writer.json.endArray()
        case .first(let alternatives):
            if let first = alternatives.first(where: { $0.isSet(source) }) {
                first.write(source, into: &writer)
            } else {
                writer.json.null()
            }
        case .literal(let raw):
            writer.json.value(raw: raw)
        case .field(let field, let rule):
            Self.write(field.value(in: source, rule: rule), into: &writer)
        }
    }

    /// An object or list is set when anything in it is.
    func isSet(_ source: Source) -> Bool {
        switch self {
        case .object(let members): members.isEmpty || members.contains { $0.value.isSet(source) }
        case .array(let elements): elements.isEmpty || elements.contains { $0.isSet(source) }
        case .first(let alternatives): alternatives.contains { $0.isSet(source) }
        case .literal: true
        case .field(let field, let rule): field.value(in: source, rule: rule) != nil
        }
    }

    private static func write(_ value: QueueFieldValue?, into writer: inout SplicingWriter) {
        switch value {
        case nil: writer.json.null()
        case .text(let text): writer.json.value(text)
        case .integer(let number): writer.json.value(number)
        case .boolean(let flag): writer.json.value(flag)
        case .literal(let raw): writer.json.value(raw: raw)
        case .picture(let image, let asDataURL):
            let (text, type) = image.base64
            switch text {
            case .payload(let base64): writer.splice(prefix: asDataURL ? "data:\(type);base64," : "", base64)
            case .reference(let text): writer.json.value(text)
            }
        case .list(let values):
            writer.json.beginArray()
            for value in values { self.write(value, into: &writer) }
            writer.json.endArray()
        case .object(let members):
            writer.json.beginObject()
            for (key, value) in members {
                writer.json.key(dynamic: key)
                self.write(value, into: &writer)
            }
            writer.json.endObject()
        }
    }

    var isObject: Bool {
        if case .object = self { true } else { false }
    }

    /// Names in the body → unified names of the fields behind them; for errors that name a parameter.
    var parameters: [String: String] {
        var names: [String: String] = [:]
        switch self {
        case .object(let members):
            for (key, value) in members {
                if let field = value.field { names[key] = field.unifiedName }
                names.merge(value.parameters) { first, _ in first }
            }
        case .array(let elements), .first(let elements):
            for element in elements { names.merge(element.parameters) { first, _ in first } }
        case .literal, .field: break
        }
        return names
    }

    /// The field that alone makes the value.
    private var field: QueueRequestField? {
        switch self {
        case .field(let field, _): field
        case .first(let alternatives): alternatives.lazy.compactMap(\.field).first
        case .object, .array, .literal: nil
        }
    }

    /// Unified names of all fields that can be told.
    var unifiedNames: Set<String> {
        switch self {
        case .object(let members): members.reduce(into: []) { $0.formUnion($1.value.unifiedNames) }
        case .array(let elements), .first(let elements): elements.reduce(into: []) { $0.formUnion($1.unifiedNames) }
        case .literal: []
        case .field(let field, _): [field.unifiedName]
        }
    }
}

// MARK: Forms

/// A submission's body and its `Content-Type`.
struct QueueBody: Sendable {
    var contentType = "application/json"
    var pieces: [ByteBuffer] = []
}

extension QueueDefinition {
    /// - Parameter entropy: for the boundary of a form.
    /// - Throws: `invalid_parameter` for a picture that the form cannot hold.
    func body(_ source: QueueTemplate.Source, entropy: UInt64) throws(GatewayError) -> QueueBody {
        guard self.bodyForm == .multipart else { return QueueBody(pieces: self.body.json(source)) }
        return try self.body.form(source, entropy: entropy)
    }
}

extension QueueTemplate {
    /// - Parameter entropy: for the boundary.
    /// - Throws: `invalid_parameter` for a picture that a form cannot hold.
    func form(_ source: Source, entropy: UInt64) throws(GatewayError) -> QueueBody {
        var generator = SplitMix(state: entropy)
        var form = MultipartFormWriter(drawingFrom: &generator)
        try self.append(source, name: "", to: &form)
        let type = form.contentType
        return QueueBody(contentType: type, pieces: form.finish())
    }

    /// Members of objects within are named `outer[inner]`, elements of lists all alike.
    private func append(
        _ source: Source, name: String, to form: inout MultipartFormWriter
    ) throws(GatewayError) {
        switch self {
        case .object(let members):
            for (key, value) in members {
                try value.append(source, name: name.isEmpty ? key : "\(name)[\(key)]", to: &form)
            }
        case .array(let elements):
            for element in elements { try element.append(source, name: name, to: &form) }
        case .first(let alternatives):
            try alternatives.first { $0.isSet(source) }?.append(source, name: name, to: &form)
        case .literal(let raw): form.append(name: name, text: Self.text(raw))
        case .field(let field, let rule):
            if let value = field.value(in: source, rule: rule) { try Self.append(value, name: name, to: &form) }
        }
    }

    private static func append(
        _ value: QueueFieldValue, name: String, to form: inout MultipartFormWriter
    ) throws(GatewayError) {
        switch value {
        case .text(let text): form.append(name: name, text: text)
        case .integer(let number): form.append(name: name, text: String(number))
        case .boolean(let flag): form.append(name: name, text: flag ? "true" : "false")
        case .literal(let raw): form.append(name: name, text: self.text(raw))
        case .picture(let image, _):
            guard let bytes = try image.decoded() else { return form.append(name: name, text: image.reference ?? "") }
            let type = InputMediaType.of(image, bytes: bytes)
            form.append(
                name: name, fileName: "\(name).\(InputMediaType.fileExtension(of: type))", contentType: type,
                body: bytes)
        case .list(let values):
            for value in values { try self.append(value, name: name, to: &form) }
        case .object(let members):
            for (key, value) in members { try self.append(value, name: "\(name)[\(key)]", to: &form) }
        }
    }

    /// Of a JSON scalar: a string's content, the others' own text.
    private static func text(_ raw: ByteBuffer) -> String {
        (try? JSONDocument(raw).root.string) ?? String(buffer: raw)
    }
}

extension InputImage {
    fileprivate enum Text {
        case payload(ByteBuffer)
        case reference(String)
    }

    fileprivate var base64: (text: Text, mediaType: String) {
        switch self.content {
        case .url(let text), .fileID(let text): (.reference(text), "")
        case .bytes(let bytes): (.payload(Base64.encode(bytes)), InputMediaType.of(self, bytes: bytes))
        case .base64(let text):
            (.payload(text), InputMediaType.of(self, bytes: Base64.decodePrefix(text, maximumBytes: 64)))
        }
    }

    fileprivate var reference: String? {
        switch self.content {
        case .url(let text), .fileID(let text): text
        case .bytes, .base64: nil
        }
    }

    /// Nil where the picture is only named.
    fileprivate func decoded() throws(GatewayError) -> ByteBuffer? {
        switch self.content {
        case .url, .fileID: return nil
        case .bytes(let bytes): return bytes
        case .base64(let text):
            do { return try Base64.decode(text) } catch {
                throw GatewayError(.invalidParameter, "The picture is not valid base64.", parameter: "images")
            }
        }
    }
}
