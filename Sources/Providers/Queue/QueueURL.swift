/// The few things that are asked of a URL before a call goes to it.
enum QueueURL {
    static let maximumLength = 8192

    /// `scheme://authority` of an absolute http or https URL without user information; nil for anything else.
    static func origin(of url: String) -> (scheme: String, authority: String)? {
        guard url.utf8.count <= self.maximumLength, url.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x5C })
        else {
            return nil
        }
        guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else { return nil }
        let scheme = url[..<colon].lowercased()
        let authority = url[url.index(colon, offsetBy: 3)...].prefix { !"/?#".contains($0) }.lowercased()
        guard scheme == "https" || scheme == "http", !authority.isEmpty, !authority.contains("@") else { return nil }
        return (scheme, authority)
    }

    /// Whether a call with the key may go there: the base URL's own origin, or over https a host of the list.
    static func isTrusted(_ url: String, base: String, hosts: [String]) -> Bool {
        guard let origin = self.origin(of: url) else { return false }
        if let own = self.origin(of: base), own == origin { return true }
        guard origin.scheme == "https" else { return false }
        let host = origin.authority.hasSuffix(":443") ? String(origin.authority.dropLast(4)) : origin.authority
        return hosts.contains { pattern in
            pattern.hasPrefix("*.")
                ? host.hasSuffix(pattern.dropFirst()) && host.count >= pattern.count : host == pattern
        }
    }

    /// A URL to fetch a picture by: absolute as named, or a path at the base URL's origin.
    static func resolved(_ url: String, base: String) -> String? {
        if url.hasPrefix("/"), !url.hasPrefix("//"), let origin = self.origin(of: base) {
            let absolute = "\(origin.scheme)://\(origin.authority)\(url)"
            return self.origin(of: absolute) == nil ? nil : absolute
        }
        return self.origin(of: url) == nil ? nil : url
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
