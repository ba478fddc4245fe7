import Admission
import Dialects
import ImageGeneration
import Storage

/// What a job store keeps of a request besides its plan.
struct AcceptanceTerms: Sendable {
    /// Who asks; nil for nobody.
    var owner: String?
    /// Empty where there is none.
    var clientAddress: String
    var dialect: String
    var mode: ResponseMode
    /// The client's key and the digest of its request.
    var idempotency: (key: IdempotencyKey, digest: RequestDigest)?
    /// What the job took of its limits.
    var charge: LimitReceipt?

    func acceptedJob(_ id: JobID, _ plan: JobPlan, at time: Timestamp) -> AcceptedJob {
        AcceptedJob(
            id: id, owner: JobOwner(principal: self.owner, clientAddress: self.clientAddress), route: plan.route,
            dialect: self.dialect, request: plan.request, upstream: plan.upstream.name,
            delivery: plan.delivery.rawValue, disconnect: plan.disconnect.text, mode: self.mode.rawValue,
            createdAt: time,
            idempotency: self.idempotency.map { Storage.IdempotencyKey(key: $0.key.text, digest: $0.digest.text) },
            notify: plan.notify)
    }
}

extension DisconnectPolicy {
    /// As in `routes.json`.
    fileprivate var text: String {
        switch self {
        case .continue: "continue"
        case .cancel: "cancel"
        case .grace(let grace): "\(grace.milliseconds)ms"
        }
    }
}
