extension RoutesFile {
    /// An entry of `webhooks`.
    package struct Webhook: Sendable {
        /// Where messages are posted. Required.
        package let url: Located<String>?
        /// Signs them: each of a list signs, so that a receiver may change its own at its leisure. Unset: the webhook is
        /// unavailable. Required.
        package let secret: Located<[SecretReference]>?

        package enum Key: String, ConfigurationKey { case url, secret }
    }
}

extension RoutesFile.Webhook: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.url = reader.require(.url, .webhookURL)
        self.secret = reader.require(.secret, .secret)
    }
}

extension ValueForm<String> {
    /// Kept as it is written: a slash at the end makes another path, and a query may name the receiver.
    static var webhookURL: Self {
        unrepeated("an http or https URL without user information and fragment") { text in
            let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
            let query = parts.count > 1 ? parts[1] : ""
            let fine = query.utf8.allSatisfy { NetworkNames.isPathByte($0) || $0 == 0x3F }
            return fine && text.utf8.count <= 2048 && NetworkNames.webURL(String(parts[0])) != nil ? text : nil
        }
    }
}
