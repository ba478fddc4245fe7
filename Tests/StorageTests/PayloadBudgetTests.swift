import Foundation
import Glibc
import ImageGeneration
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Storage

@Suite struct PayloadBudgetTests {
    /// A budget whose later work is done when the test says so, by a clock that stands.
    private final class Bench: Sendable {
        private let works = Mutex<[@Sendable () -> Void]>([])
        private let time = Mutex<Int64>(0)

        func budget(_ limit: Int) -> PayloadBudget {
            PayloadBudget(
                limit: limit, now: { [weak self] in self?.time.withLock { $0 } ?? 0 },
                later: { [weak self] _, work in self?.works.withLock { $0.append(work) } })
        }

        func pass(_ milliseconds: Int64) { self.time.withLock { $0 += milliseconds } }

        /// Does what is to be done later, once.
        func run() {
            let works = self.works.withLock { works in
                defer { works = [] }
                return works
            }
            for work in works { work() }
        }
    }

    private final class Answers: Sendable {
        private let all = Mutex<[String]>([])
        var words: [String] { self.all.withLock { $0 } }
        func note(_ word: String) { self.all.withLock { $0.append(word) } }
    }

    @Test("room is counted before it is used, and becomes the payload's lease")
    func gathering() {
        let budget = PayloadBudget(limit: 1000)
        let room = GatheringRoom(budget)
        #expect(room.grow(to: 600) { _ in })
        #expect(budget.heldBytes == 600)
        let lease = room.turn(into: 500, isPrecious: false)
        #expect(budget.heldBytes == 500 && room.bytes == 0)
        #expect(room.turn(into: 600, isPrecious: false) == nil, "no room for a preview")
        #expect(budget.heldBytes == 500)
        let picture = room.turn(into: 600, isPrecious: true)
        #expect(budget.heldBytes == 1100)
        withExtendedLifetime((lease, picture)) {}
    }

    @Test("who waits is served in order, as soon as somebody lets go")
    func waiting() {
        let bench = Bench()
        let budget = bench.budget(100)
        let answers = Answers()
        var held = budget.lease(80)
        let rooms = (0..<2).map { _ in GatheringRoom(budget) }
        #expect(!rooms[0].grow(to: 50) { answers.note("first \($0)") })
        #expect(!rooms[1].grow(to: 10) { answers.note("second \($0)") }, "nobody overtakes")
        bench.run()
        #expect(answers.words.isEmpty)
        held = nil
        bench.run()
        #expect(answers.words == ["first true", "second true"])
        #expect(rooms.map(\.bytes) == [50, 10] && budget.heldBytes == 60)
        rooms[0].release()
        rooms[1].release()
        #expect(budget.heldBytes == 0 && budget.waiterCount == 0)
        withExtendedLifetime(held) {}
    }

    @Test("when all wait for one another the last to wait is refused, and the others go on")
    func refusal() {
        let bench = Bench()
        let budget = bench.budget(100)
        let answers = Answers()
        let rooms = (0..<3).map { _ in GatheringRoom(budget) }
        for room in rooms { #expect(room.grow(to: 30) { _ in }) }
        for (index, room) in rooms.enumerated() {
            #expect(!room.grow(to: 60) { granted in answers.note("\(index) \(granted)") })
        }
        bench.run()
        #expect(answers.words == ["2 false"])
        rooms[2].release()
        bench.run()
        #expect(answers.words == ["2 false", "0 true"])
        rooms[0].release()
        bench.run()
        #expect(answers.words == ["2 false", "0 true", "1 true"])
        #expect(budget.figures.refused == 1)
    }

    @Test("the reader that has taken nothing for longest is closed once nothing else gives way")
    func readers() {
        let bench = Bench()
        let budget = bench.budget(100)
        let answers = Answers()
        var leases = [budget.lease(50), budget.lease(50)]
        let marks = (0..<2).map { index in StallMark(budget) { answers.note("close \(index)") } }
        marks[1].set(holding: 50)
        bench.pass(10)
        marks[0].set(holding: 50)
        let room = GatheringRoom(budget)
        #expect(!room.grow(to: 40) { answers.note("room \($0)") })
        bench.run()
        #expect(answers.words.isEmpty, "nobody has waited long enough")
        bench.pass(2000)
        bench.run()
        bench.run()
        #expect(answers.words == ["close 1"], "one is enough")
        leases[1] = nil
        bench.run()
        #expect(answers.words == ["close 1", "room true"])
        #expect(budget.figures.closedReaders == 1)
        withExtendedLifetime((leases, marks)) {}
    }

    @Test("requests may hold half, and give way to nobody")
    func uploads() {
        let budget = PayloadBudget(limit: 100)
        var first = budget.leaseUpload(40)
        #expect(first != nil && budget.leaseUpload(20) == nil)
        #expect(budget.heldBytes == 40)
        first = nil
        #expect(budget.heldBytes == 0 && budget.leaseUpload(50) != nil)
    }

    // MARK: Displacement

    private static func picture(_ budget: PayloadBudget, bytes: Int, seed: UInt8) -> ImagePayload {
        ImagePayload(
            canonical: ByteBuffer(repeating: 0x41 + seed, count: bytes), lease: budget.leaseAlways(bytes))
    }

    private static func preview(_ payload: ImagePayload, _ number: Int) -> JobEvent {
        .partialImage(
            PartialImage(
                imageIndex: 0, partialImageIndex: number,
                attributes: ImageAttributes(
                    size: "auto", quality: "auto", background: "auto", outputFormat: "png", createdAt: 0),
                payload: payload))
    }

    private static func withSpill(
        _ limit: Int, _ body: (PayloadBudget, SpillFolder) async throws -> Void
    ) async throws {
        let threads = NIOThreadPool(numberOfThreads: 1)
        threads.start()
        let budget = PayloadBudget(limit: 1 << 20)
        let folder = NSTemporaryDirectory() + "spill-\(UInt64.random(in: 0 ... .max))"
        let spill = try SpillFolder(folder: folder, limit: limit, threads: threads, budget: budget)
        budget.onDisplacement { [weak spill] payload, _ in spill?.take(payload) }
        try await body(budget, spill)
        // What is done last may let go of a payload, that of its file, and that is closed: a pool that is shut down with such work
        // waiting lets go of it while it holds its own lock, and so would be asked for more work from inside.
        for _ in 0..<3 { try await spill.settle() }
        try await threads.shutdownGracefully()
        rmdir(folder)
    }

    private static func drain(_ spill: SpillFolder) async throws {
        // The file's thread does one thing after the other.
        try await spill.settle()
    }

    @Test("a log's payload moves to disk, holds no memory, and is read back byte by byte")
    func spills() async throws {
        try await Self.withSpill(1 << 20) { budget, spill in
            let log = EventLog(epoch: 1, budget: budget)
            log.append(Self.preview(Self.picture(budget, bytes: 200_000, seed: 1), 0), at: Timestamp(seconds: 0))
            #expect(budget.heldBytes == 200_000)
            #expect(budget.reclaim(1 << 20))
            try await Self.drain(spill)
            #expect(budget.heldBytes == 0 && spill.usedBytes == 49 * 4096)
            let payload = try #require(log.retained.last?.event.payload)
            #expect(payload.base64Count == 200_000 && payload.base64.readableBytes == 0)
            let displaced = try #require(payload.displaced)
            var read: [UInt8] = []
            for start in stride(from: 0, to: 200_000, by: 64 << 10) {
                read += Array(try await displaced.read(start..<min(start + 65_536, 200_000)).readableBytesView)
            }
            #expect(read == [UInt8](repeating: 0x42, count: 200_000))
            #expect(budget.figures.displacedPayloads == 1)
        }
    }

    @Test("pictures of one document share a lease, and each is read back as what it was")
    func spillsSlices() async throws {
        try await Self.withSpill(1 << 20) { budget, spill in
            var document = ByteBuffer(repeating: 0x41, count: 100_000)
            document.writeRepeatingByte(0x42, count: 80_000)
            let lease = budget.leaseAlways(180_000)
            let log = EventLog(epoch: 1, budget: budget)
            let slices = [document.getSlice(at: 0, length: 100_000), document.getSlice(at: 100_000, length: 80_000)]
            for (index, slice) in slices.enumerated() {
                let payload = ImagePayload(canonical: try #require(slice), lease: lease)
                let attributes = ImageAttributes(
                    size: "", quality: "", background: "", outputFormat: "png", createdAt: 0)
                log.append(
                    .image(
                        FinishedImage(
                            imageIndex: index, imageID: ImageID(), width: 1, height: 1, attributes: attributes,
                            fileSize: 1, payload: payload)), at: Timestamp(seconds: 0))
            }
            #expect(budget.reclaim(1 << 20))
            try await Self.drain(spill)
            let payloads = log.retained.compactMap(\.event.payload?.displaced)
            #expect(payloads.map(\.base64Count) == [100_000, 80_000])
            for (index, payload) in payloads.enumerated() {
                let read = try await payload.read(0..<10)
                #expect(read == ByteBuffer(repeating: 0x41 + UInt8(index), count: 10))
            }
        }
    }

    @Test("events become whole one after the other where there is not enough for all")
    func oneAfterTheOther() {
        let bench = Bench()
        let budget = bench.budget(1000)
        let answers = Answers()
        let rooms = (0..<4).map { _ in GatheringRoom(budget) }
        for room in rooms { #expect(room.grow(to: 200) { _ in }) }
        // Each wants 200 more, and then 200 again: of 937 there is no more than for one step of one.
        for (index, room) in rooms.enumerated() { _ = room.grow(to: 400) { answers.note("\(index) \($0)") } }
        for _ in 0..<4 { bench.run() }
        #expect(answers.words == ["3 false"])
        rooms[3].release()
        for _ in 0..<4 { bench.run() }
        #expect(answers.words == ["3 false", "0 true"])
        #expect(!rooms[0].grow(to: 600) { answers.note("0 again \($0)") })
        for _ in 0..<4 { bench.run() }
        #expect(answers.words == ["3 false", "0 true", "2 false"])
        rooms[2].release()
        for _ in 0..<4 { bench.run() }
        #expect(answers.words == ["3 false", "0 true", "2 false", "0 again true"], "before the one that waits longer")
    }

    @Test("an event that becomes whole while its room waits for more leaves nothing behind")
    func wholeWhileWaiting() {
        let bench = Bench()
        let budget = bench.budget(1000)
        var held = budget.lease(800)
        let room = GatheringRoom(budget)
        #expect(room.grow(to: 50) { _ in })
        #expect(!room.grow(to: 200) { _ in })
        let lease = room.turn(into: 40, isPrecious: true)
        held = nil
        bench.run()
        room.release()
        #expect(budget.heldBytes == 40 && budget.waiterCount == 0)
        withExtendedLifetime((lease, held)) {}
    }

    @Test("who wants little is served before a large one that cannot be")
    func smallWaiters() {
        let bench = Bench()
        let budget = bench.budget(6400)
        let answers = Answers()
        var held = [budget.lease(6000), budget.lease(400)]
        let rooms = (0..<2).map { _ in GatheringRoom(budget) }
        #expect(!rooms[0].grow(to: 1000) { answers.note("large \($0)") })
        #expect(!rooms[1].grow(to: 100) { answers.note("small \($0)") })
        held[1] = nil
        bench.run()
        #expect(answers.words == ["small true"])
        withExtendedLifetime(held) {}
    }

    @Test("a superseded preview goes before anything moves")
    func supersededFirst() async throws {
        try await Self.withSpill(1 << 20) { budget, spill in
            let log = EventLog(epoch: 1, expectsReader: true, budget: budget)
            for number in 0..<3 {
                let picture = Self.picture(budget, bytes: 300_000, seed: UInt8(number))
                log.append(Self.preview(picture, number), at: Timestamp(seconds: 0))
            }
            #expect(budget.heldBytes == 900_000)
            #expect(budget.reclaim(400_000))
            #expect(budget.heldBytes == 300_000 && spill.usedBytes == 0)
        }
    }

    @Test("a full file takes nothing; what is let go of makes room")
    func fullFile() async throws {
        try await Self.withSpill(300_000) { budget, spill in
            var first = spill.take(Self.picture(budget, bytes: 200_000, seed: 1))
            #expect(first != nil)
            #expect(spill.take(Self.picture(budget, bytes: 200_000, seed: 2)) == nil)
            try await Self.drain(spill)
            first = nil
            try await Self.drain(spill)
            #expect(spill.usedBytes == 0)
            let second = try #require(spill.take(Self.picture(budget, bytes: 200_000, seed: 3)))
            #expect(try await second.read(199_999..<200_000) == ByteBuffer(repeating: 0x44, count: 1))
        }
    }
    @Test("what goes leaves a hole, and its neighbours as they are")
    func holes() async throws {
        try await Self.withSpill(32 << 20) { budget, spill in
            var places = (0..<5).map { spill.take(Self.picture(budget, bytes: 100_000, seed: UInt8($0))) }
            try await Self.drain(spill)
            #expect(spill.usedBytes == 5 * 25 * 4096, "all in one file")
            let kept = try await places[2]?.read(0..<100_000)
            places[1] = nil
            places[3] = nil
            try await Self.drain(spill)
            #expect(spill.usedBytes == 3 * 25 * 4096)
            #expect(try await places[2]?.read(0..<100_000) == kept && kept?.readableBytes == 100_000)
            places = []
            try await Self.drain(spill)
            #expect(spill.usedBytes == 0)
        }
    }
    @Test("previews leave the disk to finished pictures, and memory where the disk takes no more")
    func picturesBeforePreviews() async throws {
        try await Self.withSpill(300_000) { budget, spill in
            let logs = (0..<3).map { _ in EventLog(epoch: 1, budget: budget) }
            for (number, log) in logs.enumerated() {
                let picture = Self.picture(budget, bytes: 140_000, seed: UInt8(number))
                log.append(Self.preview(picture, 0), at: Timestamp(seconds: 0))
            }
            func previews() -> [Int] { logs.map { $0.retained.count { $0.event.isPreview } } }
            #expect(budget.reclaim(budget.limit - 1))
            try await Self.drain(spill)
            #expect(previews() == [1, 1, 0], "the disk takes two, the third is let go of")
            #expect(budget.heldBytes == 0)
            let picture = Self.picture(budget, bytes: 200_000, seed: 9)
            #expect(budget.displaced(picture, image: nil) == nil)
            #expect(budget.displaced(picture, image: ImageID()) != nil)
            #expect(previews() == [0, 0, 0])
        }
    }
}
