package import NIOCore

/// Encodes bytes that come in pieces of any size into one padded text: the same as ``Base64/encode(_:)`` of all of them.
package struct Base64StreamEncoder: Sendable {
    /// Bytes of a group of three that has begun, at most two.
    private var pending: [UInt8] = []

    package init() {
        self.pending.reserveCapacity(3)
    }

    /// Appends the text of every whole group to `text`.
    package mutating func encode(_ piece: UnsafeRawBufferPointer, into text: inout ByteBuffer) {
        var rest = piece[...]
        while !self.pending.isEmpty, let byte = rest.popFirst() {
            self.pending.append(byte)
            if self.pending.count == 3 { self.flush(into: &text) }
        }
        let whole = rest.count / 3 * 3
        Self.write(UnsafeRawBufferPointer(rebasing: rest.prefix(whole)), into: &text)
        self.pending.append(contentsOf: rest.dropFirst(whole))
    }

    /// Call it behind the last piece: writes the group that is not whole, and its padding.
    package mutating func finish(into text: inout ByteBuffer) {
        if !self.pending.isEmpty { self.flush(into: &text) }
    }

    private mutating func flush(into text: inout ByteBuffer) {
        self.pending.withUnsafeBytes { Self.write($0, into: &text) }
        self.pending.removeAll(keepingCapacity: true)
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, into text: inout ByteBuffer) {
        guard !bytes.isEmpty else { return }
        let count = (bytes.count + 2) / 3 * 4
        text.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            Base64Tables.encode(bytes, into: target)
            return count
        }
    }
}
