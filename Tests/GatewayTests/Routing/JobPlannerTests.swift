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
        #expect(plan.upstream.host == "lab.example")
    }

    @Test(arguments: ["http://127.0.0.1:9000/v1", "http://[::1]:9000/v1", "https://api.example"])
    func anyValidRootOfAnUpstreamCanBeServed(_ url: String) throws {
        let other = #", "other": {"provider": "openai-images", "base_url": "\#(url)"}"#
        #expect(try Self.plan(Self.route(#", "upstreams": ["other"]"#), upstreams: other).upstream.name == "other")
    }
}
