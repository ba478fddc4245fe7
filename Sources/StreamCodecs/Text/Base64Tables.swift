/// The inner loops of base64: two table look-ups for three bytes when encoding, four for three when decoding.
enum Base64Tables {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// Two characters, in memory order, for every value of twelve bits.
    private static let pairs: [UInt16] = (0..<4096).map { value in
        UInt16(littleEndian: UInt16(alphabet[value >> 6]) | UInt16(alphabet[value & 63]) << 8)
    }

    /// Set in a table's entry for a byte outside the alphabet; no decoded group of 24 bits reaches it.
    private static var invalid: UInt32 { 1 << 31 }

    /// Four tables of 256, one for each place in a group: the character's six bits where they belong in the 24.
    private static let places: [UInt32] = (0..<4).flatMap { place in
        (0..<256).map { byte in
            Self.alphabet.firstIndex(of: UInt8(byte)).map { UInt32($0) << UInt32(18 - 6 * place) } ?? Self.invalid
        }
    }

    /// Fills the beginning of `target`, which has room for four bytes for every three begun in `source`.
    static func encode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) {
        let whole = source.count / 3
        Self.pairs.withUnsafeBufferPointer { pairs in
            for group in 0..<whole {
                let at = group &* 3
                let bits = UInt32(source[at]) << 16 | UInt32(source[at &+ 1]) << 8 | UInt32(source[at &+ 2])
                target.storeBytes(of: pairs[Int(bits >> 12)], toByteOffset: group &* 4, as: UInt16.self)
                target.storeBytes(of: pairs[Int(bits & 0xFFF)], toByteOffset: group &* 4 &+ 2, as: UInt16.self)
            }
        }
        let rest = source[(whole * 3)...]
        guard let first = rest.first else { return }
        let second = rest.dropFirst().first
        let bits = UInt32(first) << 16 | UInt32(second ?? 0) << 8
        let end = whole * 4
        target[end] = Self.alphabet[Int(bits >> 18)]
        target[end + 1] = Self.alphabet[Int(bits >> 12 & 63)]
        target[end + 2] = second == nil ? 0x3D : Self.alphabet[Int(bits >> 6 & 63)]
        target[end + 3] = 0x3D
    }

    /// Decodes groups of four characters up to the first that holds a byte outside the alphabet, padding included.
    /// `target` has room for three bytes for every four of `source`. Returns the number of groups decoded.
    static func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int {
        let groups = source.count / 4
        return Self.places.withUnsafeBufferPointer { places in
            for group in 0..<groups {
                let at = group &* 4
                let bits =
                    places[Int(source[at])] | places[256 &+ Int(source[at &+ 1])]
                    | places[512 &+ Int(source[at &+ 2])] | places[768 &+ Int(source[at &+ 3])]
                guard bits < Self.invalid else { return group }
                let out = group &* 3
                target[out] = UInt8(truncatingIfNeeded: bits >> 16)
                target[out &+ 1] = UInt8(truncatingIfNeeded: bits >> 8)
                target[out &+ 2] = UInt8(truncatingIfNeeded: bits)
            }
            return groups
        }
    }

    /// A character's six bits; nil outside the alphabet.
    static func value(_ character: UInt8) -> UInt32? {
        let bits = Self.places[768 + Int(character)]
        return bits < Self.invalid ? bits : nil
    }
}
