package import Dialects
package import ImageGeneration
package import Providers
package import Transport

/// All that was decided about a request before its job began: what is asked, of whom, and on what terms.
package struct JobPlan: Sendable {
    /// Name of the route.
    package var route: String
    package var request: ImageRequest
    package var upstream: UpstreamTarget
    /// Parameters dropped or changed for the upstream, told in the first event.
    package var dropped: [String]
    package var delivery: Delivery
    package var disconnect: DisconnectPolicy
    package var timeouts: RouteTable.Timeouts
    /// Counts the pictures of ``request`` for as long as anybody holds the plan.
    package var uploads: PayloadLease?

    package init(
        route: String, request: ImageRequest, upstream: UpstreamTarget, dropped: [String] = [], delivery: Delivery,
        disconnect: DisconnectPolicy,
        timeouts: RouteTable.Timeouts
    ) {
        self.route = route
        self.request = request
        self.upstream = upstream
        self.dropped = dropped
        self.delivery = delivery
        self.disconnect = disconnect
        self.timeouts = timeouts
    }
}

/// A configured upstream, ready to be asked.
package struct UpstreamTarget: Sendable {
    package var name: String
    package var adapter: any ProviderAdapter
    /// What is said in `completed` where the upstream names no model itself.
    package var model: String?
    package var connection: UpstreamConnectionPolicy
    /// Hosts besides the upstream's own from which its pictures may be fetched.
    package var resultHosts: [HostPattern]
    /// The upstream's own host, lower case.
    package var host: String
    /// Result URLs may be plain HTTP and lead into private networks.
    package var allowsPrivateNetwork: Bool

    package init(
        name: String, adapter: any ProviderAdapter, model: String? = nil,
        connection: UpstreamConnectionPolicy = .init(),
        resultHosts: [HostPattern] = [], host: String, allowsPrivateNetwork: Bool = false
    ) {
        self.name = name
        self.adapter = adapter
        self.model = model
        self.connection = connection
        self.resultHosts = resultHosts
        self.host = host
        self.allowsPrivateNetwork = allowsPrivateNetwork
    }
}
