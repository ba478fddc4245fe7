import Dialects
import ImageGeneration
import Providers

/// Decides about a decoded request: which of its path's routes, what the route adds, forces and allows, and which upstream.
struct JobPlanner: Sendable {
    let live: LiveTable

    struct Decision: Sendable {
        var plan: JobPlan
        let route: RouteTable.Route
    }

    /// - Throws: `invalid_parameter`, `unsupported_parameter`, `upstream_unavailable`.
    func plan(_ decoded: DecodedRequest, candidates: RouteCandidates) throws(GatewayError) -> Decision {
        let route = try self.route(decoded.image, candidates)
        var request = decoded.image
        route.defaults?.fill(&request)
        route.force?.overwrite(&request)
        request.partialImages = request.partialImages ?? route.traits.defaultPartialImages
        if route.traits.converses { request.picture = Self.wish(route.intent, request) }
        if route.unsupported != .nearest { try self.checkAllowance(request, route) }
        try self.settlePicture(&request, route)
        var fallbacks = Fallbacks(
            live: self.live, route: route, request: request, preferring: decoded.preferredUpstream)
        let choice = try fallbacks.first()
        var plan = JobPlan(
            route: route.name, request: choice.request, upstream: choice.target, dropped: choice.dropped,
            delivery: decoded.delivery ?? route.delivery, disconnect: route.onDisconnect, timeouts: choice.timeouts,
            notify: route.notify)
        plan.pictureCost = self.live.table.costs.pictureCost(of: choice.request)
        plan.permit = choice.permit
        plan.fallbacks = fallbacks.isEmpty ? nil : fallbacks
        return Decision(plan: plan, route: route)
    }

    private func route(
        _ request: ImageRequest, _ candidates: RouteCandidates
    ) throws(GatewayError) -> RouteTable.Route {
        if let route = candidates.match(model: request.model) { return route }
        guard let model = request.model else {
            throw GatewayError(.invalidParameter, "A model must be named here.", parameter: "model")
        }
        throw GatewayError(
            .invalidParameter, "No route of this path serves the model '\(model.prefix(100))'.", parameter: "model")
    }

    private func checkAllowance(_ request: ImageRequest, _ route: RouteTable.Route) throws(GatewayError) {
        if let most = route.allow.maximumCount, request.count > most {
            throw GatewayError(.invalidParameter, "At most \(most) pictures may be asked for here.", parameter: "n")
        }
        if let models = route.allow.models, let model = request.model, !models.contains(where: { $0.matches(model) }) {
            throw GatewayError(.invalidParameter, "This model is not allowed here.", parameter: "model")
        }
        if let models = route.allow.models, let model = request.imageModel,
            !models.contains(where: { $0.matches(model) })
        {
            throw GatewayError(.invalidParameter, "This model is not allowed here.", parameter: "tools.model")
        }
        if let sizes = route.allow.sizes, let size = request.size, !sizes.contains(size.text) {
            throw GatewayError(
                .invalidParameter, "The size must be one of \(sizes.joined(separator: ", ")).", parameter: "size")
        }
    }

    /// Whether the last message of a conversation wants a picture.
    private static func wish(_ intent: PictureIntent, _ request: ImageRequest) -> ImageRequest.PictureWish {
        switch intent {
        case .always: .always
        case .model: .model
        case .rule: PictureRule.wantsPicture(request) ? .always : .never
        }
    }

    /// Where no upstream has a model that could decide about a picture, one is drawn.
    /// - Throws: `unsupported_parameter` where none is wanted and nothing answers in text.
    private func settlePicture(_ request: inout ImageRequest, _ route: RouteTable.Route) throws(GatewayError) {
        guard request.picture != .always else { return }
        let wish = request.picture
        let isKnown = route.upstreams.contains { entry in
            self.live.target(entry)?.adapter.capabilities.pictureWishes.contains(wish) ?? false
        }
        guard !isKnown else { return }
        if wish == .never {
            throw GatewayError(
                .unsupportedParameter, "No picture was asked for, and nothing here answers in text.",
                parameter: "messages")
        }
        request.picture = .always
    }
}

extension ImageRequest {
    /// Takes back an optional parameter, by its unified name.
    mutating func remove(parameter: String) {
        switch parameter {
        case "negative_prompt": self.negativePrompt = nil
        case "size": self.size = nil
        case "quality": self.quality = nil
        case "output_format": self.outputFormat = nil
        case "output_compression": self.outputCompression = nil
        case "background": self.background = nil
        case "style": self.style = nil
        case "seed": self.seed = nil
        case "mask": self.mask = nil
        case "user": self.user = nil
        default: break
        }
    }
}

extension RequestFields {
    /// `defaults`: only what the request leaves open.
    func fill(_ request: inout ImageRequest) {
        request.model = request.model ?? self.model?.value
        request.size = request.size ?? self.size?.value
        request.quality = request.quality ?? self.quality?.value
        request.outputFormat = request.outputFormat ?? self.outputFormat?.value
        request.outputCompression = request.outputCompression ?? self.outputCompression?.value
        request.background = request.background ?? self.background?.value.rawValue
        request.style = request.style ?? self.style?.value
        request.seed = request.seed ?? self.seed?.value
        request.partialImages = request.partialImages ?? self.partialImages?.value
        request.negativePrompt = request.negativePrompt ?? self.negativePrompt?.value
        // A request that names no count asks for one; the unified model does not tell the two apart.
        if let n = self.n?.value, request.count == 1 { request.count = n }
    }

    /// `force`: whatever the request says.
    func overwrite(_ request: inout ImageRequest) {
        if let model = self.model { request.model = model.value }
        if let size = self.size { request.size = size.value }
        if let quality = self.quality { request.quality = quality.value }
        if let format = self.outputFormat { request.outputFormat = format.value }
        if let compression = self.outputCompression { request.outputCompression = compression.value }
        if let background = self.background { request.background = background.value.rawValue }
        if let style = self.style { request.style = style.value }
        if let seed = self.seed { request.seed = seed.value }
        if let previews = self.partialImages { request.partialImages = previews.value }
        if let negative = self.negativePrompt { request.negativePrompt = negative.value }
        if let n = self.n { request.count = n.value }
    }
}
