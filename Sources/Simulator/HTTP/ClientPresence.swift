import NIOCore
import Synchronization

/// The client went away while something was prepared for it.
struct ClientGone: Error {}

/// Knows whether the client of a connection is still there. A client that closed its sending half counts as gone.
final class ClientPresence: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = NIOAny

    private struct State {
        var gone = false
        var nextWaiter: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    var isGone: Bool { self.state.withLock { $0.gone } }

    /// Returns when the client has gone or the task is cancelled.
    func waitUntilGone() async {
        let waiter = self.state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let resumeNow = self.state.withLock { state in
                    // A cancellation before this point found nobody to wake.
                    if state.gone || Task.isCancelled { return true }
                    state.waiters[waiter] = continuation
                    return false
                }
                if resumeNow { continuation.resume() }
            }
        } onCancel: {
            self.state.withLock { $0.waiters.removeValue(forKey: waiter) }?.resume()
        }
    }

    private func leave() {
        let waiters = self.state.withLock { state in
            state.gone = true
            defer { state.waiters = [:] }
            return state.waiters.values.map { $0 }
        }
        for waiter in waiters { waiter.resume() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.leave()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // The second event is the server's, when it shuts down: a stalled stream must not hold it up.
        if event as? ChannelEvent == .inputClosed || event is ChannelShouldQuiesceEvent {
            self.leave()
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }
}
