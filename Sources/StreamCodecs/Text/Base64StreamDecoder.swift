package import NIOCore

/// Decodes base64 that comes in pieces of any size, by the rules of ``Base64/decode(_:)``.
package struct Base64StreamDecoder: Sendable {
    /// Characters of a group that has begun, at most three.
    private var pending: [UInt8] = []
    private var padding = 0
    /// Characters taken.
    private var offset = 0

    package init() {
        self.pending.reserveCapacity(4)
    }

    /// Appends what the piece completes to `bytes`.
    /// - Throws: `notBase64`, its offset counted from the first piece. What stood before the fault in whole groups
    /// has been
    ///   written; the decoder is of no further use.
    package mutating func decode(_ piece: ByteBuffer, into bytes: inout ByteBuffer) throws(CodecError) {
        var piece = piece
        while !self.pending.isEmpty || self.padding > 0, let character = piece.readInteger(as: UInt8.self) {
            try self.take(character, into: &bytes)
        }
        let groups =
            bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: piece.readableBytes / 4 * 3) { target in
                piece.withUnsafeReadableBytes { Base64Tables.decode($0, into: target) * 3 }
            } / 3
        piece.moveReaderIndex(forwardBy: groups * 4)
        self.offset += groups * 4
        while let character = piece.readInteger(as: UInt8.self) { try self.take(character, into: &bytes) }
    }

    /// Call it behind the last piece.
    /// - Throws: `notBase64` when the text ends inside a group.
    package func finish() throws(CodecError) {
        guard self.pending.isEmpty, self.padding == 0 || self.isPadded else { throw .notBase64(offset: self.offset) }
    }

    /// The padding is complete: nothing may follow.
    private var isPadded: Bool { self.padding > 0 && self.offset % 4 == 0 }

    /// The slow path: around the edges of pieces and at the padding.
    private mutating func take(_ character: UInt8, into bytes: inout ByteBuffer) throws(CodecError) {
        guard !self.isPadded else { throw .notBase64(offset: self.offset) }
        if character == 0x3D {
            guard self.padding > 0 || self.pending.count >= 2 else { throw .notBase64(offset: self.offset) }
            self.padding += 1
        } else {
            guard self.padding == 0, Base64Tables.value(character) != nil else {
                throw .notBase64(offset: self.offset)
            }
            self.pending.append(character)
        }
        self.offset += 1
        if self.pending.count + self.padding == 4 { self.flush(into: &bytes) }
    }

    private mutating func flush(into bytes: inout ByteBuffer) {
        var bits: UInt32 = 0
        for place in 0..<4 {
            let value = place < self.pending.count ? Base64Tables.value(self.pending[place]) : 0
            bits = bits << 6 | (value ?? 0)
        }
        for index in 0..<(3 - self.padding) {
            bytes.writeInteger(UInt8(truncatingIfNeeded: bits >> UInt32(16 - 8 * index)))
        }
        self.pending.removeAll(keepingCapacity: true)
    }
}
