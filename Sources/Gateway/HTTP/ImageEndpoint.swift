import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import Storage

/// `GET /v1/images/{id}`: a stored picture by its signed URL.
struct ImageEndpoint: Sendable {
    let store: any ImageStore
    let signer: URLSigner
    let now: @Sendable () -> Timestamp

    /// - Parameter name: the path's last segment.
    /// - Throws: `not_found` for an unknown picture, `forbidden` for a URL that is not signed, was changed, or is over.
    func respond(_ scope: RequestScope, name: Substring) async throws -> DialectResponse {
        guard scope.method == .get || scope.method == .head else {
            throw GatewayError(.methodNotAllowed, "A picture is fetched with GET.")
        }
        guard let id = ImageID(name) else { throw GatewayError(.notFound, "There is no such picture.") }
        guard scope.query.count == 2, let expires = scope.query("expires"), let signature = scope.query("signature"),
            self.signer.verify(id, expires: expires, signature: signature, now: self.now())
        else { throw GatewayError(.forbidden, "The picture's URL is not valid or no longer so.") }
        guard let (image, bytes) = try await self.store.read(id) else {
            throw GatewayError(.notFound, "There is no such picture.")
        }
        return DialectResponse(status: 200, headers: Self.headers(image), body: bytes)
    }

    /// The type is what the bytes were found to be; nothing a browser might run.
    private static func headers(_ image: StoredImage) -> HTTPFields {
        var fields = HTTPFields()
        fields[.contentType] = image.format.mediaType
        fields[.cacheControl] = "private, max-age=3600, immutable"
        fields[.eTag] = "\"\(image.id.text)\""
        fields[.contentSecurityPolicy] = "default-src 'none'; sandbox"
        fields[.contentDisposition] = "inline; filename=\"\(image.id.text).\(image.format.fileExtension)\""
        return fields
    }
}
