import HTTPTypes
import ImageGeneration

/// The header that carries the key, and what stands before it: `Bearer `, nothing.
struct KeyHeader: Sendable, Equatable {
    var name: HTTPField.Name
    var prefix = ""

    static let bearer = KeyHeader(name: .authorization, prefix: "Bearer ")
    /// Azure's.
    static let apiKey = KeyHeader(name: HTTPField.Name("api-key")!)
    static let google = KeyHeader(name: HTTPField.Name("x-goog-api-key")!)
}

extension ProviderConfiguration {
    /// A call below the base URL, with the configured query and headers and the key.
    ///
    /// A configured header never replaces one the exchange sets afterwards.
    func call(
        _ method: HTTPRequest.Method, _ path: String, _ purpose: ExchangeCall.Purpose, key header: KeyHeader = .bearer,
        query: [(name: String, value: String)] = []
    ) -> ExchangeCall {
        var call = ExchangeCall(
            method: method, url: self.baseURL + path + Self.queryText(self.query + query), headers: self.headers,
            purpose: purpose)
        if let key = self.apiKey { call.headers[header.name] = header.prefix + key }
        return call
    }

    static func encoded(_ items: [(name: String, value: String)]) -> [(name: String, value: String)] {
        items.map { (QueueURL.encoded($0.name, keeping: "-._~"), QueueURL.encoded($0.value, keeping: "-._~")) }
    }

    private static func queryText(_ items: [(name: String, value: String)]) -> String {
        self.encoded(items).enumerated().map { index, item in (index == 0 ? "?" : "&") + item.name + "=" + item.value }
            .joined()
    }
}
