/// Validates a JSON text (RFC 8259) as its bytes arrive, cut anywhere, and remembers where the wanted values stand. All
/// others are passed over at memory speed; nothing is decoded and nothing recurses.
///
/// Strict: UTF-8 is checked, one root value, no byte order mark, nesting bounded. Lone surrogates in escapes are
/// allowed, as the RFC allows them.
///
/// Duplicate keys are no error: the last one wins, and everything found below an earlier one is dropped at `end()`. So
/// `{"error":{"message":"a"},"error":null}` has no "error.message".
package struct JSONFieldScanner: FrameDataScanner {
    /// - Parameter maximumFields: How many wanted values a document may hold; they take memory, a hundred bytes each.
    package init(
        _ paths: JSONFieldPaths, maximumNesting: Int = CodecLimits().maximumNesting, maximumFields: Int = 65_536
    ) {
        self.paths = paths
        self.maximumNesting = maximumNesting
        self.maximumFields = maximumFields
        self.rootPath = paths.nodes[0].path
        self.wantedPath = self.rootPath
        self.stack.reserveCapacity(8)
    }

    /// Nil after `end()`: the bytes since `begin()` were one valid JSON text. The first fault stays.
    package internal(set) var error: CodecError?

    /// The wanted values that are complete, ordered by where they begin. Final after `end()`: until then those below
    /// duplicate keys are still among them.
    package var fields: [JSONField] {
        self.hasOpenFields ? self.found.filter { $0.range.upperBound != Self.unfinished } : self.found
    }

    /// The same without the scanner's own state.
    package var findings: JSONFindings { JSONFindings(self.fields, paths: self.paths) }

    /// The same; nil where the bytes were no valid JSON text.
    package var validFindings: JSONFindings? { self.error == nil ? self.findings : nil }

    /// The last value of the path: the one that counts.
    package func last(_ path: Int) -> JSONField? { self.findings.last(path) }

    /// All values of the path, which are several where it has a `*`.
    package func all(_ path: Int) -> [JSONField] { self.findings.all(path) }

    // MARK: State

    let paths: JSONFieldPaths
    let maximumNesting: Int
    let maximumFields: Int
    var state = State.value
    /// Offset in the document of the piece at hand.
    var base = 0
    var stack: [Container] = []
    var found: [JSONField] = []
    var cuts: [Cut] = []
    /// Node of the value that comes next or is being read; -1 when nothing in it is wanted.
    var node = 0
    /// The path that ends at that node; -1 if the value itself is not wanted.
    var wantedPath: Int
    private let rootPath: Int
    var valueStart = 0
    /// Array indexes at the first two `*` on the way to the value.
    var elements = (-1, -1)
    var string = StringState()
    var key = KeyGathering()
    var literal = Literal(kind: .null)

    static let unfinished = Int.max

    enum State: UInt8, Sendable {
        case value, valueOrEnd, key, keyOrEnd, colon, afterValue, end
        case string, escape, hexadecimal, sequence, literal
        case minus, zero, integer, point, fraction, exponent, exponentSign, exponentDigits
        case failed
    }

    /// An open object or array.
    struct Container: Sendable {
        var isObject: Bool
        /// Node of the container itself.
        var node: Int
        /// The keys wanted of it.
        var edges: Range<Int>
        /// Its own entry in `found`; -1 if it is not wanted.
        var field: Int
        /// How many fields had been found before its content.
        var foundBefore: Int
        var elementIndex = 0
        /// Wanted keys seen so far, a bit for each of the first 64 edges.
        var seen: UInt64 = 0
    }

    private var hasOpenFields: Bool { self.stack.contains { $0.field >= 0 } }
}

// MARK: - FrameDataScanner

extension JSONFieldScanner {
    /// Forgets everything but the paths; keeps capacity.
    package mutating func begin() {
        self.error = nil
        self.state = .value
        self.base = 0
        self.stack.removeAll(keepingCapacity: true)
        self.found.removeAll(keepingCapacity: true)
        if !self.cuts.isEmpty { self.cuts.removeAll() }
        self.node = 0
        self.wantedPath = self.rootPath
        self.elements = (-1, -1)
    }

    package mutating func scan(_ piece: UnsafeRawBufferPointer) {
        let bytes = piece.assumingMemoryBound(to: UInt8.self)
        var at = 0
        while at < bytes.count {
            switch self.state {
            case .value, .valueOrEnd, .key, .keyOrEnd, .colon, .afterValue, .end:
                let byte = bytes[at]
                at &+= 1
                if byte > 0x20 || !Self.isWhiteSpace(byte) { self.takeStructure(byte, self.base &+ at &- 1) }
            case .string: at = self.takeString(bytes, at)
            case .escape:
                self.takeEscape(bytes[at], self.base &+ at)
                at &+= 1
            case .hexadecimal:
                self.takeHexadecimal(bytes[at], self.base &+ at)
                at &+= 1
            case .sequence:
                self.takeSequence(bytes[at], self.base &+ at)
                at &+= 1
            case .literal: at = self.takeLiteral(bytes, at)
            case .minus, .zero, .integer, .point, .fraction, .exponent, .exponentSign, .exponentDigits:
                at = self.takeNumber(bytes, at)
            case .failed: return
            }
        }
        self.base &+= bytes.count
    }

    package mutating func end() {
        if self.stack.isEmpty, self.isWholeNumber { self.endValue(.number, self.base) }
        if self.state != .end, self.state != .failed { self.fail(self.base) }
        self.dropOverridden()
    }

    mutating func fail(_ offset: Int) { self.fail(.invalidJSON(offset: offset)) }

    mutating func fail(_ error: CodecError) {
        self.error = error
        self.state = .failed
    }

    @inline(__always)
    private static func isWhiteSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }
}
