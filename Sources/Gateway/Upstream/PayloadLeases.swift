import ImageGeneration
import NIOCore
import Storage

/// Counts the payloads of one job against the budget. Small ones that came in one read share its memory, and so one lease.
struct PayloadLeases {
    private let budget: PayloadBudget
    /// The small payload that was counted last in this read.
    private var last: (payload: ByteBuffer, lease: PayloadLease)?

    /// Payloads of fewer bytes may share memory with others.
    private static let maximumShared = 2048

    init(budget: PayloadBudget) { self.budget = budget }

    /// Nil where there is no room.
    mutating func preview(_ payload: ByteBuffer) -> PayloadLease? {
        guard payload.readableBytes < Self.maximumShared else { return self.budget.lease(payload.storageCapacity) }
        // The payload is held beside its lease, so that no other can come to lie at the same place.
        if let last = self.last, last.payload.sharesMemory(with: payload) { return last.lease }
        let lease = self.budget.lease(payload.storageCapacity)
        self.last = lease.map { (payload, $0) }
        return lease
    }

    /// Finished pictures are kept long: a small one is copied out of the read that it came in.
    func finished(_ payload: inout ByteBuffer) -> PayloadLease {
        if payload.readableBytes < Self.maximumShared { payload = ByteBuffer(bytes: payload.readableBytesView) }
        return self.budget.leaseAlways(payload.storageCapacity)
    }

    mutating func endRead() { self.last = nil }
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
