import Admission
import HTTPTypes
import ImageGeneration
import StreamCodecs

/// A request for a stored picture: what its answer depends on, and nothing else.
struct ImageCall: Sendable {
    enum Method: Sendable { case get, head, delete }

    var method: Method
    var id: ImageID
    /// What stands behind `?` in the request's target, undecoded; nil without `?`.
    var query: String?
    var requester: ImageRequester
    var conditions = ImageConditions()
}

/// Who asks, as the request's credential says.
struct ImageRequester: Sendable {
    /// Nil: nobody.
    var principal: String?
    /// Whether the credential has the scope to delete pictures of others.
    var mayDeleteAny = false

    static let nobody = ImageRequester()

    init(principal: String? = nil, mayDeleteAny: Bool = false) {
        self.principal = principal
        self.mayDeleteAny = mayDeleteAny
    }

    /// Whoever has a ticket gets pictures by the URLs that come with them.
    init(_ principal: Principal) {
        self.init(
            principal: principal.kind == .ticket ? nil : principal.id, mayDeleteAny: principal.isAdministrator)
    }
}

/// The fields that make an answer conditional: RFC 9110, sections 13 and 14. A field that cannot be read counts as absent, but
/// `If-Match`, which then matches nothing, and `If-Range`, which then lets no range through.
struct ImageConditions: Sendable {
    var ifMatch: String?
    var ifNoneMatch: String?
    var range: String?
    var ifRange: String?

    init() {}

    init(_ fields: HTTPFields) {
        self.ifMatch = fields[.ifMatch]
        self.ifNoneMatch = fields[.ifNoneMatch]
        self.range = fields[.range]
        self.ifRange = fields[.ifRange]
    }

    enum Outcome: Equatable {
        case proceed
        /// The client has it already.
        case notModified
        /// The client meant another one.
        case failed
    }

    /// In the order of section 13.2.2. There is no `Last-Modified`, so conditions on dates are ignored.
    func evaluate(_ tag: EntityTag, method: ImageCall.Method) -> Outcome {
        if let field = self.ifMatch, EntityTagCondition(field: field)?.stronglyMatches(tag) != true { return .failed }
        guard let field = self.ifNoneMatch, EntityTagCondition(field: field)?.weaklyMatches(tag) == true else {
            return .proceed
        }
        return method == .delete ? .failed : .notModified
    }

    enum Extent: Equatable {
        case whole
        case part(Range<Int>)
        case unsatisfiable
    }

    /// What of a picture of `size` bytes a GET wants.
    func extent(_ tag: EntityTag, size: Int) -> Extent {
        guard let field = self.range, let range = ByteRange(field: field) else { return .whole }
        if let field = self.ifRange, EntityTag(field)?.stronglyMatches(tag) != true { return .whole }
        return range.resolved(size: size).map(Extent.part) ?? .unsatisfiable
    }
}
