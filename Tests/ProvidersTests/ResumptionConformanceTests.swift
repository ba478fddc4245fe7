import Foundation
import ImageGeneration
import NIOCore
import Providers
import Testing

/// Every fixture whose exchange tells a handle is picked up by a fresh exchange that has the handle's text and nothing
/// else. A provider that tells handles is covered without a test of its own.
@Suite struct ResumptionConformanceTests {
    /// Picked up right behind the handle: the calls that were left, the events that were left, nothing submitted.
    @Test(arguments: FixtureCase.all)
    func theRestIsTheSame(_ fixture: FixtureCase) throws {
        let whole = try InterruptedFixture(fixture)
        guard let told = whole.handle else { return }
        let resumed = try whole.resumed(behind: told.call)
        #expect(resumed.isFinished)
        #expect(resumed.images == whole.replay.images)
        #expect(try Self.json(resumed.failure) == Self.json(whole.replay.failure))
        #expect(!resumed.calls.contains { $0.purpose == .submit })
        let left = try Transcript.calls(Array(whole.replay.calls.dropFirst(told.call + 1))).map(Transcript.json)
        let made = try Transcript.calls(resumed.calls).map(Transcript.json)
        #expect(Array(made.suffix(left.count)) == left)
        // More is asked only where the submission itself told the states.
        #expect(resumed.calls.dropLast(left.count).allSatisfy { $0.purpose == .events || $0.purpose == .status })
        #expect(try whole.remaining(of: resumed) == whole.remaining())
    }

    /// Picked up behind any later call: the same pictures, the same end.
    @Test(arguments: FixtureCase.all)
    func everyLaterKillEndsTheSame(_ fixture: FixtureCase) throws {
        let whole = try InterruptedFixture(fixture)
        guard let told = whole.handle, whole.prepared.cancelAfter == nil else { return }
        for call in told.call..<whole.replay.calls.count {
            let resumed = try whole.resumed(behind: call)
            #expect(resumed.isFinished, "behind call \(call)")
            #expect(resumed.images == whole.replay.images, "behind call \(call)")
            #expect(resumed.failedImages == whole.replay.failedImages, "behind call \(call)")
            #expect(try Self.json(resumed.failure) == Self.json(whole.replay.failure), "behind call \(call)")
            #expect(!resumed.calls.contains { $0.purpose == .submit }, "behind call \(call)")
        }
    }

    /// A picked-up job can be cancelled at once, and the upstream is told as by the first exchange.
    @Test(arguments: FixtureCase.all)
    func pickedUpJobsCanBeCancelled(_ fixture: FixtureCase) throws {
        let whole = try InterruptedFixture(fixture)
        guard let told = whole.handle else { return }
        let resumed = try whole.resumed(behind: told.call, cancelsAtOnce: true)
        // The upstream's answer to the cancel is not in every transcript.
        #expect(resumed.isFinished || resumed.calls.last?.purpose == .cancel)
        #expect(!resumed.calls.contains { $0.purpose == .submit })
        for cancel in whole.replay.calls where cancel.purpose == .cancel {
            #expect(resumed.calls.last?.url == cancel.url)
            #expect(resumed.calls.last?.method == cancel.method)
        }
        if resumed.isFinished {
            #expect(resumed.failure?.code == .cancelled)
            #expect(resumed.failure?.billed != .no)
        }
    }

    @Test(arguments: FixtureCase.all)
    func handlesAreBoundedAndHoldNoSecret(_ fixture: FixtureCase) throws {
        let whole = try InterruptedFixture(fixture)
        for case .emit(.handle(let text)) in whole.replay.actions {
            #expect(whole.prepared.adapter.capabilities.resumable)
            #expect(text.utf8.count <= 8192)
            if let key = try fixture.setup().configuration.apiKey { #expect(!text.contains(key)) }
        }
    }

    @Test(arguments: ProviderRegistry.providers.map(\.name))
    func whoCanPickUpTellsHandles(_ provider: String) throws {
        let fixtures = try FixtureCase.all.filter { $0.provider == provider }.map { try InterruptedFixture($0) }
        let adapter = try #require(fixtures.first?.prepared.adapter)
        #expect(fixtures.contains { $0.handle != nil } == adapter.capabilities.resumable)
        guard !adapter.capabilities.resumable, let job = fixtures.first?.prepared.job else { return }
        for text in ["", "j-1", #"{"v":1,"provider":"queue","id":"j-1"}"#] {
            #expect(try adapter.makeExchange(resuming: text, for: job) == nil)
        }
    }

    private static func json(_ error: GatewayError?) throws -> String? {
        try error.map { try Transcript.json(Transcript.error($0)) }
    }
}

/// A fixture played whole, and where in it the handle was told.
struct InterruptedFixture {
    let prepared: PreparedFixture
    let replay: Replay
    /// The first handle, the call whose answer brought it, and how many actions came up to it.
    let handle: (text: String, call: Int, actions: Int)?

    init(_ fixture: FixtureCase) throws {
        self.prepared = try fixture.prepared()
        self.replay = try self.prepared.replay()
        var call = 0
        var found: (text: String, call: Int, actions: Int)?
        for (index, action) in self.replay.actions.enumerated() where found == nil {
            if case .send(_, let number) = action { call = number }
            if case .emit(.handle(let text)) = action { found = (text, call, index + 1) }
        }
        self.handle = found
    }

    /// A fresh adapter and exchange, as after a restart; the answers up to `call` were had before.
    func resumed(behind call: Int, cancelsAtOnce: Bool = false) throws -> Replay {
        guard let handle = self.handle,
            let exchange = try self.prepared.adapter.makeExchange(resuming: handle.text, for: self.prepared.job)
        else { throw FixtureProblem("the handle cannot be resumed") }
        var resumed = Replay(
            exchange, script: AnswerScript(self.prepared.answers, to: self.replay.calls, behind: call),
            cancelAfter: self.prepared.cancelAfter)
        resumed.run(cancelsAtOnce: cancelsAtOnce || self.prepared.cancelAfter.map { $0 <= call } ?? false)
        return resumed
    }

    /// The events behind the handle as text. What the answer with the handle itself said of the job's standing is not
    /// asked for again, unless it is a stream, which begins anew.
    func remaining() throws -> [String] {
        guard let handle = self.handle else { return [] }
        return try Self.texts(self.replay.actions.dropFirst(handle.actions), behind: self.cut, from: self.standing)
    }

    func remaining(of resumed: Replay) throws -> [String] {
        try Self.texts(resumed.actions[...], behind: 0, from: self.standing)
    }

    /// Statuses before this action were said by the answer with the handle.
    private var cut: Int {
        guard let handle = self.handle, !self.prepared.answers[handle.call].isStream else { return 0 }
        return self.replay.stepEnds.first { $0 >= handle.actions } ?? 0
    }

    private var standing: ShownStanding {
        var standing = ShownStanding()
        for action in self.replay.actions.prefix(self.cut) {
            if case .emit(.status(let status)) = action { _ = standing.isNews(status) }
        }
        return standing
    }

    /// Without statuses that say nothing new, and without the acceptance, which a picked-up job begins with.
    private static func texts(
        _ actions: ArraySlice<ExchangeAction>, behind cut: Int, from standing: ShownStanding
    ) throws -> [String] {
        var standing = standing
        var left: [ExchangeAction] = []
        for (index, action) in zip(actions.indices, actions) {
            switch action {
            case .emit(.accepted), .emit(.handle), .send, .abandon, .wait: continue
            case .emit(.status(var status)):
                guard index >= cut, standing.isNews(status) else { continue }
                status.progress = standing.progress
                left.append(.emit(.status(status)))
            case .emit, .finish: left.append(action)
            }
        }
        return try Transcript.events(left).map(Transcript.json)
    }
}

/// What a watcher knows of a job's standing; what a status does not say stays as it was.
private struct ShownStanding {
    private(set) var progress: Int?
    private var stage: Stage?
    private var queuePosition: Int?
    private var message: String?

    mutating func isNews(_ status: UpstreamStatus) -> Bool {
        let isNews =
            self.stage != status.stage || status.progress.map { $0 != self.progress } ?? false
            || status.queuePosition.map { $0 != self.queuePosition } ?? false
            || status.message.map { $0 != self.message } ?? false
        self.stage = status.stage
        self.progress = status.progress ?? self.progress
        self.queuePosition = status.queuePosition ?? self.queuePosition
        self.message = status.message ?? self.message
        return isNews
    }
}
