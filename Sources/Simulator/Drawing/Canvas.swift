/// Pixels as `0x00RRGGBB`, row by row.
struct Canvas {
    let width: Int
    let height: Int
    var pixels: [UInt32]

    init(width: Int, height: Int) {
        self.width = width
        self.height = height
        self.pixels = [UInt32](repeating: 0, count: width * height)
    }
}

/// A packed colour's arithmetic. Red and blue travel together in one word, so a blend is two multiplications.
enum Colour {
    /// `a` at 0, `b` at 256.
    @inline(__always)
    static func blend(_ a: UInt32, _ b: UInt32, _ amount: UInt32) -> UInt32 {
        let rest = 256 &- amount
        let redBlue = ((a & 0xFF00FF) &* rest &+ (b & 0xFF00FF) &* amount) >> 8 & 0xFF00FF
        let green = ((a & 0xFF00) &* rest &+ (b & 0xFF00) &* amount) >> 8 & 0xFF00
        return redBlue | green
    }

    /// A table from `a` to `b`.
    static func ramp(_ stops: [UInt32], count: Int) -> [UInt32] {
        (0..<count).map { index in
            let place = index * (stops.count - 1) * 256 / max(1, count - 1)
            let stop = min(place >> 8, stops.count - 2)
            return self.blend(stops[stop], stops[stop + 1], UInt32(place - (stop << 8)))
        }
    }
}

/// One-dimensional value noise; integers only, so that every machine draws the same.
enum Noise {
    /// 0…65535 at `position` (16 fraction bits), smooth between whole numbers.
    static func value(_ position: Int, seed: UInt64) -> Int {
        let cell = position >> 16
        let fraction = position & 0xFFFF
        let left = self.lattice(cell, seed: seed)
        let right = self.lattice(cell + 1, seed: seed)
        // 3t² − 2t³
        let square = (fraction * fraction) >> 16
        let eased = (square * (3 * 65536 - 2 * fraction)) >> 16
        return left + (((right - left) * eased) >> 16)
    }

    static func lattice(_ cell: Int, seed: UInt64) -> Int {
        Int(SplitMix64.mix(seed ^ UInt64(truncatingIfNeeded: cell) &* 0xD6E8_FEB8_6659_FD93) >> 48)
    }

    /// Sum of octaves, each of twice the frequency and half the weight; 0…65535. `sharp` folds every octave into a crest.
    static func octaves(_ count: Int, at position: Int, seed: UInt64, sharp: Bool) -> Int {
        var sum = 0
        var total = 0
        for octave in 0..<count {
            var level = self.value(position << octave, seed: seed &+ UInt64(octave))
            if sharp { level = 65535 - abs(2 * level - 65535) }
            sum += level >> octave
            total += 65536 >> octave
        }
        return sum * 65535 / total
    }
}
