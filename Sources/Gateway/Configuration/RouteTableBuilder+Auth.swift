import Tokens

extension RouteTableBuilder {
    mutating func auth() -> RouteTable.Auth {
        let auth = self.file.auth?.value
        let tickets = auth?.tickets?.value
        return RouteTable.Auth(
            issuers: self.issuers(), ticketSecret: self.signingSecret(tickets?.secret, name: "tickets", of: "tickets"),
            ticketLifetime: tickets?.lifetime?.value ?? .seconds(120))
    }

    private mutating func issuers() -> [RouteTable.Auth.Issuer] {
        var issuers: [RouteTable.Auth.Issuer] = []
        for entry in self.file.auth?.value.jwt?.value ?? [] {
            guard let issuer = entry.value.issuer, let audience = entry.value.audience, let url = entry.value.keySetURL,
                let algorithms = entry.value.algorithms
            else { continue }
            self.checkEncryption(ofKeys: url)
            if issuers.contains(where: { $0.policy.issuer == issuer.value }) {
                self.report("issuer \(ConfigurationText.quoted(issuer.value)) is named before", at: issuer.place)
            }
            issuers.append(
                RouteTable.Auth.Issuer(
                    policy: TokenClaims.Policy(issuer: issuer.value, audience: audience.value), keySetURL: url.value,
                    algorithms: Set(algorithms.value.map(\.value))))
        }
        return issuers
    }

    /// Whoever can change the keys on their way can make tokens.
    private mutating func checkEncryption(ofKeys url: Located<String>) {
        let base = url.value.prefix { $0 != "?" }
        guard let parts = NetworkNames.webURL(String(base)), !parts.isSecure, !NetworkNames.isNear(parts.host) else {
            return
        }
        self.report("keys must not come unencrypted over a network that is not yours; expected https", at: url.place)
    }

    mutating func adminTokens() -> [Secret] {
        guard let references = self.file.admin?.value.token else { return [] }
        return self.secrets(references, of: "token")
    }

    /// In bytes.
    private static let leastSecret = 16

    /// Those that are set.
    /// - Parameter kind: what they are, for messages.
    private mutating func secrets(_ references: Located<[SecretReference]>, of kind: String) -> [Secret] {
        var secrets: [Secret] = []
        for reference in references.value {
            do {
                let secret = try self.surroundings.secret(reference)
                secrets.append(secret)
                if secret.reveal().utf8.count < Self.leastSecret {
                    self.report(
                        "expected a \(kind) of at least \(Self.leastSecret) bytes, found a shorter one",
                        at: references.place)
                }
            } catch {
                self.report(error.reason, at: references.place, .warning)
            }
        }
        return secrets
    }

    /// Whether anybody can have a credential.
    private var hasCredentials: Bool {
        self.file.storage?.value.jobs != nil || self.file.auth?.value.jwt?.value.isEmpty == false
    }

    mutating func checkAuth(_ reader: RouteReader) {
        let place = reader.place(.auth, reader[\.auth]?.place)
        if reader.has(.auth), reader[\.auth] == nil { return }
        let auth = reader[\.auth]?.value ?? .required
        if auth == .required, !self.hasCredentials {
            let origin = reader.has(.auth) ? "" : " (the default)"
            self.report(
                "auth \"required\"\(origin) needs tokens, which are kept in \"storage.jobs\", or \"auth.jwt\"; expected one of"
                    + " them, or \"auth\": \"public\"", at: place)
        }
        if auth == .public, let scopes = reader[\.scopes] {
            self.report("a public route asks for no credential; \"scopes\" have no effect", at: scopes.place, .warning)
        }
        guard auth != .required, !reader.has(.limits), reader[\.publicWithoutLimits]?.value != true,
            reader[\.publicWithoutLimits] != nil || !reader.has(.publicWithoutLimits)
        else { return }
        self.report(
            "\(auth == .public ? "a public route" : "a route open without a credential") needs \"limits\" or \"public_without_limits\": true",
            at: reader.place(.publicWithoutLimits, reader[\.publicWithoutLimits]?.place))
    }

    /// - Parameters:
    ///   - name: of the file that a secret is kept in where none is set.
    ///   - what: is signed, for messages.
    mutating func signingSecret(
        _ references: Located<[SecretReference]>?, name: String, of what: String
    ) -> RouteTable.SigningSecret {
        let file = self.surroundings.resolve("var/keys/\(name)")
        guard let references else { return .generated(file: file) }
        let secrets = self.secrets(references, of: "signing secret")
        if secrets.isEmpty, !references.value.isEmpty {
            let message =
                "no secret is set; \(what) are signed with one made once in \(ConfigurationText.quoted(file))"
            self.report(message, at: references.place, .warning)
        }
        return secrets.isEmpty ? .generated(file: file) : .given(secrets)
    }
}
