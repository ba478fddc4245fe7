import ImageGeneration
import Providers
import Transport

/// Which URLs named by an upstream the gateway will fetch, and how: hosts of a strict grammar that are the upstream's own or listed in
/// `result_hosts`, over https unless private networks are allowed, on the scheme's own port unless `result_hosts` names another.
///
/// What a name leads to is decided where it is resolved (``AddressPolicy``). The upstream's own origin, where every call with its key goes
/// anyway, is called like those, but without the key.
struct ResultURLPolicy: Sendable {
    /// The upstream's own; nil where its base URL is none of the strict grammar.
    private let own: StrictURL?
    private let hosts: [HostPattern]
    private let allowsPrivateNetwork: Bool

    init(base: String, hosts: [HostPattern], allowsPrivateNetwork: Bool) {
        self.own = StrictURL(base)
        self.hosts = hosts
        self.allowsPrivateNetwork = allowsPrivateNetwork
    }

    /// - Parameter usual: how the upstream itself is called.
    /// - Throws: `result_url_refused`.
    func connection(
        for url: String, usual: UpstreamConnectionPolicy
    ) throws(GatewayError) -> UpstreamConnectionPolicy {
        guard let target = StrictURL(url) else { throw Self.refusal("it is not a plain http or https URL") }
        if let own = self.own, own.hasOrigin(of: target) { return usual }
        let named = self.hosts.filter { $0.matches(target.host) }
        guard !named.isEmpty || target.host == self.own?.host else {
            throw Self.refusal("its host is not in result_hosts")
        }
        guard target.isSecure || self.allowsPrivateNetwork else { throw Self.refusal("it is not https") }
        let isUsualPort = target.effectivePort == (target.isSecure ? 443 : 80)
        guard
            named.contains(where: { $0.port.map { $0 == target.effectivePort } ?? isUsualPort })
                || named.isEmpty && isUsualPort
        else { throw Self.refusal("it names another port") }
        return UpstreamConnectionPolicy(addresses: self.allowsPrivateNetwork ? .privateAllowed : .publicOnly)
    }

    static func refusal(_ reason: String) -> GatewayError {
        GatewayError(
            .resultURLRefused, "The upstream's picture lies at an address the gateway does not fetch from.",
            billed: .yes, cause: reason)
    }
}
