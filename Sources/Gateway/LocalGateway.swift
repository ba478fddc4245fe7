import Dialects
package import ImageGeneration
package import Logging
import NIOCore
import NIOPosix
import Storage
package import Transport

/// Jobs from `routes.json` without listeners: what the command line uses.
package struct LocalGateway: Sendable {
    private let live: LiveTable
    private let supervisor: JobSupervisor

    /// - Throws: ``UpstreamProblem``.
    package init(
        table: RouteTable, simulator: String?, transport: any UpstreamTransport,
        now: @escaping @Sendable () -> Timestamp,
        logger: Logger
    ) throws {
        self.live = try LiveTable(table, publicURL: "", simulator: simulator)
        self.supervisor = JobSupervisor(
            transport: transport, budget: PayloadBudget(limit: table.storage.memoryBytes), keeper: nil, epoch: 1,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, now: now, logger: logger)
    }

    /// - Parameter route: name of a route; nil for the first that can do the operation.
    /// - Throws: `GatewayError`, `not_found` for a route that does not exist.
    package func start(_ request: ImageRequest, route name: String?) throws(GatewayError) -> Job {
        let routes = self.live.table.routes.filter {
            $0.operation == request.operation && (name == nil || $0.name == name)
        }
        guard let route = routes.first(where: { $0.match.accepts(model: request.model) }) else {
            throw GatewayError(.notFound, name.map { "There is no route '\($0)' for this." } ?? "No route does this.")
        }
        let candidates = RouteCandidates(routes: [route], subpath: "")
        var plan = try JobPlanner(live: self.live).plan(DecodedRequest(image: request), candidates: candidates).plan
        // Nothing is stored here: the picture goes to the caller.
        plan.delivery = .inline
        return try self.supervisor.start(plan)
    }
}
