package import ImageGeneration

/// What pictures weigh in limits of `cost`: each costs what its size and quality say, and its previews on top.
package struct CostTable: Sendable {
    /// In thousandths of a unit, the closest pattern first.
    private let images: [(pattern: ModelPattern, cost: Int64)]
    /// Of one preview, in thousandths of a unit.
    private let preview: Int64

    private static let resolution = 1000.0

    /// - Parameters:
    ///   - images: units by patterns of `size/quality`.
    ///   - preview: units.
    package init(images: [(pattern: String, cost: Double)], preview: Double) {
        self.images = images.map { (ModelPattern($0.pattern), Self.thousandths($0.cost)) }.sorted { a, b in
            let (left, right) = (Self.closeness(a.pattern), Self.closeness(b.pattern))
            return left == right ? a.cost > b.cost : left > right
        }
        self.preview = Self.thousandths(preview)
    }

    /// Thousandths of a unit; every picture costs something, and one that no pattern names costs one unit.
    package func cost(of request: ImageRequest) -> Int64 { max(1, self.one(request) * Int64(max(1, request.count))) }

    /// Units of each picture of the request; nil where no costs are configured.
    package func pictureCost(of request: ImageRequest) -> Double? {
        self.images.isEmpty && self.preview == 0 ? nil : Double(self.one(request)) / Self.resolution
    }

    private func one(_ request: ImageRequest) -> Int64 {
        let name = "\(request.size?.text ?? "auto")/\(request.quality ?? "auto")"
        let image = self.images.first { $0.pattern.matches(name) }?.cost ?? Int64(Self.resolution)
        return image + self.preview * Int64(max(0, request.partialImages ?? 0))
    }

    /// A pattern without `*` before any other, then those with more of the name in them.
    private static func closeness(_ pattern: ModelPattern) -> Int {
        let literal = pattern.text.utf8.filter { $0 != 0x2A }.count
        return literal == pattern.text.utf8.count ? Int.max : literal
    }

    private static func thousandths(_ units: Double) -> Int64 {
        Int64((max(0, min(units, 1_000_000)) * Self.resolution).rounded(.up))
    }
}
