import NIOCore
import Synchronization

/// What a ``TimerWheel`` calls.
protocol TimerWheelTarget: AnyObject {
    func timerFired()
}

/// Coarse timers of one event loop: thousands of streams wait for a moment that need not be exact, and all that fall into one
/// tick cost the loop a single timer of its own. Touched on its event loop only.
final class TimerWheel {
    /// A timer fires up to this much late, never early.
    static let tick = TimeAmount.milliseconds(5)

    /// Names one timer. Of no use once it fired.
    struct Token {
        fileprivate let tick: UInt64
        fileprivate let index: Int
    }

    private let eventLoop: any EventLoop
    private var slots: [UInt64: [(any TimerWheelTarget)?]] = [:]
    private var next: (tick: UInt64, timer: Scheduled<Void>)?
    private var isFiring = false

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Holds the target until it fires or ``remove(_:)``.
    func add(_ target: any TimerWheelTarget, at deadline: NIODeadline) -> Token {
        let length = UInt64(Self.tick.nanoseconds)
        let tick = (deadline.uptimeNanoseconds + length - 1) / length
        let index = self.slots[tick, default: []].count
        self.slots[tick, default: []].append(target)
        if !self.isFiring, self.next.map({ tick < $0.tick }) ?? true { self.schedule(tick) }
        return Token(tick: tick, index: index)
    }

    /// The loop's own timer is left: it finds nothing, or later ones.
    func remove(_ token: Token) {
        guard let count = self.slots[token.tick]?.count, token.index < count else { return }
        self.slots[token.tick]?[token.index] = nil
    }

    private func schedule(_ tick: UInt64) {
        self.next?.timer.cancel()
        let due = NIODeadline.uptimeNanoseconds(tick * UInt64(Self.tick.nanoseconds))
        let timer = self.eventLoop.assumeIsolated().scheduleTask(deadline: due) { [weak self] in
            guard let self else { return }
            self.next = nil
            self.fire()
        }
        self.next = (tick, timer)
    }

    private func fire() {
        self.isFiring = true
        let now = self.eventLoop.now.uptimeNanoseconds / UInt64(Self.tick.nanoseconds)
        for tick in self.slots.keys.filter({ $0 <= now }).sorted() {
            for case let target? in self.slots.removeValue(forKey: tick) ?? [] { target.timerFired() }
        }
        self.isFiring = false
        if let earliest = self.slots.keys.min() { self.schedule(earliest) }
    }
}

/// The wheel of each event loop that has been asked for.
final class TimerWheels: Sendable {
    private let wheels = Mutex<[ObjectIdentifier: NIOLoopBound<TimerWheel>]>([:])

    /// Called on the event loop.
    func wheel(of eventLoop: any EventLoop) -> TimerWheel {
        let key = ObjectIdentifier(eventLoop)
        if let known = self.wheels.withLock({ $0[key] }) { return known.value }
        let made = NIOLoopBound(TimerWheel(eventLoop), eventLoop: eventLoop)
        self.wheels.withLock { $0[key] = made }
        return made.value
    }
}
