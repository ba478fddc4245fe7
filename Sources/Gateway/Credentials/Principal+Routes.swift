import Admission
import ImageGeneration

extension Principal {
    /// Has the scope `admin`: reaches everybody's jobs and may delete everybody's pictures.
    var isAdministrator: Bool {
        (self.kind == .token || self.kind == .jwt) && self.scopes.contains(Self.administratorScope)
    }

    static let administratorScope = "admin"

    /// Whether the principal may create jobs on the route. What a ticket is for binds it everywhere; other credentials are asked for only
    /// where one is required.
    func mayCreate(on route: RouteTable.Route) -> Bool {
        if let ticket = self.ticket, ticket.bounds.job != nil || !ticket.bounds.routes.contains(route.name) {
            return false
        }
        guard route.auth == .required else { return true }
        return self.routes?.contains(route.name) ?? true && route.scopes.isSubset(of: self.scopes)
    }

    /// Whether the principal may ask about jobs of the route. Which jobs is their owners' business.
    func mayAsk(on route: RouteTable.Route) -> Bool {
        guard self.ticket?.bounds.job == nil, route.auth == .required else { return true }
        return self.routes?.contains(route.name) ?? true && route.scopes.isSubset(of: self.scopes)
    }

    static let refusal = GatewayError(.forbidden, "The credential is not good for this.")

    /// - Throws: `forbidden` where the principal's ticket is for something else.
    func checkBounds(_ asked: ImageRequest, resolved: ImageRequest) throws(GatewayError) {
        guard let bounds = self.ticket?.bounds else { return }
        if let most = bounds.maximumCount, resolved.count > most {
            throw GatewayError(.forbidden, "The ticket is for at most \(most) pictures.", parameter: "n")
        }
        // What the route fills in counts where the request says nothing.
        if let model = bounds.model, asked.model ?? resolved.model != model {
            throw GatewayError(.forbidden, "The ticket is for another model.", parameter: "model")
        }
        if let model = bounds.model, let drawing = asked.imageModel, drawing != model {
            throw GatewayError(.forbidden, "The ticket is for another model.", parameter: "tools.model")
        }
        if let size = bounds.size, (asked.size ?? resolved.size)?.text != size {
            throw GatewayError(.forbidden, "The ticket is for another size.", parameter: "size")
        }
    }
}
