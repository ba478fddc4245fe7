import NIOCore

/// The bytes of one run: the first ones choose the cuts and options, the rest is the hostile input.
struct FuzzInput {
    let choice: UInt8
    let payload: [UInt8]
    private let seed: UInt64

    init(_ start: UnsafePointer<UInt8>?, _ count: Int) {
        let bytes = Array(UnsafeBufferPointer(start: start, count: count))
        self.choice = bytes.first ?? 0
        self.seed = bytes.dropFirst().prefix(2).reduce(1) { $0 << 8 | UInt64($1) }
        self.payload = Array(bytes.dropFirst(3))
    }

    /// The payload cut into reads: one byte each, or of lengths that the seed yields.
    var pieces: [Range<Int>] {
        var state = self.seed
        var pieces: [Range<Int>] = []
        var start = 0
        while start < self.payload.count {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let longest: UInt64 = self.choice & 1 == 0 ? 1 : self.choice & 2 == 0 ? 8 : 200
            let end = min(self.payload.count, start + 1 + Int((state >> 33) % longest))
            pieces.append(start..<end)
            start = end
        }
        return pieces
    }

    var whole: [Range<Int>] { [0..<self.payload.count] }

    /// Each piece in memory of its own size: the sanitizer sees every read beyond it.
    func forEachPiece(_ pieces: [Range<Int>], _ body: (UnsafeRawBufferPointer) -> Void) {
        for piece in pieces {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.count, alignment: 1)
            defer { copy.deallocate() }
            self.payload.withUnsafeBytes { copy.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[piece])) }
            body(UnsafeRawBufferPointer(copy))
        }
    }
}
