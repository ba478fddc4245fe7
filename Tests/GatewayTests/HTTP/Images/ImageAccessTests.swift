import ImageGeneration
import Storage
import Testing

@testable import Gateway

@Suite struct ImageAccessTests {
    private static let now = Timestamp(seconds: 1000)
    private static let expires = Timestamp(seconds: 2000)

    enum Query: CaseIterable { case none, valid, wrong, expired, ofAnother }

    private static func query(_ kind: Query, _ id: ImageID, _ signer: URLSigner) -> String? {
        let target: String
        switch kind {
        case .none: return nil
        case .wrong: return "expires=2000&key=00000000&signature=\(String(repeating: "0", count: 64))"
        case .valid: target = signer.target(for: id, expiresAt: self.expires)
        case .expired: target = signer.target(for: id, expiresAt: self.now)
        case .ofAnother: target = signer.target(for: ImageID(), expiresAt: self.expires)
        }
        return String(target.drop { $0 != "?" }.dropFirst())
    }

    private static func outcome(
        _ method: ImageCall.Method, _ query: Query, principal: String?, owner: String?, scope: Bool = false
    ) throws -> String {
        let signer = try #require(URLSigner(secrets: [Array("0123456789abcdef".utf8)]))
        let id = ImageID()
        let call = ImageCall(
            method: method, id: id, query: self.query(query, id, signer),
            requester: ImageRequester(principal: principal, mayDeleteAny: scope))
        do {
            switch try ImageAccess.decide(call, owner: owner, signer: signer, now: self.now) {
            case .signedURL(let expires): return expires == self.expires ? "signed" : "signed for another time"
            case .owner: return "owner"
            case .scope: return "scope"
            }
        } catch {
            return error.code.rawValue
        }
    }

    @Test(
        arguments: [
            // Nobody: a signed URL or nothing, whosever the picture is.
            (Query.none, nil, nil, "forbidden"), (.none, nil, "alice", "forbidden"), (.valid, nil, nil, "signed"),
            (.valid, nil, "alice", "signed"), (.wrong, nil, "alice", "forbidden"),
            (.expired, nil, "alice", "forbidden"),
            (.ofAnother, nil, "alice", "forbidden"),
            // The owner needs no URL, and a wrong one does not harm.
            (.none, "alice", "alice", "owner"), (.valid, "alice", "alice", "signed"),
            (.wrong, "alice", "alice", "owner"),
            (.expired, "alice", "alice", "owner"),
            // Another hears the same of a foreign picture as of none; only a URL helps.
            (.none, "bob", "alice", "not_found"), (.none, "bob", nil, "not_found"), (.valid, "bob", "alice", "signed"),
            (.wrong, "bob", "alice", "forbidden"), (.wrong, "bob", nil, "forbidden"),
            (.expired, "bob", nil, "forbidden"),
            (.ofAnother, "bob", "alice", "forbidden"), (.none, "", nil, "not_found"),
            (.none, "Alice", "alice", "not_found"),
        ] as [(Query, String?, String?, String)])
    func reading(_ query: Query, _ principal: String?, _ owner: String?, _ expected: String) throws {
        for method in [ImageCall.Method.get, .head] {
            for scope in [false, true] {
                let outcome = try Self.outcome(method, query, principal: principal, owner: owner, scope: scope)
                #expect(outcome == expected, "the scope is for deleting alone")
            }
        }
    }

    /// A URL never deletes.
    @Test(arguments: Query.allCases) func deleting(_ query: Query) throws {
        let outcome = { (principal: String?, owner: String?, scope: Bool) in
            try Self.outcome(.delete, query, principal: principal, owner: owner, scope: scope)
        }
        #expect(try outcome(nil, nil, false) == "forbidden")
        #expect(try outcome(nil, "alice", false) == "forbidden")
        #expect(try outcome("alice", "alice", false) == "owner")
        #expect(try outcome("bob", "alice", false) == "not_found")
        #expect(try outcome("bob", nil, false) == "not_found")
        #expect(try outcome("bob", "alice", true) == "scope")
        #expect(try outcome("operator", nil, true) == "scope")
        #expect(try outcome(nil, nil, true) == "scope")
    }
}
