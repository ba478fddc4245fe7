import NIOCore

extension EventLoop {
    /// Waits until the gate opens, the time is over, or the client is gone.
    func wait(for gate: Gate, atMost limit: TimeAmount, _ connection: ClientConnection) async {
        if gate.isOpen { return }
        let done = self.makePromise(of: Void.self)
        let timer = self.scheduleTask(in: limit) { done.succeed() }
        gate.opened(on: self).whenComplete { _ in done.succeed() }
        connection.onGone { done.succeed() }
        try? await done.futureResult.get()
        timer.cancel()
        connection.onGone(nil)
    }
}
