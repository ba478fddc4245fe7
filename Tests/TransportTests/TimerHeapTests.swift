import Testing

@testable import Transport

@Suite struct TimerHeapTests {
    @Test func firesInOrder() {
        var heap = TimerHeap<Int>()
        for deadline in [5, 1, 4, 1, 3, 9, 0] { _ = heap.insert(deadline, at: UInt64(deadline)) }
        var fired: [Int] = []
        while let element = heap.popExpired(now: 4) { fired.append(element) }
        #expect(fired == [0, 1, 1, 3, 4])
        #expect(heap.next == 5)
        #expect(heap.count == 2)
    }

    @Test func staleTokensDoNothing() {
        var heap = TimerHeap<String>()
        let first = heap.insert("first", at: 1)
        #expect(heap.remove(first) == "first")
        let second = heap.insert("second", at: 2)
        #expect(heap.remove(first) == nil)
        #expect(heap.move(first, to: 7) == false)
        #expect(heap.popExpired(now: 2) == "second")
        #expect(heap.move(second, to: 7) == false)
        #expect(heap.next == nil)
    }

    /// Against a plain list as the model.
    @Test(arguments: 0..<8) func behavesLikeASortedList(seed: Int) {
        var generator = SplitMix(state: UInt64(seed))
        var heap = TimerHeap<Int>()
        var model: [Int: (token: TimerHeap<Int>.Token, deadline: UInt64)] = [:]
        for step in 0..<4000 {
            let deadline = UInt64.random(in: 0..<1000, using: &generator)
            let victim = model.keys.sorted().randomElement(using: &generator)
            switch (Int.random(in: 0..<5, using: &generator), victim) {
            case (2, let victim?):
                #expect(heap.remove(model[victim]!.token) == victim)
                model[victim] = nil
            case (3, let victim?):
                let moved = heap.move(model[victim]!.token, to: deadline)
                #expect(moved)
                model[victim]!.deadline = deadline
            case (4, .some):
                let earliest = model.values.map(\.deadline).min()!
                #expect(heap.next == earliest)
                let fired = heap.popExpired(now: earliest)
                #expect(fired.map { model[$0]!.deadline } == earliest)
                if let fired { model[fired] = nil }
            default: model[step] = (heap.insert(step, at: deadline), deadline)
            }
            #expect(heap.count == model.count)
        }
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
