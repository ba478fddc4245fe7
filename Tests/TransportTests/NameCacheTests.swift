import Testing

@testable import Transport

@Suite struct NameCacheTests {
    private static let second: UInt64 = 1_000_000_000

    private func known(_ answer: NameCache<Int>.Answer) -> NameResolution? {
        if case .known(let resolution) = answer { resolution } else { nil }
    }

    private func startsLookup(_ answer: NameCache<Int>.Answer) -> Bool {
        if case .startLookup = answer { true } else { false }
    }

    @Test func asksOnceForManyWaiters() {
        var cache = NameCache<Int>()
        let answer1 = cache.ask("a", now: 0, waiter: 1)
        #expect(self.startsLookup(answer1))
        let answer2 = cache.ask("a", now: 0, waiter: 2)
        #expect(!self.startsLookup(answer2))
        let answer3 = cache.ask("b", now: 0, waiter: 3)
        #expect(self.startsLookup(answer3))
        let waiters4 = cache.complete("a", .addresses("1.2.3.4"), now: 0)
        #expect(waiters4 == [1, 2])
        let answer5 = cache.ask("a", now: 1, waiter: 4)
        #expect(self.known(answer5) == .addresses("1.2.3.4"))
        let waiters6 = cache.complete("b", .failure("no"), now: 0)
        #expect(waiters6 == [3])
    }

    @Test func answersExpire() {
        var cache = NameCache<Int>()
        _ = cache.complete("good", .addresses("1.2.3.4"), now: 0)
        _ = cache.complete("bad", .failure("no"), now: 0)
        let answer7 = cache.ask("good", now: 29 * Self.second, waiter: 0)
        #expect(self.known(answer7) != nil)
        let answer8 = cache.ask("good", now: 30 * Self.second, waiter: 0)
        #expect(self.known(answer8) == nil)
        let answer9 = cache.ask("bad", now: 1 * Self.second, waiter: 0)
        #expect(self.known(answer9) == .failure("no"))
        let answer10 = cache.ask("bad", now: 2 * Self.second, waiter: 0)
        #expect(self.known(answer10) == nil)
    }

    @Test func staysBounded() {
        var cache = NameCache<Int>()
        for number in 0..<5000 { _ = cache.complete("\(number)", .addresses("x"), now: UInt64(number)) }
        let kept = (0..<5000).filter { self.known(cache.ask("\($0)", now: 5000, waiter: 0)) != nil }
        #expect(kept.count <= NameCache<Int>.maximumEntries)
        #expect(kept.last == 4999)
    }
}
