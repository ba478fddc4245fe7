import NIOCore

/// The pieces of a request body as one run of bytes that can be read again from its start.
struct RequestBodyReader {
    private let pieces: [ByteBuffer]
    let count: Int
    private var piece = 0
    private var offset = 0

    init(_ pieces: [ByteBuffer]) {
        self.pieces = pieces
        self.count = pieces.reduce(0) { $0 + $1.readableBytes }
    }

    /// Fills `target` as far as there are bytes; returns how many.
    mutating func read(into target: UnsafeMutableRawBufferPointer) -> Int {
        var filled = 0
        while filled < target.count, self.piece < self.pieces.count {
            let taken = self.pieces[self.piece].withUnsafeReadableBytes { source in
                let taken = min(source.count - self.offset, target.count - filled)
                let slice = UnsafeRawBufferPointer(rebasing: source[self.offset..<self.offset + taken])
                UnsafeMutableRawBufferPointer(rebasing: target[filled...]).copyMemory(from: slice)
                return taken
            }
            filled += taken
            self.offset += taken
            if self.offset == self.pieces[self.piece].readableBytes {
                self.piece += 1
                self.offset = 0
            }
        }
        return filled
    }

    mutating func rewind() {
        self.piece = 0
        self.offset = 0
    }
}
