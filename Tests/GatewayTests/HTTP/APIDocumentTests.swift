import Dialects
import HTTPTypes
import NIOCore
import StreamCodecs
import Testing

@testable import Gateway

/// `/openapi.json` of the shipped routes. What it says is tried over the wire by `Tests/Integration/test_openapi.py`.
@Suite struct APIDocumentTests {
    private let table: RouteTable
    private let document: JSONDocument

    init() throws {
        let loaded = ConfigurationFixture.load(try ProjectFile.bytes("routes.json"), catalog: .current)
        let table = try #require(loaded.table)
        self.table = table
        self.document = try JSONDocument(APIDocument(table, publicURL: "https://images.example").encoded)
    }

    @Test func describesEveryCallOfEveryRoute() throws {
        let paths = try #require(self.document.root["paths"])
        for route in self.table.routes {
            for endpoint in route.endpoints {
                let subpath = endpoint.subpath.isEmpty ? "" : "/" + endpoint.subpath
                let path = (route.location.text + subpath).split(separator: "...").joined()
                let call = try #require(paths[path]?[endpoint.method.rawValue.lowercased()], "\(path)")
                #expect(call["summary"]?.string?.isEmpty == false)
                #expect(call["responses"]?["4XX"] != nil)
                let names = call["parameters"]?.elements.compactMap {
                    $0["in"]?.string == "path" ? $0["name"]?.string : nil
                }
                #expect((names ?? []).allSatisfy { path.contains("{\($0)}") }, "\(path)")
                #expect((names ?? []).count == path.split(separator: "/").count { $0.hasPrefix("{") }, "\(path)")
            }
        }
        #expect(paths["/v1/jobs/{id}"]?["delete"] != nil && paths["/v1/models"]?["get"] != nil)
        #expect(paths["/v1/images/{image}"]?["delete"]?["responses"]?["204"] != nil)
        #expect(self.document.root["servers"]?.elements.first?["url"]?.string == "https://images.example")
    }

    /// Where every route is public nothing speaks of tokens; where one is not, the own paths do.
    @Test func ownPathsAskForWhatRoutesAskFor() throws {
        for (auth, security, hasTickets) in [
            (#""auth": "public", "public_without_limits": true"#, 0, false), (#""auth": "required""#, 2, true),
        ] {
            let text = #"""
                {"storage": {"jobs": {"sqlite": "jobs.db"}},
                 "upstreams": {"one": {"provider": "openai-images", "base_url": "simulator:"}},
                 "routes": [{"name": "a", "path": "/a", "dialect": "unified", "operation": "generate", "upstreams": ["one"], \#(auth)}]}
                """#
            let loaded = ConfigurationFixture.load(text, catalog: .current)
            let table = try #require(loaded.table, "\(loaded)")
            let document = try JSONDocument(APIDocument(table, publicURL: "http://127.0.0.1").encoded)
            let paths = try #require(document.root["paths"])
            #expect(paths["/v1/jobs/{id}"]?["get"]?["security"]?.elements.count ?? 0 == security)
            #expect((paths["/v1/tickets"]?["post"]?["security"]?.elements.count == 1) == hasTickets)
            #expect((document.root["components"]?["securitySchemes"] != nil) == hasTickets)
        }
    }

    @Test func everyReferenceLeadsSomewhere() throws {
        let shared = try #require(self.document.root["components"]?["schemas"]).members.map(\.key)
        var found: Set<String> = []
        Self.references(self.document.root, into: &found)
        #expect(found.isSubset(of: Set(shared.map { "#/components/schemas/\($0)" })))
        #expect(!found.isEmpty)
    }

    private static func references(_ node: JSONNode, into found: inout Set<String>) {
        if let reference = node["$ref"]?.string { found.insert(reference) }
        for member in node.members { self.references(member.value, into: &found) }
        for element in node.elements { self.references(element, into: &found) }
    }

    @Test func picturesAreNumberedByDigitsAlone() {
        let job = "job_" + String(repeating: "a", count: 26)
        for (text, index) in [
            ("0", 0), ("9999", 9999), ("-1", nil), ("+1", nil), ("01", nil), ("10000", nil), ("", nil),
        ] {
            #expect(JobEndpoint.Call.index(text) == index, "\(text)")
            #expect((JobEndpoint.Call(path: "/v1/jobs/\(job)/previews/\(text)") != nil) == (index != nil), "\(text)")
        }
    }
}
