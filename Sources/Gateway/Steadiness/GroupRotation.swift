/// Shares work among the members of a group by weight, spread evenly in time: of weights 3 and 1 the second is chosen at every
/// fourth turn, never in bursts.
struct GroupRotation: Sendable {
    private let weights: [Int]
    private var credits: [Int]

    /// - Parameter weights: each at least 1.
    init(weights: [Int]) {
        self.weights = weights
        self.credits = weights.map { _ in 0 }
    }

    /// Members in the order in which to try them: whose turn it is, then the others by what they are owed.
    mutating func next() -> [Int] {
        for index in self.weights.indices { self.credits[index] += self.weights[index] }
        let order = self.weights.indices.sorted {
            (self.credits[$0], $1) > (self.credits[$1], $0)
        }
        guard let chosen = order.first else { return [] }
        self.credits[chosen] -= self.weights.reduce(0, +)
        return order
    }
}
