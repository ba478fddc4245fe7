import NIOCore

/// One pass over the text with an explicit stack of open containers.
struct JSONDocumentParser {
    struct Failure: Error {
        let offset: Int
        let message: String
    }

    private let bytes: UnsafeRawBufferPointer
    private let maximumNesting: Int
    private let maximumNodes: Int
    private let duplicateKeys: JSONDocument.DuplicateKeys
    private var offset = 0
    private var records: [JSONNode.Record] = []
    /// Records of the open containers, outermost first.
    private var open: [Int] = []

    init(
        _ bytes: UnsafeRawBufferPointer, maximumNesting: Int, maximumNodes: Int,
        duplicateKeys: JSONDocument.DuplicateKeys
    ) {
        self.bytes = bytes
        self.maximumNesting = maximumNesting
        self.maximumNodes = min(maximumNodes, Int(UInt32.max))
        self.duplicateKeys = duplicateKeys
    }

    mutating func parse() throws(Failure) -> [JSONNode.Record] {
        guard self.bytes.count < Int(UInt32.max) else { throw Failure(offset: 0, message: "document of 4 GiB or more") }
        guard !self.bytes.starts(with: [0xEF, 0xBB, 0xBF]) else {
            throw Failure(offset: 0, message: "byte order mark before the document")
        }
        self.records.reserveCapacity(min(self.maximumNodes, 16 + self.bytes.count / 64))
        var wantsValue = true
        while wantsValue {
            self.skipWhiteSpace()
            let opened = try self.value()
            wantsValue = opened ? try self.firstChild() : try self.afterValue()
        }
        self.skipWhiteSpace()
        guard self.offset == self.bytes.count else { throw self.failure("text behind the document's end") }
        return self.records
    }

    private func failure(_ message: String) -> Failure { Failure(offset: self.offset, message: message) }

    private var current: UInt8? { self.offset < self.bytes.count ? self.bytes[self.offset] : nil }

    private mutating func skipWhiteSpace() {
        while let byte = self.current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            self.offset &+= 1
        }
    }

    private mutating func append(_ tag: JSONNode.Record.Tag, from start: Int) throws(Failure) {
        guard self.records.count < self.maximumNodes else {
            throw Failure(offset: start, message: "more than \(self.maximumNodes) values")
        }
        self.records.append(
            .init(
                tag: tag, start: UInt32(start), end: UInt32(self.offset), next: UInt32(self.records.count + 1)))
    }
}

// MARK: - Structure

extension JSONDocumentParser {
    /// Takes a scalar, or opens a container and returns true.
    private mutating func value() throws(Failure) -> Bool {
        switch self.current {
        case 0x22: try self.string()
        case 0x7B: return try self.begin(.object)
        case 0x5B: return try self.begin(.array)
        case 0x2D, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39: try self.number()
        case 0x74: try self.literal("true", .true)
        case 0x66: try self.literal("false", .false)
        case 0x6E: try self.literal("null", .null)
        case nil: throw self.failure("the document ends where a value should be")
        default: throw self.failure("expected a value")
        }
        return false
    }

    private mutating func begin(_ tag: JSONNode.Record.Tag) throws(Failure) -> Bool {
        guard self.open.count < self.maximumNesting else {
            throw self.failure("nested deeper than \(self.maximumNesting) containers")
        }
        self.open.append(self.records.count)
        try self.append(tag, from: self.offset)
        self.offset += 1
        return true
    }

    /// Behind an opening bracket: true when a value follows, false when the document is complete.
    private mutating func firstChild() throws(Failure) -> Bool {
        self.skipWhiteSpace()
        guard let container = self.open.last else { return false }
        let isObject = self.records[container].tag == .object
        if self.current == (isObject ? 0x7D : 0x5D) {
            try self.end(container)
            return try self.afterValue()
        }
        if isObject { try self.key() }
        return true
    }

    /// Behind a complete value: closes what closes here. True when another value follows, false when the document is
    /// complete.
    private mutating func afterValue() throws(Failure) -> Bool {
        while let container = self.open.last {
            self.skipWhiteSpace()
            let isObject = self.records[container].tag == .object
            switch self.current {
            case 0x2C:
                self.offset += 1
                self.skipWhiteSpace()
                if isObject { try self.key() }
                return true
            case 0x7D where isObject, 0x5D where !isObject:
                try self.end(container)
            case nil:
                throw self.failure(
                    isObject ? "the document ends inside an object" : "the document ends inside an array")
            default:
                throw self.failure(isObject ? "expected ',' or '}'" : "expected ',' or ']'")
            }
        }
        return false
    }

    private mutating func end(_ container: Int) throws(Failure) {
        self.offset += 1
        self.open.removeLast()
        self.records[container].end = UInt32(self.offset)
        self.records[container].next = UInt32(self.records.count)
        if self.duplicateKeys == .refuse, self.records[container].tag == .object {
            try self.refuseDuplicates(in: container)
        }
    }

    private mutating func key() throws(Failure) {
        guard self.current == 0x22 else { throw self.failure("expected a key in double quotes") }
        try self.string()
        self.skipWhiteSpace()
        guard self.current == 0x3A else { throw self.failure("expected ':'") }
        self.offset += 1
    }
}

// MARK: - Scalars

extension JSONDocumentParser {
    private mutating func literal(_ text: StaticString, _ tag: JSONNode.Record.Tag) throws(Failure) {
        let start = self.offset
        let end = start + text.utf8CodeUnitCount
        let fits = end <= self.bytes.count && text.withUTF8Buffer { self.bytes[start..<end].elementsEqual($0) }
        guard fits else { throw self.failure("expected a value") }
        self.offset = end
        try self.append(tag, from: start)
    }

    private mutating func number() throws(Failure) {
        let start = self.offset
        if self.current == 0x2D { self.offset += 1 }
        if self.current == 0x30 {
            self.offset += 1
            if let byte = self.current, (0x30...0x39).contains(byte) {
                throw Failure(offset: start, message: "number with a leading zero")
            }
        } else {
            try self.digits()
        }
        if self.current == 0x2E {
            self.offset += 1
            try self.digits()
        }
        if let byte = self.current, byte | 0x20 == 0x65 {
            self.offset += 1
            if self.current == 0x2B || self.current == 0x2D { self.offset += 1 }
            try self.digits()
        }
        try self.append(.number, from: start)
    }

    private mutating func digits() throws(Failure) {
        let start = self.offset
        while let byte = self.current, (0x30...0x39).contains(byte) { self.offset &+= 1 }
        if self.offset == start { throw self.failure("expected a digit") }
    }

    private mutating func string() throws(Failure) {
        let start = self.offset
        var tag = JSONNode.Record.Tag.plainString
        self.offset += 1
        while true {
            self.offset += JSONText.plainLength(self.bytes, from: self.offset, asciiOnly: true)
            switch self.current {
            case 0x22:
                self.offset += 1
                return try self.append(tag, from: start)
            case 0x5C:
                tag = .escapedString
                try self.escape()
            case nil:
                throw Failure(offset: start, message: "string without an end")
            case let byte? where byte < 0x20:
                throw self.failure("control character in a string; it must be escaped")
            default:
                guard let length = JSONText.sequenceLength(self.bytes, at: self.offset) else {
                    throw self.failure("invalid UTF-8")
                }
                self.offset += length
            }
        }
    }

    private mutating func escape() throws(Failure) {
        guard self.offset + 1 < self.bytes.count else { throw self.failure("invalid escape") }
        let letter = self.bytes[self.offset + 1]
        if letter == 0x75, JSONText.hexadecimal4(self.bytes, at: self.offset + 2) != nil {
            self.offset += 6
        } else if JSONText.simpleEscape(letter) != nil {
            self.offset += 2
        } else {
            throw self.failure("invalid escape")
        }
    }
}

// MARK: - Duplicate keys

extension JSONDocumentParser {
    /// Up to this many keys are compared in pairs; more go through a set.
    private static let pairwiseLimit = 8

    private func refuseDuplicates(in container: Int) throws(Failure) {
        var keys: [JSONNode.Record] = []
        var index = container + 1
        while index < self.records.count {
            keys.append(self.records[index])
            index = Int(self.records[index + 1].next)
        }
        if keys.count <= Self.pairwiseLimit, keys.allSatisfy({ $0.tag == .plainString }) {
            for later in keys.indices.dropFirst() {
                let name = self.content(of: keys[later])
                for earlier in 0..<later where self.content(of: keys[earlier]).elementsEqual(name) {
                    throw self.duplicate(keys[later])
                }
            }
            return
        }
        var seen: Set<ByteBuffer> = []
        seen.reserveCapacity(keys.count)
        for key in keys where !seen.insert(self.unescaped(key)).inserted { throw self.duplicate(key) }
    }

    private func content(of key: JSONNode.Record) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.bytes[Int(key.start) + 1..<Int(key.end) - 1])
    }

    private func unescaped(_ key: JSONNode.Record) -> ByteBuffer {
        let content = self.content(of: key)
        var name = ByteBufferAllocator().buffer(capacity: content.count)
        name.writeWithUnsafeMutableBytes(minimumWritableBytes: content.count) { target in
            JSONText.unescape(content, into: target)
        }
        return name
    }

    /// Names the key when it is short printable ASCII, so that the message stays one clean line.
    private func duplicate(_ key: JSONNode.Record) -> Failure {
        let content = self.content(of: key)
        let isClean = key.tag == .plainString && content.count <= 64 && content.allSatisfy { $0 < 0x7F }
        let name = isClean ? " \"\(String(decoding: content, as: UTF8.self))\"" : ""
        return Failure(offset: Int(key.start), message: "duplicate key\(name)")
    }
}
