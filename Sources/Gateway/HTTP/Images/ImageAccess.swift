import ImageGeneration
import Storage

/// Why somebody may have, or remove, a stored picture.
enum ImageAccess: Equatable {
    /// The request has a signed URL; it holds until then.
    case signedURL(expires: Timestamp)
    case owner
    /// The credential's scope.
    case scope

    /// Decided before the store is asked, so no answer tells whether there is a picture of that id to somebody who may not have it.
    ///
    /// A signed URL serves GET and HEAD and never deletes. Whoever shows a credential and is not the owner hears what everybody
    /// hears of an id that does not exist.
    /// - Parameter owner: the picture's principal; nil for nobody's and for an unknown id.
    /// - Throws: `forbidden`, `not_found`.
    static func decide(
        _ call: ImageCall, owner: String?, signer: URLSigner, now: Timestamp
    ) throws(GatewayError) -> ImageAccess {
        if call.method != .delete, let query = call.query, let expires = signer.verify(call.id, query: query, now: now)
        {
            return .signedURL(expires: expires)
        }
        if let principal = call.requester.principal, principal == owner { return .owner }
        if call.method == .delete, call.requester.mayDeleteAny { return .scope }
        if call.requester.principal != nil, call.method == .delete || call.query == nil {
            throw GatewayError(.notFound, "There is no such picture.")
        }
        let message =
            call.method == .delete
            ? "A picture is removed by its owner." : "The picture's URL is not valid or no longer so."
        throw GatewayError(.forbidden, message)
    }
}
