internal import CScan
package import NIOCore

/// Decodes an event stream as the WHATWG HTML standard says (section 9.2.6), from reads of any size.
///
/// Payload bytes are copied once, from the read into the frame's own buffer. There is no limit on lines: the bound is
/// `CodecLimits.maximumEventBytes` over the field values of one block, so comments and unknown fields of any length
/// pass without being held. After an error every further call throws it again.
package struct ServerSentEventDecoder<Scanner: FrameDataScanner>: Sendable {
    /// After `consume` returned a frame: what the scanner found in it, until the next `consume`.
    package var scanner: Scanner
    /// Milliseconds; the last valid `retry:` of the stream.
    package private(set) var reconnectionTime: Int?
    /// The id stored by the last finished block; empty if there is none.
    package private(set) var lastEventID = ByteBuffer()

    private let maximumEventBytes: Int
    private var failure: CodecError?
    private var position = Position.byteOrderMark
    private var markBytes = 0
    private var name = FieldName()
    private var field = ServerSentEventField.unknown
    /// The last line ended in CR: an LF right behind it belongs to that line end.
    private var skipsLineFeed = false
    /// Value of an `event`, `id` or `retry` line that reads have cut.
    private var value = ByteBuffer()

    private var gathering: FrameGathering
    /// Kept beyond its block: streams repeat their types, and an equal one shares this storage.
    private var event = ByteBuffer()
    private var block = Block()

    /// What the fields of the block have said so far, besides its data.
    private struct Block {
        var hasFields = false
        var hasEvent = false
        var id: ByteBuffer?
        var retry: Int?
        /// Bytes of all field values.
        var bytes = 0
    }

    private static var carriageReturn: UInt8 { 0x0D }
    private static var lineFeed: UInt8 { 0x0A }

    private enum Position: UInt8 {
        case byteOrderMark, lineStart, fieldName, valueStart, value, ignoredLine
    }

    /// - Parameter expectedEventBytes: Size of large events where it is known, from an earlier stream of the kind. A
    ///   frame that outgrows one read gets this room at once, and its bytes need not move as the buffer grows.
    package init(limits: CodecLimits = .init(), scanner: Scanner, expectedEventBytes: Int = 0) {
        self.scanner = scanner
        self.maximumEventBytes = limits.maximumEventBytes
        self.gathering = FrameGathering(maximumBytes: limits.maximumEventBytes, expectedBytes: expectedEventBytes)
    }

    /// Size of recent large events, for `init(expectedEventBytes:)` of the next stream.
    package var expectedEventBytes: Int { self.gathering.expectedBytes }

    /// True when an unfinished block is held: a field has begun since the last blank line. At the end of the stream
    /// it is discarded. Comments do not count, they may stand alone.
    package var hasPartialFrame: Bool { self.block.hasFields }

    /// Bytes arrived that ``consume(_:)`` is given next, and stay valid until ``endRead()``: small frames in them then share one
    /// copy. Optional.
    package mutating func beginRead(_ bytes: UnsafeRawBufferPointer) { self.gathering.beginRead(bytes) }

    package mutating func endRead() { self.gathering.endRead() }

    /// Takes bytes from the front of `bytes` until a frame is complete (it is returned, `bytes` begins behind it) or
    /// `bytes` is empty (nil). A blank line that ends in CR dispatches without waiting for the next byte.
    ///
    /// Specialised here because its callers live in other modules.
    @_specialize(where Scanner == JSONFieldScanner)
    @_specialize(where Scanner == NoScanner)
    package mutating func consume(
        _ bytes: inout UnsafeRawBufferPointer
    ) throws(CodecError) -> ServerSentEventFrame? {
        if let failure = self.failure { throw failure }
        while let first = bytes.first {
            if self.skipsLineFeed {
                self.skipsLineFeed = false
                if first == Self.lineFeed {
                    bytes = bytes.dropping(1)
                    continue
                }
            }
            switch self.position {
            case .byteOrderMark: self.skipByteOrderMark(&bytes)
            case .lineStart:
                if first == Self.carriageReturn || first == Self.lineFeed {
                    self.endLine(&bytes)
                    if let frame = self.endBlock() { return frame }
                } else {
                    try self.beginLine(&bytes, first)
                }
            case .fieldName: try self.takeFieldName(&bytes)
            case .valueStart:
                if first == UInt8(ascii: " ") { bytes = bytes.dropping(1) }
                self.position = .value
            case .value: try self.takeValue(&bytes)
            case .ignoredLine: self.skipLine(&bytes)
            }
        }
        return nil
    }
}

// MARK: - Lines

extension ServerSentEventDecoder {
    /// Part of a mark makes the first field name one that nobody knows, so those bytes need not be kept.
    private mutating func skipByteOrderMark(_ bytes: inout UnsafeRawBufferPointer) {
        let expected: UInt8 = self.markBytes == 0 ? 0xEF : self.markBytes == 1 ? 0xBB : 0xBF
        guard bytes[0] == expected else {
            self.position = self.markBytes == 0 ? .lineStart : .ignoredLine
            self.block.hasFields = self.markBytes > 0
            return
        }
        bytes = bytes.dropping(1)
        self.markBytes += 1
        if self.markBytes == 3 { self.position = .lineStart }
    }

    private mutating func beginLine(_ bytes: inout UnsafeRawBufferPointer, _ first: UInt8) throws(CodecError) {
        guard first != UInt8(ascii: ":") else {
            self.position = .ignoredLine
            return
        }
        self.block.hasFields = true
        if FieldName.isDataColon(bytes) {
            bytes = bytes.dropping(5)
            try self.beginValue(.data)
        } else {
            self.name = FieldName()
            self.position = .fieldName
        }
    }

    private mutating func takeFieldName(_ bytes: inout UnsafeRawBufferPointer) throws(CodecError) {
        while let byte = bytes.first {
            switch byte {
            case UInt8(ascii: ":"):
                bytes = bytes.dropping(1)
                return try self.beginValue(self.name.field)
            case Self.carriageReturn, Self.lineFeed:
                return try self.endLineWithoutColon(&bytes)
            default:
                guard self.name.append(byte) else {
                    self.position = .ignoredLine
                    return
                }
                bytes = bytes.dropping(1)
            }
        }
    }

    /// The whole line is the field's name, its value is empty.
    private mutating func endLineWithoutColon(_ bytes: inout UnsafeRawBufferPointer) throws(CodecError) {
        try self.beginValue(self.name.field)
        self.endField(UnsafeRawBufferPointer(start: nil, count: 0))
        self.endLine(&bytes)
    }

    private mutating func beginValue(_ field: ServerSentEventField) throws(CodecError) {
        self.field = field
        self.position = field == .unknown ? .ignoredLine : .valueStart
        guard field == .data else { return }
        if self.gathering.hasData { try self.count(1) }
        self.gathering.beginLine(&self.scanner)
    }

    private mutating func takeValue(_ bytes: inout UnsafeRawBufferPointer) throws(CodecError) {
        let length = bytes.lineEnd
        let part = UnsafeRawBufferPointer(rebasing: bytes[..<length])
        let endsLine = length < bytes.count
        bytes = bytes.dropping(length)
        try self.count(length)
        if self.field == .data {
            self.gathering.append(part, endsLine: endsLine, to: &self.scanner)
        } else if endsLine, self.value.readableBytes == 0 {
            self.endField(part)
        } else {
            self.value.writeBytes(part)
            if endsLine { self.endCutField() }
        }
        if endsLine { self.endLine(&bytes) }
    }

    private mutating func skipLine(_ bytes: inout UnsafeRawBufferPointer) {
        bytes = bytes.dropping(bytes.lineEnd)
        if !bytes.isEmpty { self.endLine(&bytes) }
    }

    /// - Precondition: `bytes` begins with CR or LF.
    private mutating func endLine(_ bytes: inout UnsafeRawBufferPointer) {
        self.skipsLineFeed = bytes[0] == Self.carriageReturn
        bytes = bytes.dropping(1)
        self.position = .lineStart
    }

    /// Counts bytes of the block before they are held.
    private mutating func count(_ bytes: Int) throws(CodecError) {
        self.block.bytes += bytes
        guard self.block.bytes > self.maximumEventBytes else { return }
        let error = CodecError.eventTooLarge(limit: self.maximumEventBytes)
        self.failure = error
        self.gathering.discard()
        self.value = ByteBuffer()
        throw error
    }
}

// MARK: - Fields and blocks

extension ServerSentEventDecoder {
    private mutating func endCutField() {
        var whole = ByteBuffer()
        swap(&whole, &self.value)
        whole.withUnsafeReadableBytes { self.endField($0) }
    }

    private mutating func endField(_ value: UnsafeRawBufferPointer) {
        switch self.field {
        case .unknown, .data: break
        case .event:
            self.block.hasEvent = !value.isEmpty
            if !self.event.holds(value) { self.event = ByteBuffer(bytes: value) }
        case .id:
            guard !value.contains(0) else { return }
            self.block.id = self.lastEventID.holds(value) ? self.lastEventID : ByteBuffer(bytes: value)
        case .retry:
            guard let time = Self.digits(value) else { return }
            self.block.retry = time
            self.reconnectionTime = time
        }
    }

    /// A number of ASCII digits alone; nil for anything else and for what does not fit.
    private static func digits(_ value: UnsafeRawBufferPointer) -> Int? {
        guard !value.isEmpty else { return nil }
        var number = 0
        for byte in value {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(byte - 0x30))
            if overflow || carry { return nil }
            number = sum
        }
        return number
    }

    /// The blank line: stores the id, and dispatches the block if it has data.
    private mutating func endBlock() -> ServerSentEventFrame? {
        if self.block.id != nil, let id = self.block.id.take() { self.lastEventID = id }
        self.block.hasFields = false
        self.block.bytes = 0
        let hasEvent = self.block.hasEvent
        self.block.hasEvent = false
        let retry = self.block.retry
        self.block.retry = nil
        guard self.gathering.hasData else { return nil }
        self.scanner.end()
        let event = hasEvent ? self.event : nil
        if self.event.readableBytes > 256 { self.event = ByteBuffer() }
        return ServerSentEventFrame(
            event: event, data: self.gathering.take(), lastEventID: self.lastEventID, retry: retry)
    }
}

extension ByteBuffer {
    fileprivate func holds(_ bytes: UnsafeRawBufferPointer) -> Bool {
        self.readableBytes == bytes.count
            && self.withUnsafeReadableBytes { cscan_equal($0.baseAddress, bytes.baseAddress, bytes.count) != 0 }
    }
}

extension UnsafeRawBufferPointer {
    func dropping(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self[count...])
    }

    /// Offset of the first CR or LF, or the end.
    var lineEnd: Int {
        cscan_line_end(self.baseAddress?.assumingMemoryBound(to: UInt8.self), self.count)
    }
}
