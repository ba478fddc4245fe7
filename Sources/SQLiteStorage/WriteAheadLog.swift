/// What the files beside a database say of its write-ahead log, without opening the database: SQLite takes a log that
/// is cut off or broken for one that ends there, and so would lose what was acknowledged without a word.
///
/// https://www.sqlite.org/fileformat2.html#walformat, https://www.sqlite.org/walformat.html
struct WriteAheadLog {
    /// The first 32 bytes of the log.
    struct Header: Equatable {
        let pageSize: Int
        let salts: [UInt32]
        let checksum: Checksum
        let isBigEndian: Bool

        static let size = 32
    }

    /// What the index in shared memory (`-shm`) remembers. It outlives a killed process, and what it says of the log
    /// was said after the log was flushed.
    struct Index: Equatable {
        let pageSize: Int
        let salts: [UInt32]
        /// Frames of committed transactions.
        let frames: Int
        /// Of these, how many are in the database already.
        let copied: Int

        static let size = 136
    }

    static let frameHeaderSize = 24
}

// MARK: - Reading

extension WriteAheadLog.Header {
    /// Nil when it is no header of a log.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.size else { return nil }
        let words = (0..<8).map { UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) }
        guard words[0] | 1 == 0x377F_0683, words[1] == 3_007_000 else { return nil }
        self.isBigEndian = words[0] & 1 == 1
        self.pageSize = Int(words[2])
        self.salts = [words[4], words[5]]
        self.checksum = WriteAheadLog.Checksum(first: words[6], second: words[7])
        guard (512...65_536).contains(self.pageSize), self.pageSize.nonzeroBitCount == 1 else { return nil }
        var computed = WriteAheadLog.Checksum(first: 0, second: 0)
        computed.add(UnsafeRawBufferPointer(rebasing: bytes[..<24]), bigEndian: self.isBigEndian)
        guard computed == self.checksum else { return nil }
    }
}

extension WriteAheadLog.Index {
    /// Nil when it was not initialised, or was being written when the process stopped.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.size, bytes[..<48].elementsEqual(bytes[48..<96]) else { return nil }
        func word(_ offset: Int) -> UInt32 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
        guard word(0) == 3_007_000, bytes[12] != 0 else { return nil }
        var computed = WriteAheadLog.Checksum(first: 0, second: 0)
        computed.add(UnsafeRawBufferPointer(rebasing: bytes[..<40]), bigEndian: UInt32(1).bigEndian == 1)
        guard computed == WriteAheadLog.Checksum(first: word(40), second: word(44)) else { return nil }
        let pageSize = Int(bytes.loadUnaligned(fromByteOffset: 14, as: UInt16.self))
        self.pageSize = pageSize & 0xFE00 | (pageSize & 1) << 16
        self.frames = Int(word(16))
        // Copied from the log's header as they stand there.
        self.salts = [UInt32(bigEndian: word(32)), UInt32(bigEndian: word(36))]
        self.copied = Int(word(96))
    }
}

extension WriteAheadLog {
    /// SQLite's running sum over pairs of words.
    struct Checksum: Equatable {
        var first: UInt32
        var second: UInt32

        /// - Parameter bytes: a multiple of 8.
        mutating func add(_ bytes: UnsafeRawBufferPointer, bigEndian: Bool) {
            let swaps = bigEndian != (UInt32(1).bigEndian == 1)
            for offset in stride(from: 0, to: bytes.count & ~7, by: 8) {
                let left = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                let right = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
                self.first = self.first &+ (swaps ? left.byteSwapped : left) &+ self.second
                self.second = self.second &+ (swaps ? right.byteSwapped : right) &+ self.first
            }
        }
    }

    /// Whether `frame`, header and page, belongs to the log and follows what `checksum` has seen.
    static func accepts(
        _ frame: UnsafeRawBufferPointer, _ header: Header, after checksum: inout Checksum
    ) -> Bool {
        func word(_ offset: Int) -> UInt32 {
            UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        guard frame.count == Self.frameHeaderSize + header.pageSize, word(0) != 0, word(8) == header.salts[0],
            word(12) == header.salts[1]
        else { return false }
        checksum.add(UnsafeRawBufferPointer(rebasing: frame[..<8]), bigEndian: header.isBigEndian)
        checksum.add(UnsafeRawBufferPointer(rebasing: frame[Self.frameHeaderSize...]), bigEndian: header.isBigEndian)
        return checksum == Checksum(first: word(16), second: word(20))
    }
}
