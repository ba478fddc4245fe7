package import Dialects
package import ImageGeneration
package import Storage

/// Where a reader begins that names the last event it has seen.
package enum ResumePoint: Sendable, Equatable {
    /// Behind this event; nil: at the first.
    case after(EventSequence?)
    /// The job is over and its reader has seen all of it.
    case seen
    /// What the reader missed cannot be told from where it stopped: all that is left, from the first.
    case gap(LogGap.Reason)

    /// - Parameters:
    ///   - text: what the client sent, whatever it is; nil or empty: nothing.
    ///   - needsPayloads: whether the reader is to be told the pictures' bytes.
    package static func find(_ text: String?, in log: EventLog, of job: JobID, needsPayloads: Bool) -> ResumePoint {
        guard let text, !text.isEmpty else { return .after(nil) }
        guard let id = EventID(text), id.job == job else { return .gap(.unknownID) }
        let standing = log.standing
        guard id.sequence.epoch == standing.last.epoch else { return .gap(.restarted) }
        guard id.sequence <= standing.last else { return .gap(.unknownID) }
        if let terminal = standing.terminal, id.sequence >= terminal.sequence { return .seen }
        if let lost = standing.lostThrough, id.sequence < lost { return .gap(.aged) }
        if needsPayloads, Self.lacksPayload(log, after: id.sequence) { return .gap(.spilled) }
        return .after(id.sequence)
    }

    /// For a reader that has seen a part of `part`'s event and all before it. What is gone of that is left out.
    /// - Returns: nil when the log has no such event, as after a restart: it is told from the first then.
    package static func find(_ part: EventPart, in log: EventLog) -> ResumePoint? {
        // Such numbers do not say which start of the gateway they are of.
        if case .stage(let change)? = log.retained.first?.event, change.reason == "restarted" { return nil }
        let last = log.standing.last
        guard part.number >= 1, part.number <= last.number else { return nil }
        return .after(EventSequence(epoch: last.epoch, number: part.number - 1))
    }

    private static func lacksPayload(_ log: EventLog, after position: EventSequence) -> Bool {
        log.retained.contains { entry in
            guard entry.sequence > position, case .image(let image) = entry.event else { return false }
            return image.payload == nil
        }
    }
}
