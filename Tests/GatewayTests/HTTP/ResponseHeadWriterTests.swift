import HTTPTypes
import NIOCore
import Testing

@testable import Gateway

@Suite struct ResponseHeadWriterTests {
    @Test(arguments: [
        (false, false, "HTTP/1.1 200 OK\r\nserver: s\r\ntransfer-encoding: chunked\r\n\r\n"),
        (false, true, "HTTP/1.1 200 OK\r\nserver: s\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"),
        (true, true, "HTTP/1.0 200 OK\r\nserver: s\r\nconnection: close\r\n\r\n"),
    ])
    func spellsTheFraming(_ isHTTP10: Bool, _ closes: Bool, _ expected: String) throws {
        let name = try #require(HTTPField.Name("server"))
        let head = HTTPResponse(status: .ok, headerFields: [name: "s"])
        let bytes = ResponseHeadWriter.bytes(
            head, isHTTP10: isHTTP10, closes: closes, allocator: ByteBufferAllocator())
        #expect(String(buffer: bytes) == expected)
    }

    /// What could end a line is out of a field's value before it comes here.
    @Test func valuesKeepToTheirLine() throws {
        let name = try #require(HTTPField.Name("x-request-id"))
        let head = HTTPResponse(status: .ok, headerFields: [name: "a\r\nevil: 1"])
        let bytes = ResponseHeadWriter.bytes(head, isHTTP10: false, closes: false, allocator: ByteBufferAllocator())
        #expect(!String(buffer: bytes).contains("\nevil"))
    }
}
