import ImageGeneration
import Providers

/// The upstreams of a job's route in the order in which they are asked, without those that were.
struct Fallbacks: Sendable {
    private let live: LiveTable
    private let route: RouteTable.Route
    /// Before it was brought within what an upstream understands.
    private let request: ImageRequest
    private var targets: [RouteTable.Target]

    /// An upstream, ready to be asked, with a place.
    struct Choice: Sendable {
        let target: UpstreamTarget
        let timeouts: RouteTable.Timeouts
        let request: ImageRequest
        /// Parameters taken out of the request for this upstream.
        let dropped: [String]
        let permit: UpstreamPermit
    }

    /// A job is not accepted to wait longer than this for an upstream that asked to be left alone. In milliseconds.
    private static let longestHold = 60_000

    /// - Parameter wanted: the upstream or provider that the client would like to be asked first; one that is none of the route's changes
    ///   nothing.
    init(live: LiveTable, route: RouteTable.Route, request: ImageRequest, preferring wanted: String? = nil) {
        self.live = live
        self.route = route
        self.request = request
        let ordered = Self.order(route.upstreams, live.conditions)
        self.targets = wanted.map { Self.prefer($0.lowercased(), in: ordered) } ?? ordered
    }

    private static func prefer(_ wanted: String, in targets: [RouteTable.Target]) -> [RouteTable.Target] {
        let isWanted = targets.map { target in
            [target.upstream.name, target.upstream.provider].contains { $0.lowercased() == wanted }
        }
        return zip(targets, isWanted).filter(\.1).map(\.0) + zip(targets, isWanted).filter { !$0.1 }.map(\.0)
    }

    var isEmpty: Bool { self.targets.isEmpty }

    /// Whether ``next()`` may bring one.
    var hasOpen: Bool {
        self.targets.contains { entry in
            guard let target = self.usable(entry) else { return false }
            return target.condition.prospect != .closed
        }
    }

    /// The upstream for a new job.
    /// - Parameter isAccepted: the job was accepted by an earlier process: it waits, whoever else does.
    /// - Throws: `unsupported_parameter` of the first that could be asked, `upstream_unavailable`, `overloaded`,
    ///   `upstream_rate_limited`.
    mutating func first(isAccepted: Bool = false) throws(GatewayError) -> Choice {
        var refusal: GatewayError?
        if let choice = try self.take(&refusal, isAccepted, where: { $0 == .open }) { return choice }
        let choice = try self.take(&refusal, isAccepted) { prospect in
            if case .held(let milliseconds) = prospect { return milliseconds <= Self.longestHold }
            return false
        }
        if let choice { return choice }
        if isAccepted, !self.targets.contains(where: { self.usable($0) != nil }) {
            throw GatewayError(.upstreamRemoved, "The job's upstream is no longer configured.")
        }
        throw refusal ?? self.nothing
    }

    /// The upstream to ask after the one before has failed; nil when there is none left that can be.
    mutating func next() -> Choice? {
        var refusal: GatewayError?
        while !self.targets.isEmpty {
            // One that does not understand the request is no substitute; the others may be.
            do throws(GatewayError) {
                return try self.take(&refusal, where: { $0 == .open })
            } catch {
                continue
            }
        }
        return nil
    }

    /// Goes through the list, and leaves in it what comes behind the chosen one.
    private mutating func take(
        _ refusal: inout GatewayError?, _ isAccepted: Bool = false, where isWanted: (UpstreamCondition.Prospect) -> Bool
    ) throws(GatewayError) -> Choice? {
        for (index, entry) in self.targets.enumerated() {
            guard let target = self.usable(entry) else { continue }
            let prospect = target.condition.prospect
            guard isWanted(prospect) || prospect == .closed else {
                if case .held(let wait) = prospect { refusal = refusal ?? Self.held(target, wait) }
                continue
            }
            var request = self.request
            let dropped: [String]
            do throws(GatewayError) {
                dropped = try self.adapt(&request, to: target)
            } catch {
                // One that cannot be asked now does not decide for those behind it.
                guard prospect != .closed else {
                    refusal = refusal ?? error
                    continue
                }
                self.targets.removeFirst(index + 1)
                throw error
            }
            switch target.condition.enter(isAccepted: isAccepted) {
            case .refused(let error):
                refusal = refusal ?? error
            case .entered(let permit):
                self.targets.removeFirst(index + 1)
                return Choice(
                    target: target, timeouts: entry.timeouts, request: request, dropped: dropped, permit: permit)
            }
        }
        return nil
    }

    private func usable(_ entry: RouteTable.Target) -> UpstreamTarget? {
        guard let target = self.live.target(entry) else { return nil }
        let capabilities = target.adapter.capabilities
        return capabilities.operations.contains(self.request.operation)
            && capabilities.pictureWishes.contains(self.request.picture) ? target : nil
    }

    private static func held(_ target: UpstreamTarget, _ wait: Int) -> GatewayError {
        GatewayError(
            .upstreamRateLimited, "\(target.name) is limiting requests; try again later.", retryAfterMilliseconds: wait)
    }

    private var nothing: GatewayError {
        GatewayError(
            .upstreamUnavailable, "No upstream of this route can be called now.", retryAfterMilliseconds: 30_000)
    }

    /// Groups in the order in which it is their members' turn, everything else as it stands.
    private static func order(_ targets: [RouteTable.Target], _ conditions: UpstreamConditions) -> [RouteTable.Target] {
        guard targets.contains(where: { $0.share != nil }) else { return targets }
        var ordered: [RouteTable.Target] = []
        var rest = targets[...]
        while let first = rest.first {
            guard let group = first.share?.group else {
                ordered.append(rest.removeFirst())
                continue
            }
            let members = Array(rest.prefix { $0.share?.group == group })
            rest = rest.dropFirst(members.count)
            let turns = conditions.order(
                of: group, members.map { .init(upstream: $0.upstream.name, weight: $0.share?.weight ?? 1) })
            ordered += turns.map { members[$0] }
        }
        return ordered
    }
}

// MARK: - What an upstream understands

extension Fallbacks {
    /// Brings the request within it, as the route's `unsupported` says.
    private func adapt(_ request: inout ImageRequest, to target: UpstreamTarget) throws(GatewayError) -> [String] {
        let capabilities = target.adapter.capabilities
        var nearest = NearestWishes(target: target, allow: self.route.allow)
        if self.route.unsupported == .nearest { nearest.adapt(&request) }
        if request.count > max(1, capabilities.maximumCount) {
            throw GatewayError(
                .unsupportedParameter, "\(target.name) makes at most \(capabilities.maximumCount) pictures a request.",
                parameter: "n")
        }
        // Previews are a wish everywhere: an upstream that shows fewer, or none, is no failure.
        if !capabilities.previews { request.partialImages = nil }
        // Extensions are never refused: a provider sends those it knows, the others ask nothing of it.
        let foreign = request.setParameters.filter { !capabilities.parameters.contains($0) }
        guard let first = foreign.first else { return nearest.changes }
        if self.route.unsupported == .refuse {
            throw GatewayError(
                .unsupportedParameter, "\(target.name) does not understand '\(first)'.", parameter: first)
        }
        // Without its pictures an edit would be another request.
        if foreign.contains("images") {
            throw GatewayError(
                .unsupportedParameter, "\(target.name) takes no pictures.", parameter: "images")
        }
        for name in foreign { request.remove(parameter: name) }
        return nearest.changes + foreign
    }
}
