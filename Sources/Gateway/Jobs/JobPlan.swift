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
    /// The job's place at the upstream; nil where nobody counts.
    var permit: UpstreamPermit?
    /// The route's further upstreams.
    var fallbacks: Fallbacks?
    /// Name of the webhook that is told of the job's end; nil: nobody is.
    package var notify: String?
    /// Counts ``request``, its pictures among it, for as long as anybody holds the plan.
    package var uploads: PayloadLease?
    /// Units of `costs` for each picture that comes; nil where the file has no `costs`.
    package var pictureCost: Double?

    package init(
        route: String, request: ImageRequest, upstream: UpstreamTarget, dropped: [String] = [], delivery: Delivery,
        disconnect: DisconnectPolicy,
        timeouts: RouteTable.Timeouts, notify: String? = nil
    ) {
        self.route = route
        self.request = request
        self.upstream = upstream
        self.dropped = dropped
        self.delivery = delivery
        self.disconnect = disconnect
        self.timeouts = timeouts
        self.notify = notify
    }
}

/// A configured upstream, ready to be asked.
package struct UpstreamTarget: Sendable {
    package var name: String
    package var adapter: any ProviderAdapter
    /// What is said in `completed` where the upstream names no model itself.
    package var model: String?
    package var connection: UpstreamConnectionPolicy
    /// Hosts besides that of ``baseURL`` from which its pictures may be fetched.
    package var resultHosts: [HostPattern]
    /// Root of the upstream's API.
    package var baseURL: String
    /// Result URLs may be plain HTTP and lead into private networks.
    package var allowsPrivateNetwork: Bool
    /// How it fares, and who is with it.
    var condition: UpstreamCondition

    package init(
        name: String, adapter: any ProviderAdapter, model: String? = nil,
        connection: UpstreamConnectionPolicy = .init(),
        resultHosts: [HostPattern] = [], baseURL: String, allowsPrivateNetwork: Bool = false
    ) {
        self.name = name
        self.adapter = adapter
        self.model = model
        self.connection = connection
        self.resultHosts = resultHosts
        self.baseURL = baseURL
        self.allowsPrivateNetwork = allowsPrivateNetwork
        self.condition = UpstreamCondition(name: name)
    }
}
