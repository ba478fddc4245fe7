package import NIOCore

/// One value of a ``JSONDocument``.
package struct JSONNode: Sendable {
    package enum Kind: Sendable { case object, array, string, number, boolean, null }

    struct Record: Sendable {
        enum Tag: UInt8, Sendable { case object, array, plainString, escapedString, number, `true`, `false`, null }

        let tag: Tag
        let start: UInt32
        var end: UInt32
        /// Index of the record behind this one and all that is in it.
        var next: UInt32
    }

    let storage: JSONDocument.Storage
    let index: Int

    private var record: Record { self.storage.records[self.index] }

    package var kind: Kind {
        switch self.record.tag {
        case .object: .object
        case .array: .array
        case .plainString, .escapedString: .string
        case .number: .number
        case .true, .false: .boolean
        case .null: .null
        }
    }

    /// Byte offsets in the source; a string's with its quotes, a container's with its brackets.
    package var range: Range<Int> { Int(self.record.start)..<Int(self.record.end) }

    /// Where the value begins, both from 1; the column counts Unicode scalars. Computed on demand, from the
    /// document's start.
    package var position: (line: Int, column: Int) { self.position(of: self.range.lowerBound) }

    /// Line and column of any byte of the source, such as a key's start.
    package func position(of offset: Int) -> (line: Int, column: Int) {
        self.storage.source.withUnsafeReadableBytes { JSONSyntaxError.position(of: offset, in: $0) }
    }

    /// The value's text as it stands in the source, white space inside containers included. No copy.
    package var raw: ByteBuffer { self.slice(self.range) }
}

// MARK: - Containers

extension JSONNode {
    /// An object's members in order; empty for every other kind.
    package var members: [(key: String, keyRange: Range<Int>, value: JSONNode)] {
        var members: [(key: String, keyRange: Range<Int>, value: JSONNode)] = []
        var positions: [ByteBuffer: Int] = [:]
        self.forEachMember { key, value in
            let member = (key: key.string ?? "", keyRange: key.range, value: value)
            guard self.storage.duplicateKeys == .last, let name = key.stringSlice else { return members.append(member) }
            if let earlier = positions[name] {
                members[earlier] = member
            } else {
                positions[name] = members.count
                members.append(member)
            }
        }
        return members
    }

    /// An array's elements; empty for every other kind.
    package var elements: [JSONNode] {
        guard self.record.tag == .array else { return [] }
        var elements: [JSONNode] = []
        var child = self.index + 1
        while child < Int(self.record.next) {
            elements.append(JSONNode(storage: self.storage, index: child))
            child = Int(self.storage.records[child].next)
        }
        return elements
    }

    /// An object's value for `key`; nil when it has none or this is no object. Looks at one member after the other.
    package subscript(_ key: String) -> JSONNode? {
        var key = key
        return key.withUTF8 { wanted in
            var found: JSONNode?
            self.forEachMember { name, value in
                // Without duplicates there is one match at most; with them the last counts.
                if name.equals(UnsafeRawBufferPointer(wanted)) { found = value }
            }
            return found
        }
    }

    private func forEachMember(_ body: (_ key: JSONNode, _ value: JSONNode) -> Void) {
        guard self.record.tag == .object else { return }
        let end = Int(self.record.next)
        var key = self.index + 1
        while key < end {
            body(JSONNode(storage: self.storage, index: key), JSONNode(storage: self.storage, index: key + 1))
            key = Int(self.storage.records[key + 1].next)
        }
    }

    private func equals(_ text: UnsafeRawBufferPointer) -> Bool {
        guard self.record.tag == .plainString else {
            return self.stringSlice?.withUnsafeReadableBytes { $0.elementsEqual(text) } ?? false
        }
        let range = self.contentRange
        guard range.count == text.count else { return false }
        return self.storage.source.withUnsafeReadableBytes { $0[range].elementsEqual(text) }
    }
}

// MARK: - Scalars

extension JSONNode {
    /// A string's text; nil for every other kind.
    package var string: String? {
        guard self.kind == .string else { return nil }
        let range = self.contentRange
        let isPlain = self.record.tag == .plainString
        return self.storage.source.withUnsafeReadableBytes { source in
            let content = UnsafeRawBufferPointer(rebasing: source[range])
            guard !isPlain else { return String(decoding: content, as: UTF8.self) }
            return String(unsafeUninitializedCapacity: content.count) { target in
                JSONText.unescape(content, into: UnsafeMutableRawBufferPointer(target))
            }
        }
    }

    /// A string's UTF-8: a slice of the source when it has no escapes, else an unescaped copy; nil for every other
    /// kind.
    package var stringSlice: ByteBuffer? {
        switch self.record.tag {
        case .plainString:
            return self.slice(self.contentRange)
        case .escapedString:
            var copy = ByteBufferAllocator().buffer(capacity: self.contentRange.count)
            let raw = self.slice(self.contentRange)
            copy.writeWithUnsafeMutableBytes(minimumWritableBytes: raw.readableBytes) { target in
                raw.withUnsafeReadableBytes { JSONText.unescape($0, into: target) }
            }
            return copy
        default:
            return nil
        }
    }

    /// A number's value when it is integral and in range (`14`, `14.0` and `1.4e1` are all 14), computed without
    /// rounding.
    package var integer: Int64? {
        self.withNumber { JSONNumber.integer($0) }
    }

    /// A number's value, rounded to the nearest; nil for every other kind and beyond the range of `Double`.
    package var double: Double? {
        self.withNumber { JSONNumber.double($0) }
    }

    package var boolean: Bool? {
        switch self.record.tag {
        case .true: true
        case .false: false
        default: nil
        }
    }

    package var isNull: Bool { self.record.tag == .null }

    private func withNumber<Value>(_ body: (UnsafeRawBufferPointer) -> Value?) -> Value? {
        guard self.record.tag == .number else { return nil }
        let range = self.range
        return self.storage.source.withUnsafeReadableBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// Between the quotes.
    private var contentRange: Range<Int> { Int(self.record.start) + 1..<Int(self.record.end) - 1 }

    private func slice(_ range: Range<Int>) -> ByteBuffer {
        self.storage.source.getSlice(at: range.lowerBound, length: range.count) ?? ByteBuffer()
    }
}
