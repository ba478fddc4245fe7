import Admission
import ImageGeneration
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

    func mayReach(_ job: JobView) -> Bool { job.owner == nil || job.owner == self.owner }

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
        self.principal.id.map { LimitSubject(name: "principal \($0)") } ?? self.addressSubject
    }

    /// An IPv6 host commands a /64.
    private var addressSubject: LimitSubject {
        guard let address = self.address else { return .everybody }
        return LimitSubject(addressHigh: address.high, low: address.isIPv4 ? address.low : 0)
    }
}
