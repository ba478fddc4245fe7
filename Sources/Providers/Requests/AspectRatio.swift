/// Width to height, both at least 1, in lowest terms.
struct AspectRatio: Hashable, Sendable {
    let width: Int
    let height: Int

    /// The terms are kept as given.
    init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    /// `16:9`, `1024x1536`, `3/2`.
    init?(_ text: String) {
        let parts = text.split(omittingEmptySubsequences: false) { ":xX/×".contains($0) }.map { Int($0) ?? 0 }
        guard parts.count == 2, (1...65_536).contains(parts[0]), (1...65_536).contains(parts[1]) else { return nil }
        self.init(width: parts[0], height: parts[1])
    }

    var reduced: AspectRatio {
        var (a, b) = (self.width, self.height)
        while b != 0 { (a, b) = (b, a % b) }
        return a > 0 ? AspectRatio(width: self.width / a, height: self.height / a) : self
    }

    /// The one whose ratio differs by the smallest factor; the first of equals.
    func nearest(of others: [AspectRatio]) -> AspectRatio? {
        others.min { self.factor(to: $0) < self.factor(to: $1) }
    }

    private func factor(to other: AspectRatio) -> Double {
        let quotient = Double(self.width) * Double(other.height) / (Double(self.height) * Double(other.width))
        return max(quotient, 1 / quotient)
    }
}
