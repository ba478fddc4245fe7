internal import CScan

// Keys and string values.

extension JSONFieldScanner {
    /// The string being read.
    struct StringState: Sendable {
        var isKey = false
        var hasEscapes = false
        /// A wanted value in which base64 text may still stand, from `base64Start` on.
        var mayBeBase64: Bool
        var base64Start: Int
        /// `=` seen since then.
        var padding = 0
        /// Digits of a `\u` escape that are missing, and its value so far.
        var digitsLeft = 0
        var unit: UInt32 = 0
        /// Continuation bytes that are missing, and the bounds of the next one.
        var continuationsLeft = 0
        var lowest: UInt8 = 0x80
        var highest: UInt8 = 0xBF

        init(start: Int = 0, mayBeBase64: Bool = false) {
            self.mayBeBase64 = mayBeBase64
            self.base64Start = start
        }
    }

    /// Base64 text may begin behind the head of a data URL; prose is not looked at any longer than such heads are.
    static let longestBase64Prefix = 256

    /// Takes string bytes up to the closing quote, an escape, a multi-byte sequence or the piece's end.
    mutating func takeString(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
        var at = start
        while at < bytes.count {
            let run = self.plainRun(bytes, at)
            let byte: UInt8? = at &+ run < bytes.count ? bytes[at &+ run] : nil
            if self.string.isKey {
                let part = UnsafeBufferPointer(rebasing: bytes[at..<at &+ run])
                if byte == UInt8(ascii: "\""), self.key.isEmpty {
                    self.endKey(part)
                    return at &+ run &+ 1
                }
                self.key.append(part, longest: self.paths.longestKey)
            }
            at &+= run
            guard let byte else { return at }
            self.stopRun(byte, self.base &+ at)
            at &+= 1
            guard self.state == .string else { return at }
        }
        return at
    }

    /// Bytes of the string that need no look of their own. Where base64 is expected the same pass checks its alphabet.
    private mutating func plainRun(_ bytes: UnsafeBufferPointer<UInt8>, _ at: Int) -> Int {
        let start = bytes.baseAddress.map { $0 + at }
        guard self.string.mayBeBase64 else { return cscan_json_plain_run(start, bytes.count &- at) }
        let run = cscan_base64_run(start, bytes.count &- at)
        if run > 0, self.string.padding > 0 {
            self.string.base64Start = self.base &+ at
            self.string.padding = 0
        }
        return run
    }

    private mutating func stopRun(_ byte: UInt8, _ offset: Int) {
        switch byte {
        case UInt8(ascii: "\""): self.endString(offset)
        case UInt8(ascii: "\\"):
            self.string.hasEscapes = true
            self.string.mayBeBase64 = false
            self.state = .escape
        case 0..<0x20: self.fail(offset)
        case 0x80...: self.beginSequence(byte, offset)
        case UInt8(ascii: "=") where self.string.padding < 2: self.string.padding += 1
        default:
            self.string.mayBeBase64 = offset &- self.valueStart < Self.longestBase64Prefix
            self.string.base64Start = offset &+ 1
            self.string.padding = 0
        }
    }

    private mutating func endString(_ offset: Int) {
        guard self.string.isKey else { return self.endValue(.string, offset) }
        // Taken out, so that the bytes can be lent while the scanner changes.
        var name: [UInt8] = []
        swap(&name, &self.key.bytes)
        self.key.finish()
        name.withUnsafeBufferPointer { self.endKey($0) }
        swap(&name, &self.key.bytes)
    }

    // MARK: Escapes

    mutating func takeEscape(_ letter: UInt8, _ offset: Int) {
        if letter == UInt8(ascii: "u") {
            self.string.digitsLeft = 4
            self.string.unit = 0
            self.state = .hexadecimal
        } else if let byte = JSONText.simpleEscape(letter) {
            if self.string.isKey { self.key.append(byte, longest: self.paths.longestKey) }
            self.state = .string
        } else {
            self.fail(offset)
        }
    }

    mutating func takeHexadecimal(_ byte: UInt8, _ offset: Int) {
        let digit: UInt8
        switch byte {
        case 0x30...0x39: digit = byte - 0x30
        case 0x41...0x46: digit = byte - 0x37
        case 0x61...0x66: digit = byte - 0x57
        default: return self.fail(offset)
        }
        self.string.unit = self.string.unit << 4 | UInt32(digit)
        self.string.digitsLeft -= 1
        guard self.string.digitsLeft == 0 else { return }
        if self.string.isKey { self.key.append(unit: self.string.unit, longest: self.paths.longestKey) }
        self.state = .string
    }

    // MARK: UTF-8 (RFC 3629, section 4)

    private mutating func beginSequence(_ lead: UInt8, _ offset: Int) {
        self.string.mayBeBase64 = false
        self.string.lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80
        self.string.highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF
        switch lead {
        case 0xC2...0xDF: self.string.continuationsLeft = 1
        case 0xE0...0xEF: self.string.continuationsLeft = 2
        case 0xF0...0xF4: self.string.continuationsLeft = 3
        default: return self.fail(offset)
        }
        if self.string.isKey { self.key.append(lead, longest: self.paths.longestKey) }
        self.state = .sequence
    }

    mutating func takeSequence(_ byte: UInt8, _ offset: Int) {
        guard byte >= self.string.lowest, byte <= self.string.highest else { return self.fail(offset) }
        if self.string.isKey { self.key.append(byte, longest: self.paths.longestKey) }
        self.string.lowest = 0x80
        self.string.highest = 0xBF
        self.string.continuationsLeft -= 1
        if self.string.continuationsLeft == 0 { self.state = .string }
    }
}

/// Gathers a key that escapes or reads have cut, unescaped. Gives up on keys that are longer than every wanted one.
struct KeyGathering: Sendable {
    var bytes: [UInt8] = []
    private(set) var isWanted = false
    /// The first half of a surrogate pair, until the second comes; 0 if none. A half alone is in no wanted key.
    private var highSurrogate: UInt32 = 0
    private(set) var isEmpty = true

    mutating func begin(isWanted: Bool) {
        if !self.bytes.isEmpty { self.bytes.removeAll(keepingCapacity: true) }
        self.isWanted = isWanted
        self.highSurrogate = 0
        self.isEmpty = true
    }

    mutating func finish() {
        if self.highSurrogate != 0 { self.isWanted = false }
    }

    mutating func append(_ part: UnsafeBufferPointer<UInt8>, longest: Int) {
        guard !part.isEmpty, self.makeRoom(part.count, longest) else { return }
        self.bytes.append(contentsOf: part)
    }

    mutating func append(_ byte: UInt8, longest: Int) {
        guard self.makeRoom(1, longest) else { return }
        self.bytes.append(byte)
    }

    /// Appends a UTF-16 code unit.
    mutating func append(unit: UInt32, longest: Int) {
        let high = self.highSurrogate
        self.highSurrogate = 0
        let scalar: Unicode.Scalar?
        if high != 0 {
            scalar =
                (0xDC00...0xDFFF).contains(unit)
                ? Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (unit - 0xDC00)) : nil
        } else if (0xD800...0xDBFF).contains(unit) {
            self.isEmpty = false
            self.highSurrogate = unit
            return
        } else {
            scalar = Unicode.Scalar(unit)
        }
        guard let scalar else {
            self.isEmpty = false
            self.isWanted = false
            return
        }
        for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { self.append(byte, longest: longest) }
    }

    private mutating func makeRoom(_ count: Int, _ longest: Int) -> Bool {
        self.isEmpty = false
        if self.highSurrogate != 0 || self.bytes.count + count > longest { self.isWanted = false }
        return self.isWanted
    }
}
