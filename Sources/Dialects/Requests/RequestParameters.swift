import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// The named values of a create request, whether they came as members of a JSON object or as parts of a form.
/// A member that is `null` counts as absent.
struct RequestParameters {
    private var values: [RequestParameter] = []
    /// Parts of a form that stand for pictures, in order.
    private(set) var files: [MultipartPart] = []
    /// What stands before the members' names in errors.
    private var prefix = ""

    /// Names that stay in an error message; the rest of a longer one is cut.
    private static let shownNameLength = 64

    /// - Throws: `unsupported_media_type`, `invalid_json`, or `invalid_parameter` for a body that is no object or form.
    init(_ request: DialectRequest, formFiles: [String]) throws(GatewayError) {
        let contentType = request.headers[.contentType] ?? "application/json"
        let mediaType = contentType.prefix { $0 != ";" }.lowercased().filter { $0 != " " }
        switch mediaType {
        case "application/json", "text/json": try self.readJSON(request.body)
        case "multipart/form-data" where !formFiles.isEmpty:
            try self.readForm(request.body, contentType: contentType, files: formFiles)
        default:
            let expected = formFiles.isEmpty ? "application/json" : "application/json or multipart/form-data"
            throw GatewayError(.unsupportedMediaType, "The body must be \(expected).")
        }
    }

    /// The members of a parameter that is an object; in errors they are named `parent.member`.
    /// - Throws: `invalid_parameter` for anything else.
    init(members parameter: RequestParameter) throws(GatewayError) {
        guard case .json(let node) = parameter.value, node.kind == .object else {
            throw parameter.invalid("must be an object")
        }
        self.prefix = parameter.name + "."
        self.values = Self.members(of: node, prefix: self.prefix)
    }

    subscript(_ name: String) -> RequestParameter? {
        let name = self.prefix.isEmpty ? name : self.prefix + name
        return self.values.first { $0.name == name }
    }

    /// Those that are none of `known`, under their names without prefix.
    func others(than known: [String]) -> [(name: String, parameter: RequestParameter)] {
        self.values.map { (String($0.name.dropFirst(self.prefix.count)), $0) }.filter { !known.contains($0.0) }
    }

    /// Refuses names that the dialect does not know, with the nearest that it does.
    func refuseUnknown(known: [String]) throws(GatewayError) {
        for (name, parameter) in self.others(than: known) {
            let shown = self.prefix + String(name.unicodeScalars.prefix(Self.shownNameLength).map(Character.init))
            let hint = NearestName.of(name, among: known).map { "; did you mean \($0)?" } ?? ""
            let position: (line: Int, column: Int)? =
                if case .json(let node) = parameter.value { node.position } else { nil }
            throw GatewayError(
                .invalidParameter, "\(shown): unknown parameter\(hint.isEmpty ? "." : hint)", parameter: shown,
                position: position)
        }
    }

    private mutating func readJSON(_ body: ByteBuffer) throws(GatewayError) {
        let document: JSONDocument
        do {
            document = try JSONDocument(body)
        } catch {
            throw GatewayError(
                .invalidJSON, "The body is not valid JSON: \(error.message).", position: (error.line, error.column))
        }
        guard document.root.kind == .object else {
            throw GatewayError(.invalidParameter, "The body must be a JSON object.", position: document.root.position)
        }
        self.values = Self.members(of: document.root, prefix: "")
    }

    private static func members(of node: JSONNode, prefix: String) -> [RequestParameter] {
        node.members.compactMap { member in
            member.value.isNull ? nil : RequestParameter(name: prefix + member.key, value: .json(member.value))
        }
    }

    private mutating func readForm(_ body: ByteBuffer, contentType: String, files: [String]) throws(GatewayError) {
        guard let boundary = MultipartForm.boundary(contentType: contentType) else {
            throw GatewayError(.invalidParameter, "The Content-Type names no valid multipart boundary.")
        }
        let parts: [MultipartPart]
        do {
            parts = try MultipartForm.parts(body, boundary: boundary)
        } catch {
            throw GatewayError(.invalidParameter, "The body is not a valid multipart form.", cause: "\(error)")
        }
        for part in parts {
            if files.contains(Self.nameWithoutIndex(part.name)) {
                self.files.append(part)
            } else {
                try self.appendText(part)
            }
        }
    }

    private mutating func appendText(_ part: MultipartPart) throws(GatewayError) {
        guard (1...64).contains(part.name.utf8.count), part.name.utf8.allSatisfy(Self.isNameByte) else {
            throw GatewayError(.invalidParameter, "The form has a part whose name is no word of 1 to 64 characters.")
        }
        let shown = part.name
        guard let text = String(validating: part.body.readableBytesView, as: UTF8.self) else {
            throw GatewayError(.invalidParameter, "\(shown): must be UTF-8 text.", parameter: shown)
        }
        guard self[part.name] == nil else {
            throw GatewayError(.invalidParameter, "\(shown): given more than once.", parameter: shown)
        }
        self.values.append(RequestParameter(name: part.name, value: .text(text)))
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5B, 0x5D, 0x5F: true
        default: false
        }
    }

    /// `image[]` and `image[3]` are `image`.
    static func nameWithoutIndex(_ name: String) -> String {
        guard name.hasSuffix("]"), let bracket = name.firstIndex(of: "[") else { return name }
        let index = name[name.index(after: bracket)...].dropLast()
        return index.utf8.allSatisfy { (0x30...0x39).contains($0) } ? String(name[..<bracket]) : name
    }
}

// Optional values under their types, so that decoders read as lists of fields.
extension RequestParameters {
    func string(_ name: String, maximumCount: Int = 256) throws(GatewayError) -> String? {
        guard let parameter = self[name] else { return nil }
        return try parameter.string(maximumCount: maximumCount)
    }

    func word(_ name: String) throws(GatewayError) -> String? {
        guard let parameter = self[name] else { return nil }
        return try parameter.word()
    }

    func integer(_ name: String, _ range: ClosedRange<Int64>) throws(GatewayError) -> Int64? {
        guard let parameter = self[name] else { return nil }
        return try parameter.integer(range)
    }

    func boolean(_ name: String) throws(GatewayError) -> Bool? {
        guard let parameter = self[name] else { return nil }
        return try parameter.boolean()
    }

    func choice(_ name: String, _ words: [String]) throws(GatewayError) -> String? {
        guard let parameter = self[name] else { return nil }
        return try parameter.choice(words)
    }

    /// The prompt every create request needs.
    func prompt() throws(GatewayError) -> String {
        let name = self.prefix + "prompt"
        guard let prompt = try self.string("prompt", maximumCount: 32_000) else {
            throw GatewayError(.invalidParameter, "\(name): is required.", parameter: name)
        }
        guard prompt.unicodeScalars.contains(where: { !$0.properties.isWhitespace }) else {
            throw GatewayError(.invalidParameter, "\(name): must not be empty.", parameter: name)
        }
        return prompt
    }
}
