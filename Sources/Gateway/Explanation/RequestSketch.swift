import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// A request as an operator writes it on one line: `POST /v1/images/generations model=gpt-image-1 prompt="a lake" n=2`. Without
/// a method it is POST; a value that is JSON is taken as such, any other as text.
struct RequestSketch: Sendable {
    let method: HTTPRequest.Method
    let path: String
    private let fields: [(name: String, value: String)]

    /// - Throws: `invalid_parameter` for text of another form.
    init(_ text: String) throws(GatewayError) {
        var words = Self.words(text)
        var method = HTTPRequest.Method.post
        if let first = words.first, !first.hasPrefix("/") {
            guard let given = HTTPRequest.Method(rawValue: first), first == first.uppercased() else {
                throw Self.malformed
            }
            method = given
            words.removeFirst()
        }
        guard let path = words.first, path.hasPrefix("/") else { throw Self.malformed }
        var fields: [(name: String, value: String)] = []
        for word in words.dropFirst() {
            guard let split = word.firstIndex(of: "="), split > word.startIndex else { throw Self.malformed }
            fields.append((String(word[..<split]), String(word[word.index(after: split)...])))
        }
        self.method = method
        self.path = path
        self.fields = fields
    }

    private static var malformed: GatewayError {
        GatewayError(
            .invalidParameter,
            "Expected a request such as POST /v1/images/generations model=gpt-image-1 prompt=\"a lake\".")
    }

    /// Split at white space outside of double quotes, which are dropped.
    private static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word: String?
        var isQuoted = false
        for character in text {
            switch character {
            case "\"":
                isQuoted.toggle()
                word = word ?? ""
            case " ", "\t", "\n":
                guard !isQuoted else {
                    word?.append(character)
                    continue
                }
                if let word { words.append(word) }
                word = nil
            default: word = (word ?? "") + String(character)
            }
        }
        if let word { words.append(word) }
        return words
    }

    /// The fields as one JSON object; where none of them says what to draw, `wish` is added.
    func body(adding wish: (name: String, json: String)? = nil) -> ByteBuffer {
        var json = JSONWriter()
        json.beginObject()
        if let wish {
            json.key(dynamic: wish.name)
            json.value(raw: ByteBuffer(string: wish.json))
        }
        for (name, value) in self.fields {
            json.key(dynamic: name)
            let bytes = ByteBuffer(string: value)
            if (try? JSONDocument(bytes)) != nil { json.value(raw: bytes) } else { json.value(value) }
        }
        json.endObject()
        return json.buffer
    }

    /// What dialects call the thing to draw; tried in turn where the operator left it out.
    static let wishes: [(name: String, json: String)?] = [
        nil, ("prompt", "\"a lake\""), ("message", "\"a lake\""), ("input", "\"a lake\""),
        ("input", "{\"prompt\":\"a lake\"}"), ("messages", "[{\"role\":\"user\",\"content\":\"a lake\"}]"),
        ("messages", "[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"text\":\"a lake\"}]}]"),
    ]
}
