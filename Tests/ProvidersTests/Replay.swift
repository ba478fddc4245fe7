import HTTPTypes
import ImageGeneration
import NIOCore
import Providers

/// Plays answers against an exchange as the driver would, without I/O or clock: a wait fires at once, when nothing else is
/// left to happen.
struct Replay {
    private(set) var calls: [ExchangeCall] = []
    private(set) var actions: [ExchangeAction] = []
    /// How many actions there were when each step was done.
    private(set) var stepEnds: [Int] = []
    private var exchange: any ProviderExchange
    private var script: AnswerScript
    private let cancelAfter: Int?
    /// `answer` is an index into the script's.
    private var pending: [(call: Int, answer: Int)] = []
    /// Answers that were given.
    private var given: Set<Int> = []
    private var timer: Int?
    private var abandoned: Set<Int> = []
    /// Calls that are neither answered nor given up.
    private var openCalls: Set<Int> = []
    private(set) var isFinished = false
    /// The error of ``ExchangeAction/finish(_:)``.
    private(set) var failure: GatewayError?

    /// Nothing is under way that could bring the exchange to its end.
    var isStuck: Bool { !self.isFinished && self.openCalls.isEmpty && self.timer == nil }

    init(_ exchange: any ProviderExchange, _ answers: [FixtureAnswer], cancelAfter: Int? = nil) {
        self.init(exchange, script: AnswerScript(answers), cancelAfter: cancelAfter)
    }

    /// - Parameter cancelAfter: the answer whose head cancels the job.
    init(_ exchange: any ProviderExchange, script: AnswerScript, cancelAfter: Int? = nil) {
        self.exchange = exchange
        self.script = script
        self.cancelAfter = cancelAfter
    }

    /// - Parameters:
    ///   - splits: how the body of an answer is cut into reads.
    ///   - cancelsAtOnce: cancels before anything is answered.
    mutating func run(
        splits: (_ call: Int, _ count: Int) -> [Range<Int>] = { _, count in [0..<count] }, cancelsAtOnce: Bool = false
    ) {
        self.step { $0.start(into: &$1) }
        if cancelsAtOnce { self.step { $0.cancel(into: &$1) } }
        self.goOn(splits: splits)
    }

    /// Breaks off the answer to one call behind each of its bytes, each time as if it were the only time.
    /// - Parameter body: gets what came of it, after how many bytes, and whether the connection was closed as if all were well; says
    ///   whether to go on.
    mutating func cutEverywhere(_ call: Int, _ body: (_ cut: Replay, _ count: Int, _ cleanly: Bool) -> Bool) {
        self.step { $0.start(into: &$1) }
        self.goOn(upTo: call)
        guard let next = self.pending.firstIndex(where: { $0.call == call }) else { return }
        let answer = self.pending.remove(at: next).answer
        self.given.insert(answer)
        let told = self.script.answers[answer]
        guard !told.isLost else { return }
        self.open(told, call: call, cancels: self.cancelAfter == answer)
        for count in 0...told.body.count {
            for cleanly in [true, false] where count < told.body.count {
                var cut = self
                cut.close(call, cleanly: cleanly)
                cut.goOn()
                guard body(cut, count, cleanly) else { return }
            }
            guard count < told.body.count else { return }
            withUnsafeBytes(of: told.body[count]) { byte in
                self.step(call) { $0.received(bytes: byte, call: call, into: &$1) }
            }
        }
    }

    /// - Parameter upTo: the call whose answer is not played any more.
    private mutating func goOn(
        upTo last: Int? = nil, splits: (_ call: Int, _ count: Int) -> [Range<Int>] = { _, count in [0..<count] }
    ) {
        var rounds = 0
        while !self.isFinished, rounds < 200 {
            rounds += 1
            if let next = self.pending.firstIndex(where: { self.isDue($0.answer) }) {
                guard self.pending[next].call != last else { return }
                let (call, answer) = self.pending.remove(at: next)
                self.given.insert(answer)
                self.play(
                    self.script.answers[answer], call: call, cancels: self.cancelAfter == answer, splits: splits)
            } else if let timer = self.timer.take() {
                self.step { $0.timerFired(timer, into: &$1) }
            } else {
                return
            }
        }
    }

    private func isDue(_ answer: Int) -> Bool { self.script.answers[answer].after.map(self.given.contains) ?? true }

    private mutating func play(
        _ answer: FixtureAnswer, call: Int, cancels: Bool, splits: (Int, Int) -> [Range<Int>]
    ) {
        guard !answer.isLost else {
            self.openCalls.remove(call)
            return self.step(call) {
                $0.failed(
                    call: call, error: GatewayError(.upstreamUnreachable, "The upstream could not be reached."),
                    into: &$1)
            }
        }
        self.open(answer, call: call, cancels: cancels)
        answer.body.withUnsafeBytes { bytes in
            for range in splits(call, bytes.count) where !range.isEmpty {
                self.step(call) {
                    $0.received(bytes: UnsafeRawBufferPointer(rebasing: bytes[range]), call: call, into: &$1)
                }
            }
        }
        self.close(call, cleanly: true)
    }

    private mutating func open(_ answer: FixtureAnswer, call: Int, cancels: Bool) {
        self.step(call) {
            $0.received(
                head: ExchangeResponseHead(status: answer.status, headers: answer.headers), call: call, into: &$1)
        }
        if cancels { self.step { $0.cancel(into: &$1) } }
    }

    private mutating func close(_ call: Int, cleanly: Bool) {
        self.openCalls.remove(call)
        guard !cleanly else { return self.step(call) { $0.ended(call: call, into: &$1) } }
        self.step(call) {
            $0.failed(
                call: call, error: GatewayError(.upstreamTruncated, "The connection was lost.", billed: .maybe),
                into: &$1)
        }
    }

    private mutating func step(
        _ call: Int? = nil, _ input: (inout any ProviderExchange, inout ExchangeActions) -> Void
    ) {
        guard !self.isFinished, call.map({ !self.abandoned.contains($0) }) ?? true else { return }
        var actions: ExchangeActions = []
        input(&self.exchange, &actions)
        for action in actions { self.perform(action) }
        self.stepEnds.append(self.actions.count)
    }

    private mutating func perform(_ action: ExchangeAction) {
        self.actions.append(action)
        switch action {
        case .send(let call, let number):
            self.calls.append(call)
            self.openCalls.insert(number)
            if let answer = self.script.answer(to: call, number: number) { self.pending.append((number, answer)) }
        case .abandon(let call):
            self.abandoned.insert(call)
            self.openCalls.remove(call)
            self.pending.removeAll { $0.call == call }
        case .wait(_, let timer): self.timer = timer
        case .finish(let error):
            self.isFinished = true
            self.failure = error
        case .emit: break
        }
    }

    /// Indexes of pictures told as failed.
    var failedImages: Set<Int> {
        var indexes: Set<Int> = []
        for case .emit(.imageFailed(let index, _)) in self.actions { indexes.insert(index) }
        return indexes
    }

    /// All text beside the pictures.
    var text: String {
        var text = ""
        for case .emit(.textDelta(let delta)) in self.actions { text += delta }
        return text
    }

    /// Pictures finished, by index.
    var images: [Int: ByteBuffer] {
        var images: [Int: ByteBuffer] = [:]
        for case .emit(.image(let image)) in self.actions { images[image.imageIndex] = image.payload }
        return images
    }
}
