import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOPosix
import Testing

@testable import Gateway

@Suite struct RequestScopeTests {
    private static func scope(_ path: String, headers: HTTPFields = [:]) -> RequestScope {
        let head = HTTPRequest(method: .get, scheme: "http", authority: "localhost", path: path, headerFields: headers)
        let connection = ClientConnection(eventLoop: MultiThreadedEventLoopGroup.singleton.any(), remoteAddress: nil)
        return RequestScope(Request(head: head, body: RequestBody(buffer: ByteBuffer())), connection: connection)
    }

    private static func scope(requestID: String) -> RequestScope { self.scope("/", headers: [.requestID: requestID]) }

    @Test(arguments: [
        ("/a/b", "/a/b", []),
        ("/a?", "/a", []),
        ("/a?x=1&y=2", "/a", ["x=1", "y=2"]),
        ("/a?x", "/a", ["x="]),
        ("/a?x=1=2", "/a", ["x=1=2"]),
        ("/a?&&x=1&", "/a", ["x=1"]),
        ("/a%20b?x=%20+%2B", "/a%20b", ["x=  +"]),
        ("/a?x=%zz%4&%41=%c3%a9", "/a", ["x=%zz%4", "A=é"]),
        ("/a?x=%+5%-1", "/a", ["x=% 5%-1"]),
        ("/a?x=%ff", "/a", ["x=\u{FFFD}"]),
        ("/a?b?c=d", "/a", ["b?c=d"]),
        ("*", "*", []),
    ]) func takesTheTargetApart(_ target: String, _ path: String, _ query: [String]) {
        let scope = Self.scope(target)
        #expect(scope.path == path)
        #expect(scope.query.map { "\($0.name)=\($0.value)" } == query)
    }

    @Test func theFirstOfARepeatedNameCounts() {
        #expect(Self.scope("/?x=1&x=2").query("x") == "1")
        #expect(Self.scope("/?x=1").query("y") == nil)
    }

    @Test(arguments: ["abc", "A-b.c_9", String(repeating: "x", count: 128)]) func keepsAHarmlessRequestID(_ id: String)
    {
        #expect(Self.scope(requestID: id).id == id)
        #expect(Self.scope(requestID: id).responseHeaders[.requestID] == id)
    }

    @Test(arguments: ["", "a b", "é", "a\"b", "a,b", String(repeating: "x", count: 129)])
    func replacesAnyOtherRequestID(_ id: String) {
        let made = Self.scope(requestID: id).id
        #expect(made != id && made.hasPrefix("req_") && made.utf8.count == 30)
    }

    @Test func everyRequestHasAnIDOfItsOwn() {
        #expect(Self.scope("/").id != Self.scope("/").id)
    }
}
