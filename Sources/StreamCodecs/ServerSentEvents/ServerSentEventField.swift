/// The fields that the standard knows. Names are case-sensitive.
enum ServerSentEventField: UInt8, Sendable {
    case unknown, data, event, id, retry
}

/// A field name as it arrives, packed into a word; nothing longer than the known names is kept.
struct FieldName: Sendable {
    private var packed: UInt64 = 0
    private var count = 0

    /// False when the name is longer than every known one.
    mutating func append(_ byte: UInt8) -> Bool {
        guard self.count < 5 else { return false }
        self.packed = self.packed << 8 | UInt64(byte)
        self.count += 1
        return true
    }

    /// The count tells a name from the same one with NUL bytes in front.
    var field: ServerSentEventField {
        switch (self.count, self.packed) {
        case (4, 0x6461_7461): .data
        case (5, 0x65_7665_6E74): .event
        case (2, 0x6964): .id
        case (5, 0x72_6574_7279): .retry
        default: .unknown
        }
    }

    /// Whether the line begins with "data:", the common case.
    static func isDataColon(_ line: UnsafeRawBufferPointer) -> Bool {
        line.count >= 5 && line.loadUnaligned(as: UInt32.self) == UInt32(bigEndian: 0x6461_7461)
            && line[4] == UInt8(ascii: ":")
    }
}
