import Admission
import ImageGeneration
import Synchronization

/// How often tickets have been used. A ticket is forgotten when it is over, so this holds those of a few minutes.
final class TicketUses: Sendable {
    private let uses = Mutex<[String: (count: Int, expiresAt: Timestamp)]>([:])

    private static let maximum = 100_000

    /// Counts a use, unless the ticket has none left.
    /// - Throws: `forbidden`; `overloaded` where there is no room to count it.
    func take(_ principal: Principal, now: Timestamp) throws(GatewayError) {
        guard let ticket = principal.ticket, let most = ticket.bounds.uses, let expiresAt = principal.expiresAt else {
            return
        }
        let error: GatewayError? = self.uses.withLock { uses in
            if uses[ticket.id] == nil, uses.count >= Self.maximum {
                uses = uses.filter { $0.value.expiresAt > now }
                guard uses.count < Self.maximum else {
                    return GatewayError(.overloaded, "Too many tickets are in use.", retryAfterMilliseconds: 1000)
                }
            }
            guard uses[ticket.id, default: (0, expiresAt)].count < most else {
                return GatewayError(.forbidden, "The ticket has been used.")
            }
            uses[ticket.id, default: (0, expiresAt)].count += 1
            return nil
        }
        if let error { throw error }
    }

    /// The same for a response that follows a job: those are what a ticket for one job is for; one for a route counts jobs.
    func takeFollowing(_ principal: Principal, now: Timestamp) throws(GatewayError) {
        if principal.ticket?.bounds.job != nil { try self.take(principal, now: now) }
    }

    /// The use came to nothing.
    func giveBack(_ principal: Principal) {
        guard let ticket = principal.ticket, ticket.bounds.uses != nil else { return }
        self.uses.withLock { $0[ticket.id]?.count -= 1 }
    }
}
