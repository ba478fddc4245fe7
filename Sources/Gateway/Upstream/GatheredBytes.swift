import Transport

/// How many bytes of events not yet whole the calls of one job have brought, and how much room they want: a state machine.
struct GatheredBytes {
    /// Short events are part of what an idle stream costs: so many bytes are not counted.
    static let uncounted = 64 << 10
    /// Room is asked for ahead of what one read may bring.
    private static let ahead = 256 << 10

    private var calls: [(call: UpstreamCallID, bytes: Int)] = []
    /// Of the last large event: the next is likely to be as large.
    private var expected = 0

    /// The call brought `bytes`.
    /// - Parameter toldEvent: these bytes made an event whole; what they begin is at most all of them.
    mutating func took(_ bytes: Int, call: UpstreamCallID, toldEvent: Bool) {
        if let index = self.calls.firstIndex(where: { $0.call == call }) {
            self.calls[index].bytes = toldEvent ? bytes : self.calls[index].bytes + bytes
        } else {
            self.calls.append((call, bytes))
        }
    }

    /// The call holds nothing any more.
    mutating func ended(call: UpstreamCallID) { self.calls.removeAll { $0.call == call } }

    /// An event of so many bytes became whole.
    mutating func expect(_ bytes: Int) { self.expected = bytes }

    var isEmpty: Bool { self.calls.isEmpty }

    /// Bytes of room that the next read wants; nil when `room` will do. Grows twofold, as the buffers do that gather.
    func wanted(beyond room: Int) -> Int? {
        var total = 0
        for call in self.calls { total += call.bytes }
        guard total > Self.uncounted, total + Self.ahead > room else { return nil }
        let least = total + Self.ahead
        let power = 1 << (Int.bitWidth - (least - 1).leadingZeroBitCount)
        return max(power, self.expected)
    }
}
