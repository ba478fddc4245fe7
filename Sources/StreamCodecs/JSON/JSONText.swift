/// Scanning and unescaping of JSON string content, shared by the writer and the document parser.
enum JSONText {
    /// Length of the leading run that stands for itself between two quotes: no quote, backslash or control character,
    /// and with `asciiOnly` no byte from 0x80. Looks at eight bytes at a time.
    static func plainLength(_ bytes: UnsafeRawBufferPointer, from start: Int = 0, asciiOnly: Bool) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        let high = asciiOnly ? tops : 0
        var index = start
        while index &+ 8 <= bytes.count {
            let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let quote = word ^ (ones &* 0x22)
            let backslash = word ^ (ones &* 0x5C)
            // Borrows run upward only, so the lowest flagged byte is always a true one.
            let control = (word &- ones &* 0x20) & ~word
            let either = ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash)
            let found = ((control | either) & tops) | (word & high)
            if found != 0 { return index &+ found.trailingZeroBitCount / 8 &- start }
            index &+= 8
        }
        while index < bytes.count, Self.isPlain(bytes[index], asciiOnly: asciiOnly) { index &+= 1 }
        return index &- start
    }

    private static func isPlain(_ byte: UInt8, asciiOnly: Bool) -> Bool {
        byte >= 0x20 && byte != 0x22 && byte != 0x5C && (byte < 0x80 || !asciiOnly)
    }

    /// Length of the well-formed UTF-8 sequence at `index` that begins with a byte from 0x80; nil if it is not
    /// well-formed (overlong, surrogate, beyond U+10FFFF, cut).
    static func sequenceLength(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int? {
        let lead = bytes[index]
        let left = bytes.count - index
        func continues(_ offset: Int, in range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
            offset < left && range.contains(bytes[index + offset])
        }
        switch lead {
        case 0xC2...0xDF: return continues(1) ? 2 : nil
        case 0xE0: return continues(1, in: 0xA0...0xBF) && continues(2) ? 3 : nil
        case 0xED: return continues(1, in: 0x80...0x9F) && continues(2) ? 3 : nil
        case 0xE1...0xEF: return continues(1) && continues(2) ? 3 : nil
        case 0xF0: return continues(1, in: 0x90...0xBF) && continues(2) && continues(3) ? 4 : nil
        case 0xF1...0xF3: return continues(1) && continues(2) && continues(3) ? 4 : nil
        case 0xF4: return continues(1, in: 0x80...0x8F) && continues(2) && continues(3) ? 4 : nil
        default: return nil
        }
    }

    /// Resolves the escapes of string content that is known to be valid. The result is never longer than `raw`, so
    /// `target` needs no more room than that. A surrogate without its partner becomes U+FFFD. Returns the bytes
    /// written.
    static func unescape(_ raw: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int {
        var read = 0
        var written = 0
        while read < raw.count {
            let byte = raw[read]
            guard byte == 0x5C else {
                target[written] = byte
                written += 1
                read += 1
                continue
            }
            guard raw[read + 1] == 0x75 else {
                target[written] = Self.simpleEscape(raw[read + 1]) ?? 0x3F
                written += 1
                read += 2
                continue
            }
            let (scalar, consumed) = Self.scalar(raw, at: read)
            read += consumed
            written += Self.writeUTF8(scalar, into: target, at: written)
        }
        return written
    }

    /// What the letter after a backslash stands for; nil for `u` and everything that is no escape.
    static func simpleEscape(_ letter: UInt8) -> UInt8? {
        switch letter {
        case 0x22, 0x5C, 0x2F: letter
        case 0x62: 0x08
        case 0x66: 0x0C
        case 0x6E: 0x0A
        case 0x72: 0x0D
        case 0x74: 0x09
        default: nil
        }
    }

    /// The number written by four hexadecimal digits at `index`; nil if there are fewer.
    static func hexadecimal4(_ bytes: UnsafeRawBufferPointer, at index: Int) -> UInt32? {
        guard index + 4 <= bytes.count else { return nil }
        var value: UInt32 = 0
        for offset in 0..<4 {
            let digit: UInt8
            switch bytes[index + offset] {
            case let byte where (0x30...0x39).contains(byte): digit = byte - 0x30
            case let byte where (0x41...0x46).contains(byte): digit = byte - 0x37
            case let byte where (0x61...0x66).contains(byte): digit = byte - 0x57
            default: return nil
            }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    /// The scalar that the `\u` escape at `index` begins, and the bytes it takes: 6, or 12 for a surrogate pair.
    private static func scalar(_ raw: UnsafeRawBufferPointer, at index: Int) -> (scalar: UInt32, consumed: Int) {
        let unit = Self.hexadecimal4(raw, at: index + 2) ?? 0xFFFD
        guard (0xD800...0xDFFF).contains(unit) else { return (unit, 6) }
        guard unit < 0xDC00, index + 12 <= raw.count, raw[index + 6] == 0x5C, raw[index + 7] == 0x75,
            let low = Self.hexadecimal4(raw, at: index + 8), (0xDC00...0xDFFF).contains(low)
        else { return (0xFFFD, 6) }
        return (0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00), 12)
    }

    private static func writeUTF8(_ scalar: UInt32, into target: UnsafeMutableRawBufferPointer, at index: Int) -> Int {
        func tail(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(truncatingIfNeeded: scalar >> shift) & 0x3F }
        let top = UInt8(truncatingIfNeeded: scalar >> 6)
        switch scalar {
        case 0..<0x80:
            target[index] = UInt8(scalar)
            return 1
        case 0x80..<0x800:
            target[index] = 0xC0 | top
            target[index + 1] = tail(0)
            return 2
        case 0x800..<0x10000:
            target[index] = 0xE0 | UInt8(scalar >> 12)
            target[index + 1] = tail(6)
            target[index + 2] = tail(0)
            return 3
        default:
            target[index] = 0xF0 | UInt8(scalar >> 18)
            target[index + 1] = tail(12)
            target[index + 2] = tail(6)
            target[index + 3] = tail(0)
            return 4
        }
    }
}
