/// The parameters of a header value, `; name=value` each, one after the other.
struct HeaderParameters {
    enum Element {
        /// The name in lower case; the value without quotes.
        case parameter(name: String, value: [UInt8])
        case malformed
    }

    private let text: UnsafeRawBufferPointer
    private var offset: Int

    /// Nil when the value does not begin with the word `leading`, which is lower-case here and may be any case there.
    init?(_ text: UnsafeRawBufferPointer, leading: StaticString) {
        self.text = text
        self.offset = 0
        self.skipSpaces()
        let word = self.take { $0 != 0x3B && $0 != 0x20 && $0 != 0x09 }
        guard String(decoding: word, as: UTF8.self).lowercased() == leading.description else { return nil }
    }

    /// Nil behind the last one; `malformed` ends the sequence too.
    mutating func next() -> Element? {
        self.skipSpaces()
        while self.current == 0x3B {
            self.offset += 1
            self.skipSpaces()
            // Some senders leave a semicolon behind the last parameter.
            if self.current != nil, self.current != 0x3B { return self.parameter() }
        }
        return self.current == nil ? nil : .malformed
    }

    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    private var current: UInt8? { self.offset < self.text.count ? self.text[self.offset] : nil }

    private mutating func parameter() -> Element {
        let name = String(decoding: self.take(while: Self.isToken), as: UTF8.self).lowercased()
        guard !name.isEmpty, self.current == 0x3D else { return .malformed }
        self.offset += 1
        if self.current == 0x22 {
            return self.quoted().map { .parameter(name: name, value: $0) } ?? .malformed
        }
        // Wider than a token: boundaries hold `/`, `?` and their like without quotes in practice.
        let value = self.take { $0 != 0x3B && $0 != 0x20 && $0 != 0x09 && $0 != 0x22 }
        return value.isEmpty ? .malformed : .parameter(name: name, value: Array(value))
    }

    /// Only `\"` and `\\` are escapes: browsers write any other backslash as it is.
    private mutating func quoted() -> [UInt8]? {
        var value: [UInt8] = []
        self.offset += 1
        while let byte = self.current {
            self.offset += 1
            if byte == 0x22 { return value }
            if byte == 0x5C, let escaped = self.current, escaped == 0x22 || escaped == 0x5C {
                self.offset += 1
                value.append(escaped)
            } else {
                value.append(byte)
            }
        }
        return nil
    }

    private mutating func skipSpaces() {
        while self.current == 0x20 || self.current == 0x09 { self.offset += 1 }
    }

    private mutating func take(while isWanted: (UInt8) -> Bool) -> Slice<UnsafeRawBufferPointer> {
        let start = self.offset
        while let byte = self.current, isWanted(byte) { self.offset += 1 }
        return self.text[start..<self.offset]
    }
}
