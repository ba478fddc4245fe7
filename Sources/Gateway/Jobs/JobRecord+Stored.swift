import Dialects
import ImageGeneration
import Storage

extension JobRecord {
    /// A job of the store that does not run here, most often one that is over. Its log is made anew under this process's epoch, so that whoever followed the old one is told
    /// of the gap.
    init(_ stored: StoredJob, epoch: UInt32) {
        var events: [SequencedEvent] = []
        let reached: Stage = stored.terminal == nil ? stored.stage : stored.images.isEmpty ? .queued : .uploading
        let progress = stored.stage == .completed ? Stage.uploading.progressFloor : min(stored.progress, 99)
        func add(_ event: JobEvent, at: Timestamp, stage: Stage, progress: Int) {
            let sequence = EventSequence(epoch: epoch, number: UInt32(events.count + 1))
            events.append(SequencedEvent(sequence: sequence, at: at, stage: stage, progress: progress, event: event))
        }
        let change = StageChange(
            message: stored.message, queuePosition: stored.queuePosition, upstream: stored.upstream, reason: "restarted"
        )
        add(.stage(change), at: stored.createdAt, stage: reached, progress: progress)
        let finishedAt = stored.finishedAt ?? stored.createdAt
        for image in stored.images.sorted(by: { $0.imageIndex < $1.imageIndex }) {
            add(.image(image), at: finishedAt, stage: reached, progress: progress)
        }
        if let terminal = stored.terminal {
            add(terminal, at: finishedAt, stage: stored.stage, progress: stored.stage == .completed ? 100 : progress)
        }
        self.init(
            id: stored.id, owner: stored.principal, route: stored.route, request: stored.request.request,
            delivery: Delivery(rawValue: stored.delivery) ?? .inline, upstream: stored.upstream,
            createdAt: stored.createdAt, events: events)
    }
}
