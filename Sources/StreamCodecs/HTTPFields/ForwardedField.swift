/// Who a proxy says it was called by, in `Forwarded` (RFC 7239) or `X-Forwarded-For`.
package enum ForwardedNode: Hashable, Sendable {
    case address(IPAddress)
    /// The proxy does not know, or does not say.
    case unknown
    /// A name that only the proxy understands, with its leading `_`.
    case obfuscated(String)

    package var address: IPAddress? {
        if case .address(let address) = self { address } else { nil }
    }
}

/// Reads what proxies have noted of a request's way. The right-most node is the newest.
package enum ForwardedField {
    /// Nodes read of one field; one that has more says nothing.
    package static let maximumNodes = 256

    /// The `for` of each element of a `Forwarded` field; `unknown` for an element without one.
    /// - Returns: nil when the field is not to the letter of the grammar: then none of it can be relied upon.
    package static func nodes(forwarded field: String) -> [ForwardedNode]? {
        var parser = ForwardedParser(field.utf8)
        return parser.elements()
    }

    /// The addresses of an `X-Forwarded-For` field, with or without port; `unknown` for what is none. Empty members are skipped.
    /// - Returns: nil when there are too many.
    package static func nodes(xForwardedFor field: String) -> [ForwardedNode]? {
        let members = field.utf8.split(separator: 0x2C, maxSplits: Self.maximumNodes, omittingEmptySubsequences: true)
        guard members.count <= Self.maximumNodes else { return nil }
        return members.compactMap { member in
            let text = Self.trimmed(member)
            guard !text.isEmpty else { return nil }
            let node = Self.node(String(Substring(text)))
            // The field knows no words: whatever is no address is somebody's invention.
            return node?.address.map { .address($0) } ?? IPAddress(Substring(text)).map { .address($0) } ?? .unknown
        }
    }

    private static func trimmed(_ text: Substring.UTF8View) -> Substring.UTF8View {
        var text = text
        while let first = text.first, first == 0x20 || first == 0x09 { text = text.dropFirst() }
        while let last = text.last, last == 0x20 || last == 0x09 { text = text.dropLast() }
        return text
    }

    /// `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, `unknown`, `_hidden`; a port may be obfuscated too.
    static func node(_ text: String) -> ForwardedNode? {
        var name = Substring(text)
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            name = text[...end]
        } else if let colon = text.firstIndex(of: ":") {
            name = text[..<colon]
        }
        let rest = text[name.endIndex...]
        guard rest.isEmpty || rest.hasPrefix(":") && Self.isPort(rest.dropFirst()) else { return nil }
        if name.hasPrefix("[") {
            let inner = name.dropFirst().dropLast()
            return inner.contains(":") ? IPAddress(inner).map { .address($0) } : nil
        }
        if name.lowercased() == "unknown" { return .unknown }
        if name.hasPrefix("_") { return Self.isObfuscated(name) ? .obfuscated(String(name)) : nil }
        return IPAddress(name).map { .address($0) }
    }

    private static func isPort(_ text: Substring) -> Bool {
        if text.hasPrefix("_") { return Self.isObfuscated(text) }
        return (1...5).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    private static func isObfuscated(_ text: Substring) -> Bool {
        text.utf8.count > 1
            && text.utf8.dropFirst().allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
                default: false
                }
            }
    }
}

/// `element *( OWS "," OWS element )`, `element = [ pair ] *( ";" [ pair ] )`, `pair = token "=" ( token / quoted-string )`.
/// White space around `;` is let pass: proxies write it, and it can mean nothing else.
private struct ForwardedParser {
    private let bytes: [UInt8]
    private var at = 0

    init(_ text: some Collection<UInt8>) { self.bytes = Array(text) }

    mutating func elements() -> [ForwardedNode]? {
        var nodes: [ForwardedNode] = []
        while true {
            self.skipSpace()
            guard nodes.count < ForwardedField.maximumNodes, let element = self.element() else { return nil }
            // An empty list member is no element.
            if case .found(let node) = element { nodes.append(node) }
            guard self.at < self.bytes.count else { return nodes }
            guard self.bytes[self.at] == 0x2C else { return nil }
            self.at += 1
        }
    }

    private enum Element {
        case empty
        case found(ForwardedNode)
    }

    private mutating func element() -> Element? {
        var node: ForwardedNode?
        var names: Set<String> = []
        while true {
            self.skipSpace()
            if let name = self.token()?.lowercased() {
                // A parameter stands once in an element.
                guard names.insert(name).inserted, self.take(0x3D), let value = self.value() else { return nil }
                if name == "for" {
                    guard let found = ForwardedField.node(value) else { return nil }
                    node = found
                }
            }
            self.skipSpace()
            guard self.take(0x3B) else { return names.isEmpty ? .empty : .found(node ?? .unknown) }
        }
    }

    private mutating func value() -> String? { self.take(0x22) ? self.quoted() : self.token() }

    private mutating func quoted() -> String? {
        var text: [UInt8] = []
        while self.at < self.bytes.count {
            var byte = self.bytes[self.at]
            self.at += 1
            if byte == 0x22 { return String(validating: text, as: UTF8.self) }
            if byte == 0x5C {
                guard self.at < self.bytes.count else { return nil }
                byte = self.bytes[self.at]
                self.at += 1
            }
            guard byte == 0x09 || byte >= 0x20 && byte != 0x7F else { return nil }
            text.append(byte)
        }
        return nil
    }

    private mutating func token() -> String? {
        let start = self.at
        while self.at < self.bytes.count, Self.isTokenByte(self.bytes[self.at]) { self.at += 1 }
        return self.at > start ? String(decoding: self.bytes[start..<self.at], as: UTF8.self) : nil
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard self.at < self.bytes.count, self.bytes[self.at] == byte else { return false }
        self.at += 1
        return true
    }

    private mutating func skipSpace() {
        while self.at < self.bytes.count, self.bytes[self.at] == 0x20 || self.bytes[self.at] == 0x09 { self.at += 1 }
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
