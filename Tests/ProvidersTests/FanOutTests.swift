import HTTPTypes
import ImageGeneration
import NIOCore
import Testing

@testable import Providers

/// An upstream that makes one picture for a call and says what the test says.
private struct OneAtATime: ProviderAdapter {
    var capabilities = ProviderCapabilities(
        operations: [.generate], previews: true, maximumCount: 1, parameters: ["seed"], resumable: true)

    func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        OneExchange(seed: job.request.seed, isResumed: false)
    }

    func makeExchange(resuming handle: String, for job: ExchangeJob) throws(GatewayError) -> (any ProviderExchange)? {
        handle.hasPrefix("job-") ? OneExchange(seed: nil, isResumed: true) : nil
    }
}

private struct OneExchange: ProviderExchange {
    let seed: Int64?
    let isResumed: Bool

    func start(into actions: inout ExchangeActions) {
        let url = "https://lab.example/\(self.isResumed ? "jobs" : "generate")?seed=\(self.seed ?? -1)"
        actions.append(
            .send(ExchangeCall(method: .post, url: url, purpose: self.isResumed ? .status : .submit), call: 3))
    }

    /// The status says what happens: 200 a picture, 202 a handle, 100 a standing, anything else a failure.
    func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        switch head.status {
        case 100:
            actions.append(.emit(.status(UpstreamStatus(stage: .generating, progress: 40))))
            actions.append(.wait(milliseconds: 5, timer: 9))
        case 200:
            let image = UpstreamImage(imageIndex: 0, attributes: .init(), payload: ByteBuffer(string: "AAAA"))
            actions.append(.emit(.image(image)))
            actions.append(.finish(nil))
        case 202: actions.append(.emit(.handle("job-\(call)")))
        case 429: actions.append(.finish(GatewayError(.upstreamRateLimited, "", upstreamStatus: 429)))
        default: actions.append(.finish(GatewayError(.upstreamError, "", billed: .maybe, upstreamStatus: 500)))
        }
    }

    func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions) {}
    func ended(call: Int, into actions: inout ExchangeActions) {}
    func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) { actions.append(.finish(error)) }
    func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        actions.append(.emit(.textDelta("timer \(timer)")))
    }
    func cancel(into actions: inout ExchangeActions) { actions.append(.finish(nil)) }
}

private struct Run {
    var exchange: any ProviderExchange
    var actions: ExchangeActions = []

    init(_ count: Int, seed: Int64? = nil, handle: String? = nil) throws {
        var request = ImageRequest(operation: .generate, prompt: "a lake")
        request.count = count
        request.seed = seed
        let adapter = FanOutAdapter.around(OneAtATime())
        let job = ExchangeJob(id: JobID(), request: request, entropy: 1)
        if let handle {
            self.exchange = try #require(try adapter.makeExchange(resuming: handle, for: job))
        } else {
            self.exchange = try adapter.makeExchange(for: job)
        }
        self.exchange.start(into: &self.actions)
    }

    var calls: [(number: Int, url: String)] {
        self.actions.compactMap { if case .send(let call, let number) = $0 { (number, call.url) } else { nil } }
    }

    /// What came since, in short words.
    mutating func answer(_ child: Int, _ status: Int) -> [String] {
        let number = self.calls[child].number
        var own = ExchangeActions()
        self.exchange.received(head: ExchangeResponseHead(status: status, headers: [:]), call: number, into: &own)
        return own.map(Self.word)
    }

    static func word(_ action: ExchangeAction) -> String {
        switch action {
        case .emit(.image(let image)): "image \(image.imageIndex)"
        case .emit(.imageFailed(let index, let error)): "failed \(index) \(error.code.rawValue)"
        case .emit(.status(let status)): "\(status.stage) \(status.progress ?? -1)"
        case .emit(.handle(let handle)): handle
        case .wait(_, let timer): "timer \(timer & 0xFFFF)"
        case .finish(let error): "finish \(error?.code.rawValue ?? "well") \(error?.billed.rawValue ?? "-")"
        default: "other"
        }
    }
}

@Suite struct FanOutTests {
    @Test func onePictureNeedsNoFanOut() throws {
        let run = try Run(1, seed: 7)
        #expect(run.exchange is OneExchange)
        #expect(
            !(FanOutAdapter.around(
                OneAtATime(
                    capabilities: .init(
                        operations: [.generate], previews: false, maximumCount: 10, parameters: []))) is FanOutAdapter))
    }

    @Test func everyPictureHasACallAndASeedOfItsOwn() throws {
        let run = try Run(3, seed: 7)
        #expect(run.calls.map { $0.url.suffix(1) } == ["7", "8", "9"])
        #expect(Set(run.calls.map(\.number)).count == 3)
    }

    @Test func picturesComeInAnyOrderUnderTheirIndex() throws {
        var run = try Run(3)
        #expect(run.answer(2, 200) == ["image 2"])
        #expect(run.answer(0, 200) == ["image 0"])
        #expect(run.answer(1, 200) == ["image 1", "finish well -"])
    }

    @Test func partOfThemIsASuccessWithFailures() throws {
        var run = try Run(3)
        #expect(run.answer(0, 500) == [])
        #expect(run.answer(1, 200) == ["image 1"])
        #expect(run.answer(2, 429) == ["failed 0 upstream_error", "failed 2 upstream_rate_limited", "finish well -"])
    }

    @Test func noneOfThemIsTheFirstFailureAtTheHighestCost() throws {
        var run = try Run(2)
        #expect(run.answer(0, 429) == [])
        #expect(run.answer(1, 500) == ["finish upstream_rate_limited maybe"])
        run = try Run(2)
        _ = run.answer(0, 429)
        #expect(run.answer(1, 429) == ["finish upstream_rate_limited no"])
    }

    @Test func theStandingIsThatOfTheSlowestAndTheMean() throws {
        var run = try Run(2)
        #expect(run.answer(0, 100) == ["queued 20", "timer 9"])
        #expect(run.answer(1, 100).first == "generating 40")
        var own = ExchangeActions()
        run.exchange.timerFired((1 << 16) + 9, into: &own)
        #expect(own.count == 1)
    }

    @Test func handlesAreKeptTogetherAndPickedUpTogether() throws {
        var run = try Run(2)
        #expect(run.answer(1, 202) == [#"[null,"job-3"]"#])
        let handle = try #require(run.answer(0, 202).first)
        #expect(handle == #"["job-3","job-3"]"#)
        var resumed = try Run(2, handle: handle)
        #expect(resumed.calls.map(\.url).allSatisfy { $0.contains("/jobs") })
        #expect(resumed.answer(0, 200) == ["image 0"])
        #expect(resumed.answer(1, 200) == ["image 1", "finish well -"])
    }

    @Test func whatWasSubmittedWithoutAHandleIsLost() throws {
        var run = try Run(2, handle: #"[null,"job-3"]"#)
        #expect(run.calls.count == 1)
        #expect(run.answer(0, 200) == ["image 1", "failed 0 interrupted", "finish well -"])
    }

    @Test(arguments: ["", "job-3", "[]", #"["job-3"]"#, #"{"v":1}"#, #"["other","other"]"#, "[null,null]"])
    func otherHandlesAreNotTaken(handle: String) throws {
        var request = ImageRequest(operation: .generate, prompt: "a lake")
        request.count = 2
        let exchange = try FanOutAdapter.around(OneAtATime()).makeExchange(
            resuming: handle, for: ExchangeJob(id: JobID(), request: request, entropy: 1))
        #expect(exchange == nil)
    }

    @Test func cancellingEndsAll() throws {
        var run = try Run(3)
        _ = run.answer(0, 200)
        var own = ExchangeActions()
        run.exchange.cancel(into: &own)
        #expect(own.map(Run.word).last == "finish well -")
    }
}
