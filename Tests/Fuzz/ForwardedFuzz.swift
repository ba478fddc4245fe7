import Glibc
import NIOCore
import StreamCodecs

// An address is read as the system reads it or not at all, and means the same when it is written again; so do the nodes of a
// field. What a hostile prefix does to a field can only take it away as a whole: it never changes who comes last.

@_cdecl("LLVMFuzzerTestOneInput")
func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = FuzzInput(start, count)
    let text = String(decoding: input.payload, as: UTF8.self)
    checkAddress(text)
    if let network = IPNetwork(text) {
        precondition(network.contains(network.address), "a block without its own address")
        precondition(IPNetwork(network.description) == network, "another block when written again")
    }
    if let nodes = ForwardedField.nodes(forwarded: text) {
        precondition(ForwardedField.nodes(forwarded: written(nodes)) == nodes, "other nodes when written again")
    }
    for node in ForwardedField.nodes(xForwardedFor: text) ?? [] {
        if case .obfuscated = node { preconditionFailure("a word where there is none") }
    }
    let proxy = IPAddress(ipv4: 0xC000_0201)
    if let nodes = ForwardedField.nodes(forwarded: text + ", for=\(proxy);proto=https") {
        precondition(nodes.last == .address(proxy), "the proxy's own element was lost")
    }
    if let nodes = ForwardedField.nodes(xForwardedFor: text + ", \(proxy)") {
        precondition(nodes.last == .address(proxy), "the proxy's own address was lost")
    }
    return 0
}

private func checkAddress(_ text: String) {
    let address = IPAddress(text)
    if let address { precondition(IPAddress(address.description) == address, "another address when written again") }
    guard !text.utf8.contains(0) else { return precondition(address == nil, "an address with NUL") }
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 {
        let value = bytes[..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        precondition(address == IPAddress(ipv4: value), "another IPv4 address than the system's")
    } else if inet_pton(AF_INET6, text, &bytes) == 1 {
        let high = bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let low = bytes[8...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        precondition(address == IPAddress(high: high, low: low), "another IPv6 address than the system's")
    } else {
        precondition(address == nil, "an address that the system does not know")
    }
}

private func written(_ nodes: [ForwardedNode]) -> String {
    nodes.map { node in
        switch node {
        case .address(let address): address.isIPv4 ? "for=\(address)" : "for=\"[\(address)]\""
        case .unknown: "for=unknown"
        case .obfuscated(let name): "for=\(name)"
        }
    }.joined(separator: ",")
}
