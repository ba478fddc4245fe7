package import Storage

/// One owner's jobs in the order of their acceptance, told apart by the same cursors as a job store's.
package struct JobHistory: Sendable {
    /// Oldest first.
    private var places: [HistoryCursor] = []

    package init() {}

    package var isEmpty: Bool { self.places.isEmpty }

    package mutating func insert(_ place: HistoryCursor) {
        let index = self.firstIndex(notBelow: place)
        guard index == self.places.endIndex || self.places[index] != place else { return }
        self.places.insert(place, at: index)
    }

    package mutating func remove(_ place: HistoryCursor) {
        let index = self.firstIndex(notBelow: place)
        if index < self.places.endIndex, self.places[index] == place { self.places.remove(at: index) }
    }

    /// The newest job that is older than the cursor.
    package func next(after cursor: HistoryCursor?) -> HistoryCursor? {
        let index = cursor.map { self.firstIndex(notBelow: $0) } ?? self.places.endIndex
        return index > 0 ? self.places[index - 1] : nil
    }

    private func firstIndex(notBelow place: HistoryCursor) -> Int {
        // Nearly always the new one is the newest.
        guard let last = self.places.last, last >= place else { return self.places.endIndex }
        var low = 0
        var high = self.places.count
        while low < high {
            let middle = (low + high) / 2
            if self.places[middle] < place { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
