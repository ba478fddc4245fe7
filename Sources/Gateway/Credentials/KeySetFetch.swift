import HTTPTypes
import NIOCore
import Synchronization
import Transport

/// One GET of a small document.
final class KeySetFetch: UpstreamReceiver {
    private struct State {
        var session: (any UpstreamSession)?
        var continuation: CheckedContinuation<ByteBuffer?, Never>?
        var status: Int?
        var body = ByteBuffer()
        var isCancelled = false
    }

    private let state = Mutex(State())

    private static let timeouts = UpstreamTimeouts(
        connect: .seconds(5), firstByte: .seconds(10), idle: .seconds(5), total: .seconds(15))
    private static let maximumBytes = 256 << 10

    private init() {}

    /// The body of a 200; nil for everything else. Redirects are not followed.
    static func document(at url: String, over transport: any UpstreamTransport) async -> ByteBuffer? {
        let receiver = KeySetFetch()
        let call = UpstreamCall(
            method: .get, url: url, headers: [.accept: "application/jwk-set+json, application/json"],
            timeouts: Self.timeouts, maximumResponseBytes: Self.maximumBytes)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { receiver.begin(call, over: transport, $0) }
        } onCancel: {
            receiver.cancel()
        }
    }

    private func begin(
        _ call: UpstreamCall, over transport: any UpstreamTransport,
        _ continuation: CheckedContinuation<ByteBuffer?, Never>
    ) {
        let isCancelled = self.state.withLock { state in
            if !state.isCancelled { state.continuation = continuation }
            return state.isCancelled
        }
        if isCancelled { return continuation.resume(returning: nil) }
        let session = transport.open(self)
        session.send(call, id: UpstreamCallID(0))
        let isOver = self.state.withLock { state in
            if state.continuation != nil { state.session = session }
            return state.continuation == nil
        }
        if isOver { session.close() }
    }

    private func cancel() {
        self.state.withLock { $0.isCancelled = true }
        self.end(nil)
    }

    private func end(_ document: ByteBuffer?) {
        let (session, continuation) = self.state.withLock { ($0.session.take(), $0.continuation.take()) }
        session?.close()
        continuation?.resume(returning: document)
    }

    // MARK: From the transport

    func received(head: UpstreamResponseHead, call: UpstreamCallID) { self.state.withLock { $0.status = head.status } }

    func received(bytes: UnsafeRawBufferPointer, call: UpstreamCallID) {
        self.state.withLock { _ = $0.body.writeBytes(bytes) }
    }

    func ended(call: UpstreamCallID, failure: UpstreamFailure?) {
        let (status, body) = self.state.withLock { ($0.status, $0.body) }
        self.end(failure == nil && status == 200 ? body : nil)
    }

    func timerFired(_ id: UpstreamTimerID) {}
}
