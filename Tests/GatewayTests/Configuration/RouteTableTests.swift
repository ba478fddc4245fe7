import Dialects
import ImageGeneration
import Testing

@testable import Gateway

struct RouteTableTests {
    private func table(_ text: String, environment: [String: String] = [:]) throws -> RouteTable {
        let loaded = ConfigurationFixture.load(text, environment: environment)
        return try #require(loaded.table, "\(loaded.problems.rendered(file: "f"))")
    }

    @Test func builtInValues() throws {
        let table = try self.table(ConfigurationFixture.file())
        #expect(table.server.listen.description == "127.0.0.1:8080")
        #expect(table.server.maximumBodyBytes == 64 << 20)
        #expect(table.server.maximumURIBytes == 16 << 10)
        #expect(table.server.maximumConnections == 10_000)
        #expect(table.server.maximumConnectionsPerIP == 100)
        #expect(table.server.writeStall == .seconds(30))
        #expect(table.server.drain == .seconds(30))
        #expect(table.server.playground)
        #expect(table.admin.listen.description == "127.0.0.1:9090")
        #expect(table.storage.images == nil)
        #expect(table.storage.memoryBytes == 512 << 20)
        let route = try #require(table.routes.first)
        #expect(route.name == "unified:/v1/generate")
        #expect(route.operation == .generate)
        #expect(route.mode == .auto)
        #expect(route.unsupported == .refuse)
        #expect(route.delivery == .inline)
        #expect(route.commit == .seconds(2))
        #expect(route.onDisconnect == .continue)
        #expect(route.heartbeat.every == .seconds(15))
        #expect(route.heartbeat.style == nil)
        let target = try #require(route.upstreams.first)
        #expect(target.upstream.http == .http1)
        #expect(target.upstream.maximumEventBytes == 64 << 20)
        #expect(target.upstream.resultHosts.isEmpty)
        #expect(!target.upstream.privateNetwork)
        let expected = RouteTable.Timeouts(
            connect: .seconds(5), firstByte: .seconds(120), idle: .seconds(90), total: .seconds(600),
            queue: .seconds(1800))
        #expect(target.timeouts == expected)
    }

    @Test func dialectsDecideWhatIsNotSaid() throws {
        let more = #", "storage": {"images": {"disk": "i"}}"#
        let table = try self.table(
            ConfigurationFixture.file(routes: [#"{"mount": "/s", "dialect": "stages"}"#], more: more))
        let route = try #require(table.routes.first)
        #expect(route.delivery == .url)
        #expect(route.unsupported == .nearest)
        #expect(route.onDisconnect == .grace(.seconds(30)))
    }

    @Test func mostSpecificTimeoutCounts() throws {
        let text = """
            {"upstreams": {"a": {"provider": "openai-images", "base_url": "simulator:", "model": "m",
               "timeouts": {"connect": "1s", "first_byte": "1s", "idle": "1s", "total": "1s"}}},
             "route_defaults": {"auth": "public", "public_without_limits": true,
               "timeouts": {"connect": "2s", "first_byte": "2s", "idle": "2s", "total": "2s", "queue": "2s"}},
             "routes": [{"path": "/a", "dialect": "unified", "timeouts": {"connect": "3s", "first_byte": "3s"},
               "upstreams": [{"upstream": "a", "model": "n", "timeouts": {"connect": "4s"}}, "a"]}]}
            """
        let targets = try #require(try self.table(text).routes.first).upstreams
        let expected = RouteTable.Timeouts(
            connect: .seconds(4), firstByte: .seconds(3), idle: .seconds(1), total: .seconds(1), queue: .seconds(2))
        #expect(targets.first?.timeouts == expected)
        #expect(targets.last?.timeouts.connect == .seconds(3))
        #expect(targets.map(\.model) == ["n", "m"])
        #expect(targets.allSatisfy { $0.upstream.privateNetwork && $0.upstream.base == .simulator })
    }

    @Test func routesTakeWhatTheDefaultsSay() throws {
        let text = ConfigurationFixture.file(
            routes: [
                #"{"path": "/a", "dialect": "ndjson", "heartbeat": {"style": "space"}, "allow": {"max_n": 2}}"#,
                #"{"path": "/b", "mode": "wait", "force": {"n": 1, "aspect_ratio": "16:9"}}"#,
            ],
            defaults: #"""
                , "dialect": "unified", "mode": "stream", "heartbeat": {"every": "5s"}, "allow": {"max_n": 9, "sizes": ["auto"]},
                "force": {"quality": "low", "size": "1024x1024"}, "on_disconnect": "30s"
                """#)
        let routes = try self.table(text).routes
        #expect(routes.map(\.dialect) == ["ndjson", "unified"])
        #expect(routes.map(\.mode) == [.stream, .wait])
        #expect(routes.map(\.heartbeat.every) == [.seconds(5), .seconds(5)])
        #expect(routes.map(\.heartbeat.style) == [.space, nil])
        #expect(routes.map(\.allow.maximumCount) == [2, 9])
        #expect(routes.map(\.allow.sizes) == [["auto"], ["auto"]])
        #expect(routes.map(\.force?.quality?.value) == ["low", nil])
        #expect(routes.map(\.force?.size?.value) == [.named("1024x1024"), .aspectRatio(width: 16, height: 9)])
        #expect(routes.map(\.onDisconnect) == [.grace(.seconds(30)), .grace(.seconds(30))])
    }

    @Test func pathsFindTheirRoutes() throws {
        let more = #", "storage": {"images": {"disk": "i"}}"#
        let routes = [
            #"{"name": "short", "mount": "/api", "dialect": "stages"}"#,
            #"{"name": "long", "mount": "/api/v1", "dialect": "stages"}"#,
            #"{"name": "gpt", "path": "/api/v1/x", "dialect": "unified", "match": {"model": ["gpt-*", "dall-e-3"]}}"#,
            #"{"name": "rest", "path": "/api/v1/x", "dialect": "unified"}"#,
            #"{"name": "flux", "path": "/flux", "dialect": "unified", "match": {"model": ["flux*"]}}"#,
        ]
        let table = try self.table(ConfigurationFixture.file(routes: routes, more: more))
        let cases: [(path: String, model: String?, route: String?, subpath: String?)] = [
            ("/api/v1/x", "gpt-image-1", "gpt", ""), ("/api/v1/x", "dall-e-3", "gpt", ""),
            ("/api/v1/x", "sd", "rest", ""),
            ("/api/v1/x", nil, "rest", ""), ("/api/v1/x/y", nil, "long", "x/y"), ("/api/v1", nil, "long", ""),
            ("/api/v1/", nil, "long", ""), ("/api/v2", nil, "short", "v2"), ("/api/v11", nil, "short", "v11"),
            ("/apis", nil, nil, nil), ("/", nil, nil, nil), ("", nil, nil, nil), ("/flux", nil, nil, ""),
            ("/flux", "flux-dev", "flux", ""), ("/flux", "gpt", nil, ""), ("/API", nil, nil, nil),
        ]
        for (path, model, route, subpath) in cases {
            let candidates = table.candidates(path: path)
            #expect(candidates?.subpath == subpath, "\(path)")
            #expect(candidates?.match(model: model)?.name == route, "\(path) \(model ?? "-")")
        }
        #expect(table.candidates(path: "/api/v1/x")?.routes.map(\.name) == ["gpt", "rest"])
    }

    @Test func publicURLFollowsTheListener() throws {
        let given = try self.table(
            ConfigurationFixture.file(more: #", "server": {"public_url": "https://x.example/"}"#))
        let address = ListenAddress(host: "0.0.0.0", port: 81)
        #expect(given.server.publicURL(listening: address) == "https://x.example")
        let plain = try self.table(ConfigurationFixture.file())
        #expect(plain.server.publicURL(listening: address) == "http://127.0.0.1:81")
        #expect(plain.server.publicURL(listening: ListenAddress(host: "::1", port: 82)) == "http://[::1]:82")
    }

    @Test func changesThatNeedARestart() throws {
        let running = try self.table(ConfigurationFixture.file())
        #expect(running.restartRequiredChanges(from: running) == [])
        let more = #"""
            , "server": {"listen": "127.0.0.1:81", "drain": "1m"}, "admin": {"listen": "127.0.0.1:82"},
            "storage": {"images": {"disk": "pictures", "url_lifetime": "2h"}, "memory": "1GiB"}
            """#
        let changed = try self.table(ConfigurationFixture.file(route: #", "mode": "wait""#, more: more))
        let changes = changed.restartRequiredChanges(from: running)
        #expect(
            changes.map(\.key) == ["server.listen", "admin.listen", "storage.images.disk", "storage.images.prefix"])
        #expect(changes.map(\.running) == ["127.0.0.1:8080", "127.0.0.1:9090", "none", "none"])
        #expect(
            changes.map(\.configured) == [
                "127.0.0.1:81", "127.0.0.1:82", "/etc/gateway/pictures", "generated-images",
            ])
    }

    @Test func rendersForATerminal() throws {
        let text = """
            {"upstreams": {"real": {"provider": "openai-images", "base_url": "https://a.example", "api_key": {"env": "KEY"}},
                           "lab": {"provider": "openai-images", "base_url": "simulator:"}},
             "storage": {"images": {"disk": "i"}},
             "route_defaults": {"auth": "public", "public_without_limits": true, "upstreams": ["real", "lab"]},
             "routes": [{"path": "/v1/generate", "dialect": "unified", "match": {"model": ["gpt-*"]}},
                        {"mount": "/s", "dialect": "stages", "upstreams": ["lab"]}]}
            """
        let expected = """
            ROUTE                 METHOD  PATH                  DIALECT  OPERATION  MODE    LIMITS  UPSTREAMS
            unified:/v1/generate  POST    /v1/generate (gpt-*)  unified  generate   auto    none    real (unavailable), lab
            stages:/s             POST    /s/generate           stages   generate   queue   none    lab
            stages:/s             POST    /s/generate/stream    stages   generate   stream  none    lab
            stages:/s             GET     /s/jobs/{id}          stages   snapshot   -       -       -

            """
        #expect(try self.table(text).rendered() == expected)
    }
}
