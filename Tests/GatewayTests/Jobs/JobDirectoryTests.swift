import ImageGeneration
import NIOCore
import Storage
import Testing

@testable import Gateway

@Suite struct JobDirectoryTests {
    private static func at(_ seconds: Int64) -> Timestamp { Timestamp(seconds: 1_700_000_000 + seconds) }

    private static func job(_ number: UInt64, owner: String? = nil) -> Job {
        Job(
            id: JobID(high: 0, low: number), owner: owner, plan: SamplePlan.plan(),
            createdAt: Timestamp(milliseconds: 1_700_000_000_000 + Int64(number)),
            log: EventLog(epoch: 1))
    }

    /// Ends with one picture that holds `bytes` of `budget`.
    private static func end(_ job: Job, _ budget: PayloadBudget, bytes: Int = 100, after: Int64 = 1) -> JobRecord {
        let payload = ImagePayload(canonical: SamplePicture.buffer, lease: budget.leaseAlways(bytes))
        let attributes = ImageAttributes(size: "", quality: "", background: "", outputFormat: "png", createdAt: 0)
        let image = FinishedImage(
            imageIndex: 0, imageID: ImageID(), width: 1, height: 1, attributes: attributes, fileSize: 1,
            payload: payload)
        let preview = PartialImage(imageIndex: 1, partialImageIndex: 0, attributes: attributes, payload: payload)
        job.log.append(.partialImage(preview), at: self.at(after))
        job.log.append(.image(image), at: self.at(after))
        job.log.append(
            .completed(Completion(images: [image], usage: .zero, upstream: "lab", model: "", timings: Timings())),
            at: self.at(after))
        return JobRecord(job)
    }

    private static func hasPayload(_ view: JobView?) -> Bool? {
        guard let entry = view?.log.retained.first(where: { if case .image = $0.event { true } else { false } }),
            case .image(let image) = entry.event
        else { return nil }
        return image.payload != nil
    }

    @Test func payloadsGoOldestFirstOnceTheShareIsFull() {
        let budget = PayloadBudget(limit: 10_000)
        let directory = JobDirectory(payloadShare: 350)
        for number in 1...5 as ClosedRange<UInt64> {
            let job = Self.job(number)
            directory.begin(job)
            if number > 1 { job.log.delivered.set() }
            directory.end(Self.end(job, budget), keepsPayloads: true)
        }
        // The first has reached nobody, and there is no disk to move it to.
        let held = (1...5 as ClosedRange<UInt64>).map { Self.hasPayload(directory.find(JobID(high: 0, low: $0))) }
        #expect(held == [true, false, false, true, true])
        #expect(directory.heldBytes == 300)
        #expect(directory.finishedCount == 5)
        #expect(directory.runningCount == 0)
    }

    @Test func whatIsLetGoLeavesTheBudget() {
        let budget = PayloadBudget(limit: 1000)
        let directory = JobDirectory(payloadShare: 10_000)
        budget.onPressure { directory.reclaim($0, lettingGo: $1) }
        for number in 1...3 as ClosedRange<UInt64> {
            directory.end(Self.end(Self.job(number), budget, bytes: 300), keepsPayloads: true)
        }
        #expect(budget.heldBytes == 900)
        let lease = budget.lease(500)
        #expect(lease != nil)
        #expect(budget.heldBytes <= 1000)
        #expect(Self.hasPayload(directory.find(JobID(high: 0, low: 1))) == false)
        #expect(Self.hasPayload(directory.find(JobID(high: 0, low: 3))) == true)
        #expect(budget.lease(1001) == nil)
        #expect(directory.heldBytes == 0)
        #expect(!directory.reclaim(1, lettingGo: true))
    }

    /// As long as anything else may give way, what no disk takes stays.
    @Test func whatCannotBeMovedGoesLast() {
        let budget = PayloadBudget(limit: 10_000)
        let directory = JobDirectory(payloadShare: 10_000)
        for number in 1...2 as ClosedRange<UInt64> {
            directory.end(Self.end(Self.job(number), budget, bytes: 300), keepsPayloads: true)
        }
        #expect(!directory.reclaim(1, lettingGo: false))
        #expect(directory.heldBytes == 600)
        #expect(directory.reclaim(1, lettingGo: true))
        let held = (1...2 as ClosedRange<UInt64>).map { Self.hasPayload(directory.find(JobID(high: 0, low: $0))) }
        #expect(held == [false, true], "the oldest")
    }

    @Test func recordsWhoseBytesAreElsewhereHoldNone() {
        let budget = PayloadBudget(limit: 1000)
        let directory = JobDirectory(payloadShare: 1000)
        directory.end(Self.end(Self.job(1), budget), keepsPayloads: false)
        #expect(budget.heldBytes == 0)
        #expect(Self.hasPayload(directory.find(JobID(high: 0, low: 1))) == false)
        #expect(directory.find(JobID(high: 0, low: 1))?.snapshot.images.count == 1)
    }

    @Test func jobsGoOldestFirstByCountAndByAge() {
        let budget = PayloadBudget(limit: 10_000)
        let directory = JobDirectory(payloadShare: 10_000, maximumFinished: 2, retentionMilliseconds: 5000)
        func known() -> [UInt64] {
            (1...4 as ClosedRange<UInt64>).filter { directory.find(JobID(high: 0, low: $0)) != nil }
        }
        for number in 1...3 as ClosedRange<UInt64> {
            directory.end(Self.end(Self.job(number), budget), keepsPayloads: true)
        }
        #expect(known() == [2, 3])
        directory.end(Self.end(Self.job(4), budget, after: 100), keepsPayloads: true)
        #expect(known() == [4])
        #expect(directory.heldBytes == 100 && budget.heldBytes == 100)
    }

    @Test func historyIsInPagesNewestFirstAndOnesOwn() {
        let budget = PayloadBudget(limit: 10_000)
        let directory = JobDirectory(payloadShare: 10_000, maximumFinished: 6)
        let jobs = (1...9 as ClosedRange<UInt64>).map { Self.job($0, owner: $0 % 3 == 0 ? "b" : "a") }
        for job in jobs { directory.begin(job) }
        for job in jobs.prefix(3) { directory.end(Self.end(job, budget), keepsPayloads: true) }
        var pages: [[JobID]] = []
        var cursor: HistoryCursor?
        repeat {
            let page = directory.history(of: "a", after: cursor, limit: 2) { _ in true }
            pages.append(page.jobs.map(\.id))
            cursor = page.next.flatMap { HistoryCursor($0.text) }
            // What comes meanwhile moves no page.
            directory.begin(Self.job(UInt64(100 + pages.count), owner: "a"))
        } while cursor != nil
        #expect(
            pages.map { $0.map { id in jobs.firstIndex { $0.id == id }.map { $0 + 1 } } } == [
                [8, 7], [5, 4], [2, 1],
            ])
        let finished = directory.history(of: "a", after: nil, limit: 10) { $0.running == nil }
        #expect(finished.jobs.map(\.id) == [jobs[1].id, jobs[0].id])
        #expect(finished.next == nil)
        #expect(directory.history(of: "b", after: nil, limit: 10) { _ in true }.jobs.count == 3)
        #expect(directory.history(of: "c", after: nil, limit: 10) { _ in true }.jobs.isEmpty)
    }

    @Test func aDroppedJobLeavesItsHistory() {
        let budget = PayloadBudget(limit: 10_000)
        let directory = JobDirectory(payloadShare: 10_000, maximumFinished: 1)
        for number in 1...100 as ClosedRange<UInt64> {
            let job = Self.job(number, owner: "a")
            directory.begin(job)
            directory.end(Self.end(job, budget), keepsPayloads: true)
        }
        #expect(
            directory.history(of: "a", after: nil, limit: 10) { _ in true }.jobs.map(\.id) == [JobID(high: 0, low: 100)]
        )
    }

    @Test func aHistoryKeepsItsOrderWhoeverComesAndGoes() {
        let places = (0..<200).map {
            HistoryCursor(createdAt: Timestamp(milliseconds: Int64($0 / 3)), job: JobID(high: 0, low: UInt64($0)))
        }
        var history = JobHistory()
        for place in places.shuffled() + places.shuffled() { history.insert(place) }
        let kept = Set(places.filter { _ in Bool.random() })
        for place in places.shuffled() where !kept.contains(place) {
            history.remove(place)
            history.remove(place)
        }
        var found: [HistoryCursor] = []
        while let next = history.next(after: found.last) { found.append(next) }
        #expect(found == kept.sorted(by: >))
        // Behind a job that is gone the next older one comes.
        for place in places {
            let older = kept.filter { $0 < place }.max()
            #expect(history.next(after: place) == older)
        }
    }

    @Test func aRecordIsSmall() {
        var plan = SamplePlan.plan()
        plan.request.prompt = String(repeating: "p", count: 32_000)
        let job = Job(id: JobID(), plan: plan, createdAt: Self.at(0), log: EventLog(epoch: 1))
        #expect(JobRecord(job).request.prompt.count == 200)
    }
}
