import NIOCore

/// Gathers the data of one frame: the only copy of a payload. The buffer is given away with the frame and never written
/// again.
///
/// A frame that fits one read gets a buffer of its size. One that outgrows a read gets the size of recent large
/// frames at once, because every growth may move what is already there; without such knowledge the room doubles.
struct FrameGathering: Sendable {
    /// Size of recent large frames; falls slowly, so that a small preview between large images does not unlearn it.
    private(set) var expectedBytes: Int
    private(set) var hasData = false
    private var buffer = ByteBuffer()
    private let maximumBytes: Int

    /// Frames below this size are not worth remembering.
    private static let largeBytes = 32 << 10

    init(maximumBytes: Int, expectedBytes: Int) {
        self.maximumBytes = maximumBytes
        self.expectedBytes = expectedBytes
    }

    /// Takes bytes of a data line; `endsLine` when they are its last.
    mutating func append<Scanner: FrameDataScanner>(
        _ bytes: UnsafeRawBufferPointer, endsLine: Bool, to scanner: inout Scanner
    ) {
        guard !bytes.isEmpty else { return }
        if self.buffer.writableBytes < bytes.count { self.grow(by: bytes.count, endsLine: endsLine) }
        self.buffer.writeBytes(bytes)
        scanner.scan(bytes)
    }

    /// Begins a data line; from the second on, an LF parts it from the one before.
    mutating func beginLine<Scanner: FrameDataScanner>(_ scanner: inout Scanner) {
        guard self.hasData else {
            self.hasData = true
            scanner.begin()
            return
        }
        withUnsafeBytes(of: UInt8(ascii: "\n")) { self.append($0, endsLine: false, to: &scanner) }
    }

    mutating func take() -> ByteBuffer {
        let count = self.buffer.readableBytes
        if count >= Self.largeBytes {
            self.expectedBytes = max(count, self.expectedBytes - self.expectedBytes / 8)
            // An expectation that proved far too large must not stay allocated for as long as the payload lives.
            if self.buffer.capacity / 4 >= count { self.buffer.shrinkBufferCapacity(to: count) }
        }
        var taken = ByteBuffer()
        swap(&taken, &self.buffer)
        self.hasData = false
        return taken
    }

    mutating func discard() {
        self.buffer = ByteBuffer()
        self.hasData = false
    }

    private mutating func grow(by count: Int, endsLine: Bool) {
        let needed = self.buffer.readableBytes + count
        guard !endsLine || self.buffer.readableBytes > 0 else {
            self.buffer.reserveCapacity(needed)
            return
        }
        // Small frames are cut by reads too: only one that is already large earns the room of a large one.
        let expected = needed >= 4096 ? self.expectedBytes : 0
        self.buffer.reserveCapacity(max(needed, min(max(needed * 2, expected), self.maximumBytes)))
    }
}
