import Dialects
import ImageGeneration
import NIOCore
import Storage
import Testing

@testable import Gateway

@Suite struct ResumePointTests {
    private static let at = Timestamp(seconds: 1_700_000_000)
    private static let job = JobID(high: 1, low: 2)
    private static let other = JobID(high: 3, low: 4)

    /// Epoch 7: a stage, a picture with its bytes, a picture without, optionally the end.
    private static func log(ended: Bool) -> EventLog {
        let log = EventLog(epoch: 7)
        log.append(.stage(StageChange(message: "Waiting")), at: self.at)
        log.append(.image(self.image(0, payload: SamplePicture.buffer)), at: self.at)
        log.append(.image(self.image(1, payload: nil)), at: self.at)
        if ended { log.append(.error(GatewayError(.noImage, "none")), at: self.at) }
        return log
    }

    private static func image(_ index: Int, payload: ByteBuffer?) -> FinishedImage {
        FinishedImage(
            imageIndex: index, imageID: ImageID(), width: 1, height: 1,
            attributes: ImageAttributes(size: "", quality: "", background: "", outputFormat: "png", createdAt: 0),
            fileSize: 1, payload: payload.map { ImagePayload(canonical: $0) })
    }

    private static func id(_ number: UInt32, epoch: UInt32 = 7, job: JobID = job) -> String {
        EventID(job: job, sequence: EventSequence(epoch: epoch, number: number)).description
    }

    private static func position(_ number: UInt32) -> ResumePoint {
        .after(EventSequence(epoch: 7, number: number))
    }

    @Test(
        arguments: [
            (nil, ResumePoint.after(nil)), ("", .after(nil)), (id(0), position(0)), (id(1), position(1)),
            (id(2), position(2)),
            (id(3), position(3)), (id(4), .gap(.unknownID)), (id(3, job: other), .gap(.unknownID)),
            (id(1, epoch: 6), .gap(.restarted)), (id(1, epoch: 8), .gap(.restarted)), ("1", .gap(.unknownID)),
            ("job_x.1", .gap(.unknownID)), (id(1) + " ", .gap(.unknownID)), (id(1) + "\u{0}", .gap(.unknownID)),
            (String(repeating: "9", count: 500), .gap(.unknownID)),
            (job.text + ".99999999999999999999999", .gap(.unknownID)),
            ("../../etc/passwd", .gap(.unknownID)),
        ] as [(String?, ResumePoint)]) func whileTheJobRuns(_ text: String?, _ expected: ResumePoint)
    {
        #expect(ResumePoint.find(text, in: Self.log(ended: false), of: Self.job, needsPayloads: false) == expected)
    }

    @Test(
        arguments: [
            (id(1), position(1)), (id(3), position(3)), (id(4), .seen), (id(5), .gap(.unknownID)),
            (id(4, epoch: 6), .gap(.restarted)), (nil, .after(nil)),
        ] as [(String?, ResumePoint)]) func onceItIsOver(_ text: String?, _ expected: ResumePoint)
    {
        #expect(ResumePoint.find(text, in: Self.log(ended: true), of: Self.job, needsPayloads: false) == expected)
    }

    /// A reader that has the picture misses nothing when its bytes are gone.
    @Test(arguments: [(id(2), .gap(.spilled)), (id(3), position(3)), (nil, .after(nil))] as [(String?, ResumePoint)])
    func whereBytesAreGone(_ text: String?, _ expected: ResumePoint) {
        #expect(ResumePoint.find(text, in: Self.log(ended: true), of: Self.job, needsPayloads: true) == expected)
    }

    @Test func textThatWasDroppedIsAGap() {
        let log = EventLog(epoch: 7)
        for _ in 0..<4100 { log.append(.textDelta("x"), at: Self.at) }
        for (number, expected) in [(1 as UInt32, ResumePoint.gap(.aged)), (3, .gap(.aged)), (4, Self.position(4))] {
            #expect(ResumePoint.find(Self.id(number), in: log, of: Self.job, needsPayloads: true) == expected)
        }
        let kept = EventLog(retained: log.retained, lostThrough: log.standing.lostThrough)
        #expect(ResumePoint.find(Self.id(3), in: kept, of: Self.job, needsPayloads: true) == .gap(.aged))
    }

    /// By the number of an event that was seen in part.
    @Test(arguments: [(1, 0), (2, 1), (4, 3), (5, nil), (0, nil)] as [(UInt32, UInt32?)])
    func findsParts(_ number: UInt32, _ position: UInt32?) {
        let point = ResumePoint.find(EventPart(number: number, part: 3), in: Self.log(ended: true))
        #expect(point == position.map(Self.position))
    }
}
