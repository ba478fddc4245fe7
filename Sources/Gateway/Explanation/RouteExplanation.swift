import Admission
import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import Providers

/// What would become of one request, told to an operator: which route takes it, what limits it, who would be asked and in which words.
/// Nothing is called, and keys are masked.
package struct RouteExplanation: Sendable {
    /// Lines for a terminal.
    package let text: String

    /// Of a request body, in bytes; pictures are not worth more.
    private static let shownBody = 4096

    /// - Parameter request: as ``RequestSketch`` reads it.
    /// - Throws: what a client would be told, and why an upstream cannot be made.
    package init(_ request: String, table: RouteTable) throws {
        let sketch = try RequestSketch(request)
        // The simulator's port is chosen when it starts.
        let live = try LiveTable(table, publicURL: "http://localhost", simulator: "http://simulator.invalid")
        let match = try Self.match(sketch, table)
        let decoded = try Self.decode(sketch, match)
        let decision = try JobPlanner(live: live).plan(decoded, candidates: match.candidates)
        let plan = decision.plan
        var lines = [
            ("route", "\(decision.route.name) (\(decision.route.dialect), \(decision.route.operation.rawValue))"),
            ("access", Self.access(decision.route)), ("limits", Self.limits(decision.route)),
            ("upstream", Self.upstream(plan)),
            ("after it", Self.fallbacks(decision.route, plan)),
        ]
        if !plan.dropped.isEmpty { lines.append(("dropped", plan.dropped.joined(separator: ", "))) }
        let configured = table.upstreams.first { $0.name == plan.upstream.name }
        let call = try Self.call(plan)
        let shown = Self.rendered(call, hiding: configured?.apiKey?.reveal())
        self.text = lines.map { "\(Self.padded($0.0))\($0.1)\n" }.joined() + "\n" + shown
    }

    private static func padded(_ name: String) -> String {
        name + String(repeating: " ", count: max(1, 10 - name.count))
    }

    private static func match(_ sketch: RequestSketch, _ table: RouteTable) throws(GatewayError) -> EndpointMatch {
        switch EndpointMatch.find(sketch.method, path: sketch.path, in: table) {
        case .found(let match):
            switch match.endpoint.action {
            case .create, .createStreaming, .submit: return match
            default: throw GatewayError(.invalidParameter, "This call asks no upstream: it is about jobs that exist.")
            }
        case .wrongMethod(_, let allowed):
            let names = allowed.map(\.rawValue).joined(separator: ", ")
            throw GatewayError(.methodNotAllowed, "\(sketch.method.rawValue) is not allowed here; \(names) is.")
        case .unknown:
            throw GatewayError(.notFound, "No route has this path.")
        }
    }

    private static func decode(_ sketch: RequestSketch, _ match: EndpointMatch) throws(GatewayError) -> DecodedRequest {
        var first: GatewayError?
        for wish in RequestSketch.wishes {
            do throws(GatewayError) {
                return try match.dialect.decode(
                    DialectRequest(
                        headers: [.contentType: "application/json"], parameters: match.parameters,
                        body: sketch.body(adding: wish)),
                    endpoint: match.endpoint, operation: match.candidates.routes[0].operation)
            } catch {
                first = first ?? error
            }
        }
        throw first ?? GatewayError(.invalidParameter, "The request cannot be read.")
    }

    private static func access(_ route: RouteTable.Route) -> String {
        let scopes = route.auth == .required ? route.scopes.sorted() : []
        return route.auth.rawValue + (scopes.isEmpty ? "" : ", scopes \(scopes.joined(separator: ", "))")
    }

    private static func limits(_ route: RouteTable.Route) -> String {
        var names: [String] = []
        for rule in route.limits where !names.contains(rule.policy) { names.append(rule.policy) }
        return names.isEmpty ? "none" : names.joined(separator: ", ")
    }

    private static func upstream(_ plan: JobPlan) -> String {
        let model = plan.upstream.model ?? plan.request.imageModel ?? plan.request.model
        return plan.upstream.name + (model.map { ", model \($0)" } ?? "")
    }

    private static func fallbacks(_ route: RouteTable.Route, _ plan: JobPlan) -> String {
        let others = route.upstreams.filter { $0.upstream.name != plan.upstream.name }.map { target in
            target.upstream.name + (target.upstream.unavailableReason.map { " (unavailable: \($0))" } ?? "")
        }
        return others.isEmpty ? "nobody" : others.joined(separator: ", ")
    }

    /// The first call of the exchange: the one that submits.
    private static func call(_ plan: JobPlan) throws(GatewayError) -> ExchangeCall {
        var exchange = try plan.upstream.adapter.makeExchange(
            for: ExchangeJob(id: JobID(), request: plan.request, entropy: 0))
        var actions = ExchangeActions()
        exchange.start(into: &actions)
        for case .send(let call, _) in actions { return call }
        throw GatewayError(.internal, "The upstream's exchange begins without a call.")
    }

    private static func rendered(_ call: ExchangeCall, hiding key: String?) -> String {
        var text = "\(call.method.rawValue) \(call.url)\n"
        for field in call.headers { text += "\(field.name.rawName): \(field.value)\n" }
        var body = ByteBuffer()
        for piece in call.body { body.writeImmutableBuffer(piece) }
        if body.readableBytes > 0 {
            let shown = body.getSlice(at: body.readerIndex, length: min(body.readableBytes, Self.shownBody)) ?? body
            text += "\n" + String(buffer: shown)
            let rest = body.readableBytes - shown.readableBytes
            text += rest > 0 ? "… and \(rest) bytes\n" : "\n"
        }
        guard let key, !key.isEmpty else { return text }
        return text.split(separator: key, omittingEmptySubsequences: false).joined(separator: "***")
    }
}
