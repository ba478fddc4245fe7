import ImageGeneration
import NIOCore
import Storage
import Transport

/// Counts what one job's upstream sends: while an event is gathered, ahead of its bytes, and from then on as the event's payload.
/// Payloads that came in one read share its memory, and so one lease.
struct PayloadLeases {
    let room: GatheringRoom
    /// What calls bring of events that are not whole yet.
    private var gathered = GatheredBytes()
    /// Calls that bring nothing until there is room.
    private(set) var paused: Set<UpstreamCallID> = []
    /// This read made an event whole.
    private var toldEvent = false
    /// The payload that was counted last in this read.
    private var last: (payload: ByteBuffer, lease: PayloadLease)?

    /// A finished picture of fewer bytes is copied out of the read that it came in.
    private static let maximumCopied = 2048

    init(budget: PayloadBudget) { self.room = GatheringRoom(budget) }

    // MARK: Whole events

    /// Nil where there is no room.
    mutating func preview(_ payload: ByteBuffer) -> PayloadLease? { self.lease(payload, isPrecious: false) }

    /// Finished pictures are kept long, and are counted even where there is no room.
    mutating func finished(_ payload: inout ByteBuffer) -> PayloadLease? {
        if payload.readableBytes < Self.maximumCopied { payload = ByteBuffer(bytes: payload.readableBytesView) }
        return self.lease(payload, isPrecious: true)
    }

    /// It was counted as gathered before.
    private mutating func lease(_ payload: ByteBuffer, isPrecious: Bool) -> PayloadLease? {
        // The payload is held beside its lease, so that no other can come to lie at the same place.
        if let last = self.last, last.payload.sharesMemory(with: payload) { return last.lease }
        self.gathered.expect(payload.storageCapacity)
        let lease = self.room.turn(into: payload.storageCapacity, isPrecious: isPrecious)
        self.last = lease.map { (payload, $0) }
        return lease
    }

    mutating func tellsEvent() { self.toldEvent = true }

    // MARK: Reads

    mutating func beginRead() { self.toldEvent = false }

    mutating func endRead() { self.last = nil }

    /// The call brought `bytes`.
    /// - Returns: the room in bytes that is wanted before it may bring more; nil when there is enough.
    mutating func took(_ bytes: Int, call: UpstreamCallID) -> Int? {
        self.gathered.took(bytes, call: call, toldEvent: self.toldEvent)
        return self.gathered.wanted(beyond: self.room.bytes)
    }

    mutating func pauses(_ call: UpstreamCallID) { self.paused.insert(call) }

    /// - Returns: the calls that waited.
    mutating func takePaused() -> Set<UpstreamCallID> {
        defer { self.paused = [] }
        return self.paused
    }

    /// The call holds nothing any more.
    mutating func ended(_ call: UpstreamCallID) {
        self.gathered.ended(call: call)
        self.paused.remove(call)
        if self.gathered.isEmpty { self.room.release() }
    }

    /// No call goes on.
    mutating func endAll() {
        self.gathered = GatheredBytes()
        self.paused = []
        self.room.release()
    }
}

extension ByteBuffer {
    fileprivate func sharesMemory(with other: ByteBuffer) -> Bool {
        self.withUnsafeReadableBytesWithStorageManagement { _, storage in
            other.withUnsafeReadableBytesWithStorageManagement { _, others in
                storage.toOpaque() == others.toOpaque()
            }
        }
    }
}
