import ImageGeneration

/// The frames that one event may become, in the order in which they are written. Their numbers are fixed, so that a client that takes
/// a stream up again is told just what it has not seen, whatever the log has let go of since.
enum ResponsePart: Int, Comparable {
    case created, queued, inProgress
    case itemAdded, callInProgress, callGenerating, partialImage, callCompleted, itemDone
    case messageAdded, contentAdded, textDelta, textDone, contentDone, messageDone
    case end

    /// Numbers that an event has for its frames.
    private static let count: UInt64 = 16

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// Rises from frame to frame, with gaps.
    func sequenceNumber(_ event: UInt32) -> UInt64 {
        (UInt64(max(1, event)) - 1) * Self.count + UInt64(self.rawValue)
    }

    /// - Returns: nil for a number that no event can have.
    static func position(after sequenceNumber: UInt64) -> EventPart? {
        guard let event = UInt32(exactly: sequenceNumber / Self.count), event < .max else { return nil }
        return EventPart(number: event + 1, part: Int(sequenceNumber % Self.count))
    }
}
