/// SHA-256 (FIPS 180-4), for test vectors that give long values by their digest. Keeps the codecs' tests free of
/// packages.
enum SHA256Digest {
    static func hex(_ message: [UInt8]) -> String {
        var bytes = message + [0x80]
        bytes += Array(repeating: 0, count: (120 - bytes.count % 64) % 64)
        let bits = UInt64(message.count) * 8
        bytes += (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) }
        var hash = Self.roots(power: 2, count: 8)
        let constants = Self.roots(power: 3, count: 64)
        for block in stride(from: 0, to: bytes.count, by: 64) {
            Self.compress(bytes[block..<block + 64], &hash, constants)
        }
        return hash.map { word in
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 8 - text.count) + text
        }.joined()
    }

    /// The first 32 bits of the fractional parts of the square or cube roots of the first primes.
    private static func roots(power: Int, count: Int) -> [UInt32] {
        let primes = (2...).lazy.filter { number in !(2..<number).contains { number % $0 == 0 } }.prefix(count)
        return primes.map { prime in
            // The largest `root` with root^power <= prime * 2^(32 * power), by bisection in exact arithmetic.
            var low: UInt64 = 0
            var high: UInt64 = 1 << 37
            while high - low > 1 {
                let middle = (low + high) / 2
                if Self.isAtMost(middle, power, UInt64(prime)) { low = middle } else { high = middle }
            }
            return UInt32(truncatingIfNeeded: low)
        }
    }

    private static func isAtMost(_ root: UInt64, _ power: Int, _ prime: UInt64) -> Bool {
        let value = UInt128(root)
        return power == 2
            ? value * value <= UInt128(prime) << 64 : value * value * value <= UInt128(prime) << 96
    }

    private static func compress(_ block: ArraySlice<UInt8>, _ hash: inout [UInt32], _ constants: [UInt32]) {
        func rotated(_ word: UInt32, _ by: UInt32) -> UInt32 { word >> by | word << (32 - by) }
        let start = block.startIndex
        var words = (0..<16).map { index in
            (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(block[start + index * 4 + $1]) }
        }
        words.reserveCapacity(64)
        for index in 16..<64 {
            let first = words[index - 15]
            let second = words[index - 2]
            let low = rotated(first, 7) ^ rotated(first, 18) ^ first >> 3
            let high = rotated(second, 17) ^ rotated(second, 19) ^ second >> 10
            words.append(words[index - 16] &+ low &+ words[index - 7] &+ high)
        }
        // The eight working words move through a window of a growing row, so that none is copied from round to round:
        // in round r, `a` is row[r + 3], `d` is row[r]; likewise `e` and `h` in the other row.
        var left = Array(hash[0..<4].reversed())
        var right = Array(hash[4..<8].reversed())
        left.reserveCapacity(68)
        right.reserveCapacity(68)
        for index in 0..<64 {
            let (a, b, c, d) = (left[index + 3], left[index + 2], left[index + 1], left[index])
            let (e, f, g, h) = (right[index + 3], right[index + 2], right[index + 1], right[index])
            let sigma1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
            let first = h &+ sigma1 &+ (e & f ^ ~e & g) &+ constants[index] &+ words[index]
            let sigma0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)
            left.append(first &+ sigma0 &+ (a & b ^ a & c ^ b & c))
            right.append(d &+ first)
        }
        let state = Array(left[64...].reversed()) + Array(right[64...].reversed())
        for index in 0..<8 { hash[index] = hash[index] &+ state[index] }
    }
}
