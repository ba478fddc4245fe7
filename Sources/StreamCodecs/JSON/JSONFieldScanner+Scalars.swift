// Numbers and the three literals.

extension JSONFieldScanner {
    /// The states in which a number may end.
    var isWholeNumber: Bool {
        switch self.state {
        case .zero, .integer, .fraction, .exponentDigits: true
        default: false
        }
    }

    /// Takes bytes of a number up to its end, whose byte is left, or to the piece's end.
    mutating func takeNumber(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
        var at = start
        while at < bytes.count {
            guard let next = Self.numberState(self.state, bytes[at]) else {
                if self.isWholeNumber {
                    self.endValue(.number, self.base &+ at)
                } else {
                    self.fail(self.base &+ at)
                }
                return at
            }
            self.state = next
            at &+= 1
        }
        return at
    }

    @inline(__always)
    private static func numberState(_ state: State, _ byte: UInt8) -> State? {
        let isDigit = byte >= 0x30 && byte <= 0x39
        switch state {
        case .minus: return byte == 0x30 ? .zero : isDigit ? .integer : nil
        case .zero: return self.afterInteger(byte)
        case .integer: return isDigit ? .integer : self.afterInteger(byte)
        case .point: return isDigit ? .fraction : nil
        case .fraction: return isDigit ? .fraction : byte | 0x20 == 0x65 ? .exponent : nil
        case .exponent: return isDigit ? .exponentDigits : byte == 0x2B || byte == 0x2D ? .exponentSign : nil
        case .exponentSign, .exponentDigits: return isDigit ? .exponentDigits : nil
        default: return nil
        }
    }

    @inline(__always)
    private static func afterInteger(_ byte: UInt8) -> State? {
        byte == 0x2E ? .point : byte | 0x20 == 0x65 ? .exponent : nil
    }

    // MARK: Literals

    /// A literal being compared; its letters are packed, the first one lowest.
    struct Literal: Sendable {
        let kind: JSONField.Kind
        private var rest: UInt64

        init(kind: JSONField.Kind) {
            self.kind = kind
            switch kind {
            case .true: self.rest = 0x6575_7274
            case .false: self.rest = 0x65_736C_6166
            default: self.rest = 0x6C6C_756E
            }
        }

        var isComplete: Bool { self.rest == 0 }

        mutating func take(_ byte: UInt8) -> Bool {
            guard UInt8(truncatingIfNeeded: self.rest) == byte else { return false }
            self.rest >>= 8
            return true
        }
    }

    /// The first letter has been seen.
    mutating func beginLiteral(_ kind: JSONField.Kind) {
        self.literal = Literal(kind: kind)
        _ = self.literal.take(
            kind == .true ? UInt8(ascii: "t") : kind == .false ? UInt8(ascii: "f") : UInt8(ascii: "n"))
        self.state = .literal
    }

    mutating func takeLiteral(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
        var at = start
        while at < bytes.count {
            guard self.literal.take(bytes[at]) else {
                self.fail(self.base &+ at)
                return at
            }
            at &+= 1
            guard self.literal.isComplete else { continue }
            self.endValue(self.literal.kind, self.base &+ at)
            return at
        }
        return at
    }
}
