extension RouteTableBuilder {
    mutating func webhooks() -> [RouteTable.Webhook] {
        (self.file.webhooks?.value ?? []).compactMap { entry in
            guard let url = entry.value?.url, let references = entry.value?.secret else { return nil }
            self.checkEncryption(url, webhook: entry.name)
            let (secrets, reason) = self.secrets(references, webhook: entry.name)
            return RouteTable.Webhook(name: entry.name, url: url.value, secrets: secrets, unavailableReason: reason)
        }
    }

    /// What is sent is signed, not secret, but it names pictures by URLs that need nothing else.
    private mutating func checkEncryption(_ url: Located<String>, webhook name: String) {
        let base = url.value.prefix { $0 != "?" }
        guard let parts = NetworkNames.webURL(String(base)), !parts.isSecure, !NetworkNames.isNear(parts.host) else {
            return
        }
        let shown = ConfigurationText.quoted(name)
        self.report(
            "messages to \(shown) are sent unencrypted over a network that is not yours; expected https",
            at: url.place, .warning)
    }

    /// Those that are set, and why there are none.
    private mutating func secrets(
        _ references: Located<[SecretReference]>, webhook name: String
    ) -> (secrets: [Secret], reason: String?) {
        var secrets: [Secret] = []
        var reasons: [String] = []
        for reference in references.value {
            do {
                let secret = try self.surroundings.secret(reference)
                if let problem = WebhookSigner.problem(of: secret) {
                    self.report(problem, at: references.place)
                }
                secrets.append(secret)
            } catch {
                reasons.append(error.reason)
            }
        }
        let shown = ConfigurationText.quoted(name)
        guard secrets.isEmpty, !references.value.isEmpty else {
            for reason in reasons {
                self.report("\(reason); \(shown) signs without it", at: references.place, .warning)
            }
            return (secrets, nil)
        }
        let reason = reasons.joined(separator: "; ")
        self.report("webhook \(shown) is unavailable: \(reason)", at: references.place, .warning)
        return ([], reason)
    }

    /// The webhook that a route names.
    mutating func notify(_ reader: RouteReader) -> String? {
        guard let name = reader[\.notify] else { return nil }
        if self.file.storage?.value.jobs == nil {
            self.report(
                "\"notify\" needs \"storage.jobs\", where messages wait until they are delivered", at: name.place)
        }
        let known = (self.file.webhooks?.value ?? []).map(\.name)
        guard !known.contains(name.value) else { return name.value }
        if known.isEmpty {
            self.report("\"notify\" names one of \"webhooks\", of which there are none", at: name.place)
        } else {
            self.reportUnknown("webhook", name, known: known, later: [])
        }
        return nil
    }
}

extension NetworkNames {
    /// This machine or a network of one's own: loopback and private addresses, names without a dot (containers, a search
    /// domain) and names under `.internal`, `.local`, `.localhost`, `.home.arpa`.
    /// - Parameter host: as it stands in a URL, lower case; IPv6 in brackets.
    static func isNear(_ host: String) -> Bool {
        if host.hasPrefix("[") {
            return host == "[::1]" || ["[fc", "[fd", "[fe8", "[fe9", "[fea", "[feb"].contains { host.hasPrefix($0) }
        }
        if let address = self.ipv4(host[...]) {
            switch (address[0], address[1]) {
            case (127, _), (10, _), (192, 168), (169, 254), (172, 16...31), (100, 64...127): return true
            default: return false
            }
        }
        let ends = [".internal", ".local", ".localhost", ".home.arpa"]
        return !host.contains(".") || ends.contains { host.hasSuffix($0) }
    }
}
