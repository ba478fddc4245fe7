/// Ways to cut an input into reads: whole, byte by byte, two bytes at a time, and in two at every offset.
package enum ByteSplits {
    /// Every way to cut `count` bytes; two-part cuts at every offset up to `exhaustiveLimit` bytes, at 512 spread offsets beyond.
    package static func all(count: Int, exhaustiveLimit: Int = 8192) -> [[Range<Int>]] {
        guard count > 0 else { return [[]] }
        let step = count <= exhaustiveLimit ? 1 : max(1, count / 512)
        return [[0..<count], self.pieces(of: 1, count: count), self.pieces(of: 2, count: count)]
            + stride(from: 1, to: count, by: step).map { [0..<$0, $0..<count] }
    }

    package static func pieces(of size: Int, count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
    }
}
