import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage

/// `GET`, `HEAD` and `DELETE` of `/v1/images/{id}`: a stored picture, by its signed URL or its owner's credential.
///
/// What is answered is decided in `Images/ImageAccess.swift` and `Images/ImageAnswer.swift`; here the store is asked and the bytes are
/// sent, a piece at a time as the client takes them.
struct ImageEndpoint: Sendable {
    let store: any ImageStore
    let signer: URLSigner
    let owners: any ImageOwners
    let now: @Sendable () -> Timestamp

    /// The picture's name in a path below `/v1/images/`; nil for other paths.
    static func name(in path: String) -> Substring? {
        path.hasPrefix(URLSigner.pathPrefix) ? path.dropFirst(URLSigner.pathPrefix.count) : nil
    }

    func respond(
        _ scope: RequestScope, name: Substring, requester: ImageRequester, writer: consuming ResponseWriter
    ) async throws {
        let outcome: Outcome
        do {
            outcome = try await self.outcome(scope, name, requester)
        } catch {
            let failure =
                error as? GatewayError ?? GatewayError(.internal, "The gateway failed.", cause: "\(error)")
            return try await writer.writeWhole(Self.failure(failure), for: scope)
        }
        var fields = outcome.answer.fields
        for field in scope.responseHeaders { fields[field.name] = field.value }
        let head = HTTPResponse(status: .init(code: outcome.answer.status), headerFields: fields)
        guard let reader = outcome.reader, let range = outcome.answer.body else {
            return try await writer.writeResponse(head)
        }
        var body = try await writer.writeHead(head)
        for try await piece in reader.pieces(of: range) { try await body.write(piece) }
        try await body.finish(nil)
    }

    private struct Outcome: Sendable {
        let answer: ImageAnswer
        var reader: (any StoredImageReader)?
    }

    private func outcome(
        _ scope: RequestScope, _ name: Substring, _ requester: ImageRequester
    ) async throws -> Outcome {
        let noPicture = GatewayError(.notFound, "There is no such picture.")
        guard let id = ImageID(name) else { throw noPicture }
        let call = try Self.call(scope, id, requester)
        // Without a principal nobody can be the owner, and whose picture it is need not be found out.
        let owner = requester.principal == nil ? nil : try await self.owners.owner(of: id)
        let access = try ImageAccess.decide(call, owner: owner, signer: self.signer, now: self.now())
        if call.method == .delete { return Outcome(answer: try await self.delete(call)) }
        guard let reader = try await self.store.open(id) else { throw noPicture }
        return Outcome(answer: ImageAnswer(call, reader.image, access, now: self.now()), reader: reader)
    }

    private func delete(_ call: ImageCall) async throws -> ImageAnswer {
        guard let image = try await self.store.open(call.id)?.image else {
            throw GatewayError(.notFound, "There is no such picture.")
        }
        guard call.conditions.evaluate(image.entityTag, method: .delete) == .proceed else {
            return .preconditionFailed(image)
        }
        // Whoever else deleted it meanwhile wanted the same.
        _ = try await self.store.remove(call.id)
        return .deleted
    }

    private static func call(
        _ scope: RequestScope, _ id: ImageID, _ requester: ImageRequester
    ) throws(GatewayError) -> ImageCall {
        let method: ImageCall.Method
        switch scope.method {
        case .get: method = .get
        case .head: method = .head
        case .delete: method = .delete
        default: throw GatewayError(.methodNotAllowed, "A picture is fetched with GET and removed with DELETE.")
        }
        return ImageCall(
            method: method, id: id, query: scope.rawQuery, requester: requester,
            conditions: ImageConditions(scope.headers))
    }

    private static func failure(_ error: GatewayError) -> DialectResponse {
        var response = GatewayResponder.failure(error)
        if error.code == .methodNotAllowed { response.headers[.allow] = "GET, HEAD, DELETE" }
        response.headers[.cacheControl] = "no-store"
        return response
    }
}
