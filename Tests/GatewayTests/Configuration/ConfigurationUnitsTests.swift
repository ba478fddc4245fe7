import Testing

@testable import Gateway

struct ConfigurationUnitsTests {
    @Test(arguments: [
        ("500ms", Duration.milliseconds(500)), ("30s", .seconds(30)), ("2m", .seconds(120)), ("1h", .seconds(3600)),
        ("1d", .seconds(86_400)), ("0s", .zero), ("007s", .seconds(7)),
    ])
    func durations(text: String, expected: Duration) {
        #expect(ConfigurationUnits.duration(text) == expected)
    }

    @Test(arguments: [
        "", "30", "s", "30 s", " 30s", "30s ", "-1s", "+1s", "1.5s", "1h30m", "1w", "30S", "٣s", "9223372036854775807d",
        "92233720368547758070s", "1\u{0}s",
    ])
    func badDurations(text: String) {
        #expect(ConfigurationUnits.duration(text) == nil)
    }

    @Test(arguments: [
        ("8MiB", 8 << 20), ("64KiB", 64 << 10), ("1GiB", 1 << 30), ("10MB", 10_000_000), ("5kB", 5000), ("5KB", 5000),
        ("2GB", 2_000_000_000), ("1B", 1), ("0B", 0),
    ])
    func sizes(text: String, expected: Int) {
        #expect(ConfigurationUnits.size(text) == expected)
    }

    @Test(arguments: ["", "8", "MiB", "8 MiB", "8mib", "-8MiB", "8.5MiB", "8TiB", "9223372036854775807KiB"])
    func badSizes(text: String) {
        #expect(ConfigurationUnits.size(text) == nil)
    }

    @Test(arguments: [
        ("30/min", RequestRate(quantity: 30, period: .minute)), ("5/s", RequestRate(quantity: 5, period: .second)),
        ("100/hour", RequestRate(quantity: 100, period: .hour)),
        ("1000/day", RequestRate(quantity: 1000, period: .day)),
    ])
    func rates(text: String, expected: RequestRate) {
        #expect(ConfigurationUnits.rate(text) == expected)
    }

    @Test(arguments: ["", "30", "30/", "/s", "0/s", "30/minute", "30 / s", "-1/s", "30/s/s"])
    func badRates(text: String) {
        #expect(ConfigurationUnits.rate(text) == nil)
    }

    @Test func shortestTexts() {
        #expect(ConfigurationUnits.text(Duration.milliseconds(1500)) == "1500ms")
        #expect(ConfigurationUnits.text(Duration.seconds(90)) == "90s")
        #expect(ConfigurationUnits.text(Duration.seconds(7200)) == "2h")
        #expect(ConfigurationUnits.text(.zero) == "0s")
        #expect(ConfigurationUnits.text(bytes: 64 << 20) == "64MiB")
        #expect(ConfigurationUnits.text(bytes: 1000) == "1000B")
    }
}

struct ConfigurationTextTests {
    @Test(arguments: [
        ("timout", "timeouts", 2), ("", "abc", 3), ("listen", "listen", 0), ("lisetn", "listen", 1),
        ("pfad", "path", 3),
    ])
    func distances(left: String, right: String, expected: Int) {
        #expect(ConfigurationText.distance(left, right) == expected)
        #expect(ConfigurationText.distance(right, left) == expected)
    }

    @Test(arguments: [
        ("idle", ".idle"), ("a b", "['a b']"), ("", "['']"), ("9lives", "['9lives']"), ("my-key", "['my-key']"),
        ("a\n\"", "['a\\n\\\"']"), ("\u{1B}[31m", "['\\u{1b}[31m']"), ("\u{202E}", "['\\u{202e}']"),
    ])
    func pathSteps(key: String, expected: String) {
        #expect(ConfigurationText.pathStep(key) == expected)
    }

    @Test func longTextsAreCut() {
        #expect(ConfigurationText.quoted(String(repeating: "x", count: 100), limit: 3) == "\"xxx…\"")
        #expect(ConfigurationText.suggestion(for: String(repeating: "x", count: 100_000), among: ["x"]) == "")
    }
}

struct ModelPatternTests {
    @Test(arguments: [
        ("gpt-image-*", "gpt-image-1"), ("gpt-image-*", "gpt-image-"), ("*", ""), ("*", "anything"), ("a*b*c", "abc"),
        ("a*b*c", "aXbYbZc"), ("**", "x"), ("*-mini", "gpt-image-1-mini"), ("flux", "flux"), ("*ä*", "xäy"),
    ])
    func matches(pattern: String, model: String) {
        #expect(ModelPattern(pattern).matches(model))
    }

    @Test(arguments: [
        ("gpt-image-*", "gpt-image"), ("gpt-image-*", "xgpt-image-1"), ("flux", "Flux"), ("flux", "flux2"),
        ("a*b", "a"),
        ("", "x"), ("a*b*c", "acb"), ("?", "x"), ("e\u{301}", "\u{E9}"),
    ])
    func differs(pattern: String, model: String) {
        #expect(!ModelPattern(pattern).matches(model))
    }

    @Test func manyStarsStayCheap() {
        let pattern = ModelPattern(String(repeating: "a*", count: 128) + "b")
        #expect(!pattern.matches(String(repeating: "a", count: 4096)))
    }
}
