package import ImageGeneration
package import NIOCore
package import StreamCodecs

/// A part of what is to be written.
package enum FramePiece: Sendable {
    case bytes(ByteBuffer)
    /// The text of a payload that is not in memory.
    case displaced(any DisplacedPayload)

    package var count: Int {
        switch self {
        case .bytes(let bytes): bytes.readableBytes
        case .displaced(let payload): payload.base64Count
        }
    }
}

/// Collects what encoders write as pieces of one vectored write: small texts run together in one buffer, payloads stand
/// between them as the slices they are.
package struct FrameOutput: Sendable {
    /// The text being written. Write to it through its own methods, or to `json.buffer` between values.
    package var json: JSONWriter
    private var finished: [FramePiece] = []
    /// Payloads that the pieces refer to; held until the pieces are written.
    package private(set) var leases: [PayloadLease] = []
    private let isChunked: Bool
    /// Bytes at the front of the first piece that are kept for the chunk's head.
    private var headBytes = 0

    /// - Parameter isChunked: ``drain(_:)`` gives each batch as one chunk of HTTP/1.1's chunked coding.
    package init(asciiOnly: Bool = false, isChunked: Bool = false) {
        self.json = JSONWriter(ByteBuffer(), asciiOnly: asciiOnly)
        self.isChunked = isChunked
    }

    package var isEmpty: Bool { self.finished.isEmpty && self.json.buffer.readableBytes <= self.headBytes }

    /// Makes room for a batch of about `bytes`. Called before its first event.
    package mutating func begin(expecting bytes: Int) {
        guard self.finished.isEmpty, self.json.buffer.readableBytes == 0 else { return }
        self.json.buffer.reserveCapacity(min(max(bytes, 512), 64 << 10))
        guard self.isChunked else { return }
        self.headBytes = Self.emptyHead.utf8CodeUnitCount
        self.json.buffer.writeStaticString(Self.emptyHead)
    }

    /// RFC 9112, 7.1 lets a size begin with zeros, so its place can be kept before it is known.
    private static let emptyHead: StaticString = "00000000\r\n"

    /// Below this a copy costs less than a piece of its own, which is three writes to the channel. In bytes.
    private static let copiedBelow = 2048

    /// Puts the payload behind what was written so far, without copying where it is large. The text buffer is then handed over as it
    /// is and a new one begun: writing on into a buffer that is shared would copy all of it.
    package mutating func splice(_ payload: ImagePayload) {
        if let displaced = payload.displaced {
            self.closePiece()
            return self.finished.append(.displaced(displaced))
        }
        if payload.base64Count >= Self.copiedBelow, let lease = payload.lease { self.leases.append(lease) }
        self.splice(payload.base64)
    }

    package mutating func splice(_ bytes: ByteBuffer) {
        guard bytes.readableBytes >= Self.copiedBelow else {
            self.json.buffer.writeImmutableBuffer(bytes)
            return
        }
        self.closePiece()
        self.finished.append(.bytes(bytes))
    }

    /// Takes everything written since the last call.
    package mutating func takePieces() -> (pieces: [FramePiece], leases: [PayloadLease]) {
        var pieces: [FramePiece] = []
        let leases = self.leases
        self.drain { pieces.append($0) }
        return (pieces, leases)
    }

    /// Takes everything written since the last call, where no payload is displaced.
    package mutating func take() -> (pieces: [ByteBuffer], leases: [PayloadLease]) {
        let (pieces, leases) = self.takePieces()
        return (pieces.compactMap { if case .bytes(let bytes) = $0 { bytes } else { nil } }, leases)
    }

    /// Takes everything written since the last call as one buffer, for small documents: payloads are copied, and none is displaced.
    package mutating func takeWhole() -> ByteBuffer {
        let pieces = self.take().pieces
        guard pieces.count != 1 else { return pieces[0] }
        var whole = ByteBuffer()
        for piece in pieces { whole.writeImmutableBuffer(piece) }
        return whole
    }

    /// Hands over the pieces written since the last call, in order. With chunked coding they are one whole chunk, which must go out
    /// without anything between its pieces.
    package mutating func drain(_ piece: (FramePiece) -> Void) {
        guard !self.isEmpty else { return }
        if self.isChunked { self.closeChunk() }
        self.headBytes = 0
        for finished in self.finished { piece(finished) }
        if !self.finished.isEmpty { self.finished.removeAll(keepingCapacity: true) }
        if self.json.buffer.readableBytes > 0 { piece(.bytes(self.json.takeBuffer())) }
        if !self.leases.isEmpty { self.leases = [] }
    }

    private mutating func closeChunk() {
        let size = self.finished.reduce(self.json.buffer.readableBytes - self.headBytes) { $0 + $1.count }
        self.json.buffer.writeStaticString("\r\n")
        if self.headBytes == 0 {
            // The batch began unannounced, so its head is a piece of its own.
            var head = ByteBuffer(staticString: Self.emptyHead)
            Self.put(size, into: &head)
            self.finished.insert(.bytes(head), at: 0)
        } else if self.finished.isEmpty {
            Self.put(size, into: &self.json.buffer)
        } else if case .bytes(var first) = self.finished[0] {
            // The text with the head's place goes before every payload. Taken out, it is changed in place.
            self.finished[0] = .bytes(ByteBuffer())
            Self.put(size, into: &first)
            self.finished[0] = .bytes(first)
        }
    }

    private static func put(_ size: Int, into buffer: inout ByteBuffer) {
        for digit in 0..<8 {
            let value = UInt8(truncatingIfNeeded: size >> (28 - digit * 4)) & 0xF
            buffer.setInteger(value < 10 ? 0x30 + value : 0x57 + value, at: buffer.readerIndex + digit)
        }
    }

    private mutating func closePiece() {
        guard self.json.buffer.readableBytes > 0 else { return }
        self.finished.append(.bytes(self.json.buffer))
        self.json.buffer = ByteBuffer()
    }
}
