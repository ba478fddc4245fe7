import HTTPTypes
import ImageGeneration
import NIOCore
import Testing

@testable import Providers

@Suite struct UpstreamTextTests {
    @Test(
        arguments: [
            ("plain", "plain"),
            ("two\r\nlines\tand\u{0} NUL\u{1B}[31m", "two lines and NUL [31m"),
            ("<html><body>x</body></html>", nil),
            ("see <b>this</b>", nil),
            ("a <!-- comment", nil),
            ("1 < 2 and a <= b", "1 < 2 and a <= b"),
            ("key sk-abcdef0123456789, again", "key [key] again"),
            ("Authorization: Bearer abcdefghijklmnopqrstuvwx", "Authorization: Bearer [key]"),
            ("go to https://a.example/x?y=z now", "go to [link] now"),
            ("connect 10.0.0.7:8188 failed", "connect [host] failed"),
            ("at 192.168.1.2.", "at [host]"),
            ("host gpu-3.cluster.internal:80 down", "host [host] down"),
            ("host redis:6379 and db.local:5432", "host redis:6379 and [host]"),
            ("gpt-image-1.5 draws 1.25 files a.png, e.g. this", "gpt-image-1.5 draws 1.25 files a.png, e.g. this"),
            ("the secret-of-config leaks", "the [key] leaks"),
            ("\u{202E}evil\u{2028}", "evil"),
            ("  \n ", nil),
            ("", nil),
            (nil, nil),
        ] as [(String?, String?)])
    func cleans(_ text: String?, _ expected: String?) {
        #expect(UpstreamText.clean(text, hiding: "secret-of-config") == expected)
    }

    @Test func isBounded() {
        for text in [String(repeating: "x", count: 100_000), String(repeating: "words ", count: 50_000)] {
            let cleaned = UpstreamText.clean(text) ?? ""
            #expect(cleaned.unicodeScalars.count == UpstreamText.maximumLength)
            #expect(cleaned.hasSuffix("…"))
        }
        #expect(UpstreamText.clean(String(repeating: "y", count: 300))?.count == 300)
    }

    @Test func labelsArePrintableASCII() {
        #expect(UpstreamText.label("a\u{0}b ü\n" + String(repeating: "c", count: 100)).utf8.count == 64)
        #expect(UpstreamText.label("a\u{0}b ü") == "ab")
    }
}

@Suite struct RetryAfterTests {
    @Test(
        arguments: [
            (["Retry-After": "12"], 12_000), (["Retry-After": "0.5"], 500), (["Retry-After": "-3"], nil),
            (["Retry-After": "soon"], nil), (["Retry-After": "nan"], nil), (["Retry-After": "1e300"], 604_800_000),
            (["retry-after-ms": "1500", "Retry-After": "9"], 1500),
            (["retry-after-ms": "x", "Retry-After": "9"], 9000),
            (["Retry-After": "999999"], 604_800_000), ([:], nil),
            (["Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:07 GMT"], 30_000),
            (["Retry-After": "Sunday, 06-Nov-94 08:49:37 GMT", "Date": "Sun Nov  6 08:49:27 1994"], 10_000),
            (["Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"], nil),
            (["Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 09:49:07 GMT"], nil),
        ] as [([String: String], Int?)])
    func reads(_ headers: [String: String], _ expected: Int?) throws {
        var fields: HTTPFields = [:]
        for (name, value) in headers { fields[try #require(HTTPField.Name(name))] = value }
        #expect(RetryAfter.milliseconds(fields) == expected)
    }

    @Test(
        arguments: [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199), ("Sat, 21 Nov 2026 12:00:00 GMT", 1_795_262_400),
            ("Mon, 32 Jan 2024 00:00:00 GMT", nil), ("Mon, 01 Jan 2024 25:00:00 GMT", nil), ("garbage", nil),
        ] as [(String, Int?)])
    func dates(_ text: String, _ expected: Int?) { #expect(HTTPDate.seconds(text) == expected) }
}

@Suite struct UpstreamErrorReportTests {
    struct Row: Sendable {
        var body: String
        var status: Int?
        var code: GatewayError.Code
        var parameter: String?
        var message: String?
    }

    static let rows: [Row] = [
        Row(body: #"{"error":{"code":"invalid_api_key","message":"bad sk-1"}}"#, status: 401, code: .providerAuth),
        Row(body: "", status: 403, code: .providerAuth),
        Row(body: #"{"error":{"code":"content_policy_violation"}}"#, status: 403, code: .refused),
        Row(
            body: #"{"name":"content_moderation","errors":["Flagged."]}"#, status: 403, code: .refused,
            message: "Flagged."),
        Row(body: #"{"error":{"code":"rate_limit_exceeded"}}"#, status: 429, code: .upstreamRateLimited),
        Row(body: #"{"error":{"code":"billing_hard_limit_reached"}}"#, status: 429, code: .providerQuota),
        Row(body: #"{"error":{"type":"insufficient_quota"}}"#, status: 429, code: .providerQuota),
        Row(body: #"{"error":{"code":"project_spend_limit_exceeded"}}"#, status: 429, code: .providerQuota),
        Row(body: "{}", status: 402, code: .providerQuota),
        Row(
            body: #"{"error":{"param":"size","message":"no"}}"#, status: 400, code: .invalidParameter, parameter: "size"
        ),
        Row(
            body: #"{"error":{"param":"image[0]","message":"no"}}"#, status: 400, code: .invalidParameter,
            parameter: "images"),
        Row(body: #"{"error":{"param":"response_format"}}"#, status: 400, code: .upstreamError),
        Row(
            body: #"{"detail":[{"loc":["body","size"],"msg":"wrong","type":"value_error"}]}"#, status: 422,
            code: .invalidParameter, parameter: "size", message: "wrong"),
        Row(body: #"{"detail":"Nope"}"#, status: 409, code: .upstreamError, message: "Nope"),
        Row(
            body: #"{"type":"error","code":"server_error","message":"m"}"#, status: nil, code: .upstreamError,
            message: "m"),
        Row(body: #"{"error":"just text"}"#, status: nil, code: .upstreamError, message: "just text"),
        Row(body: #"{"error":{"code":429,"message":"m"}}"#, status: 200, code: .upstreamRateLimited),
        Row(body: "<html>", status: 500, code: .upstreamError, message: "The upstream answered with status 500."),
        Row(
            body: #"{"error":{"message":"<script>x</script>"}}"#, status: 500, code: .upstreamError,
            message: "The upstream answered with status 500."),
        Row(body: #"{"error":{"message":["#, status: 502, code: .upstreamError),
    ]

    @Test(arguments: rows)
    func maps(_ row: Row) {
        let report = UpstreamErrorReport(body: ByteBuffer(string: row.body), status: row.status)
        let error = report.gatewayError(billed: .no, parameters: ["size": "size", "image": "images"])
        #expect(error.code == row.code)
        #expect(error.parameter == row.parameter)
        if let message = row.message { #expect(error.message == message) }
    }

    @Test func credentialsAndQuotaAreOpaque() {
        for code in ["invalid_api_key", "insufficient_quota"] {
            let body = #"{"error":{"code":"\#(code)","message":"organisation acme, key 123"}}"#
            let error = UpstreamErrorReport(body: ByteBuffer(string: body), status: 401).gatewayError(billed: .no)
            #expect(!error.message.contains("acme"))
            #expect(error.cause?.contains("acme") != true)
        }
    }

    @Test(arguments: [(400, GatewayError.Billed.no), (429, .no), (503, .no), (500, .maybe), (504, .maybe)])
    func cost(_ status: Int, _ billed: GatewayError.Billed) {
        #expect(UpstreamErrorReport.billed(forStatus: status) == billed)
    }
}

@Suite struct AspectRatioTests {
    @Test(arguments: [
        ("16:9", "1536x1024"), ("9:16", "1024x1536"), ("1:1", "1024x1024"), ("5:4", "1536x1024"), ("6:5", "1024x1024"),
        ("1:65536", "1024x1536"),
    ])
    func nearestSize(_ ratio: String, _ size: String) throws {
        let given = try #require(AspectRatio(ratio))
        #expect(Self.preset.size(.aspectRatio(width: given.width, height: given.height)) == size)
    }

    @Test(arguments: ["", ":", "0:1", "1:0", "a:b", "1:2:3", "-1:2", "99999999999999999999:1"])
    func refuses(_ text: String) { #expect(AspectRatio(text) == nil) }

    @Test func zeroIsAutomatic() { #expect(Self.preset.size(.aspectRatio(width: 0, height: 0)) == "auto") }

    private static let preset = OpenAIImagesPreset(ProviderConfiguration(name: "u", baseURL: "https://a"))
}
