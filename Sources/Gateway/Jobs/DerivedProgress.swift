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

    private let samples = Mutex<[Key: [Int]]>([:])

    func record(_ milliseconds: Int, for plan: JobPlan) {
        let key = Self.key(plan)
        self.samples.withLock { samples in
            guard samples[key] != nil || samples.count < Self.maximumKeys else { return }
            var list = samples[key, default: []]
            if list.count == Self.kept { list.removeFirst() }
            list.append(milliseconds)
            samples[key] = list
        }
    }

    func median(for plan: JobPlan) -> Int {
        let list = self.samples.withLock { $0[Self.key(plan)] ?? [] }.sorted()
        return list.isEmpty ? Self.assumed : max(1, list[list.count / 2])
    }

    private static func key(_ plan: JobPlan) -> Key {
        Key(upstream: plan.upstream.name, model: plan.upstream.model ?? plan.request.model ?? "")
    }
}
