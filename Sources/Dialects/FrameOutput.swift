package import ImageGeneration
package import NIOCore
package import StreamCodecs

/// Collects what encoders write as pieces of one vectored write: small texts run together in one buffer, payloads stand
/// between them as the slices they are.
package struct FrameOutput: Sendable {
    /// The text being written. Write to it through its own methods, or to `json.buffer` between values.
    package var json: JSONWriter
    private var finished: [ByteBuffer] = []
    /// Payloads that the pieces refer to; held until the pieces are written.
    package private(set) var leases: [PayloadLease] = []

    package init(asciiOnly: Bool = false) {
        self.json = JSONWriter(ByteBuffer(), asciiOnly: asciiOnly)
    }

    package var isEmpty: Bool { self.finished.isEmpty && self.json.buffer.readableBytes == 0 }

    /// Below this a copy costs less than a piece of its own, which is three writes to the channel. In bytes.
    private static let copiedBelow = 2048

    /// Puts the payload behind what was written so far, without copying where it is large. The text buffer is then handed over as it
    /// is and a new one begun: writing on into a buffer that is shared would copy all of it.
    package mutating func splice(_ payload: ImagePayload) {
        if payload.base64Count >= Self.copiedBelow, let lease = payload.lease { self.leases.append(lease) }
        self.splice(payload.base64)
    }

    package mutating func splice(_ bytes: ByteBuffer) {
        guard bytes.readableBytes >= Self.copiedBelow else {
            self.json.buffer.writeImmutableBuffer(bytes)
            return
        }
        self.closePiece()
        self.finished.append(bytes)
    }

    /// Takes everything written since the last call.
    package mutating func take() -> (pieces: [ByteBuffer], leases: [PayloadLease]) {
        self.closePiece()
        defer {
            self.finished.removeAll(keepingCapacity: true)
            self.leases.removeAll(keepingCapacity: true)
        }
        return (self.finished, self.leases)
    }

    private mutating func closePiece() {
        guard self.json.buffer.readableBytes > 0 else { return }
        self.finished.append(self.json.buffer)
        self.json.buffer = ByteBuffer()
    }
}
