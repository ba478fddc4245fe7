import Glibc
import Synchronization

/// Random numbers of the kernel's generator, fetched many at a time: one system call for each would be a good part of what a short
/// job costs. As good as the system's for ids that are capabilities; each number is handed out once and wiped.
package struct PooledRandomNumbers: RandomNumberGenerator {
    private static let pool = Mutex<Pool>(Pool())

    private struct Pool {
        var numbers = [UInt64](repeating: 0, count: 64)
        var left = 0
    }

    package init() {}

    package mutating func next() -> UInt64 {
        Self.pool.withLock { pool in
            if pool.left == 0 { Self.fill(&pool) }
            pool.left -= 1
            defer { pool.numbers[pool.left] = 0 }
            return pool.numbers[pool.left]
        }
    }

    private static func fill(_ pool: inout Pool) {
        let filled = pool.numbers.withUnsafeMutableBytes { bytes in
            // It gives 256 bytes at most.
            stride(from: 0, to: bytes.count, by: 256).allSatisfy { offset in
                getentropy(bytes.baseAddress.map { $0 + offset }, 256) == 0
            }
        }
        if !filled {
            var generator = SystemRandomNumberGenerator()
            for index in pool.numbers.indices { pool.numbers[index] = generator.next() }
        }
        pool.left = pool.numbers.count
    }
}
