import NIOCore
import Synchronization

@testable import Transport

/// Keeps what a session reports, and lets tests wait for it.
final class CallRecorder: UpstreamReceiver {
    struct Outcome: Sendable {
        var head: UpstreamResponseHead?
        var body: [UInt8] = []
        var pieces = 0
        var failure: UpstreamFailure?
        var hasEnded = false
        /// Callbacks after the end, or after a cancel noted with ``CallRecorder/forbid(_:)``.
        var strayCallbacks = 0
        var text: String { String(decoding: self.body, as: UTF8.self) }
    }

    struct State: Sendable {
        var outcomes: [UpstreamCallID: Outcome] = [:]
        var timers: [UpstreamTimerID] = []
        fileprivate var forbidden: Set<UpstreamCallID> = []
        fileprivate var waiters: [Waiter] = []

        var endedCalls: Int { self.outcomes.values.count { $0.hasEnded } }
    }

    fileprivate struct Waiter: Sendable {
        let condition: @Sendable (State) -> Bool
        let continuation: CheckedContinuation<Void, Never>
    }

    typealias Hook = @Sendable (UpstreamCallID) -> Void
    private let state = Mutex(State())
    let onHead: Hook?
    let onBytes: Hook?
    let onEnd: Hook?
    private let keepsBody: Bool

    init(keepsBody: Bool = true, onHead: Hook? = nil, onBytes: Hook? = nil, onEnd: Hook? = nil) {
        self.keepsBody = keepsBody
        self.onHead = onHead
        self.onBytes = onBytes
        self.onEnd = onEnd
    }

    func received(head: UpstreamResponseHead, call: UpstreamCallID) {
        self.note(call) { $0.head = head }
        self.onHead?(call)
        self.wake()
    }

    func received(bytes: UnsafeRawBufferPointer, call: UpstreamCallID) {
        self.note(call) { outcome in
            if self.keepsBody { outcome.body += bytes }
            outcome.pieces += 1
        }
        self.onBytes?(call)
        self.wake()
    }

    func ended(call: UpstreamCallID, failure: UpstreamFailure?) {
        self.note(call) { outcome in
            outcome.failure = failure
            outcome.hasEnded = true
        }
        self.onEnd?(call)
        self.wake()
    }

    func timerFired(_ id: UpstreamTimerID) {
        self.state.withLock { $0.timers.append(id) }
        self.wake()
    }

    /// From here on every callback of the call is an error.
    func forbid(_ call: UpstreamCallID) { self.state.withLock { _ = $0.forbidden.insert(call) } }

    subscript(call: UpstreamCallID) -> Outcome { self.state.withLock { $0.outcomes[call] ?? Outcome() } }

    var firedTimers: [Int] { self.state.withLock { $0.timers.map(\.rawValue) } }
    var strayCallbacks: Int { self.state.withLock { $0.outcomes.values.reduce(0) { $0 + $1.strayCallbacks } } }
    var endedCalls: Int { self.state.withLock { $0.endedCalls } }

    func outcome(_ call: UpstreamCallID) async -> Outcome {
        await self.wait { $0.outcomes[call]?.hasEnded == true }
        return self[call]
    }

    func wait(until condition: @escaping @Sendable (State) -> Bool) async {
        await withCheckedContinuation { continuation in
            self.state.withLock { $0.waiters.append(Waiter(condition: condition, continuation: continuation)) }
            self.wake()
        }
    }

    private func note(_ call: UpstreamCallID, _ change: (inout Outcome) -> Void) {
        self.state.withLock { state in
            if state.outcomes[call]?.hasEnded == true || state.forbidden.contains(call) {
                state.outcomes[call, default: Outcome()].strayCallbacks += 1
            }
            change(&state.outcomes[call, default: Outcome()])
        }
    }

    private func wake() {
        let ready = self.state.withLock { state in
            guard !state.waiters.isEmpty else { return [Waiter]() }
            let ready = state.waiters.filter { $0.condition(state) }
            if !ready.isEmpty { state.waiters = state.waiters.filter { !$0.condition(state) } }
            return ready
        }
        for waiter in ready { waiter.continuation.resume() }
    }
}

/// A flag that one thread raises and tests wait for.
final class Signal: Sendable {
    private struct State {
        var isRaised = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func raise() {
        let waiters = self.state.withLock { state in
            state.isRaised = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isRaised = self.state.withLock { state in
                if !state.isRaised { state.waiters.append(continuation) }
                return state.isRaised
            }
            if isRaised { continuation.resume() }
        }
    }
}

extension CurlTransport {
    /// Runs `body` with a started transport and shuts it down.
    static func with<Result>(
        _ configuration: TransportConfiguration = .init(threads: 1), _ body: (CurlTransport) async throws -> Result
    ) async throws -> Result {
        let transport = try CurlTransport(configuration)
        try transport.start()
        defer { transport.shutdown() }
        return try await body(transport)
    }

    /// One call in a session of its own.
    func perform(_ call: UpstreamCall) async -> CallRecorder.Outcome {
        let recorder = CallRecorder()
        let session = self.open(recorder)
        defer { session.close() }
        let id = UpstreamCallID(1)
        session.send(call, id: id)
        return await recorder.outcome(id)
    }
}

extension UpstreamSession {
    /// Until everything asked before is done, and two turns of the loop have passed: calls are freed at a turn's end.
    func settle() async {
        for _ in 0..<3 {
            await withCheckedContinuation { continuation in self.execute { continuation.resume() } }
        }
    }
}
