package import ImageGeneration

/// One reading of both clocks. Rates go by the steady one, so that nobody gains or loses by a corrected date; calendar quotas
/// go by the date.
package struct AdmissionTime: Hashable, Sendable {
    /// Nanoseconds since some fixed moment, at least 0. A store shared by several processes uses its own.
    package var steady: Int64
    package var wall: Timestamp

    package init(steady: Int64, wall: Timestamp) {
        self.steady = steady
        self.wall = wall
    }
}
