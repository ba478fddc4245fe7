import ImageGeneration

/// Who asks. Without credentials everybody is nobody: their jobs are reached by id alone, their lists are empty.
struct Caller: Sendable {
    /// The principal's name; nil for nobody.
    let owner: String?
    private let address: String?

    init(_ scope: RequestScope) {
        self.owner = nil
        self.address = scope.connection.remoteAddress
    }

    init(owner: String?, address: String?) {
        self.owner = owner
        self.address = address
    }

    /// Within what idempotency keys are told apart: the principal, for nobody the client's address.
    var idempotencyScope: String { self.owner.map { "principal \($0)" } ?? "address \(self.address ?? "")" }

    func mayReach(_ job: JobView) -> Bool { job.owner == nil || job.owner == self.owner }
}
