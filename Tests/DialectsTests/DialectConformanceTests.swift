import Dialects
import Foundation
import GatewayTesting
import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

/// What every dialect must do; a new one is covered by its line in the registry.
@Suite struct DialectConformanceTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let dialect: any Dialect
        let job: CanonicalJob

        var testDescription: String { "\(self.dialect.name)/\(self.job.rawValue)" }
        var path: String { self.testDescription }
    }

    static let names = ConformanceSubjects.dialects.map(\.name)
    static let cases = ConformanceSubjects.dialects.flatMap { dialect in
        CanonicalJob.allCases.map { Case(dialect: dialect, job: $0) }
    }

    /// Nil for calls that are answered with a stream.
    private static func form(_ dialect: any Dialect, _ call: DialectCall) -> FollowWish.Form? {
        guard let form = try? dialect.follow(call).form, form != .stream else { return nil }
        return form
    }

    static func context(
        _ dialect: any Dialect, delivery: Delivery? = nil, call: DialectCall? = nil
    ) throws -> EncoderContext {
        let body = try GoldenFiles.bytes("\(dialect.name)/request.json")
        let decoded = try dialect.decode(
            DialectDriving.request(body), endpoint: try DialectDriving.createEndpoint(dialect), operation: .generate)
        return CanonicalJob.context(dialect, request: decoded.image, delivery: delivery, call: call)
    }

    @Test func namesAreUnique() {
        #expect(Set(Self.names).count == Self.names.count)
        for name in Self.names { #expect(ConformanceSubjects.dialect(named: name)?.name == name) }
        #expect(DialectRegistry.dialect(named: "no such dialect") == nil)
    }

    @Test(arguments: cases) func streamIsGolden(_ test: Case) throws {
        let stream = DialectDriving.stream(test.dialect, try Self.context(test.dialect), test.job.events)
        try GoldenFiles.expect(stream, equal: "\(test.path)/stream.txt")
    }

    @Test(arguments: cases) func answerIsGolden(_ test: Case) throws {
        let answer = DialectDriving.answer(test.dialect, try Self.context(test.dialect), test.job.events)
        try GoldenFiles.expect(DialectDriving.text(answer), equal: "\(test.path)/answer.txt")
    }

    @Test(arguments: cases) func snapshotIsGolden(_ test: Case) throws {
        var text: [UInt8] = []
        for endpoint in test.dialect.endpoints where endpoint.action != .list && endpoint.action != .describe {
            let call = DialectDriving.call(endpoint)
            guard let form = Self.form(test.dialect, call) else { continue }
            let context = try Self.context(test.dialect, call: call)
            text += Array("\(endpoint.method) \(endpoint.subpath)\n".utf8)
            let response =
                form == .snapshot
                ? test.dialect.render(test.job.snapshot, endpoint: endpoint, context: context)
                : DialectDriving.answer(test.dialect, context, test.job.events)
            text += DialectDriving.text(response)
        }
        try GoldenFiles.expect(text, equal: "\(test.path)/snapshots.txt")
    }

    @Test(arguments: names) func errorsAreGolden(_ name: String) throws {
        let dialect = try #require(ConformanceSubjects.dialect(named: name))
        var text: [UInt8] = []
        for code in GatewayError.Code.allCases {
            let error = GatewayError(
                code, "What happened, \"quoted\".", billed: code == .upstreamTruncated ? .maybe : .no,
                retryAfterMilliseconds: code == .rateLimited ? 2500 : nil,
                upstreamStatus: code == .upstreamError ? 500 : nil,
                parameter: code == .invalidParameter ? "size" : nil,
                position: code == .invalidJSON ? (3, 14) : nil, cause: "secret cause")
            text += Array("--- \(code.rawValue)\n".utf8)
            text += DialectDriving.text(dialect.render(error, requestID: "req_1"))
        }
        try GoldenFiles.expect(text, equal: "\(name)/errors.txt")
        #expect(!String(decoding: text, as: UTF8.self).contains("secret"))
    }

    /// Every failure before the first byte says in a header whether stock clients may repeat it.
    @Test(arguments: names) func errorHeadersGuardRetries(_ name: String) throws {
        let dialect = try #require(ConformanceSubjects.dialect(named: name))
        let shouldRetry = try #require(HTTPField.Name("x-should-retry"))
        for code in GatewayError.Code.allCases {
            for billed in [GatewayError.Billed.no, .maybe, .yes] {
                let response = dialect.render(GatewayError(code, "x", billed: billed), requestID: "r")
                let mustNot = billed != .no || !code.isRetryable
                #expect(response.headers[shouldRetry] == (mustNot ? "false" : nil), "\(code) \(billed)")
                if response.status == 429 || response.status == 503 {
                    #expect(Int(response.headers[.retryAfter] ?? "") ?? 0 >= 1, "\(code)")
                }
            }
        }
    }

    /// Heartbeats between all frames, and before the first, change nothing that a strict reader sees.
    @Test(arguments: cases) func heartbeatsAreSkipped(_ test: Case) throws {
        let context = try Self.context(test.dialect)
        let frames = DialectDriving.frames(test.dialect.makeStreamEncoder(context), test.job.events)
        let beat = test.dialect.traits.heartbeat.withUTF8Buffer { Array($0) }
        let beaten = beat + frames.flatMap { $0.isEmpty ? [] : $0 + beat + beat }
        let plain = frames.flatMap { $0 }
        if test.dialect.traits.streamMediaType.hasPrefix("text/event-stream") {
            let events = EventStreamReader.events(plain)
            #expect(EventStreamReader.events(beaten + [0x0A]).prefix(events.count) == events[...])
            #expect(events.allSatisfy { !$0.data.isEmpty })
        } else {
            let text = String(decoding: beaten, as: UTF8.self)
            let lines = text.split(separator: "\n").map { String($0.drop { $0 == " " }) }.filter { !$0.isEmpty }
            #expect(lines == String(decoding: plain, as: UTF8.self).split(separator: "\n").map(String.init))
        }
    }

    /// An encoder that was brought to a position by skipping writes on as one that wrote everything.
    @Test(arguments: cases) func skippingLeadsToTheSamePlace(_ test: Case) throws {
        func text(_ frames: some Sequence<[UInt8]>) -> String {
            String(decoding: frames.flatMap { $0 }, as: UTF8.self).replacing(#/retry: \d+\n/#, with: "")
        }
        let context = try Self.context(test.dialect)
        let frames = DialectDriving.frames(test.dialect.makeStreamEncoder(context), test.job.events)
        for position in 0...test.job.events.count {
            var encoder = test.dialect.makeStreamEncoder(context)
            for event in test.job.events[..<position] { encoder.skip(event) }
            let rest = DialectDriving.frames(encoder, Array(test.job.events[position...]))
            #expect(text(rest) == text(frames[position...]), "from \(position)")
        }
    }

    @Test(arguments: cases) func nothingFollowsTheTerminalEvent(_ test: Case) throws {
        var encoder = test.dialect.makeStreamEncoder(try Self.context(test.dialect))
        var out = FrameOutput()
        for event in test.job.events { encoder.encode(event, into: &out) }
        _ = out.take()
        encoder.encodeInterruption(GatewayError(.draining, "The gateway is restarting."), into: &out)
        #expect(out.take().pieces.isEmpty)
    }

    /// A stream that stops early says so, unless its clients come back with an id.
    @Test(arguments: names) func interruptionIsTold(_ name: String) throws {
        let dialect = try #require(ConformanceSubjects.dialect(named: name))
        var encoder = dialect.makeStreamEncoder(try Self.context(dialect))
        var out = FrameOutput()
        encoder.encode(CanonicalJob.completed.events[0], into: &out)
        _ = out.take()
        encoder.encodeInterruption(GatewayError(.draining, "The gateway is restarting."), into: &out)
        let frame = String(decoding: DialectDriving.bytes(out.take().pieces), as: UTF8.self)
        #expect(frame.isEmpty == dialect.traits.resumable)
        if !dialect.traits.resumable { #expect(frame.contains("The gateway is restarting.")) }
    }

    /// A dialect of the tests' own passes what every other one passes: a folder, its fixtures, one line.
    @Test func aNewDialectIsPickedUp() {
        #expect(Self.names.contains("postcard"))
        #expect(Self.cases.filter { $0.dialect.name == "postcard" }.count == CanonicalJob.allCases.count)
        #expect(DialectRegistry.dialect(named: "postcard") == nil)
    }

    /// Payloads go out as the very slices that came in.
    @Test(arguments: names) func payloadIsNotCopied(_ name: String) throws {
        let dialect = try #require(ConformanceSubjects.dialect(named: name))
        let delivery = dialect.traits.allowedDelivery.contains(.inline) ? Delivery.inline : .both
        guard dialect.traits.allowedDelivery.contains(delivery) else { return }
        let payload = ImagePayload(canonical: ByteBuffer(repeating: UInt8(ascii: "A"), count: 1 << 20))
        let address = payload.base64.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        let context = try Self.context(dialect, delivery: delivery)
        let preview = PartialImage(
            imageIndex: 0, partialImageIndex: 0, attributes: CanonicalJob.attributes, payload: payload)
        let events = [
            CanonicalJob.event(1, 0, .generating, 40, .partialImage(preview)),
            CanonicalJob.event(2, 0, .uploading, 95, .image(CanonicalJob.image(payload: payload))),
            CanonicalJob.completed.events[7],
        ]
        var encoder = dialect.makeStreamEncoder(context)
        var out = FrameOutput()
        for event in events { encoder.encode(event, into: &out) }
        // Some streams only say where a job stands; its pictures are in the answer.
        let stream = DialectDriving.stream(dialect, context, CanonicalJob.completed.events)
        let isStreamed = String(decoding: stream, as: UTF8.self).contains(CanonicalJob.final)
        var outputs = isStreamed ? [out.take().pieces] : []
        // Elsewhere answers name their pictures by URL.
        if delivery == .inline {
            var answer = dialect.makeAnswerEncoder(context)
            for event in events { answer.add(event) }
            var answerOut = FrameOutput()
            _ = answer.finish(into: &answerOut)
            outputs.append(answerOut.take().pieces)
        }
        for pieces in outputs {
            let large = pieces.filter { $0.readableBytes >= 1 << 20 }
            let addresses = large.map { $0.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) } }
            #expect(!addresses.isEmpty && addresses.allSatisfy { $0 == address })
            #expect(pieces.filter { $0.readableBytes < 1 << 20 }.reduce(0) { $0 + $1.readableBytes } < 4096)
        }
    }

    /// Clients that split each network read at newlines also decode each read by itself, and read no event that comes in two.
    @Test(arguments: names) func isolatedEventsSuitOneNetworkRead(_ name: String) throws {
        let dialect = try #require(ConformanceSubjects.dialect(named: name))
        guard dialect.traits.isolatedWrites else { return }
        for delivery in dialect.traits.allowedDelivery {
            let context = try Self.context(dialect, delivery: delivery)
            for job in CanonicalJob.allCases {
                for frame in DialectDriving.frames(dialect.makeStreamEncoder(context), job.events) where !frame.isEmpty
                {
                    #expect(frame.allSatisfy { $0 < 0x80 })
                    let lines = String(decoding: frame, as: UTF8.self).split(separator: "\n")
                    for line in lines where line.contains("https://") && !line.contains("b64_json") {
                        #expect(line.utf8.count <= 1200)
                    }
                    for line in lines {
                        #expect(line.hasPrefix("data: {"))
                        #expect(throws: Never.self) { try JSONDocument(ByteBuffer(string: String(line.dropFirst(6)))) }
                    }
                }
            }
        }
    }

    @Test(arguments: names) func wrongBodiesAreRefused(_ name: String) throws {
        let dialect = try #require(ConformanceSubjects.dialect(named: name))
        let broken = DialectDriving.refusal(dialect, "{\"prompt\": \"a\",\n  nope}")
        #expect(broken?.code == .invalidJSON)
        #expect(broken?.position?.line == 2)
        for (body, parameter) in try Self.wrongBodies(name) {
            let error = DialectDriving.refusal(dialect, body)
            #expect(error?.code == .invalidParameter && error?.parameter == parameter, "\(body.prefix(60))")
        }
        for body in ["[]", "\"a\"", "null", "7"] {
            #expect(DialectDriving.refusal(dialect, body)?.code == .invalidParameter, "\(body)")
        }
        #expect(DialectDriving.refusal(dialect, "")?.code == .invalidJSON)
        #expect(
            DialectDriving.refusal(dialect, "prompt=a", contentType: "application/x-www-form-urlencoded")?.code
                == .unsupportedMediaType)
        let request = String(decoding: try GoldenFiles.bytes("\(name)/request.json"), as: UTF8.self)
        #expect(DialectDriving.refusal(dialect, request, contentType: nil) == nil)
    }

    /// Bodies with the parameter that each is refused for: those of `wrong.json`, else what is wrong wherever there is a `prompt`.
    private static func wrongBodies(_ name: String) throws -> [(String, String)] {
        guard let bytes = try? GoldenFiles.bytes("\(name)/wrong.json") else {
            return [
                ("{}", "prompt"), ("{\"prompt\": \"  \\n\"}", "prompt"), ("{\"prompt\": 7}", "prompt"),
                ("{\"prompt\": null}", "prompt"), ("{\"prompt\": [\"a\"]}", "prompt"),
                ("{\"prompt\": \"\(String(repeating: "x", count: 32_001))\"}", "prompt"),
            ]
        }
        return try JSONDocument(ByteBuffer(bytes: bytes)).root.elements.map { element in
            let body = try #require(element["body"]).raw
            return (String(buffer: body), try #require(element["parameter"]?.string))
        }
    }
}
