import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

@testable import Providers

@Suite struct QueueHandleTests {
    /// A service that names addresses, and whose cancel names the model.
    private static let definition = #"""
        {"submit":{"method":"POST","url":"{base}/{model}"},"status":{"url":"{status_url}"},
         "result":{"url":"{base}/results/{job_id}"},"cancel":{"method":"PUT","url":"{base}/{model}/{job_id}/cancel"},
         "events":null,"follow":"poll","links":{"status_url":"links.status","stream_url":"links.stream"},
         "link_hosts":["*.queue.example"],"job_id":["id"]}
        """#

    private static func adapter(
        base: String = "https://queue.example/v1", key: String? = "secret-key", model: String? = nil
    ) throws -> QueueAdapter {
        try QueueAdapter(
            ProviderConfiguration(
                name: "u", baseURL: base, apiKey: key, model: model, preset: "stages",
                definition: try JSONDocument(ByteBuffer(string: Self.definition)).root))
    }

    private static func job(model: String? = "maker/model") -> ExchangeJob {
        var request = ImageRequest(operation: .generate, prompt: "p")
        request.model = model
        return ExchangeJob(id: JobID(), request: request, entropy: 7)
    }

    /// What comes of a submission answered so.
    private static func submitted(_ answer: String, by adapter: QueueAdapter) throws -> ExchangeActions {
        var exchange = try adapter.makeExchange(for: Self.job())
        var actions: ExchangeActions = []
        exchange.start(into: &actions)
        exchange.received(
            head: ExchangeResponseHead(status: 200, headers: [.contentType: "application/json"]), call: 0,
            into: &actions)
        Array(answer.utf8).withUnsafeBytes { exchange.received(bytes: $0, call: 0, into: &actions) }
        exchange.ended(call: 0, into: &actions)
        return actions
    }

    private static func handle(_ actions: ExchangeActions) -> String? {
        for case .emit(.handle(let text)) in actions { return text }
        return nil
    }

    private static let status = "https://eu.queue.example/s/7"
    private static let good =
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"\#(status)"},"model":"maker/model"}"#

    @Test func theTextHoldsWhatLaterCallsNeed() throws {
        let adapter = try Self.adapter()
        let actions = try Self.submitted(#"{"id":7,"links":{"status":"\#(Self.status)"}}"#, by: adapter)
        #expect(Self.handle(actions) == Self.good)
        // Named by another model meanwhile, the upstream still knows the job under the one it was submitted with.
        let renamed = try Self.adapter(model: "other")
        var exchange = try #require(try renamed.makeExchange(resuming: Self.good, for: Self.job(model: nil)))
        var resumed: ExchangeActions = []
        exchange.start(into: &resumed)
        exchange.timerFired(0, into: &resumed)
        exchange.cancel(into: &resumed)
        var calls: [String] = []
        for case .send(let call, _) in resumed { calls.append("\(call.method) \(call.url)") }
        #expect(
            calls == ["GET \(Self.status)", "PUT https://queue.example/v1/maker/model/7/cancel"])
    }

    @Test func aPickedUpJobIsAcceptedAtOnceAndMayHaveCost() throws {
        var exchange = try #require(try Self.adapter().makeExchange(resuming: Self.good, for: Self.job()))
        var actions: ExchangeActions = []
        exchange.start(into: &actions)
        guard case .emit(.accepted) = actions.first, case .wait(let milliseconds, let timer) = actions.last else {
            Issue.record("\(actions)")
            return
        }
        // Never sooner than the definition's pace.
        #expect(milliseconds >= 1000)
        // The service lost the job: waited for as after a submission, then told, at a price unknown.
        exchange.timerFired(timer, into: &actions)
        var failure: GatewayError?
        for call in 0..<20 where failure == nil {
            exchange.received(head: ExchangeResponseHead(status: 404, headers: [:]), call: call, into: &actions)
            exchange.ended(call: call, into: &actions)
            exchange.timerFired(timer, into: &actions)
            for case .finish(let error) in actions { failure = error }
        }
        #expect(failure?.code == .upstreamError)
        #expect(failure?.billed == .maybe)
    }

    /// Half a text, another's text, another version's: never an exchange.
    @Test(arguments: [
        "", " ", "7", "\"7\"", "null", "[]", "{}", "j-1", "{", "\u{0}", "\u{FEFF}{}", "{\"v\":1}",
        #"{"v":1,"provider":"queue"}"#, #"{"provider":"queue","id":"7"}"#, #"{"v":1,"id":"7"}"#,
        #"{"v":2,"provider":"queue","id":"7"}"#, #"{"v":0,"provider":"queue","id":"7"}"#,
        #"{"v":"1","provider":"queue","id":"7"}"#, #"{"v":1.5,"provider":"queue","id":"7"}"#,
        #"{"v":1e99,"provider":"queue","id":"7"}"#, #"{"v":null,"provider":"queue","id":"7"}"#,
        #"{"v":1,"provider":"openai-responses","id":"7"}"#, #"{"v":1,"provider":1,"id":"7"}"#,
        #"{"v":1,"provider":"queue","id":7}"#, #"{"v":1,"provider":"queue","id":""}"#,
        #"{"v":1,"provider":"queue","id":"."}"#, #"{"v":1,"provider":"queue","id":".."}"#,
        #"{"v":1,"provider":"queue","id":"a b"}"#, #"{"v":1,"provider":"queue","id":"a\r\nHost: b"}"#,
        #"{"v":1,"provider":"queue","id":"\u0000"}"#, #"{"v":1,"provider":"queue","id":"\ud800"}"#,
        #"{"v":1,"provider":"queue","id":"ü"}"#, #"{"v":1,"provider":"queue","id":["7"]}"#,
        #"{"v":1,"provider":"queue","id":"7","id":"8"}"#, #"{"v":1,"v":1,"provider":"queue","id":"7"}"#,
        #"{"v":1,"provider":"queue","id":"7","more":1}"#, #"{"v":1,"provider":"queue","id":"7"}}"#,
        #"{"v":1,"provider":"queue","id":"7"} {}"#, #"{"v":1,"provider":"queue","id":"7","links":null}"#,
        #"{"v":1,"provider":"queue","id":"7","links":[]}"#, #"{"v":1,"provider":"queue","id":"7","links":"x"}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":null}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":{"a":{"b":1}}}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"unknown":"https://queue.example/s"}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"https://evil.example/s"}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"http://eu.queue.example/s"}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"https://a@eu.queue.example/s"}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"https://eu.queue.example.evil.example/s"}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"https://evil.example\\.queue.example/s"}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"https://eu.queue.example/s\r\nX: y"}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"/s"}}"#,
        #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"file:///etc/passwd"}}"#,
        #"{"v":1,"provider":"queue","id":"7","model":""}"#, #"{"v":1,"provider":"queue","id":"7","model":1}"#,
        #"{"v":1,"provider":"queue","id":"7","model":null}"#,
    ])
    func whatIsNoHandleOfOursIsNotPickedUp(_ text: String) throws {
        #expect(try Self.adapter().makeExchange(resuming: text, for: Self.job()) == nil)
    }

    @Test func idsAndTextsAreBounded() throws {
        func text(_ count: Int, padding: Int = 0) -> String {
            let spaces = String(repeating: " ", count: padding)
            return #"{"v":1,"provider":"queue","id":"\#(String(repeating: "a", count: count))"}\#(spaces)"#
        }
        let adapter = try Self.adapter()
        #expect(try adapter.makeExchange(resuming: text(256), for: Self.job()) != nil)
        #expect(try adapter.makeExchange(resuming: text(257), for: Self.job()) == nil)
        #expect(try adapter.makeExchange(resuming: text(1, padding: 8192), for: Self.job()) == nil)
        let nested = #"{"v":1,"provider":"queue","id":\#(String(repeating: "[", count: 8000))"#
        #expect(try adapter.makeExchange(resuming: nested, for: Self.job()) == nil)
    }

    /// Cut anywhere, the text is none.
    @Test func damagedTextsAreNotPickedUp() throws {
        let adapter = try Self.adapter()
        #expect(try adapter.makeExchange(resuming: Self.good, for: Self.job()) != nil)
        for count in 0..<Self.good.utf8.count {
            #expect(try adapter.makeExchange(resuming: String(Self.good.prefix(count)), for: Self.job()) == nil)
        }
    }

    /// What the key of another configuration may be sent to is asked anew.
    @Test func addressesAreCheckedAgainstTodaysConfiguration() throws {
        let own = #"{"v":1,"provider":"queue","id":"7","links":{"status_url":"https://own.example:8443/s/7"}}"#
        #expect(try Self.adapter().makeExchange(resuming: own, for: Self.job()) == nil)
        let here = try Self.adapter(base: "https://own.example:8443/v1")
        #expect(try here.makeExchange(resuming: own, for: Self.job()) != nil)
        #expect(try here.makeExchange(resuming: Self.good, for: Self.job()) != nil)
    }

    @Test(arguments: [
        ("7", "https://queue.example/s?key=secret-key"), ("7", "https://queue.example/s?key=%73ecret%2Dkey"),
        ("job-secret-key", "https://queue.example/s"),
    ])
    func keysAreNotTold(_ id: String, _ status: String) throws {
        try self.expectFollowedWithoutHandle(#"{"id":"\#(id)","links":{"status":"\#(status)"}}"#)
    }

    /// Two addresses that are fine each, and too long to keep together.
    @Test(arguments: [(3900, true), (4100, false)])
    func longTextsAreNotTold(_ length: Int, _ isTold: Bool) throws {
        let link = "https://queue.example/" + String(repeating: "s", count: length)
        let answer = #"{"id":"7","links":{"status":"\#(link)","stream":"\#(link)"}}"#
        guard isTold else { return try self.expectFollowedWithoutHandle(answer) }
        let text = try #require(Self.handle(try Self.submitted(answer, by: Self.adapter())))
        #expect(try Self.adapter().makeExchange(resuming: text, for: Self.job()) != nil)
    }

    private func expectFollowedWithoutHandle(_ answer: String) throws {
        let actions = try Self.submitted(answer, by: Self.adapter())
        #expect(Self.handle(actions) == nil)
        guard case .wait = actions.last else {
            Issue.record("\(actions)")
            return
        }
    }

    /// A key such as `x` says nothing about what a text holds.
    @Test func placeholdersForKeysAreNotSearchedFor() throws {
        let actions = try Self.submitted(
            #"{"id":"7","links":{"status":"https://queue.example/x"}}"#, by: Self.adapter(key: "x"))
        #expect(Self.handle(actions) != nil)
    }

    @Test func textsAreReadBackAsTheyWere() throws {
        let definition = try QueueDefinition(
            layers: [
                try JSONDocument(ByteBuffer(string: Self.definition)).root,
                try #require(QueuePreset.named("stages")).definition,
            ])
        let handles = [
            QueueHandle(jobID: "7"), QueueHandle(jobID: #"a"\{}%2F"#),
            QueueHandle(
                jobID: "7", links: ["status_url": Self.status, "stream_url": "https://a.queue.example/?q=%22"]),
            QueueHandle(jobID: "7", model: "modèle \u{1F4F7}\n\"x\""),
        ]
        for handle in handles {
            let text = try #require(handle.text(hiding: nil))
            #expect(!text.contains("\n"))
            #expect(QueueHandle(text, definition: definition, base: "https://queue.example/v1") == handle)
        }
    }

    @Test(arguments: [
        ("a%2Fb", "a/b"), ("%41%4a", "AJ"), ("%", "%"), ("%4", "%4"), ("%+1", "%+1"), ("%-0", "%-0"), ("%zz", "%zz"),
        ("%25%32%46", "%2F"), ("", ""), ("%C3%BC", "ü"),
    ])
    func percentDecoding(_ text: String, _ decoded: String) { #expect(QueueURL.decoded(text) == decoded) }
}
