import Providers
import Synchronization

/// Room for the actions of one read, used again by the next of whichever job: a short job has few reads, and growing an array anew
/// for each would cost more than its events.
final class ActionRoom: Sendable {
    private let spare = Mutex<[ExchangeActions]>([])

    /// A read brings a burst of small events, seldom a flood.
    private static let maximumActions = 256
    /// One for each transport thread of a large machine.
    private static let maximumSpare = 64

    func take() -> ExchangeActions { self.spare.withLock { $0.popLast() } ?? [] }

    /// Leaves `actions` empty, without room.
    func giveBack(_ actions: inout ExchangeActions) {
        guard actions.capacity <= Self.maximumActions else { return }
        if !actions.isEmpty { actions.removeAll(keepingCapacity: true) }
        var room = ExchangeActions()
        swap(&room, &actions)
        self.spare.withLock { [room] spare in
            if spare.count < Self.maximumSpare { spare.append(room) }
        }
    }
}
