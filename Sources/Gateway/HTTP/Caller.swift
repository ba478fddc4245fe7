import Admission
import ImageGeneration
import Storage
import StreamCodecs

/// Who asks, and from where. Without credentials everybody is nobody: their jobs are reached by id alone, their lists are empty.
struct Caller: Sendable {
    let principal: Principal
    /// The client's own address, also behind proxies of ours; nil where the connection has none.
    let address: IPAddress?

    init(_ scope: RequestScope) {
        self.principal = scope.principal
        self.address = scope.clientAddress
    }

    init(principal: Principal, address: IPAddress?) {
        self.principal = principal
        self.address = address
    }

    /// The principal's name; nil for nobody.
    var owner: String? { self.principal.id }

    /// As text, empty where there is none.
    var addressText: String { self.address?.description ?? "" }

    /// Within what idempotency keys are told apart: the principal, for nobody the client's address.
    var idempotencyScope: String { self.owner.map { "principal \($0)" } ?? "address \(self.addressText)" }

    func mayReach(_ job: JobView) -> Bool {
        job.owner == nil || job.owner == self.owner || self.principal.isAdministrator
    }

    /// The job, for its owner, an administrator, and whoever has a ticket for it; nobody's for everybody.
    /// - Throws: `not_found`, also for a job of somebody else; `forbidden` for a ticket that is for another job, whether or not there is
    ///   this one, or for a job that has been over for a while.
    func reach(_ job: JobView?, _ id: JobID?, at now: Timestamp) throws(GatewayError) -> JobView {
        let bound = self.principal.ticket?.bounds.job
        if let bound, bound != id?.text { throw GatewayError(.forbidden, "The ticket is for another job.") }
        // Its maker's right to the job was checked when it was made.
        guard let job, bound != nil || self.mayReach(job) else {
            throw GatewayError(.notFound, "There is no such job.")
        }
        if bound != nil, let end = job.log.standing.terminal?.at,
            now.milliseconds - end.milliseconds > Self.ticketGraceMilliseconds
        {
            throw GatewayError(.forbidden, "The ticket was for this job's time.")
        }
        return job
    }

    /// For so long after a job's end its ticket shows it: to a page that lost the stream just before.
    private static let ticketGraceMilliseconds: Int64 = 60_000

    /// - Throws: `forbidden` for a ticket: many pages may have one of the same maker's.
    func mayList() throws(GatewayError) {
        if self.principal.kind == .ticket { throw GatewayError(.forbidden, "A ticket shows no lists.") }
    }

    // MARK: Limits

    /// Whose use a rule counts.
    func subject(of rule: LimitRule, route: String) -> LimitSubject {
        switch rule.scope {
        case .ip: self.addressSubject
        case .token: self.principalSubject
        case .route: LimitSubject(name: "route \(route)")
        case .claim(let name):
            self.principal.claims[name].map { LimitSubject(name: "claim \($0)") } ?? self.principalSubject
        case .global: .everybody
        }
    }

    private var principalSubject: LimitSubject {
        // Whoever throws the cookie away gets another.
        if self.principal.kind == .session { return self.addressSubject }
        return self.principal.id.map { LimitSubject(name: "principal \($0)") } ?? self.addressSubject
    }

    /// An IPv6 host commands a /64.
    private var addressSubject: LimitSubject {
        guard let address = self.address else { return .everybody }
        return LimitSubject(addressHigh: address.high, low: address.isIPv4 ? address.low : 0)
    }
}
