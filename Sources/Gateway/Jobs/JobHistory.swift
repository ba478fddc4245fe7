package import ImageGeneration

/// One owner's jobs in the order they were accepted.
package struct JobHistory: Sendable {
    /// A place between two pages. It stays right whatever is accepted or dropped meanwhile.
    package struct Cursor: Sendable, Hashable {
        package let ordinal: UInt64

        package init(ordinal: UInt64) { self.ordinal = ordinal }

        /// Accepts only what ``text`` writes.
        package init?(_ text: String) {
            guard text.hasPrefix("h"), text.utf8.count <= 17, let ordinal = UInt64(text.dropFirst(), radix: 16),
                Self(ordinal: ordinal).text == text
            else { return nil }
            self.init(ordinal: ordinal)
        }

        package var text: String { "h" + String(self.ordinal, radix: 16) }
    }

    private var ordinals: [UInt64] = []
    private var jobs: [UInt64: JobID] = [:]
    private var places: [JobID: UInt64] = [:]

    package init() {}

    package var isEmpty: Bool { self.jobs.isEmpty }

    /// - Parameter ordinal: higher than any before.
    package mutating func append(_ id: JobID, ordinal: UInt64) {
        self.ordinals.append(ordinal)
        self.jobs[ordinal] = id
        self.places[id] = ordinal
    }

    package mutating func remove(_ id: JobID) {
        guard let ordinal = self.places.removeValue(forKey: id) else { return }
        self.jobs[ordinal] = nil
        // Gaps are left until they outnumber what is there.
        if self.ordinals.count > 2 * self.jobs.count + 16 { self.ordinals.removeAll { self.jobs[$0] == nil } }
    }

    /// The newest job that is older than the cursor.
    package func next(after cursor: Cursor?) -> (JobID, UInt64)? {
        var index = cursor.map { self.firstIndex(notBelow: $0.ordinal) } ?? self.ordinals.endIndex
        while index > 0 {
            index -= 1
            if let id = self.jobs[self.ordinals[index]] { return (id, self.ordinals[index]) }
        }
        return nil
    }

    private func firstIndex(notBelow ordinal: UInt64) -> Int {
        var low = 0
        var high = self.ordinals.count
        while low < high {
            let middle = (low + high) / 2
            if self.ordinals[middle] < ordinal { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
