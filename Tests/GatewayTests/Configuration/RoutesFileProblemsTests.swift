import Testing

@testable import Gateway

/// Bad files and every problem they have, with place and words.
struct RoutesFileProblemsTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let text: String
        let lines: [String]
        var testDescription: String { self.name }

        init(_ name: String, _ text: String, _ lines: [String]) {
            self.name = name
            self.text = text
            self.lines = lines
        }
    }

    @Test(arguments: form + whole + secrets)
    func problems(bad: Case) {
        let loaded = ConfigurationFixture.load(bad.text)
        #expect(loaded.lines == bad.lines)
        #expect((loaded.table == nil) == loaded.problems.hasErrors)
    }

    private static func route(_ more: String) -> String { ConfigurationFixture.file(route: more) }
    private static func upstream(_ more: String) -> String { ConfigurationFixture.file(upstream: more) }
    private static func more(_ more: String) -> String { ConfigurationFixture.file(more: more) }

    private static let form: [Case] = [
        Case("a working file", ConfigurationFixture.file(), []),
        Case("no JSON", "{", ["1:2: error: $: not valid JSON: \(syntaxMessage("{"))"]),
        Case("no object", "[]", ["1:1: error: $: expected an object, found a list"]),
        Case(
            "empty", "{}",
            [
                "1:1: error: $.upstreams: missing key \"upstreams\"; expected an object of an object by name",
                "1:1: error: $.routes: missing key \"routes\"; expected a list of an object",
            ]),
        Case(
            "unknown key with a neighbour", route(",\n    \"timout\": {}"),
            ["5:5: error: $.routes[0].timout: unknown key \"timout\"; did you mean \"timeouts\"?"]),
        Case(
            "unknown key without", more(",\n\"zzzzzzzz\": 1"), ["5:1: error: $.zzzzzzzz: unknown key \"zzzzzzzz\""]),
        Case(
            "all at once, in order of the file",
            more(",\n\"server\": {\"uri\": 5, \"bdy\": \"1MiB\",\n  \"connections\": {\"total\": 0}}"),
            [
                "5:19: error: $.server.uri: expected a size such as \"8MiB\", from 256B to 1MiB, found the number 5",
                "5:22: error: $.server.bdy: unknown key \"bdy\"; did you mean \"body\"?",
                "6:28: error: $.server.connections.total: expected a whole number from 1 to 1000000, found the number 0",
            ]),
        Case(
            "column counts scalars", more(",\n\"server\": {\"public_url\": \"ä😀\", \"drain\": 30}"),
            [
                "5:26: error: $.server.public_url: expected an http or https URL without user information, query and"
                    + " fragment, found another text",
                "5:41: error: $.server.drain: expected a duration such as \"30s\", from 0s to 1h, found the number 30",
            ]),
        Case(
            "odd key", more(",\n\"a b\\u001b\": 1"),
            ["5:1: error: $['a b\\u{1b}']: unknown key \"a b\\u{1b}\""]),
        Case(
            "nothing is not the default", more(",\n\"server\": null"),
            ["5:11: error: $.server: expected an object, found null"]),
        Case(
            "word with a neighbour", route(",\n\"mode\": \"steam\""),
            [
                "5:9: error: $.routes[0].mode: expected \"auto\", \"stream\", \"wait\" or \"queue\", found \"steam\";"
                    + " did you mean \"stream\"?"
            ]),
        Case(
            "word of a later release", route(",\n\"input_urls\": \"forward\""),
            [
                "5:15: error: $.routes[0].input_urls: \"forward\" is not available yet; expected \"refuse\""
            ]),
        Case(
            "tickets in another form",
            more(",\n\"auth\": {\"tickets\": {\"lifetime\": 5, \"secrets\": 1}}"),
            [
                "5:34: error: $.auth.tickets.lifetime: expected a duration such as \"30s\", from 1s to 1h, found the number 5",
                "5:37: error: $.auth.tickets.secrets: unknown key \"secrets\"; did you mean \"secret\"?",
            ]),
        Case(
            "groups",
            more(",\n\"groups\": {\"a\": [{\"upstream\": \"lab\", \"weight\": 0, \"weigth\": 1}]}"),
            [
                "5:48: error: $.groups.a[0].weight: expected a whole number from 1 to 1000, found the number 0",
                "5:51: error: $.groups.a[0].weigth: unknown key \"weigth\"; did you mean \"weight\"?",
            ]),
        Case(
            "timeouts", route(",\n\"timeouts\": {\"idle\": \"90\", \"total\": \"8d\", \"connect\": \"1ms\"}"),
            [
                "5:22: error: $.routes[0].timeouts.idle: expected a duration such as \"30s\", from 10ms to 1d, found \"90\"",
                "5:37: error: $.routes[0].timeouts.total: expected a duration such as \"30s\", from 10ms to 7d, found \"8d\"",
                "5:54: error: $.routes[0].timeouts.connect: expected a duration such as \"30s\", from 10ms to 5m,"
                    + " found \"1ms\"",
            ]),
        Case(
            "request fields",
            route(
                ",\n\"force\": {\"n\": 0, \"seed\": 1.5, \"background\": \"red\",\n\"size\": \"1x1\", \"aspect_ratio\": \"16:9\"}"
            ),
            [
                "5:16: error: $.routes[0].force.n: expected a whole number from 1 to 100, found the number 0",
                "5:27: error: $.routes[0].force.seed: expected a whole number, found the number 1.5",
                "5:46: error: $.routes[0].force.background: expected \"auto\", \"transparent\" or \"opaque\", found \"red\"",
                "6:32: error: $.routes[0].force.aspect_ratio: expected \"size\" or \"aspect_ratio\", found both",
            ]),
    ]

    private static let whole: [Case] = [
        Case(
            "auth must be said",
            ConfigurationFixture.file(routes: []).replacing("\"auth\": \"public\", ", with: "")
                .replacing("\"routes\": [\n", with: "\"routes\": [{\"path\": \"/a\", \"dialect\": \"unified\"}"),
            [
                "3:13: error: $.routes[0].auth: auth \"required\" (the default) needs tokens, which are kept in"
                    + " \"storage.jobs\", or \"auth.jwt\"; expected one of them, or \"auth\": \"public\""
            ]),
        Case(
            "public must be meant",
            ConfigurationFixture.file(routes: [
                "{\"path\": \"/a\", \"dialect\": \"unified\", \"public_without_limits\": false}"
            ]),
            [
                "4:63: error: $.routes[0].public_without_limits: a public route needs \"limits\" or"
                    + " \"public_without_limits\": true"
            ]),
        Case(
            "unknown and later names",
            """
            {"upstreams": {
              "a": {"provider": "openai-image", "base_url": "simulator:"},
              "b": {"provider": "gemini", "base_url": "simulator:"},
              "c": {"provider": "queue", "preset": "bfl"},
              "d": {"provider": "queue", "base_url": "simulator:"},
              "e": {"provider": "openai-images", "preset": "stages", "base_url": "simulator:"},
              "f": {"provider": "openai-images"},
              "g g": {"provider": "unsimulated", "base_url": "simulator:"},
              "h": {"provider": "openai-images", "base_url": "simulator:", "model": "impossible"}},
             "route_defaults": {"auth": "public", "public_without_limits": true},
             "routes": [
              {"path": "/a", "dialect": "unifed", "upstreams": ["a"]},
              {"path": "/b", "dialect": "chat", "upstreams": ["hh"]},
              {"path": "/c", "upstreams": ["b"]},
              {"path": "/d", "dialect": "unified"}]}
            """,
            [
                "2:21: error: $.upstreams.a.provider: unknown provider \"openai-image\"; expected \"openai-images\","
                    + " \"queue\" or \"unsimulated\"; did you mean \"openai-images\"?",
                "3:21: error: $.upstreams.b.provider: provider \"gemini\" is not available yet",
                "4:40: error: $.upstreams.c.preset: preset \"bfl\" is not available yet",
                "5:21: error: $.upstreams.d.provider: missing key \"preset\"; expected \"stages\", or a"
                    + " \"definition\", for provider \"queue\"",
                "6:48: error: $.upstreams.e.preset: provider \"openai-images\" has no presets",
                "7:3: error: $.upstreams.f.base_url: missing key \"base_url\"; expected \"simulator:\" or an http or https"
                    + " URL without user information, query and fragment",
                "8:3: error: $.upstreams['g g']: expected a name of at most 64 letters, digits, \".\", \"_\" and \"-\","
                    + " found \"g g\"",
                "8:50: error: $.upstreams['g g'].base_url: the simulator does not speak provider \"unsimulated\"",
                "9:73: error: $.upstreams.h.model: no such model",
                "12:29: error: $.routes[0].dialect: unknown dialect \"unifed\"; expected \"unified\", \"ndjson\","
                    + " \"openai-images\" or \"stages\"; did you mean \"unified\"?",
                "13:29: error: $.routes[1].dialect: dialect \"chat\" is not available yet",
                "13:51: error: $.routes[1].upstreams[0]: unknown upstream \"hh\"; expected \"a\", \"b\", \"c\", \"d\", \"e\","
                    + " \"f\", \"g g\" or \"h\"",
                "14:3: error: $.routes[2].dialect: missing key \"dialect\"; expected \"unified\", \"ndjson\","
                    + " \"openai-images\" or \"stages\"",
                "15:3: error: $.routes[3].upstreams: missing key \"upstreams\"; expected a list of names of upstreams",
            ]),
        Case(
            "paths",
            ConfigurationFixture.file(routes: [
                #"{"dialect": "unified"}"#, #"{"path": "/a", "mount": "/a", "dialect": "unified"}"#,
                #"{"mount": "/b", "dialect": "unified"}"#, #"{"path": "/c/", "dialect": "unified"}"#,
                #"{"path": "/v1/jobs/x", "dialect": "unified"}"#, #"{"path": "/../d", "dialect": "unified"}"#,
            ]),
            [
                "4:1: error: $.routes[0].path: missing key \"path\" or \"mount\"; expected one of them",
                "5:25: error: $.routes[1].mount: expected \"path\" or \"mount\", found both",
                "5:25: error: $.routes[1].mount: dialect \"unified\" has one path; expected \"path\" instead of \"mount\"",
                "6:11: error: $.routes[2].mount: dialect \"unified\" has one path; expected \"path\" instead of \"mount\"",
                "7:10: error: $.routes[3].path: expected a path such as \"/v1/generate\" (no query, no trailing slash, no"
                    + " \".\" or \"..\"), found \"/c/\"",
                "8:10: error: $.routes[4].path: \"/v1/jobs\" is served by the gateway itself; expected another path",
                "9:10: error: $.routes[5].path: expected a path such as \"/v1/generate\" (no query, no trailing slash, no"
                    + " \".\" or \"..\"), found \"/../d\"",
            ]),
        Case(
            "routes of one path",
            ConfigurationFixture.file(routes: [
                #"{"name": "one", "path": "/a", "dialect": "unified", "match": {"model": ["x"]}}"#,
                #"{"name": "two", "path": "/a", "dialect": "unified", "mode": "wait", "operation": "edit"}"#,
                #"{"name": "one", "path": "/a", "dialect": "unified", "match": {"model": ["y"]}}"#,
                #"{"path": "/b", "dialect": "unified", "match": {"model": ["x"]}}"#,
                #"{"path": "/b", "dialect": "unified"}"#,
            ]),
            [
                "5:61: error: $.routes[1].mode: routes of \"/a\" share \"mode\"; expected \"auto\" as in \"one\", found \"wait\"",
                "5:82: error: $.routes[1].operation: routes of \"/a\" share \"operation\"; expected \"generate\" as in"
                    + " \"one\", found \"edit\"",
                "6:1: warning: $.routes[2]: route \"one\" is never reached: \"two\" before it takes every request",
                "6:10: error: $.routes[2].name: route name \"one\" is taken by $.routes[0].name, line 4",
                "8:1: error: $.routes[4]: route name \"unified:/b\" (by default; give it a \"name\") is taken by $.routes[3],"
                    + " line 7",
            ]),
        Case(
            "delivery, head and heartbeat",
            ConfigurationFixture.file(routes: [
                #"{"path": "/a", "dialect": "unified", "delivery": "both", "commit": "1s", "heartbeat": {"style": "space"}}"#,
                #"{"path": "/b", "dialect": "openai-images", "delivery": "url"}"#,
                #"{"mount": "/c", "dialect": "stages"}"#,
                #"{"path": "/d", "dialect": "ndjson", "heartbeat": {"style": "comment"}}"#,
            ]),
            [
                "4:50: error: $.routes[0].delivery: delivery \"both\" needs \"storage.images\"",
                "4:68: warning: $.routes[0].commit: dialect \"unified\" answers at once; \"commit\" has no effect",
                "4:97: error: $.routes[0].heartbeat.style: the clients of dialect \"unified\" expect \"comment\" or"
                    + " \"line\", found \"space\"",
                "5:56: error: $.routes[1].delivery: dialect \"openai-images\" delivers \"inline\", found \"url\"",
                "6:1: error: $.routes[2].delivery: delivery \"url\", the default of dialect \"stages\", needs"
                    + " \"storage.images\"",
                "7:60: error: $.routes[3].heartbeat.style: the clients of dialect \"ndjson\" expect \"space\","
                    + " found \"comment\"",
            ]),
        Case(
            "what the upstream cannot do",
            """
            {"upstreams": {"q": {"provider": "queue", "preset": "stages", "base_url": "http://q.example"}},
             "routes": [{"path": "/a", "dialect": "unified", "operation": "edit", "auth": "public",
                         "public_without_limits": true, "upstreams": [{"upstream": "q", "weight": 1}]}]}
            """,
            [
                "3:72: error: $.routes[0].upstreams[0].upstream: upstream \"q\" cannot edit images",
                "3:77: error: $.routes[0].upstreams[0].weight: unknown key \"weight\"",
            ]),
        Case(
            "listeners", more(",\n\"server\": {\"listen\": \"0.0.0.0:80\"}, \"admin\": {\"listen\": \"0.0.0.0:80\"}"),
            [
                "5:57: error: $.admin.listen: an admin listener off loopback needs a \"token\" that is set;"
                    + " found \"0.0.0.0:80\" without one",
                "5:57: error: $.admin.listen: server.listen and admin.listen are both \"0.0.0.0:80\"; expected two addresses",
            ]),
        Case(
            "empty lists", "{\"upstreams\": {}, \"routes\": []}",
            [
                "1:15: error: $.upstreams: expected at least one upstream, found none",
                "1:29: error: $.routes: expected at least 1 of an object, found an empty list",
            ]),
        Case(
            "defaults have no path of their own", ConfigurationFixture.file(routes: [], defaults: ", \"path\": \"/x\""),
            [
                "2:92: error: $.route_defaults.path: unknown key \"path\"; did you mean \"match\"?",
                "3:12: error: $.routes: expected at least 1 of an object, found an empty list",
            ]),
    ]

    private static let secrets: [Case] = [
        Case(
            "a key in the file is never repeated",
            upstream(",\n\"api_key\": \"sk-inline\", \"proxy\": \"http://me:pw@proxy:1\""),
            [
                "2:12: error: $.upstreams.lab.api_key: expected {\"env\": \"NAME\"} or {\"file\": \"path\"}, found a text"
                    + " (secrets are never written into this file)",
                "2:34: error: $.upstreams.lab.proxy: expected a proxy such as \"http://host:3128\" or"
                    + " \"socks5h://host:1080\", without password, found another text",
            ]),
        Case(
            "an unset key is no error", upstream(",\n\"api_key\": [{\"env\": \"NOT_SET\"}, {\"file\": \"key.txt\"}]"),
            [
                "2:12: warning: $.upstreams.lab.api_key: upstream \"lab\" is unavailable: environment variable NOT_SET is not"
                    + " set; secret file \"/etc/gateway/key.txt\": No such file or directory",
                "4:63: warning: $.routes[0].upstreams: no upstream of this route is available: requests get 503",
            ]),
        Case(
            "forms of a secret",
            upstream(",\n\"api_key\": [{\"env\": \"A=B\"}, {\"env\": \"A\", \"file\": \"b\"}, {}, 1]"),
            (0...3).map { index in
                let column = [13, 29, 56, 60][index]
                return "2:\(column): error: $.upstreams.lab.api_key[\(index)]: expected {\"env\": \"NAME\"} or"
                    + " {\"file\": \"path\"}, found another value"
            }),
        Case(
            "an unset signing secret is made",
            more(",\n\"storage\": {\"images\": {\"disk\": \"img\", \"secret\": {\"env\": \"NOT_SET\"}}}"),
            [
                "5:49: warning: $.storage.images.secret: environment variable NOT_SET is not set",
                "5:49: warning: $.storage.images.secret: no secret is set; URLs are signed with one made once in"
                    + " \"/etc/gateway/var/keys/image-urls\"",
            ]),
        Case(
            "a key in the clear",
            """
            {"upstreams": {"a": {"provider": "openai-images", "base_url": "http://a.example", "api_key": {"env": "NOT_SET"}},
                           "b": {"provider": "openai-images", "base_url": "http://127.0.0.1:1", "api_key": {"env": "NOT_SET"}},
                           "c": {"provider": "openai-images", "base_url": "simulator:"}},
             "routes": [{"path": "/a", "dialect": "unified", "upstreams": ["a", "c"], "auth": "public",
                         "public_without_limits": true}]}
            """,
            [
                "1:63: warning: $.upstreams.a.base_url: the key of \"a\" is sent unencrypted; expected https",
                "1:94: warning: $.upstreams.a.api_key: upstream \"a\" is unavailable: environment variable NOT_SET is not set",
                "2:96: warning: $.upstreams.b.api_key: upstream \"b\" is unavailable: environment variable NOT_SET is not set",
            ]),
    ]

    private static func syntaxMessage(_ text: String) -> String {
        let message = ConfigurationFixture.load(text).problems.first?.message ?? ""
        return String(message.dropFirst("not valid JSON: ".count))
    }
}
