import Testing

@testable import StreamCodecs

@Suite struct ForwardedFieldTests {
    private static func text(_ nodes: [ForwardedNode]?) -> String? {
        nodes.map { nodes in
            nodes.map { node in
                switch node {
                case .address(let address): address.description
                case .unknown: "?"
                case .obfuscated(let name): name
                }
            }.joined(separator: " ")
        }
    }

    @Test(arguments: [
        ("for=192.0.2.43", "192.0.2.43"), ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("for=192.0.2.43, for=198.51.100.17", "192.0.2.43 198.51.100.17"),
        ("for=192.0.2.43, for=\"[2001:db8:cafe::17]\",for=unknown", "192.0.2.43 2001:db8:cafe::17 ?"),
        ("for=_gazonk", "_gazonk"), ("for=_hidden, for=_SEVKISEK", "_hidden _SEVKISEK"), ("for=\"_x:_port\"", "_x"),
        ("for=\"192.0.2.43:80\"", "192.0.2.43"), ("for=\"192.0.2.43:_p-1\"", "192.0.2.43"), ("FOR=UNKNOWN", "?"),
        ("for=\"1\\92.0.2.43\"", "192.0.2.43"), ("proto=https", "?"), ("proto=https;for=192.0.2.1", "192.0.2.1"),
        ("for=192.0.2.1 ; proto=http", "192.0.2.1"), (";;for=192.0.2.1;;", "192.0.2.1"), ("", ""), (" , ,", ""),
        ("for=192.0.2.1,,for=192.0.2.2,", "192.0.2.1 192.0.2.2"),
        ("host=\"a,b;c=\\\"d\\\"\";for=192.0.2.1", "192.0.2.1"),
        ("\tfor=192.0.2.1\t", "192.0.2.1"), ("secret=\"é\";for=192.0.2.1", "192.0.2.1"),
    ]) func reads(_ field: String, _ nodes: String) {
        #expect(Self.text(ForwardedField.nodes(forwarded: field)) == nodes)
    }

    /// One bad element, and none of the field can be relied upon.
    @Test(arguments: [
        "for", "for=", "=1", "for =192.0.2.1", "for= 192.0.2.1", "for=192.0.2.1:80", "for=[2001:db8::1]",
        "for=\"2001:db8::1\"",
        "for=\"192.0.2.1", "for=192.0.2.1\"", "for=\"192.0.2.1\"x", "for=\"a, for=192.0.2.1",
        "for=\"x, for=\"[2001:db8::1]:80\"",
        "for=192.0.2.1;for=192.0.2.2", "for=_", "for=\"_a b\"", "for=example.com", "for=256.0.0.1",
        "for=\"[192.0.2.1]\"",
        "for=\"192.0.2.1:\"", "for=\"192.0.2.1:123456\"", "for=\"[::1\"", "for=\"[::1]80\"",
        "for=192.0.2.1 for=192.0.2.2",
        "for=\"\u{7F}\"", "for=\"\\", "for=192.0.2.1,proto", "for=192.0.2.1;proto=http;proto=https",
    ]) func refuses(_ field: String) { #expect(ForwardedField.nodes(forwarded: field) == nil) }

    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("192.0.2.1, 192.0.2.2", "192.0.2.1 192.0.2.2"), ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"), ("[2001:db8::1]:443,192.0.2.1:80", "2001:db8::1 192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""), (" , \t,", ""), ("unknown", "?"), ("_x", "?"), ("192.0.2.1 192.0.2.2", "?"), ("\"192.0.2.1\"", "?"),
        ("for=192.0.2.1", "?"), ("192.0.2.1:99999999", "?"), ("a, 192.0.2.1", "? 192.0.2.1"), ("192.0.2.1:80:90", "?"),
    ]) func readsXForwardedFor(_ field: String, _ nodes: String) {
        #expect(Self.text(ForwardedField.nodes(xForwardedFor: field)) == nodes)
    }

    @Test func readsSoManyAndNoMore() {
        let most = ForwardedField.maximumNodes
        let elements = [String](repeating: "for=192.0.2.1", count: most)
        #expect(ForwardedField.nodes(forwarded: elements.joined(separator: ","))?.count == most)
        #expect(ForwardedField.nodes(forwarded: (elements + ["for=192.0.2.1"]).joined(separator: ",")) == nil)
        let addresses = [String](repeating: "192.0.2.1", count: most)
        #expect(ForwardedField.nodes(xForwardedFor: addresses.joined(separator: ","))?.count == most)
        #expect(ForwardedField.nodes(xForwardedFor: (addresses + ["192.0.2.1"]).joined(separator: ",")) == nil)
    }
}
