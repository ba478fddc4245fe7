import Glibc
import ImageGeneration
import Synchronization

/// Progress shown while the upstream tells none: the stage's floor plus its share × (1 − e^(−t/median)).
struct DerivedProgress: Sendable {
    let stage: Stage
    /// Milliseconds, at least 1.
    let median: Int

    /// 0…100 after `elapsed` milliseconds in the stage.
    func value(after elapsed: Int) -> Int {
        let share = Double(self.stage.progressShare)
        return self.stage.progressFloor + Int(share * (1 - exp(-Double(max(0, elapsed)) / Double(self.median))))
    }

    /// Milliseconds from the stage's start until ``value(after:)`` first exceeds `shown`; nil when it never does, or so late that
    /// nobody waits for it.
    func nextRise(above shown: Int) -> Int? {
        let target = Double(max(shown, self.stage.progressFloor) + 1 - self.stage.progressFloor)
        let share = Double(self.stage.progressShare)
        guard target < share else { return nil }
        return Int((-Double(self.median) * log(1 - target / share)).rounded(.up)) + 1
    }
}

/// Medians of the last 50 jobs by upstream and model. Before the first one a job is taken to last 30 s.
final class ProgressMedians: Sendable {
    private struct Key: Hashable {
        let upstream: String
        let model: String
    }

    private static let kept = 50
    /// Upstreams are configured, models come from clients: beyond this many pairs new ones go unmeasured.
    private static let maximumKeys = 1000
    private static let assumed = 30_000

    private let samples = Mutex<[Key: Samples]>([:])

    /// The last jobs' times, and the same sorted.
    private struct Samples {
        private var recent: [Int] = []
        private var oldest = 0
        private var sorted: [Int] = []

        var median: Int { self.sorted[self.sorted.count / 2] }

        mutating func add(_ milliseconds: Int) {
            if self.recent.count < ProgressMedians.kept {
                self.recent.append(milliseconds)
            } else {
                self.sorted.remove(at: self.place(of: self.recent[self.oldest]))
                self.recent[self.oldest] = milliseconds
                self.oldest = (self.oldest + 1) % self.recent.count
            }
            self.sorted.insert(milliseconds, at: self.place(of: milliseconds))
        }

        /// Where `milliseconds` stands first, or would stand.
        private func place(of milliseconds: Int) -> Int {
            var range = self.sorted.indices
            while let middle = range.isEmpty ? nil : range.lowerBound + range.count / 2 {
                range = self.sorted[middle] < milliseconds ? middle + 1..<range.upperBound : range.lowerBound..<middle
            }
            return range.lowerBound
        }
    }

    func record(_ milliseconds: Int, for plan: JobPlan) {
        let key = Self.key(plan)
        self.samples.withLock { samples in
            guard samples[key] != nil || samples.count < Self.maximumKeys else { return }
            samples[key, default: Samples()].add(milliseconds)
        }
    }

    func median(for plan: JobPlan) -> Int {
        let key = Self.key(plan)
        return self.samples.withLock { samples in samples[key].map { max(1, $0.median) } } ?? Self.assumed
    }

    private static func key(_ plan: JobPlan) -> Key {
        Key(upstream: plan.upstream.name, model: plan.upstream.model ?? plan.request.model ?? "")
    }
}
