import HTTPTypes
import Providers

extension RouteTable.Upstream {
    /// What the provider is made with.
    func providerConfiguration(baseURL: String, apiKey: String?) -> ProviderConfiguration {
        var headers: HTTPFields = [:]
        for (name, value) in self.headers {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        return ProviderConfiguration(
            name: self.name, baseURL: baseURL, apiKey: apiKey, model: self.model,
            maximumEventBytes: self.maximumEventBytes, preset: self.preset, definition: self.definition,
            headers: headers,
            query: self.query, background: self.background)
    }
}

extension RouteTableBuilder {
    /// Headers that are the gateway's to write: framing, and where keys go.
    private static let reservedHeaders: Set<String> = [
        "authorization", "api-key", "x-api-key", "x-goog-api-key", "x-key", "cookie", "host", "connection",
        "content-length", "content-type", "transfer-encoding", "te", "upgrade", "expect", "accept", "accept-encoding",
    ]

    /// Refuses what no call can carry, and what the provider does not use.
    mutating func checkCallExtras(of given: RoutesFile.Upstream, provider: String) {
        for header in given.headers?.value ?? [] {
            if Self.reservedHeaders.contains(header.name.lowercased()) {
                self.report("the gateway writes this header itself", at: header.place)
            } else if let value = header.value, !value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) {
                self.report("expected printable ASCII in a header", at: header.place)
            }
        }
        if provider == "queue", let place = given.headers?.place ?? given.query?.place {
            self.report("a queue's calls say their headers and query themselves", at: place)
        }
        if provider != "openai-responses", let background = given.background {
            self.report("only provider \"openai-responses\" has background responses", at: background.place)
        }
    }
}
