import NIOCore

/// Gathers the data of one frame: the only copy of a payload. The buffer is given away with the frame and never written
/// again.
///
/// Small frames that lie whole in one read are slices of one copy of it. Another frame that fits one read gets a buffer of its size. One that outgrows a read gets the size of recent large
/// frames at once, because every growth may move what is already there; without such knowledge the room doubles.
struct FrameGathering: Sendable {
    /// Size of recent large frames; falls slowly, so that a small preview between large images does not unlearn it.
    private(set) var expectedBytes: Int
    private(set) var hasData = false
    private var buffer = ByteBuffer()
    private var read: SharedRead?
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
        if endsLine, self.buffer.readableBytes == 0, let slice = self.read?.slice(of: bytes) {
            self.buffer = slice
            return scanner.scan(bytes)
        }
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

    /// Bytes arrived, of which ``append(_:endsLine:to:)`` will be given pieces until ``endRead()``.
    mutating func beginRead(_ bytes: UnsafeRawBufferPointer) { self.read = SharedRead(bytes) }

    mutating func endRead() { self.read = nil }

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

/// One read of a stream in which small frames follow each other: they share one copy of it instead of taking memory each.
struct SharedRead: Sendable {
    /// Addresses of the read, which its owner keeps valid.
    private let end: UInt
    /// Where in the read ``copy`` begins.
    private var start: UInt
    private var copy = ByteBuffer()

    /// Larger frames get memory of their own, so that they do not keep the neighbours'.
    private static let smallBytes: UInt = 2048
    /// The most that one small frame may keep in memory.
    private static let copiedBytes: UInt = 16 << 10

    /// Nil where the read does not begin with a small frame and go on behind it.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, Self.beginsSmall(bytes) else { return nil }
        self.start = UInt(bitPattern: base)
        self.end = self.start + UInt(bytes.count)
    }

    /// `bytes` as a slice of a copy; nil where they are not small or not of this read.
    mutating func slice(of bytes: UnsafeRawBufferPointer) -> ByteBuffer? {
        let first = UInt(bitPattern: bytes.baseAddress)
        let count = UInt(bytes.count)
        guard count < Self.smallBytes, first >= self.start, first + count <= self.end else { return nil }
        if first + count > self.start + UInt(self.copy.readableBytes) {
            let rest = UnsafeRawBufferPointer(
                start: bytes.baseAddress, count: Int(min(self.end - first, Self.copiedBytes)))
            self.copy = ByteBuffer(bytes: rest)
            self.start = first
        }
        return self.copy.getSlice(at: self.copy.readerIndex + Int(first - self.start), length: bytes.count)
    }

    /// A blank line stands near the front, and something behind it.
    private static func beginsSmall(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = UnsafeRawBufferPointer(rebasing: bytes.prefix(Int(Self.smallBytes)))
        while true {
            rest = rest.dropping(rest.lineEnd)
            guard rest.count >= 4 else { return false }
            // LF LF, CR CR, or CR LF CR LF.
            if rest[0] == rest[1] || rest[0] == rest[2] && rest[1] == rest[3] { return true }
            rest = rest.dropping(1)
        }
    }
}
