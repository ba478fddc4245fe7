import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import Providers
import Testing

/// What every provider of the registry must do with each of its fixtures. A provider with a folder of fixtures is covered
/// without a test of its own.
@Suite struct ProviderConformanceTests {
    /// `SAFELIGHT_RECORD=1` writes the golden files anew, to be read before they are committed.
    private static let isRecording = ProcessInfo.processInfo.environment["SAFELIGHT_RECORD"] == "1"

    @Test(arguments: ProviderRegistry.providers.map(\.name))
    func everyProviderHasFixtures(_ provider: String) {
        #expect(!FixtureCase.all.filter { $0.provider == provider }.isEmpty)
    }

    @Test(arguments: FixtureCase.all)
    func goldenTranscript(_ fixture: FixtureCase) throws {
        let replay = try fixture.prepared().replay()
        #expect(replay.isFinished)
        try Self.compare(Transcript.json(Transcript.calls(replay.calls)), fixture, "expected-request.json")
        try Self.compare(Transcript.json(Transcript.events(replay.actions)), fixture, "events.json")
    }

    @Test(arguments: FixtureCase.all)
    func everySplitGivesTheSame(_ fixture: FixtureCase) throws {
        let prepared = try fixture.prepared()
        let whole = try Transcript.json(Transcript.events(prepared.replay().actions))
        for (call, answer) in prepared.answers.enumerated() where !answer.body.isEmpty {
            for split in ByteSplits.all(count: answer.body.count, exhaustiveLimit: 2048) {
                let replay = try prepared.replay { $0 == call ? split : [0..<$1] }
                let events = try Transcript.json(Transcript.events(replay.actions))
                guard events == whole else {
                    Issue.record("call \(call) cut at \(split.first?.upperBound ?? 0) differs:\n\(events)")
                    return
                }
            }
        }
    }

    /// A response that breaks off, with or without the transport noticing, never passes for success unless all its
    /// pictures were whole.
    @Test(arguments: FixtureCase.all)
    func everyTruncationIsAnError(_ fixture: FixtureCase) throws {
        let prepared = try fixture.prepared()
        let whole = try prepared.replay()
        for call in prepared.answers.indices {
            var replay = try prepared.fresh()
            var problem: String?
            replay.cutEverywhere(call) { cut, count, cleanly in
                guard !Self.isHonest(cut, whole) else { return true }
                problem = "call \(call) cut after \(count) bytes, cleanly: \(cleanly): \(cut.actions.suffix(3))"
                return false
            }
            if let problem { Issue.record("\(problem)") }
        }
    }

    /// What an upstream refused is told as the refusal, also where its explanation breaks off: the head has said enough.
    @Test(arguments: FixtureCase.all)
    func aRefusalThatBreaksOffIsTheRefusal(_ fixture: FixtureCase) throws {
        let prepared = try fixture.prepared()
        let whole = try prepared.replay()
        for (call, answer) in prepared.answers.enumerated() where call < whole.calls.count && !answer.isLost {
            guard whole.calls[call].purpose == .submit, answer.status >= 400, let error = whole.failure else {
                continue
            }
            var replay = try prepared.fresh()
            replay.cutEverywhere(call) { cut, count, cleanly in
                let told = cut.failure
                let isRefusal = told?.upstreamStatus != nil && told?.code != .upstreamTruncated
                if !isRefusal { Issue.record("cut after \(count), cleanly: \(cleanly): \(String(describing: told))") }
                return isRefusal
            }
            #expect(error.upstreamStatus != nil)
        }
    }

    /// Either an error, or every picture whole or told as failed; and never a picture that the whole answer lacks.
    private static func isHonest(_ cut: Replay, _ whole: Replay) -> Bool {
        // With answers numbered by call, a cut one leaves later calls without theirs.
        guard cut.isFinished else { return !cut.isStuck && (whole.calls.count > 1 || cut.calls.count > 1) }
        guard cut.images.allSatisfy({ whole.images[$0.key] == $0.value }) else { return false }
        guard cut.failure == nil else { return true }
        // Words alone, where those were asked for.
        if whole.failure == nil, whole.images.isEmpty { return cut.text == whole.text }
        return whole.failure == nil && !cut.images.isEmpty
            && cut.images.count + cut.failedImages.count >= whole.images.count
    }

    private static func compare(_ actual: String, _ fixture: FixtureCase, _ file: String) throws {
        if self.isRecording {
            try Data(actual.utf8).write(to: fixture.folder.appendingPathComponent(file))
        }
        let expected = String(decoding: try fixture.bytes(file), as: UTF8.self)
        #expect(actual == expected, "\(fixture.testDescription)/\(file) differs; record anew and read the difference")
    }
}
