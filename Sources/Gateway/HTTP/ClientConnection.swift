package import NIOCore
import StreamCodecs
import Synchronization

/// What the gateway knows of one client connection, shared between its channel handler and the requests on it.
package final class ClientConnection: Sendable {
    package let eventLoop: any EventLoop
    /// The peer's address as text without port; nil for sockets that have none.
    package let remoteAddress: String?
    /// The same as bits. Behind a proxy it is the proxy's.
    let peer: IPAddress?
    private let state: Mutex<State>
    /// Set while the connection's handler can take bodies past the HTTP encoder; on the event loop only.
    private let bodySink: NIOLoopBoundBox<ConnectionHandler?>
    private let wheel: NIOLoopBoundBox<TimerWheel?>
    /// Ends what is under way where the connection has no ``bodySink``; on the event loop only.
    private let aborter: NIOLoopBoundBox<(() -> Void)?>

    private struct State {
        var isHTTP10 = false
        var isStream = false
        var gone = false
        var closesAfterResponse = false
        var listener: (@Sendable () -> Void)?
    }

    package init(eventLoop: any EventLoop, remoteAddress: String?) {
        self.wheel = .makeEmptyBox(valueType: TimerWheel.self, eventLoop: eventLoop)
        self.aborter = .makeEmptyBox(valueType: (() -> Void).self, eventLoop: eventLoop)
        self.eventLoop = eventLoop
        self.remoteAddress = remoteAddress
        self.peer = remoteAddress.flatMap { IPAddress($0) }
        self.state = Mutex(State())
        self.bodySink = .makeEmptyBox(valueType: ConnectionHandler.self, eventLoop: eventLoop)
    }

    /// For what need not be exact. Asked on the event loop.
    var timers: TimerWheel {
        if let wheel = self.wheel.value { return wheel }
        let made = TimerWheel(self.eventLoop)
        self.wheel.value = made
        return made
    }

    /// The connections of one event loop share their timers.
    func share(_ timers: TimerWheel) { self.wheel.value = timers }

    /// Takes framed body bytes past the HTTP encoder; nil where a body must go through it. Asked on the event loop.
    var directBody: ConnectionHandler? { self.bodySink.value }

    func offerDirectBody(_ handler: ConnectionHandler?) { self.bodySink.value = handler }

    /// Closes the connection as it stands, from any thread: for a client that takes nothing, or whose response cannot go on.
    package func abort() {
        self.eventLoop.execute {
            if let sink = self.bodySink.value { sink.abort() } else { self.aborter.value?() }
        }
    }

    /// Whether this is a stream of HTTP/2. Asked from anywhere.
    var isStreamOfAnother: Bool {
        get { self.state.withLock { $0.isStream } }
        set { self.state.withLock { $0.isStream = newValue } }
    }

    /// For connections that are streams of another.
    func offerAbort(_ action: (() -> Void)?) { self.aborter.value = action }

    /// Whether the request under way came as HTTP/1.0: no chunks, close at the end.
    package internal(set) var isHTTP10: Bool {
        get { self.state.withLock { $0.isHTTP10 } }
        set { self.state.withLock { $0.isHTTP10 = newValue } }
    }

    /// The client closed, half-closed or reset the connection, or a deadline of it passed.
    package var isGone: Bool { self.state.withLock { $0.gone } }

    /// The one signal that the client is gone: `listener` is called once, on the event loop, or at once when it is gone
    /// already. A later registration replaces an earlier one; nil withdraws it.
    package func onGone(_ listener: (@Sendable () -> Void)?) {
        let callNow = self.state.withLock { state in
            state.listener = state.gone ? nil : listener
            return state.gone
        }
        if callNow { listener?() }
    }

    /// Ends the connection once the response under way is written, because its request was not read to the end.
    package func closeAfterResponse() {
        self.state.withLock { $0.closesAfterResponse = true }
    }

    var closesAfterResponse: Bool { self.state.withLock { $0.closesAfterResponse } }

    func markGone() {
        let listener = self.state.withLock { state in
            state.gone = true
            defer { state.listener = nil }
            return state.listener
        }
        listener?()
    }
}
