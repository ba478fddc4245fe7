import ImageGeneration
import Storage
import Testing

@testable import SQLiteStorage

@Suite struct WriteQueueTests {
    private let start = ContinuousClock.now

    private func queue(count: Int = 4, bytes: Int = 1 << 20) -> WriteQueue {
        WriteQueue(limits: WriteQueue.Limits(count: count, bytes: bytes), now: self.start)
    }

    private func write(
        bytes: Int = 0, isFact: Bool = false, patience: Duration = .zero, slot: PendingWrite.Slot? = nil,
        ends: JobID? = nil
    ) -> PendingWrite {
        PendingWrite(
            bytes: bytes, isFact: isFact, patience: patience, slot: slot, ends: ends,
            completed: nil as StoreCompletion<Void>?
        ) { _ in }
    }

    private func next(_ queue: WriteQueue, after milliseconds: Int = 0, due: Bool = false, owed: Bool = false)
        -> WriteQueue.Step
    {
        queue.next(
            at: self.start + .milliseconds(milliseconds), checkpointIsDue: due, checkpointIsOwed: owed)
    }

    @Test func awaitedWritesAreCommittedAtOnceAndTogether() {
        var queue = self.queue()
        #expect(self.next(queue) == .wait(until: nil))
        #expect(queue.admit(self.write(), at: self.start) == .taken(wakes: true))
        #expect(queue.admit(self.write(), at: self.start) == .taken(wakes: false), "the writer is awake")
        #expect(self.next(queue) == .commit)
        #expect(queue.takeGroup(at: self.start).count == 2)
        #expect(self.next(queue) == .wait(until: nil))
    }

    /// Whoever may wait least takes along all others.
    @Test func theEarliestEndTakesAll() {
        var queue = self.queue()
        #expect(queue.admit(self.write(patience: PendingWrite.endPatience), at: self.start) == .taken(wakes: true))
        let later = self.start + .milliseconds(1)
        #expect(queue.admit(self.write(patience: PendingWrite.submissionPatience), at: later) == .taken(wakes: true))
        #expect(queue.admit(self.write(patience: PendingWrite.submissionPatience), at: later) == .taken(wakes: false))
        #expect(self.next(queue, after: 4) == .wait(until: self.start + .milliseconds(5)))
        #expect(self.next(queue, after: 5) == .commit)
        #expect(queue.takeGroup(at: self.start).count == 3)
        #expect(self.next(queue, after: 8) == .wait(until: nil))
    }

    @Test func whatNobodyAwaitsWaitsForCompany() {
        var queue = self.queue()
        #expect(queue.admit(self.write(patience: PendingWrite.unawaited), at: self.start) == .taken(wakes: true))
        #expect(queue.admit(self.write(patience: PendingWrite.unawaited), at: self.start) == .taken(wakes: false))
        let due = self.start + PendingWrite.unawaited
        #expect(self.next(queue) == .wait(until: due))
        #expect(self.next(queue, after: 99) == .wait(until: due))
        #expect(self.next(queue, after: 100) == .commit)
        #expect(queue.admit(self.write(), at: self.start) == .taken(wakes: true))
        #expect(self.next(queue) == .commit)
        #expect(queue.takeGroup(at: self.start).count == 3)
    }

    @Test func newerProgressTakesThePlaceOfOlder() {
        var queue = self.queue(count: 2)
        let slot = PendingWrite.Slot(job: JobID(), kind: .progress)
        let other = PendingWrite.Slot(job: slot.job, kind: .usage)
        let patience = PendingWrite.unawaited
        #expect(queue.admit(self.write(patience: patience, slot: slot), at: self.start) == .taken(wakes: true))
        for _ in 0..<100 {
            #expect(queue.admit(self.write(patience: patience, slot: slot), at: self.start) == .taken(wakes: false))
        }
        #expect(queue.admit(self.write(patience: patience, slot: other), at: self.start) == .taken(wakes: false))
        #expect(queue.takeGroup(at: self.start + patience).count == 2)
    }

    @Test func boundsHoldAndFactsHaveTwiceTheRoom() {
        var byCount = self.queue(count: 2)
        for _ in 0..<2 { _ = byCount.admit(self.write(), at: self.start) }
        #expect(byCount.admit(self.write(), at: self.start) == .overloaded)
        #expect(byCount.admit(self.write(isFact: true), at: self.start) == .taken(wakes: false))
        #expect(byCount.admit(self.write(isFact: true), at: self.start) == .taken(wakes: false))
        #expect(byCount.admit(self.write(isFact: true), at: self.start) == .overloaded)

        var byBytes = self.queue(bytes: 2000)
        #expect(byBytes.admit(self.write(bytes: 1700), at: self.start) == .taken(wakes: true))
        #expect(byBytes.admit(self.write(bytes: 1), at: self.start) == .overloaded)
        #expect(byBytes.admit(self.write(bytes: 1700, isFact: true), at: self.start) == .taken(wakes: false))
        _ = byBytes.takeGroup(at: self.start)
        #expect(byBytes.admit(self.write(bytes: 1), at: self.start) == .taken(wakes: true))
    }

    @Test func whatAFaultLeftIsTriedAgainFirst() {
        var queue = self.queue()
        _ = queue.admit(self.write(bytes: 1, isFact: true), at: self.start)
        let group = queue.takeGroup(at: self.start)
        queue.keep(group, at: self.start)
        #expect(queue.count == 1)
        #expect(self.next(queue) == .wait(until: self.start + WriteQueue.retryDelay))
        #expect(self.next(queue, after: 1000) == .retry)
        _ = queue.admit(self.write(bytes: 2), at: self.start)
        #expect(self.next(queue) == .commit)
        #expect(queue.takeGroup(at: self.start).map(\.bytes) == [257, 258])
        queue.committed(at: self.start)
        #expect(self.next(queue, after: 5000) == .wait(until: nil))
    }

    @Test func keptWritesCountAgainstTheBound() {
        var queue = self.queue(count: 1)
        _ = queue.admit(self.write(isFact: true), at: self.start)
        queue.keep(queue.takeGroup(at: self.start), at: self.start)
        #expect(queue.admit(self.write(), at: self.start) == .overloaded)
    }

    @Test func checkpointsWaitForQuietUnlessDue() {
        var queue = self.queue()
        queue.committed(at: self.start)
        #expect(self.next(queue, owed: true) == .wait(until: self.start + WriteQueue.idleDelay))
        #expect(self.next(queue, after: 250, owed: true) == .checkpoint)
        #expect(self.next(queue, after: 250) == .wait(until: nil))
        _ = queue.admit(self.write(), at: self.start)
        #expect(self.next(queue, after: 250, owed: true) == .commit)
        #expect(self.next(queue, due: true, owed: true) == .checkpoint)
    }

    /// The disk may have room again by the time the process ends.
    @Test func whatWasKeptIsTriedOnceMoreAtAStop() {
        var queue = self.queue()
        queue.keep([self.write(isFact: true)], at: self.start)
        queue.stop()
        #expect(self.next(queue) == .retry)
        let group = queue.takeGroup(at: self.start)
        #expect(group.count == 1)
        queue.keep(group, at: self.start)
        #expect(self.next(queue, after: 5000) == .stop)
    }

    /// Others commit without what rides along, until its time has come.
    @Test func whatRidesAlongIsHeldBack() {
        var queue = self.queue(count: 8)
        let slot = PendingWrite.Slot(job: JobID(), kind: .progress)
        let patience = PendingWrite.unawaited
        #expect(
            queue.admit(self.write(bytes: 1, patience: patience, slot: slot), at: self.start) == .taken(wakes: true))
        #expect(queue.admit(self.write(), at: self.start) == .taken(wakes: true))
        #expect(queue.takeGroup(at: self.start).count == 1)
        #expect(queue.count == 1)
        #expect(self.next(queue, after: 99) == .wait(until: self.start + patience))
        let newer = self.write(bytes: 2, patience: patience, slot: slot)
        #expect(queue.admit(newer, at: self.start + .milliseconds(99)) == .taken(wakes: false))
        #expect(self.next(queue, after: 100) == .commit)
        #expect(queue.takeGroup(at: self.start + patience).map(\.bytes) == [258])
        #expect(self.next(queue, after: 100) == .wait(until: nil))
    }

    /// A job's end takes along what its job has riding, before it, and nothing of other jobs.
    @Test func anEndTakesWhatItsJobHasRiding() {
        var queue = self.queue(count: 8)
        let (job, other) = (JobID(), JobID())
        for (bytes, slot) in [
            (1, PendingWrite.Slot(job: job, kind: .usage)), (2, PendingWrite.Slot(job: other, kind: .progress)),
            (3, PendingWrite.Slot(job: job, kind: .progress)),
        ] {
            _ = queue.admit(self.write(bytes: bytes, patience: PendingWrite.unawaited, slot: slot), at: self.start)
        }
        _ = queue.admit(self.write(bytes: 4, ends: job), at: self.start)
        #expect(queue.takeGroup(at: self.start).map(\.bytes) == [259, 257, 260])
        #expect(self.next(queue) == .wait(until: self.start + PendingWrite.unawaited))
        _ = queue.admit(self.write(bytes: 5, ends: other), at: self.start)
        #expect(queue.takeGroup(at: self.start).map(\.bytes) == [258, 261])
        #expect(self.next(queue) == .wait(until: nil))
        #expect(queue.count == 0)
    }

    @Test func aStopTakesWhatRidesAlong() {
        var queue = self.queue()
        let slot = PendingWrite.Slot(job: JobID(), kind: .progress)
        _ = queue.admit(self.write(patience: PendingWrite.unawaited, slot: slot), at: self.start)
        queue.stop()
        #expect(self.next(queue) == .commit)
        #expect(queue.takeGroup(at: self.start).count == 1)
        #expect(self.next(queue) == .stop)
    }

    @Test func stopsWhenAllIsWritten() {
        var queue = self.queue()
        _ = queue.admit(self.write(patience: PendingWrite.unawaited), at: self.start)
        queue.stop()
        #expect(queue.admit(self.write(), at: self.start) == .stopping)
        #expect(self.next(queue, owed: true) == .commit)
        _ = queue.takeGroup(at: self.start)
        #expect(self.next(queue, owed: true) == .stop)
    }

    @Test func checkpointPolicyCountsWhatIsNotCopied() {
        var policy = CheckpointPolicy(limit: 10)
        #expect(!policy.isOwed)
        policy.committed(frames: 9)
        #expect(policy.isOwed && !policy.isDue)
        policy.committed(frames: 10)
        #expect(policy.isDue)
        policy.checkpointed(frames: 10, copied: 4)
        #expect(policy.isOwed && !policy.isDue)
        policy.checkpointed(frames: 10, copied: 10)
        #expect(!policy.isOwed)
        // The log has begun anew.
        policy.committed(frames: 3)
        #expect(policy.isOwed && !policy.isDue)
        policy.committed(frames: 13)
        #expect(policy.isDue)
        policy.postponed()
        #expect(!policy.isOwed)
        policy.committed(frames: 22)
        #expect(policy.isOwed && !policy.isDue)
    }
}
