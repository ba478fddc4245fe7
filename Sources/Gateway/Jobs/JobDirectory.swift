package import ImageGeneration
import NIOCore
package import Storage
import Synchronization

/// All jobs of the process by id: those that run, and those that are over for as long as there is room.
///
/// Of finished jobs the oldest go first: their payloads are let go of once these hold more than their share of the memory, and move to where
/// they can be read again when the memory is needed; the whole job goes beyond 10,000 or after 24 h. Everything is taken from the
/// front of a list.
package final class JobDirectory: Sendable {
    private let payloadShare: Int
    private let retentionMilliseconds: Int64
    private let maximumFinished: Int
    private let displace: @Sendable (ImagePayload, ImageID?) -> ImagePayload?
    private let state = Mutex<State>(State())

    private struct State {
        var running: [JobID: Job] = [:]
        var finished: [JobID: Kept] = [:]
        /// In the order in which they ended.
        var finishedOrder = CircularBuffer<JobID>()
        /// Those of them that hold payloads, in the same order.
        var holdingOrder = CircularBuffer<JobID>()
        /// Those whose payloads were moved, in the order of that.
        var displacedOrder = CircularBuffer<JobID>()
        var heldBytes = 0
        var histories: [String: JobHistory] = [:]

        /// Jobs that were dropped meanwhile leave the list here.
        mutating func noteDisplaced(_ id: JobID) {
            while let first = self.displacedOrder.first, self.finished[first] == nil {
                self.displacedOrder.removeFirst()
            }
            self.displacedOrder.append(id)
        }
    }

    /// A record's place: the table of thousands is moved as it grows, and records are large.
    private final class Kept {
        var record: JobRecord

        init(_ record: JobRecord) { self.record = record }
    }

    /// - Parameters:
    ///   - payloadShare: bytes that payloads of finished jobs may hold.
    ///   - maximumFinished: jobs.
    ///   - retentionMilliseconds: from a job's end.
    ///   - displace: gives a payload, of a finished picture with its id, a form that holds no memory; nil: there is no such place.
    package init(
        payloadShare: Int, maximumFinished: Int = 10_000, retentionMilliseconds: Int64 = 86_400_000,
        displace: @escaping @Sendable (ImagePayload, ImageID?) -> ImagePayload? = { _, _ in nil }
    ) {
        self.displace = displace
        self.payloadShare = payloadShare
        self.maximumFinished = maximumFinished
        self.retentionMilliseconds = retentionMilliseconds
    }

    package var runningCount: Int { self.state.withLock { $0.running.count } }
    package var running: [Job] { self.state.withLock { Array($0.running.values) } }
    package var finishedCount: Int { self.state.withLock { $0.finished.count } }
    /// Payload bytes kept for jobs that are over.
    package var heldBytes: Int { self.state.withLock { $0.heldBytes } }

    package func find(_ id: JobID) -> JobView? {
        let (job, record) = self.state.withLock { ($0.running[id], $0.finished[id]?.record) }
        return job.map { JobView($0) } ?? record.map { JobView($0) }
    }

    /// The record of a job that is over.
    package func record(_ id: JobID) -> JobRecord? { self.state.withLock { $0.finished[id]?.record } }

    package func begin(_ job: Job) {
        self.state.withLock { state in
            state.running[job.id] = job
            guard let owner = job.owner else { return }
            state.histories[owner, default: JobHistory()].insert(HistoryCursor(createdAt: job.createdAt, job: job.id))
        }
    }

    /// The job goes on elsewhere, or later: it is not known here any more.
    package func leave(_ id: JobID) { self.state.withLock { _ = $0.running.removeValue(forKey: id) } }

    /// The job is over: its record takes its place.
    /// - Parameter keepsPayloads: false where they can be had from elsewhere.
    package func end(_ record: JobRecord, keepsPayloads: Bool) {
        var record = record
        var freed = keepsPayloads ? [] : [record.takePayloads()]
        self.state.withLock { state in
            state.running[record.id] = nil
            state.finished[record.id] = Kept(record)
            state.finishedOrder.append(record.id)
            if record.payloadBytes > 0 {
                state.holdingOrder.append(record.id)
                state.heldBytes += record.payloadBytes
            } else if record.events.contains(where: { $0.event.payload != nil }) {
                // It was moved while the job ran.
                state.noteDisplaced(record.id)
            }
            freed += self.dropOldest(&state, now: record.finishedAt)
        }
        withExtendedLifetime(freed) {}
        self.keepShare()
    }

    /// Lets go of what is beyond the share, oldest first. What no client has had yet is moved instead.
    private func keepShare() {
        var left: [JobID] = []
        while self.heldBytes > self.payloadShare, let oldest = self.oldestHolding() {
            if oldest.isDelivered {
                self.letGo(of: oldest.id)
            } else if !left.isEmpty || !self.displacePayloads(of: oldest.id) {
                // The disk is full: the others are not tried.
                left.append(oldest.id)
            }
        }
        self.holdOn(to: left)
    }

    /// Moves payloads of finished jobs, oldest first, until `bytes` are free or soon will be.
    /// - Parameter lettingGo: where there is no more room for them, those that were moved longest ago are let go of, and what no disk
    ///   takes: jobs that run are not to fail for jobs that are over.
    /// - Returns: whether any gave way.
    package func reclaim(_ bytes: Int, lettingGo: Bool) -> Bool {
        var rest = max(1, bytes)
        var gaveWay = false
        while rest > 0, let oldest = self.oldestHolding() {
            if !self.displacePayloads(of: oldest.id) {
                guard lettingGo else {
                    self.holdOn(to: [oldest.id])
                    break
                }
                self.makeRoom(for: oldest.id)
            }
            rest -= oldest.bytes
            gaveWay = true
        }
        return gaveWay
    }

    /// Lets go of what was moved longest ago until the job's payloads can be moved, or of these.
    private func makeRoom(for id: JobID) {
        repeat {
            guard let oldest = self.oldestDisplaced(), oldest != id else { return self.letGo(of: id) }
            self.letGo(of: oldest)
        } while !self.displacePayloads(of: id)
    }

    /// What could not be moved is looked at again the next time.
    private func holdOn(to jobs: [JobID]) {
        guard !jobs.isEmpty else { return }
        self.state.withLock { state in
            for job in jobs.reversed() { state.holdingOrder.prepend(job) }
        }
    }

    /// Takes the oldest job that holds payloads from the list.
    private func oldestHolding() -> (id: JobID, bytes: Int, isDelivered: Bool)? {
        self.state.withLock { state in
            while let id = state.holdingOrder.popFirst() {
                // One that was dropped meanwhile is skipped here.
                guard let record = state.finished[id]?.record, record.payloadBytes > 0 else { continue }
                return (id, record.payloadBytes, record.delivered.isSet)
            }
            return nil
        }
    }

    /// - Returns: whether all could be moved.
    private func displacePayloads(of id: JobID) -> Bool {
        guard var record = self.record(id) else { return true }
        let bytes = record.payloadBytes
        let (held, isWhole) = record.displacePayloads(self.displace)
        let moved = record
        let old = self.state.withLock { state -> JobRecord? in
            // Only its place among the finished is certain: it may have been dropped meanwhile.
            guard let kept = state.finished[id] else { return nil }
            let old = kept.record
            kept.record = moved
            state.heldBytes -= bytes - moved.payloadBytes
            if isWhole { state.noteDisplaced(id) }
            return old
        }
        withExtendedLifetime((held, old)) {}
        return isWhole
    }

    private func oldestDisplaced() -> JobID? { self.state.withLock { $0.displacedOrder.popFirst() } }

    private func letGo(of id: JobID) {
        let freed = self.state.withLock { state -> [SequencedEvent]? in
            guard let kept = state.finished[id] else { return nil }
            state.heldBytes -= kept.record.payloadBytes
            return kept.record.takePayloads()
        }
        withExtendedLifetime(freed) {}
    }

    private func dropOldest(_ state: inout State, now: Timestamp) -> [[SequencedEvent]] {
        var dropped: [[SequencedEvent]] = []
        while let oldest = state.finishedOrder.first {
            guard let record = state.finished[oldest]?.record else {
                state.finishedOrder.removeFirst()
                continue
            }
            let age = now.milliseconds - record.finishedAt.milliseconds
            guard state.finishedOrder.count > self.maximumFinished || age > self.retentionMilliseconds else { break }
            state.finishedOrder.removeFirst()
            if state.holdingOrder.first == oldest { state.holdingOrder.removeFirst() }
            state.finished[oldest] = nil
            state.heldBytes -= record.payloadBytes
            dropped.append(record.events)
            if let owner = record.owner { Self.forget(record, of: owner, &state) }
        }
        return dropped
    }

    private static func forget(_ record: JobRecord, of owner: String, _ state: inout State) {
        state.histories[owner]?.remove(HistoryCursor(createdAt: record.createdAt, job: record.id))
        if state.histories[owner]?.isEmpty == true { state.histories[owner] = nil }
    }
}

// MARK: - History

extension JobDirectory {
    /// Jobs of `owner`, newest first.
    /// - Parameters:
    ///   - cursor: `next` of the page before; nil for the first page.
    ///   - limit: jobs of a page, at least 1.
    package func history(
        of owner: String, after cursor: HistoryCursor?, limit: Int, where isWanted: (JobView) -> Bool
    ) -> JobSupervisor.HistoryPage {
        var jobs: [JobView] = []
        var position = cursor
        var last = cursor
        while let place = self.state.withLock({ $0.histories[owner]?.next(after: position) }) {
            position = place
            guard let view = self.find(place.job), isWanted(view) else { continue }
            if jobs.count == limit { return JobSupervisor.HistoryPage(jobs: jobs, next: last) }
            jobs.append(view)
            last = position
        }
        return JobSupervisor.HistoryPage(jobs: jobs, next: nil)
    }
}
