import StreamCodecs
package import Tokens

extension RoutesFile {
    /// `auth`
    package struct Auth: Sendable {
        /// Issuers whose tokens count.
        package let jwt: Located<[Located<Issuer>]>?
        /// Short-lived browser tokens.
        package let tickets: Located<Tickets>?

        package enum Key: String, ConfigurationKey { case jwt, tickets }
    }

    /// An entry of `auth.jwt`
    package struct Issuer: Sendable {
        /// What its tokens have in `iss`, exactly. Required.
        package let issuer: Located<String>?
        /// What its tokens must have in `aud`. Required.
        package let audience: Located<String>?
        /// Where its keys are. Required.
        package let keySetURL: Located<String>?
        /// What its tokens may be signed with. Required.
        package let algorithms: Located<[Located<SignatureAlgorithm>]>?

        package enum Key: String, ConfigurationKey {
            case issuer, audience
            case keySetURL = "jwks_url"
            case algorithms
        }
    }

    /// `auth.tickets`
    package struct Tickets: Sendable {
        /// Signs tickets and session cookies: the first signs, all verify. Absent or unset: made once under `var/keys`. Needs a restart to change.
        package let secret: Located<[SecretReference]>?
        /// The longest a ticket is good for. Default 2 min, 1 s…1 h.
        package let lifetime: Located<Duration>?

        package enum Key: String, ConfigurationKey { case secret, lifetime }
    }
}

extension RoutesFile.Auth: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.jwt = reader.read(.jwt, .list(of: .object(RoutesFile.Issuer.self)))
        self.tickets = reader.read(.tickets, .object(RoutesFile.Tickets.self))
    }
}

extension RoutesFile.Issuer: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.issuer = reader.require(.issuer, .text(limit: 512))
        self.audience = reader.require(.audience, .text(limit: 512))
        self.keySetURL = reader.require(.keySetURL, .webhookURL)
        self.algorithms = reader.require(
            .algorithms, .list(of: .choice(SignatureAlgorithm.self), minimum: 1))
    }
}

extension RoutesFile.Tickets: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.secret = reader.read(.secret, .secret)
        self.lifetime = reader.read(.lifetime, .duration(in: .seconds(1) ... .seconds(3600)))
    }
}

extension ValueForm<String> {
    /// A scope, as RFC 6749 lets them be written.
    static var scope: Self {
        ValueForm("a scope of at most 128 visible ASCII characters without \"\\\"\" and \"\\\\\"") { value in
            value.node.string.flatMap { $0.isScope ? $0 : nil }
        }
    }
}

extension String {
    package var isScope: Bool {
        (1...128).contains(self.utf8.count)
            && self.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }
    }
}
