import NIOHTTP1
import Testing

@testable import Gateway

@Suite struct BodyFramingTests {
    private func framing(_ headers: HTTPHeaders, received: Int) -> BodyFraming {
        var framing = BodyFraming()
        framing.receivedBytes = received
        framing.read(HTTPRequestHead(version: .http1_1, method: .POST, uri: "/v1/generate", headers: headers))
        return framing
    }

    @Test(arguments: [
        // Chunks of one byte, six bytes each on the way.
        (6_000_000, 1_000_000, false), (70_000, 65_000, false), (16_000, 0, false), (65_536 + 200, 1, true),
        (40_000, 100, true), (1 << 30, 1 << 20, true),
    ])
    func chunksMayHaveSoMuchFraming(received: Int, body: Int, isTooMuch: Bool) {
        let chunked = self.framing(["transfer-encoding": "chunked"], received: received)
        #expect(chunked.isTooMuch(body: body) == isTooMuch)
        #expect(!self.framing(["content-length": "5"], received: received).isTooMuch(body: body))
    }

    @Test func headsAreNotFraming() {
        let headers = HTTPHeaders([("transfer-encoding", "chunked"), ("x", String(repeating: "a", count: 15_000))])
        #expect(!self.framing(headers, received: 30_000).isTooMuch(body: 0))
    }
}
