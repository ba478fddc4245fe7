/// A position in a job's log as it goes over the wire: `<job_id>.<seq>`.
package struct EventID: Hashable, Sendable, CustomStringConvertible {
    package let job: JobID
    package let sequence: EventSequence

    package init(job: JobID, sequence: EventSequence) {
        self.job = job
        self.sequence = sequence
    }

    /// Accepts only the exact form `description` writes; anything else is nil.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count <= 128, let dot = text.lastIndex(of: "."), let job = JobID(text[..<dot]) else {
            return nil
        }
        let digits = text[text.index(after: dot)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = UInt64(digits) else {
            return nil
        }
        self.job = job
        self.sequence = EventSequence(rawValue: value)
    }

    package var description: String { "\(self.job.text).\(self.sequence.rawValue)" }
}

/// `seq`: process epoch × 2³² + n. Strictly rising within a job, may skip.
package struct EventSequence: Hashable, Comparable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(epoch: UInt32, number: UInt32) { self.rawValue = UInt64(epoch) << 32 | UInt64(number) }

    /// The start counter of the process that wrote the event.
    package var epoch: UInt32 { UInt32(truncatingIfNeeded: self.rawValue >> 32) }
    /// 1 for the first event of the job in this epoch.
    package var number: UInt32 { UInt32(truncatingIfNeeded: self.rawValue) }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
