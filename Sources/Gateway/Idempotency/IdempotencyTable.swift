import ImageGeneration
import NIOCore
import Synchronization

/// Which job each idempotency key stands for. A key is claimed under one lock before its job starts, so that of any number of equal
/// requests exactly one starts a job.
final class IdempotencyTable: Sendable {
    enum Claim: Sendable {
        /// Nobody has the key: the caller starts the job, then calls ``fulfil(_:with:)`` or ``abandon(_:)``.
        case first
        case job(JobID)
        /// The key stands for another request.
        case mismatch
        /// Another request is starting the job: claim again when the gate opens.
        case wait(Gate)
    }

    private struct Entry {
        let digest: RequestDigest
        let claimedAt: Timestamp
        /// Nil while the job starts.
        var job: JobID?
        let gate: Gate
    }

    private struct State {
        var entries: [IdempotencyKey: Entry] = [:]
        /// In the order in which they were claimed; may name keys that were abandoned.
        var order = CircularBuffer<(key: IdempotencyKey, claimedAt: Timestamp)>()
    }

    private let retentionMilliseconds: Int64
    private let maximumCount: Int
    private let state = Mutex<State>(State())

    /// - Parameters:
    ///   - retentionMilliseconds: how long a key is kept.
    ///   - maximumCount: keys; beyond it the oldest are forgotten.
    init(retentionMilliseconds: Int64 = 86_400_000, maximumCount: Int = 50_000) {
        self.retentionMilliseconds = retentionMilliseconds
        self.maximumCount = maximumCount
    }

    var count: Int { self.state.withLock { $0.entries.count } }

    /// Whether the key stands for a job, or one is being started for it.
    func knows(_ key: IdempotencyKey) -> Bool { self.state.withLock { $0.entries[key] != nil } }

    func claim(_ key: IdempotencyKey, _ digest: RequestDigest, now: Timestamp) -> Claim {
        self.state.withLock { state in
            self.dropOld(&state, now: now)
            if let entry = state.entries[key] {
                guard let job = entry.job else { return .wait(entry.gate) }
                return entry.digest == digest ? .job(job) : .mismatch
            }
            state.entries[key] = Entry(digest: digest, claimedAt: now, job: nil, gate: Gate())
            state.order.append((key, now))
            return .first
        }
    }

    /// The job of a claimed key has started.
    func fulfil(_ key: IdempotencyKey, with job: JobID) {
        let gate = self.state.withLock { state in
            state.entries[key]?.job = job
            return state.entries[key]?.gate
        }
        gate?.open()
    }

    /// No job came of the claim: the key is free again.
    func abandon(_ key: IdempotencyKey) {
        let gate = self.state.withLock { state in
            if state.order.last?.key == key { state.order.removeLast() }
            return state.entries.removeValue(forKey: key)?.gate
        }
        gate?.open()
    }

    private func dropOld(_ state: inout State, now: Timestamp) {
        while let oldest = state.order.first {
            let isOld = now.milliseconds - oldest.claimedAt.milliseconds >= self.retentionMilliseconds
            guard isOld || state.order.count > self.maximumCount else { return }
            // A key whose job is just starting is not forgotten: that could start it twice.
            if let entry = state.entries[oldest.key], entry.claimedAt == oldest.claimedAt {
                guard entry.job != nil else { return }
                state.entries[oldest.key] = nil
            }
            state.order.removeFirst()
        }
    }
}
