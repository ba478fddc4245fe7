internal import CScan
package import NIOCore

// Canonical text is what a strict decoder takes: the standard alphabet without breaks, padded to a multiple of four.
// Bits behind the last whole byte are left as they came: decoders ignore them, and the text stays the upstream's.

extension Base64 {
    /// The canonical text of a string value. Cuts the head of a base64 data URL, appends missing padding, and on a
    /// slow path that copies once resolves JSON escapes and leaves out line breaks.
    ///
    /// A clean string costs nothing: the scanner has checked it, the result is a slice. Missing padding is written in
    /// place, over the quote and the byte behind it, so that `document` may be no JSON any more afterwards; fields
    /// found in it keep their bytes, containers excepted. If the document's storage is shared, this copies it.
    ///
    /// - Throws: `notBase64` for anything else outside the alphabet, data URLs without base64, padding inside the
    ///   text or more of it than belongs there, and a length that no bytes encode to (4n + 1).
    package static func canonical(
        _ field: JSONField, in document: inout ByteBuffer
    ) throws(CodecError) -> ByteBuffer {
        guard field.kind == .string, field.range.upperBound <= document.readableBytes else {
            throw .notBase64(offset: field.range.lowerBound)
        }
        let plan = document.withUnsafeReadableBytes { bytes in
            self.plan(field, UnsafeRawBufferPointer(rebasing: bytes[field.range]))
        }
        return try self.carryOut(plan, field.range.lowerBound, in: &document)
    }

    /// The same for text that stands alone, where a backslash is no escape.
    package static func canonical(text: ByteBuffer) throws(CodecError) -> ByteBuffer {
        let plan = text.withUnsafeReadableBytes { self.plan($0, escapes: false) }
        var text = text
        return try self.carryOut(plan, 0, in: &text)
    }

    /// How to get the canonical text out of a string. Offsets count from its first byte.
    private enum Plan {
        case slice(Range<Int>, missing: Int)
        case rewritten(ByteBuffer)
        case refuse(offset: Int)
    }

    private static func carryOut(
        _ plan: Plan, _ start: Int, in document: inout ByteBuffer
    ) throws(CodecError) -> ByteBuffer {
        switch plan {
        case .refuse(let offset): throw .notBase64(offset: start + offset)
        case .rewritten(let text): return text
        case .slice(let range, let missing):
            let index = document.readerIndex + start + range.lowerBound
            let end = index + range.count
            if missing > 0 {
                document.setRepeatingByte(UInt8(ascii: "="), count: missing, at: end)
                if end + missing > document.writerIndex { document.moveWriterIndex(to: end + missing) }
            }
            guard let text = document.getSlice(at: index, length: range.count + missing) else {
                throw .notBase64(offset: start)
            }
            return text
        }
    }

    private static func plan(_ field: JSONField, _ raw: UnsafeRawBufferPointer) -> Plan {
        guard !field.hasEscapes, let start = field.base64Start, field.range.contains(start) || raw.isEmpty else {
            return self.plan(raw, escapes: field.hasEscapes)
        }
        let first = start - field.range.lowerBound
        guard first == 0 || self.dataURLHead(raw, escapes: false) == first else {
            return self.plan(raw, escapes: false)
        }
        return self.sealed(raw, from: first)
    }

    private static func plan(_ raw: UnsafeRawBufferPointer, escapes: Bool) -> Plan {
        guard let first = self.dataURLHead(raw, escapes: escapes) else { return .refuse(offset: 0) }
        let run = self.run(raw, first)
        let rest = raw[(first + run)...]
        guard rest.count <= 2, rest.allSatisfy({ $0 == UInt8(ascii: "=") }) else {
            return self.rewritten(raw, from: first, escapes: escapes)
        }
        return self.sealed(raw, from: first)
    }

    /// A plan for text that is known to be alphabet and then at most two `=`.
    private static func sealed(_ raw: UnsafeRawBufferPointer, from first: Int) -> Plan {
        let padding = raw[first...].suffix(2).count { $0 == UInt8(ascii: "=") }
        guard let missing = self.missingPadding(letters: raw.count - first - padding, padding: padding) else {
            return .refuse(offset: raw.count)
        }
        return .slice(first..<raw.count, missing: missing)
    }

    /// How many `=` the text lacks; nil if there are too many, or no bytes encode to this length.
    private static func missingPadding(letters: Int, padding: Int) -> Int? {
        let wanted: Int
        switch letters % 4 {
        case 0: wanted = 0
        case 2: wanted = 2
        case 3: wanted = 1
        default: return nil
        }
        return padding <= wanted ? wanted - padding : nil
    }

    // MARK: Slow path

    private static func rewritten(_ raw: UnsafeRawBufferPointer, from first: Int, escapes: Bool) -> Plan {
        var out = ByteBuffer()
        out.reserveCapacity(raw.count - first + 2)
        var padding = 0
        var at = first
        while at < raw.count {
            let run = self.run(raw, at)
            if run > 0 {
                guard padding == 0 else { return .refuse(offset: at) }
                out.writeBytes(UnsafeRawBufferPointer(rebasing: raw[at..<at + run]))
                at += run
            }
            guard at < raw.count else { break }
            let start = at
            guard let byte = self.unit(raw, &at, escapes: escapes) else { return .refuse(offset: start) }
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"): break
            case UInt8(ascii: "="): padding += 1
            default:
                guard padding == 0, self.isLetter(byte) else { return .refuse(offset: start) }
                out.writeInteger(byte)
            }
        }
        guard let missing = self.missingPadding(letters: out.readableBytes, padding: padding) else {
            return .refuse(offset: raw.count)
        }
        out.writeRepeatingByte(UInt8(ascii: "="), count: padding + missing)
        return .rewritten(out)
    }

    /// The ASCII character at `at`, which moves behind it; nil for any other and for an escape that is none.
    private static func unit(_ raw: UnsafeRawBufferPointer, _ at: inout Int, escapes: Bool) -> UInt8? {
        let byte = raw[at]
        at += 1
        guard escapes, byte == UInt8(ascii: "\\") else { return byte < 0x80 ? byte : nil }
        guard at < raw.count else { return nil }
        let letter = raw[at]
        at += 1
        guard letter == UInt8(ascii: "u") else { return JSONText.simpleEscape(letter) }
        guard let value = JSONText.hexadecimal4(raw, at: at), value < 0x80 else { return nil }
        at += 4
        return UInt8(value)
    }

    /// Length of the head of a base64 data URL with its comma; 0 for text that is no data URL; nil for a data URL whose
    /// content is not base64, or whose head is longer than the scanner looks at.
    private static func dataURLHead(_ raw: UnsafeRawBufferPointer, escapes: Bool) -> Int? {
        let scheme: StaticString = "data:"
        var at = 0
        var taken = 0
        /// The last eight characters.
        var tail: UInt64 = 0
        while at < raw.count, taken < JSONFieldScanner.longestBase64Prefix {
            guard let byte = self.unit(raw, &at, escapes: escapes).map(self.lowercased) else {
                return taken < 5 ? 0 : nil
            }
            guard taken >= 5 || byte == scheme.utf8Start[taken] else { return 0 }
            taken += 1
            tail = tail << 8 | UInt64(byte)
            // ";base64,"
            if byte == UInt8(ascii: ",") { return tail == 0x3B62_6173_6536_342C ? at : nil }
        }
        return taken < 5 ? 0 : nil
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        withUnsafeBytes(of: byte) { self.run($0, 0) == 1 }
    }

    private static func run(_ raw: UnsafeRawBufferPointer, _ at: Int) -> Int {
        cscan_base64_run(raw.baseAddress.map { $0.assumingMemoryBound(to: UInt8.self) + at }, raw.count - at)
    }
}
