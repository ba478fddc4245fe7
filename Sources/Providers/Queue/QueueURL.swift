/// The few things that are asked of a URL before a call goes to it.
enum QueueURL {
    static let maximumLength = StrictURL.maximumLength

    /// Whether a call with the key may go there: the base URL's own origin, or over https a host of the list.
    static func isTrusted(_ url: String, base: String, hosts: [String]) -> Bool {
        guard let target = StrictURL(url) else { return false }
        if let own = StrictURL(base), own.hasOrigin(of: target) { return true }
        guard target.isSecure, target.effectivePort == 443 else { return false }
        return hosts.contains { pattern in
            pattern.hasPrefix("*.")
                ? target.host.hasSuffix(pattern.dropFirst()) && target.host.count >= pattern.count
                : target.host == pattern
        }
    }

    /// A URL to fetch a picture by: absolute as named, or a path at the base URL's origin.
    static func resolved(_ url: String, base: String) -> String? {
        guard url.hasPrefix("/"), !url.hasPrefix("//"), StrictURL(base) != nil else {
            return StrictURL(url) == nil ? nil : url
        }
        let scheme = base.prefix { $0 != "/" }
        let authority = base.dropFirst(scheme.count + 2).prefix { $0 != "/" }
        let absolute = "\(scheme)//\(authority)\(url)"
        return StrictURL(absolute) == nil ? nil : absolute
    }

    /// A path and a query behind an address that may have both. A fragment is dropped, as it is never sent.
    /// - Parameter query: name and value, encoded; those whose name the address has already are left out.
    static func extended(_ address: String, by suffix: String, query: [(name: String, value: String)]) -> String {
        let whole = address.prefix { $0 != "#" }
        let head = whole.prefix { $0 != "?" }
        let path = suffix.prefix { $0 != "?" }
        var items = [whole.dropFirst(head.count + 1), suffix.dropFirst(path.count + 1)]
            .flatMap { $0.split(separator: "&") }.map(String.init)
        for (name, value) in query where !items.contains(where: { $0 == name || $0.hasPrefix(name + "=") }) {
            items.append("\(name)=\(value)")
        }
        return head + path + (items.isEmpty ? "" : "?" + items.joined(separator: "&"))
    }

    /// With its percent-encoded bytes decoded, once.
    static func decoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2)
            // A sign is no digit, though the number's own reading takes one.
            if byte == UInt8(ascii: "%"), digits.count == 2, digits.allSatisfy({ $0 >= 0x30 }),
                let value = UInt8(Substring(digits), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Percent-encodes all but letters, digits and `kept`.
    static func encoded(_ text: String, keeping kept: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            let isPlain = byte.isDigit || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            if isPlain || kept.utf8.contains(byte) {
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                encoded += "%" + (digits.utf8.count == 1 ? "0" : "") + digits
            }
        }
        return encoded
    }
}
