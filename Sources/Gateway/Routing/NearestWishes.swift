import ImageGeneration
import Providers

/// `"unsupported": "nearest"`: wishes that an upstream cannot fulfil, or a route does not allow, become the nearest that both can.
/// What was asked and what is given is told in the job's first event.
struct NearestWishes {
    let target: UpstreamTarget
    let allow: RouteTable.Allowance
    /// `name: asked -> given`
    private(set) var changes: [String] = []

    private static let backgrounds = ["transparent", "opaque", "auto"]

    init(target: UpstreamTarget, allow: RouteTable.Allowance) {
        self.target = target
        self.allow = allow
    }

    private var capabilities: ProviderCapabilities { self.target.adapter.capabilities }

    mutating func adapt(_ request: inout ImageRequest) {
        self.adaptModel(&request)
        self.adaptCount(&request)
        self.adaptSize(&request)
        self.adaptBackground(&request)
    }

    /// A model that is not known here is left to the upstream. Where the route or the upstream names one, the client's never counts.
    private mutating func adaptModel(_ request: inout ImageRequest) {
        guard let model = request.model, self.target.model == nil else { return }
        let isAllowed = self.allow.models?.contains { $0.matches(model) } ?? true
        let prefixes = self.capabilities.modelPrefixes
        guard !isAllowed || !(prefixes.isEmpty || prefixes.contains { model.hasPrefix($0) }) else { return }
        request.model = nil
        self.note("model", model, "default")
    }

    private mutating func adaptCount(_ request: inout ImageRequest) {
        let most = min(max(1, self.capabilities.maximumCount), self.allow.maximumCount ?? Int.max)
        guard request.count > most else { return }
        self.note("n", String(request.count), String(most))
        request.count = most
    }

    private mutating func adaptSize(_ request: inout ImageRequest) {
        guard let asked = request.size, self.capabilities.parameters.contains("size") else { return }
        let text = asked.text
        let known = self.allow.sizes ?? self.capabilities.sizes.map(\.sizeText)
        guard !known.isEmpty, !known.contains(text), text != "auto" else { return }
        request.size = AspectRatio(text)?.nearestSize(of: known.compactMap { AspectRatio($0) }).map {
            .named($0.sizeText)
        }
        self.note("size", text, request.size?.text ?? "auto")
    }

    /// Frontends name colours; no upstream draws on one.
    private mutating func adaptBackground(_ request: inout ImageRequest) {
        guard let asked = request.background, self.capabilities.parameters.contains("background"),
            !Self.backgrounds.contains(asked)
        else { return }
        request.background = "opaque"
        self.note("background", asked, "opaque")
    }

    private mutating func note(_ name: String, _ asked: String, _ given: String) {
        self.changes.append("\(name): \(asked) -> \(given)")
    }
}

extension AspectRatio {
    fileprivate var sizeText: String { "\(self.width)x\(self.height)" }
}
