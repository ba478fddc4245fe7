package import NIOCore

/// Writes JSON into a buffer without white space; commas and escapes are its business. Nothing is allocated beyond the
/// buffer's growth, except by doubles of more than 15 characters.
///
/// Values at the top level follow each other without a comma, so one writer may write many documents when the caller
/// puts its own separators into ``buffer`` between them.
package struct JSONWriter: Sendable {
    /// What has been written. The caller may append to it or take it away at any time, also in the middle of a value.
    package var buffer: ByteBuffer
    private let asciiOnly: Bool
    private var depth = 0
    private var needsComma = false

    /// Appends to `buffer`. With `asciiOnly` everything outside ASCII is escaped: `\u` and four hexadecimal digits, beyond U+FFFF a
    /// pair of them.
    /// - Parameter buffer: what is written comes behind its bytes. Default: an empty one with room for a small document.
    package init(_ buffer: ByteBuffer = ByteBufferAllocator().buffer(capacity: 256), asciiOnly: Bool = false) {
        self.buffer = buffer
        self.asciiOnly = asciiOnly
    }

    /// Hands over what has been written and goes on in an empty buffer, in the middle of a value too.
    package mutating func takeBuffer() -> ByteBuffer {
        let taken = self.buffer
        self.buffer = ByteBuffer()
        return taken
    }
}

// MARK: - Containers

extension JSONWriter {
    package mutating func beginObject() { self.open(0x7B) }
    package mutating func endObject() { self.close(0x7D) }
    package mutating func beginArray() { self.open(0x5B) }
    package mutating func endArray() { self.close(0x5D) }

    /// Writes the key from its static bytes. It must not need escaping, which debug builds check.
    package mutating func key(_ key: StaticString) {
        key.withUTF8Buffer { bytes in
            assert(JSONText.plainLength(UnsafeRawBufferPointer(bytes), asciiOnly: true) == bytes.count)
            self.writeClean(UnsafeRawBufferPointer(bytes), colon: true)
        }
        self.needsComma = false
    }

    /// Writes a key that is known at run time only, escaped as needed.
    package mutating func key(dynamic key: String) {
        self.writeText(key)
        self.buffer.writeInteger(0x3A as UInt8)
        self.needsComma = false
    }

    private mutating func open(_ bracket: UInt8) {
        self.writeSeparator()
        self.buffer.writeInteger(bracket)
        self.depth += 1
        self.needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        assert(self.depth > 0, "closes what was never opened")
        self.buffer.writeInteger(bracket)
        self.depth -= 1
        self.endValue()
    }

    private mutating func endValue() { self.needsComma = self.depth > 0 }

    private mutating func writeSeparator() {
        if self.needsComma { self.buffer.writeInteger(0x2C as UInt8) }
    }
}

// MARK: - Values

extension JSONWriter {
    package mutating func value(_ text: String) {
        self.writeText(text)
        self.endValue()
    }

    package mutating func value(staticText text: StaticString) {
        text.withUTF8Buffer { self.writeQuoted(UnsafeRawBufferPointer($0)) }
        self.endValue()
    }

    package mutating func value(_ number: Int) { self.writeInteger(number.magnitude, negative: number < 0) }

    package mutating func value(_ number: Int64) {
        self.writeInteger(UInt(number.magnitude), negative: number < 0)
    }

    package mutating func value(_ number: UInt64) { self.writeInteger(UInt(number), negative: false) }

    /// Writes the shortest text that reads back as the same number, whole numbers without `.0`. What JSON has no text
    /// for (infinities, not-a-number) becomes `null`.
    package mutating func value(_ number: Double) {
        guard number.isFinite else { return self.null() }
        self.writeSeparator()
        var text = number.description
        if text.hasSuffix(".0") { text.removeLast(2) }
        self.buffer.writeString(text)
        self.endValue()
    }

    package mutating func value(_ flag: Bool) { self.writeLiteral(flag ? "true" : "false") }

    package mutating func null() { self.writeLiteral("null") }

    /// Writes a valid JSON value as it is: white space and line breaks in it stay. See ``value(_:)-(JSONNode)`` for a
    /// parsed value that has to fit on one line.
    package mutating func value(raw: ByteBuffer) {
        self.writeSeparator()
        self.buffer.writeImmutableBuffer(raw)
        self.endValue()
    }

    private mutating func writeLiteral(_ text: StaticString) {
        self.writeSeparator()
        self.buffer.writeStaticString(text)
        self.endValue()
    }

    private mutating func writeInteger(_ magnitude: UInt, negative: Bool) {
        self.writeSeparator()
        self.buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 20) { target in
            var count = negative ? 2 : 1
            var rest = magnitude
            while rest > 9 {
                rest /= 10
                count += 1
            }
            rest = magnitude
            var index = count
            repeat {
                index -= 1
                target[index] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            if negative { target[0] = 0x2D }
            return count
        }
        self.endValue()
    }
}

// MARK: - Fields

extension JSONWriter {
    /// Key and value; nothing at all when the value is nil. So for every `field` below.
    package mutating func field(_ key: StaticString, _ value: String?) {
        guard let value else { return }
        self.key(key)
        self.value(value)
    }

    package mutating func field(_ key: StaticString, _ value: Int?) {
        guard let value else { return }
        self.key(key)
        self.value(value)
    }

    package mutating func field(_ key: StaticString, _ value: Int64?) {
        guard let value else { return }
        self.key(key)
        self.value(value)
    }

    package mutating func field(_ key: StaticString, _ value: UInt64?) {
        guard let value else { return }
        self.key(key)
        self.value(value)
    }

    package mutating func field(_ key: StaticString, _ value: Double?) {
        guard let value else { return }
        self.key(key)
        self.value(value)
    }

    package mutating func field(_ key: StaticString, _ value: Bool?) {
        guard let value else { return }
        self.key(key)
        self.value(value)
    }

    package mutating func field(_ key: StaticString, staticText: StaticString) {
        self.key(key)
        self.value(staticText: staticText)
    }

    /// Nothing where the list is empty.
    package mutating func field(_ key: StaticString, list: [String]) {
        guard !list.isEmpty else { return }
        self.key(key)
        self.beginArray()
        for text in list { self.value(text) }
        self.endArray()
    }

    /// A valid JSON value, written as it is.
    package mutating func field(_ key: StaticString, raw: ByteBuffer?) {
        guard let raw else { return }
        self.key(key)
        self.value(raw: raw)
    }
}

// MARK: - Spliced strings

extension JSONWriter {
    /// Begins a string whose content the caller puts in itself: the opening quote now, the closing one by
    /// ``endSplicedString()``. Between the two the caller may take the buffer away as the head of a vectored write.
    /// The content must need no escaping.
    package mutating func beginSplicedString() {
        self.writeSeparator()
        self.buffer.writeInteger(0x22 as UInt8)
        self.needsComma = false
    }

    package mutating func endSplicedString() {
        self.buffer.writeInteger(0x22 as UInt8)
        self.endValue()
    }
}

// MARK: - Text

extension JSONWriter {
    private mutating func writeText(_ text: String) {
        var text = text
        text.withUTF8 { self.writeQuoted(UnsafeRawBufferPointer($0)) }
    }

    private mutating func writeQuoted(_ bytes: UnsafeRawBufferPointer) {
        let plain = JSONText.plainLength(bytes, asciiOnly: self.asciiOnly)
        if plain == bytes.count { return self.writeClean(bytes, colon: false) }
        self.writeSeparator()
        self.buffer.reserveCapacity(minimumWritableBytes: bytes.count + 16)
        self.buffer.writeInteger(0x22 as UInt8)
        var index = 0
        while index < bytes.count {
            let run = JSONText.plainLength(bytes, from: index, asciiOnly: self.asciiOnly)
            self.buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[index..<index + run]))
            index += run
            if index < bytes.count { index += self.writeEscape(bytes, at: index) }
        }
        self.buffer.writeInteger(0x22 as UInt8)
    }

    /// Text without anything to escape: one check of the buffer's room, one copy.
    private mutating func writeClean(_ bytes: UnsafeRawBufferPointer, colon: Bool) {
        let comma = self.needsComma
        self.buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytes.count + 4) { target in
            var index = 0
            func put(_ byte: UInt8) {
                target[index] = byte
                index += 1
            }
            if comma { put(0x2C) }
            put(0x22)
            UnsafeMutableRawBufferPointer(rebasing: target[index...]).copyMemory(from: bytes)
            index += bytes.count
            put(0x22)
            if colon { put(0x3A) }
            return index
        }
    }

    /// Writes what stands at `index` in escaped form; returns how many bytes of the source it took.
    private mutating func writeEscape(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int {
        let byte = bytes[index]
        if byte >= 0x80 { return self.writeScalar(bytes, at: index) }
        switch byte {
        case 0x22: self.buffer.writeStaticString("\\\"")
        case 0x5C: self.buffer.writeStaticString("\\\\")
        case 0x08: self.buffer.writeStaticString("\\b")
        case 0x09: self.buffer.writeStaticString("\\t")
        case 0x0A: self.buffer.writeStaticString("\\n")
        case 0x0C: self.buffer.writeStaticString("\\f")
        case 0x0D: self.buffer.writeStaticString("\\r")
        default: self.writeUnit(UInt32(byte))
        }
        return 1
    }

    private mutating func writeScalar(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int {
        guard let length = JSONText.sequenceLength(bytes, at: index) else {
            // A `String` is always well-formed; this keeps raw bytes of a careless caller from breaking the text.
            self.writeUnit(0xFFFD)
            return 1
        }
        var scalar = UInt32(bytes[index]) & (0x7F >> UInt32(length))
        for offset in 1..<length { scalar = scalar << 6 | UInt32(bytes[index + offset] & 0x3F) }
        if scalar < 0x10000 {
            self.writeUnit(scalar)
        } else {
            self.writeUnit(0xD800 + (scalar - 0x10000) >> 10)
            self.writeUnit(0xDC00 + (scalar - 0x10000) & 0x3FF)
        }
        return length
    }

    /// Writes one UTF-16 unit as `\u` and four hexadecimal digits.
    private mutating func writeUnit(_ unit: UInt32) {
        var text: UInt64 = 0x5C75
        var shift: UInt32 = 16
        while shift > 0 {
            shift -= 4
            let digit = UInt64(unit >> shift & 0xF)
            text = text << 8 | (digit < 10 ? 0x30 + digit : 0x57 + digit)
        }
        self.buffer.writeInteger(UInt16(truncatingIfNeeded: text >> 32))
        self.buffer.writeInteger(UInt32(truncatingIfNeeded: text))
    }
}
