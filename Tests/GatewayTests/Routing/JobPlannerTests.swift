import Dialects
import ImageGeneration
import Testing

@testable import Gateway

@Suite struct JobPlannerTests {
    /// Plans a request against routes of `/v1/generate`.
    private static func plan(
        _ routes: String..., upstreams: String = "", environment: [String: String] = [:],
        _ change: (inout ImageRequest) -> Void = { _ in }
    ) throws -> JobPlan {
        var request = ImageRequest(operation: .generate, prompt: "a lake")
        change(&request)
        let text = """
            {"upstreams": {"lab": {"provider": "openai-images", "base_url": "https://lab.example/v1"}\(upstreams)},
             "route_defaults": {"auth": "public", "public_without_limits": true, "upstreams": ["lab"]},
             "routes": [\(routes.joined(separator: ","))]}
            """
        let loaded = ConfigurationFixture.load(text, environment: environment, catalog: .current)
        let table = try #require(loaded.table, "\(loaded.lines)")
        let planner = JobPlanner(live: try LiveTable(table, publicURL: "http://gateway.example", simulator: nil))
        let candidates = try #require(table.candidates(path: "/v1/generate"))
        return try planner.plan(DecodedRequest(image: request), candidates: candidates).plan
    }

    private static func route(_ members: String = "") -> String {
        #"{"path": "/v1/generate", "dialect": "unified"\#(members)}"#
    }

    private static func refusal(_ plan: () throws -> JobPlan) -> GatewayError? {
        do {
            _ = try plan()
            return nil
        } catch { return error as? GatewayError }
    }

    // MARK: Routes

    @Test func theFirstRouteThatTakesTheModelWins() throws {
        let routes = [
            Self.route(#", "name": "mini", "match": {"model": ["*-mini"]}"#),
            Self.route(#", "name": "one", "match": {"model": ["gpt-image-1"]}"#), Self.route(#", "name": "rest""#),
        ]
        for (model, name) in [("gpt-image-1-mini", "mini"), ("gpt-image-1", "one"), ("flux", "rest"), (nil, "rest")] {
            #expect(try Self.plan(routes[0], routes[1], routes[2]) { $0.model = model }.route == name)
        }
    }

    /// What the first does not understand matters only while it could be asked.
    @Test(arguments: [false, true]) func anUpstreamThatIsLeftAloneDoesNotRefuseForTheNext(isAlone: Bool) throws {
        let others = isAlone ? "" : #", {"upstream": "far"}"#
        let text = """
            {"upstreams": {"lab": {"provider": "openai-images", "base_url": "https://lab.example/v1"},
               "far": {"provider": "queue", "preset": "stages", "base_url": "https://far.example"}},
             "routes": [{"path": "/v1/generate", "dialect": "unified", "auth": "public", "public_without_limits": true,
               "upstreams": [{"upstream": "lab"}\(others)]}]}
            """
        let loaded = ConfigurationFixture.load(text, catalog: .current)
        let table = try #require(loaded.table, "\(loaded.lines)")
        let live = try LiveTable(table, publicURL: "http://gateway.example", simulator: nil)
        let candidates = try #require(table.candidates(path: "/v1/generate"))
        var request = ImageRequest(operation: .generate, prompt: "a lake")
        request.seed = 7
        let planner = JobPlanner(live: live)
        #expect(Self.refusal { try planner.plan(DecodedRequest(image: request), candidates: candidates).plan } != nil)
        let lab = try #require(live.target(candidates.routes[0].upstreams[0]))
        for _ in 0..<5 {
            guard case .entered(let permit) = lab.condition.enter() else { break }
            permit.end(.failed(GatewayError(.upstreamError, "", upstreamStatus: 500)))
        }
        let error = Self.refusal {
            let plan = try planner.plan(DecodedRequest(image: request), candidates: candidates).plan
            #expect(plan.upstream.name == "far")
            return plan
        }
        #expect(error?.code == (isAlone ? .unsupportedParameter : nil))
    }

    @Test func aModelThatNoRouteTakesIsTheClientsFault() {
        let route = Self.route(#", "match": {"model": ["gpt-*"]}"#)
        for model in [nil, "flux", ""] {
            let error = Self.refusal { try Self.plan(route) { $0.model = model } }
            #expect(error?.code == .invalidParameter)
            #expect(error?.parameter == "model")
        }
    }

    @Test func aModelsNameOfAnyLengthIsToldShort() {
        let route = Self.route(#", "match": {"model": ["gpt-*"]}"#)
        let error = Self.refusal { try Self.plan(route) { $0.model = String(repeating: "x", count: 100_000) } }
        #expect(error?.message.utf8.count ?? .max < 300)
    }

    // MARK: Defaults and force

    @Test func defaultsFillWhatIsOpen() throws {
        let route = Self.route(#", "defaults": {"size": "512x512", "quality": "low", "n": 3, "partial_images": 2}"#)
        let plan = try Self.plan(route) { $0.quality = "high" }
        #expect(plan.request.size.map(\.text) == "512x512")
        #expect(plan.request.quality == "high")
        #expect(plan.request.count == 3)
        #expect(plan.request.partialImages == 2)
        #expect(try Self.plan(route) { $0.count = 2 }.request.count == 2)
    }

    @Test func forceOverwrites() throws {
        let route = Self.route(#", "force": {"size": "512x512", "quality": "low", "n": 1}"#)
        let plan = try Self.plan(route) { request in
            request.size = .pixels(width: 4096, height: 4096)
            request.quality = "high"
            request.count = 10
        }
        #expect(plan.request.size.map(\.text) == "512x512")
        #expect(plan.request.quality == "low")
        #expect(plan.request.count == 1)
    }

    // MARK: Allowances

    @Test func allowedSizesAreComparedHoweverTheyAreSpelled() throws {
        let route = Self.route(#", "allow": {"sizes": ["1024x1024", "512x768"]}"#)
        let fine: [ImageRequest.Size?] = [nil, .named("1024x1024"), .pixels(width: 512, height: 768)]
        for size in fine { #expect(try Self.plan(route) { $0.size = size }.request.size == size) }
        for size in [
            ImageRequest.Size.named("auto"), .pixels(width: 512, height: 512), .aspectRatio(width: 1, height: 1),
        ] {
            let error = Self.refusal { try Self.plan(route) { $0.size = size } }
            #expect(error?.code == .invalidParameter)
            #expect(error?.parameter == "size")
        }
    }

    @Test func morePicturesThanAllowed() throws {
        let route = Self.route(#", "allow": {"max_n": 2}"#)
        #expect(try Self.plan(route) { $0.count = 2 }.request.count == 2)
        let error = Self.refusal { try Self.plan(route) { $0.count = 3 } }
        #expect(error?.code == .invalidParameter)
        #expect(error?.parameter == "n")
    }

    @Test func modelsBesideTheAllowed() throws {
        let route = Self.route(#", "allow": {"models": ["gpt-*"]}"#)
        #expect(try Self.plan(route) { $0.model = "gpt-image-1" }.request.model == "gpt-image-1")
        #expect(Self.refusal { try Self.plan(route) { $0.model = "flux" } }?.parameter == "model")
    }

    @Test func whatTheRouteForcesIsCheckedToo() {
        let route = Self.route(#", "force": {"n": 4}, "allow": {"max_n": 2}"#)
        let error = Self.refusal { try Self.plan(route) }
        #expect(error == nil || error?.parameter == "n")
    }

    // MARK: What the upstream understands

    @Test func aParameterTheUpstreamLacksIsRefusedByItsName() {
        let error = Self.refusal { try Self.plan(Self.route()) { $0.seed = 7 } }
        #expect(error?.code == .unsupportedParameter)
        #expect(error?.parameter == "seed")
    }

    @Test func orDroppedAndToldWhereTheRouteSaysSo() throws {
        let plan = try Self.plan(Self.route(#", "unsupported": "drop""#)) { request in
            request.seed = 7
            request.style = "vivid"
            request.quality = "high"
        }
        #expect(plan.dropped.sorted() == ["seed", "style"])
        #expect(plan.request.seed == nil && plan.request.style == nil)
        #expect(plan.request.quality == "high")
    }

    @Test func moreThanTheUpstreamMakesAtOnceIsRefusedWhateverTheRouteSays() {
        for unsupported in ["refuse", "drop"] {
            let route = Self.route(#", "unsupported": "\#(unsupported)""#)
            let error = Self.refusal { try Self.plan(route) { $0.count = 11 } }
            #expect(error?.parameter == "n")
        }
    }

    // MARK: The nearest

    private static let nearest = #", "unsupported": "nearest""#

    @Test(
        arguments: [
            (ImageRequest.Size.named("800x600"), "1536x1024"), (.pixels(width: 600, height: 800), "1024x1536"),
            (.aspectRatio(width: 21, height: 9), "1536x1024"), (.aspectRatio(width: 1, height: 1), "1024x1024"),
            (.named("512x512"), "1024x1024"), (.named("huge"), nil),
        ] as [(ImageRequest.Size, String?)]) func anUnknownSizeBecomesTheNearest(
            _ asked: ImageRequest.Size, _ given: String?
        ) throws
    {
        let plan = try Self.plan(Self.route(Self.nearest)) { $0.size = asked }
        #expect(plan.request.size.map(\.text) == given)
        #expect(plan.dropped == ["size: \(asked.text) -> \(given ?? "auto")"])
    }

    @Test func aKnownSizeStays() throws {
        for size in [nil, ImageRequest.Size.named("auto"), .named("1024x1536"), .pixels(width: 1024, height: 1024)] {
            let plan = try Self.plan(Self.route(Self.nearest)) { $0.size = size }
            #expect(plan.request.size == size && plan.dropped.isEmpty)
        }
    }

    /// By ratio first, then by area.
    @Test func theNearestIsAmongTheAllowed() throws {
        let route = Self.route(
            Self.nearest
                + #", "allow": {"sizes": ["512x512", "2048x2048", "1024x512"], "max_n": 2, "models": ["gpt-*"]}"#)
        for (asked, given) in [("600x600", "512x512"), ("1900x1900", "2048x2048"), ("1920x1080", "1024x512")] {
            let plan = try Self.plan(route) { request in
                request.size = .named(asked)
                request.count = 5
                request.model = "flux"
            }
            #expect(plan.request.size == .named(given) && plan.request.count == 2 && plan.request.model == nil)
            #expect(plan.dropped == ["model: flux -> default", "n: 5 -> 2", "size: \(asked) -> \(given)"])
        }
    }

    @Test func coloursAreOpaqueAndWhatIsLeftIsDropped() throws {
        let plan = try Self.plan(Self.route(Self.nearest)) { request in
            request.background = "white"
            request.style = "noir"
            request.count = 40
        }
        #expect(plan.request.background == "opaque" && plan.request.style == nil && plan.request.count == 10)
        #expect(plan.dropped == ["n: 40 -> 10", "background: white -> opaque", "style"])
    }

    @Test func modelsOpenAIDoesNotHaveAreLeftToIt() throws {
        let upstream =
            #", "openai": {"provider": "openai-images", "base_url": "https://api.openai.com/v1", "api_key": {"env": "KEY"}}"#
        for (members, model, given) in [
            (#", "upstreams": ["openai"]"#, "sdxl", nil), (#", "upstreams": ["openai"]"#, "gpt-image-2", "gpt-image-2"),
            (#", "upstreams": ["lab"]"#, "sdxl", "sdxl"),
            (#", "upstreams": [{"upstream": "openai", "model": "gpt-image-1"}]"#, "sdxl", "sdxl"),
        ] as [(String, String, String?)] {
            let plan = try Self.plan(
                Self.route(Self.nearest + members), upstreams: upstream, environment: ["KEY": "k"]
            ) { $0.model = model }
            #expect(plan.request.model == given)
        }
    }

    // MARK: Conversations

    private static func chat(_ members: String = "") -> String {
        #"{"path": "/v1/generate", "dialect": "vercel-ui", "delivery": "inline"\#(members)}"#
    }

    @Test(arguments: ["always", "model"]) func aPictureIsDrawnWhereNoModelCanDecide(_ intent: String) throws {
        let plan = try Self.plan(Self.chat(#", "intent": "\#(intent)""#)) { $0.prompt = "Hello" }
        #expect(plan.request.picture == .always)
    }

    @Test func theRuleDecides() throws {
        let route = Self.chat(#", "intent": "rule""#)
        #expect(try Self.plan(route) { $0.prompt = "Draw a lake" }.request.picture == .always)
        let error = Self.refusal { try Self.plan(route) { $0.prompt = "Hello" } }
        #expect(error?.code == .unsupportedParameter && error?.parameter == "messages")
    }

    @Test func previewsAreAskedForWhereTheDialectLivesOfThem() throws {
        #expect(try Self.plan(Self.chat()).request.partialImages == 2)
        #expect(try Self.plan(Self.chat(#", "defaults": {"partial_images": 0}"#)).request.partialImages == 0)
        #expect(try Self.plan(Self.chat()) { $0.partialImages = 1 }.request.partialImages == 1)
        #expect(try Self.plan(Self.route()).request.partialImages == nil)
    }

    // MARK: Upstreams

    private static let keyed =
        #", "paid": {"provider": "openai-images", "base_url": "https://paid.example/v1", "api_key": {"env": "PAID_KEY"}}"#

    @Test func anUpstreamWithoutItsKeyIsPassedOver() throws {
        let route = Self.route(#", "upstreams": ["paid", "lab"]"#)
        #expect(try Self.plan(route, upstreams: Self.keyed).upstream.name == "lab")
        #expect(
            try Self.plan(route, upstreams: Self.keyed, environment: ["PAID_KEY": "secret"]).upstream.name == "paid")
    }

    @Test func noUpstreamThatCanBeCalledIsNotTheClientsFault() {
        let error = Self.refusal { try Self.plan(Self.route(#", "upstreams": ["paid"]"#), upstreams: Self.keyed) }
        #expect(error?.code == .upstreamUnavailable)
        #expect(error?.code.status == 503)
        #expect(error?.retryAfterMilliseconds != nil)
    }

    @Test func theRoutesEntrySaysModelAndTimeouts() throws {
        let entry = #"{"upstream": "lab", "model": "gpt-image-1", "timeouts": {"idle": "7s"}}"#
        let plan = try Self.plan(Self.route(#", "upstreams": [\#(entry)]"#))
        #expect(plan.upstream.model == "gpt-image-1")
        #expect(plan.timeouts.idle == .seconds(7))
        #expect(plan.upstream.baseURL == "https://lab.example/v1")
    }

    @Test(arguments: ["http://127.0.0.1:9000/v1", "http://[::1]:9000/v1", "https://api.example"])
    func anyValidRootOfAnUpstreamCanBeServed(_ url: String) throws {
        let other = #", "other": {"provider": "openai-images", "base_url": "\#(url)"}"#
        #expect(try Self.plan(Self.route(#", "upstreams": ["other"]"#), upstreams: other).upstream.name == "other")
    }
}
