/// Width to height, both at least 1; also a size in pixels.
package struct AspectRatio: Hashable, Sendable {
    package let width: Int
    package let height: Int

    /// The terms are kept as given.
    package init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    /// `16:9`, `1024x1536`, `3/2`.
    package init?(_ text: String) {
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

    /// The size whose ratio differs by the smallest factor; of equals the one nearest in area, then the first.
    package func nearestSize(of sizes: [AspectRatio]) -> AspectRatio? {
        guard let best = self.nearest(of: sizes) else { return nil }
        let area = Double(self.width) * Double(self.height)
        func distance(_ size: AspectRatio) -> Double {
            let quotient = Double(size.width) * Double(size.height) / area
            return max(quotient, 1 / quotient)
        }
        return sizes.filter { self.factor(to: $0) == self.factor(to: best) }.min { distance($0) < distance($1) }
    }

    private func factor(to other: AspectRatio) -> Double {
        let quotient = Double(self.width) * Double(other.height) / (Double(self.height) * Double(other.width))
        return max(quotient, 1 / quotient)
    }
}
