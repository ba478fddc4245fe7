import Testing

@testable import Storage

@Suite struct MemoryPressureTests {
    private static func victims(_ pressure: inout MemoryPressure, now: Int64, finished: Bool = false) -> [String] {
        var words: [String] = []
        var jobs = finished ? MemoryPressure.FinishedJobs.move : .nothing
        while let victim = pressure.nextVictim(now: now, finishedJobs: jobs) {
            switch victim {
            case .previews(let key): words.append("previews \(key)")
            case .finishedJobs:
                words.append("finished")
                jobs = .letGo
            case .payloads(let key): words.append("payloads \(key)")
            case .reader(let key): words.append("reader \(key)")
            case .finishedPictures:
                words.append("pictures")
                jobs = .nothing
            }
        }
        return words
    }

    @Test("superseded previews, then payloads, then the longest-stalled reader, then finished pictures")
    func order() {
        var pressure = MemoryPressure()
        pressure.stalled(31, at: 0)
        pressure.stalled(32, at: 10)
        pressure.holdsPayloads(21)
        pressure.keepsPreviews(11)
        pressure.holdsPayloads(22)
        pressure.keepsPreviews(12)
        pressure.stalled(33, at: 20)
        // One that takes something begins anew, behind all others.
        pressure.stalled(31, at: 30)
        let all = Self.victims(&pressure, now: 5000, finished: true)
        #expect(
            all == [
                "previews 11", "previews 12", "finished", "payloads 21", "payloads 22", "reader 32", "reader 33",
                "reader 31", "pictures",
            ])
        #expect(Self.victims(&pressure, now: 9000).isEmpty)
    }

    @Test("who is told again keeps its place; who is forgotten has none")
    func places() {
        var pressure = MemoryPressure()
        for log: UInt64 in 1...4 { pressure.holdsPayloads(log) }
        pressure.holdsPayloads(1)
        pressure.keepsPreviews(2)
        pressure.forget(log: 2)
        pressure.stalled(9, at: 0)
        pressure.forget(reader: 9)
        #expect(Self.victims(&pressure, now: 5000) == ["payloads 1", "payloads 3", "payloads 4"])
        pressure.holdsPayloads(1)
        #expect(Self.victims(&pressure, now: 5000) == ["payloads 1"])
    }

    @Test("a reader that is merely busy is no victim")
    func grace() {
        var pressure = MemoryPressure()
        #expect(pressure.nextStall == nil)
        pressure.stalled(1, at: 100)
        pressure.stalled(2, at: 600)
        #expect(pressure.nextStall == 1100)
        #expect(Self.victims(&pressure, now: 1099).isEmpty)
        #expect(Self.victims(&pressure, now: 1100) == ["reader 1"])
        #expect(pressure.nextStall == 1600)
    }

    @Test("the last to wait is refused once all wait for one another, and not before")
    func refusal() {
        var pressure = MemoryPressure()
        pressure.waits(1, for: 40)
        pressure.waits(2, for: 10)
        #expect(pressure.firstWaiter?.key == 1)
        #expect(pressure.refused(gathered: 70, limit: 100, gatherers: 3) == nil, "one still gathers")
        #expect(pressure.refused(gathered: 60, limit: 100, gatherers: 2) == nil, "others will make room")
        #expect(pressure.refused(gathered: 61, limit: 100, gatherers: 2) == 2)
        pressure.waits(3, for: 1, isLarge: false)
        #expect(pressure.refused(gathered: 61, limit: 100, gatherers: 3) == 2, "who wants little stays")
        pressure.stopsWaiting(2)
        pressure.stopsWaiting(3)
        #expect(pressure.refused(gathered: 61, limit: 100, gatherers: 1) == 1)
        pressure.stopsWaiting(1)
        #expect(pressure.refused(gathered: 100, limit: 100, gatherers: 0) == nil)
    }

    @Test("whose refusal frees nothing is not refused")
    func refusalFreesSomething() {
        var pressure = MemoryPressure()
        pressure.waits(1, for: 40, isLarge: false)
        pressure.waits(2, for: 10, isLarge: false)
        pressure.waits(3, for: 10, holds: false)
        pressure.waits(4, for: 10, isLarge: false, holds: false)
        #expect(pressure.isSmall(2) && !pressure.isSmall(3))
        #expect(pressure.refused(gathered: 80, limit: 100, gatherers: 4) == 2)
        pressure.stopsWaiting(2)
        pressure.stopsWaiting(1)
        #expect(pressure.refused(gathered: 100, limit: 100, gatherers: 2) == 4, "nobody holds anything")
    }

    @Test("previews on the disk give way in the order in which they were moved")
    func movedPreviews() {
        var pressure = MemoryPressure()
        for log: UInt64 in [1, 2, 3, 1] { pressure.movedPreviews(log) }
        pressure.forget(log: 2)
        #expect(pressure.takeMovedPreviews() == 1)
        #expect(pressure.takeMovedPreviews() == 3)
        #expect(pressure.takeMovedPreviews() == nil)
    }

    @Test("a list of ages holds its order whatever is taken out of it")
    func ageList() {
        var list = AgeList<Int>()
        var model: [(key: UInt64, value: Int)] = []
        var random = SystemRandomNumberGenerator()
        for step in 0..<2000 {
            let key = UInt64.random(in: 0..<20, using: &random)
            model.removeAll { $0.key == key }
            if Bool.random(using: &random) {
                list.append(step, for: key)
                model.append((key, step))
            } else {
                list.remove(key)
            }
            #expect(list.count == model.count)
            #expect(list.first?.key == model.first?.key && list.first?.value == model.first?.value)
            #expect(list.last?.key == model.last?.key)
        }
        while let (key, value) = list.first {
            #expect(value == model.removeFirst().value)
            list.remove(key)
        }
        #expect(model.isEmpty)
    }
}
