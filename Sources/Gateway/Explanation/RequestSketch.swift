import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// A request as an operator writes it on one line: `POST /v1/images/generations model=gpt-image-1 prompt="a lake" n=2`. Without
/// a method it is POST. Behind the path come the members of the body, or the body itself as one JSON object.
///
/// A member's value is JSON where it begins as JSON does (`"`, `[`, `{`, a number, `true`, `false`, `null`) and is valid; anything
/// else up to the next white space is text.
struct RequestSketch: Sendable {
    let method: HTTPRequest.Method
    let path: String
    /// The body's members, each value as JSON.
    private let members: [Member]

    struct Member: Sendable {
        let name: String
        let json: ByteBuffer

        fileprivate init(_ name: String, _ json: ByteBuffer) {
            self.name = name
            self.json = json
        }

        fileprivate init(_ name: String, _ json: String) { self.init(name, ByteBuffer(string: json)) }
    }

    /// - Throws: `invalid_parameter` for text of another form.
    init(_ text: String) throws(GatewayError) {
        var rest = Words(text)
        var word = rest.word()
        var method = HTTPRequest.Method.post
        if !word.hasPrefix("/"), !word.isEmpty {
            guard let given = HTTPRequest.Method(rawValue: word), word == word.uppercased() else {
                throw Self.malformed
            }
            method = given
            word = rest.word()
        }
        guard word.hasPrefix("/") else { throw Self.malformed }
        self.method = method
        self.path = word
        self.members = try Self.members(&rest)
    }

    private static func members(_ rest: inout Words) throws(GatewayError) -> [Member] {
        var members: [Member] = []
        while !rest.isEmpty {
            if rest.next == UInt8(ascii: "{") {
                guard members.isEmpty, let body = rest.json(), rest.isEmpty, body.kind == .object else {
                    throw Self.malformed
                }
                return body.members.map { Member($0.key, $0.value.raw) }
            }
            guard let name = rest.name() else { throw Self.malformed }
            guard rest.next.map({ Self.opening.contains($0) }) ?? false else {
                members.append(Member(name, Self.value(rest.word())))
                continue
            }
            guard let value = rest.json() else {
                throw GatewayError(.invalidParameter, "\(name): what begins as JSON is not valid.", parameter: name)
            }
            members.append(Member(name, value.raw))
        }
        return members
    }

    /// What only JSON begins with.
    private static let opening: [UInt8] = [UInt8(ascii: "\""), UInt8(ascii: "["), UInt8(ascii: "{")]

    private static func value(_ word: String) -> ByteBuffer {
        let bytes = ByteBuffer(string: word)
        guard (try? JSONDocument(bytes)) == nil else { return bytes }
        var json = JSONWriter()
        json.value(word)
        return json.buffer
    }

    private static var malformed: GatewayError {
        GatewayError(
            .invalidParameter,
            "Expected a request such as POST /v1/images/generations model=gpt-image-1 prompt=\"a lake\", or its body as JSON."
        )
    }

    /// The members as one JSON object; those of `wish` that the operator left out are added.
    func body(adding wish: [Member] = []) -> ByteBuffer {
        let given = Set(self.members.map(\.name))
        var json = JSONWriter()
        json.beginObject()
        for member in wish.filter({ !given.contains($0.name) }) + self.members {
            json.key(dynamic: member.name)
            json.value(raw: member.json)
        }
        json.endObject()
        return json.buffer
    }

    /// What dialects call the thing to draw and the thing to change; tried in turn where the operator left it out.
    static let wishes: [[Member]] = [
        [], [Member("prompt", lake)], [Member("message", lake)],
        [Member("input", lake), Member("tools", #"[{"type":"image_generation"}]"#)],
        [Member("input", #"{"prompt":\#(lake)}"#)],
        [Member("messages", #"[{"role":"user","content":\#(lake)}]"#)],
        [Member("messages", #"[{"role":"user","parts":[{"type":"text","text":\#(lake)}]}]"#)],
        [Member("prompt", lake), Member("images", "[\(pixel)]")],
        [Member("prompt", lake), Member("images", #"[{"image_url":\#(pixel)}]"#)],
        [Member("prompt", lake), Member("image_url", pixel)],
    ]

    private static let lake = #""a lake""#
    private static let pixel = """
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
        """
}

/// The text from left to right.
private struct Words {
    private var rest: Substring.UTF8View

    init(_ text: String) {
        self.rest = Substring(text).utf8
        self.skipSpace()
    }

    var isEmpty: Bool { self.rest.isEmpty }
    var next: UInt8? { self.rest.first }

    private static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0A, 0x0D].contains(byte) }

    private mutating func skipSpace() { self.rest = self.rest.drop(while: Self.isSpace) }

    /// Up to the next white space.
    mutating func word() -> String {
        let word = self.rest.prefix { !Self.isSpace($0) }
        self.rest = self.rest.dropFirst(word.count)
        self.skipSpace()
        return String(Substring(word))
    }

    /// A name and the `=` behind it.
    mutating func name() -> String? {
        let name = self.rest.prefix { $0 != UInt8(ascii: "=") && !Self.isSpace($0) }
        guard !name.isEmpty, self.rest.dropFirst(name.count).first == UInt8(ascii: "=") else { return nil }
        self.rest = self.rest.dropFirst(name.count + 1)
        return String(Substring(name))
    }

    /// A string, list or object, with white space or nothing behind it.
    mutating func json() -> JSONNode? {
        var depth = 0
        var isQuoted = false
        var isEscaped = false
        var count = 0
        for byte in self.rest {
            count += 1
            if isEscaped {
                isEscaped = false
            } else if isQuoted, byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if !isQuoted, byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[") {
                depth += 1
            } else if !isQuoted, byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") {
                depth -= 1
            }
            if depth == 0, !isQuoted { break }
        }
        let value = self.rest.prefix(count)
        let behind = self.rest.dropFirst(count)
        guard behind.first.map(Self.isSpace) ?? true, let document = try? JSONDocument(ByteBuffer(bytes: value)) else {
            return nil
        }
        self.rest = behind
        self.skipSpace()
        return document.root
    }
}
