import ImageGeneration
import StreamCodecs

extension String {
    /// 1 to 64 letters, digits, `.`, `_` and `-`.
    var isConfigurationName: Bool {
        (1...64).contains(self.utf8.count) && self.utf8.allSatisfy(ConfigurationText.isName)
    }

    /// 1 to `limit` bytes, no control characters.
    func isPlainText(limit: Int) -> Bool {
        (1...limit).contains(self.utf8.count)
            && !self.unicodeScalars.contains { $0.properties.generalCategory == .control }
    }
}

extension ValueForm<String> {
    /// Any text of 1 to `limit` bytes without control characters.
    static func text(limit: Int = 4096) -> Self {
        ValueForm("a text of 1 to \(limit) bytes without control characters") { value in
            value.node.string.flatMap { $0.isPlainText(limit: limit) ? $0 : nil }
        }
    }

    /// A word such as an upstream's name for a quality.
    static var word: Self {
        ValueForm("a word of at most 64 letters, digits, \".\", \"_\" and \"-\"") { value in
            value.node.string.flatMap { $0.isConfigurationName ? $0 : nil }
        }
    }

    /// A route's name: also a metric label, so it is short and plain.
    static var routeName: Self {
        ValueForm("a name of at most 128 printable ASCII characters without spaces and quotes") { value in
            value.node.string.flatMap { name in
                let fine = name.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }
                return (1...128).contains(name.utf8.count) && fine ? name : nil
            }
        }
    }

    /// A path of the URL space: `/v1/generate`.
    static var urlPath: Self {
        ValueForm("a path such as \"/v1/generate\" (no query, no trailing slash, no \".\" or \"..\")") { value in
            value.node.string.flatMap { path in
                let steps = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
                let fine = path.hasPrefix("/") && steps.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
                return fine && path.utf8.count <= 1024 && path.utf8.allSatisfy(NetworkNames.isPathByte) ? path : nil
            }
        }
    }

    /// Steps below a folder of ours: `generated-images`.
    static var prefix: Self {
        ValueForm("a relative path of letters, digits, \".\", \"_\", \"-\" and \"/\"") { value in
            value.node.string.flatMap { text in
                let steps = text.split(separator: "/", omittingEmptySubsequences: false)
                let fine = steps.allSatisfy {
                    !$0.isEmpty && !$0.hasPrefix(".") && $0.utf8.allSatisfy(ConfigurationText.isName)
                }
                return fine && text.utf8.count <= 255 ? text : nil
            }
        }
    }

    /// What a URL is refused for is said without repeating it: it may carry a password.
    static var webURL: Self {
        unrepeated("an http or https URL without user information, query and fragment") { text in
            NetworkNames.webURL(text)?.text
        }
    }

    static var proxy: Self {
        unrepeated("a proxy such as \"http://host:3128\" or \"socks5h://host:1080\", without password") {
            NetworkNames.proxy($0)
        }
    }

    /// A model name, or with `*` a family of them.
    static var modelPattern: Self {
        ValueForm("a model name such as \"gpt-image-1\" or \"gpt-image-*\"") { value in
            value.node.string.flatMap { $0.isPlainText(limit: 256) ? $0 : nil }
        }
    }
}

extension ValueForm {
    /// Text whose content is never shown.
    static func unrepeated(_ expected: String, parse: @escaping @Sendable (String) -> Value?) -> Self {
        ValueForm(expected: expected) { value in
            if let parsed = value.node.string.flatMap(parse) { return parsed }
            value.report("expected \(expected), found \(value.node.kind == .string ? "another text" : value.found)")
            return nil
        }
    }
}

extension ValueForm<String> {
    /// As browsers write an `Origin`: lower case, no path, no default port.
    static var origin: Self {
        ValueForm("an origin such as \"https://app.example\" (lower case, no path, no default port)") { value in
            value.node.string.flatMap { NetworkNames.isOrigin($0) ? $0 : nil }
        }
    }
}

extension ValueForm<IPNetwork> {
    static var network: Self {
        ValueForm("a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or an address alone") { value in
            value.node.string.flatMap { IPNetwork($0) }
        }
    }
}

extension ValueForm<ListenAddress> {
    static var listenAddress: Self {
        ValueForm("an address such as \"127.0.0.1:8080\" or \"[::1]:8080\"") { value in
            value.node.string.flatMap { ListenAddress($0) }
        }
    }
}

extension ValueForm<UpstreamBase> {
    static var upstreamBase: Self {
        unrepeated("\"simulator:\" or \(ValueForm<String>.webURL.expected)") { text in
            text == "simulator:" ? .simulator : NetworkNames.webURL(text).map { .url($0.text) }
        }
    }
}

extension ValueForm<HostPattern> {
    static var hostPattern: Self {
        ValueForm("a host such as \"images.example\" or \"*.images.example\"") { value in
            value.node.string.flatMap { HostPattern($0) }
        }
    }
}

extension ValueForm<[SecretReference]> {
    /// `{"env": "NAME"}`, `{"file": "path"}` or a list of those. A value of another form may be the secret itself, so
    /// it is never shown.
    static var secret: Self {
        ValueForm(expected: #"{"env": "NAME"}, {"file": "path"} or a list of those"#) { value in
            if value.node.kind == .array {
                let found = value.elements() ?? []
                if found.isEmpty { value.report("expected at least one secret, found an empty list") }
                return found.compactMap(Self.reference)
            }
            return Self.reference(value).map { [$0] }
        }
    }

    private static func reference(_ value: ConfigurationValue) -> SecretReference? {
        let members = value.node.kind == .object ? value.node.members : []
        if members.count == 1, let member = members.first, let text = member.value.string, !text.isEmpty {
            if member.key == "env", text.utf8.allSatisfy(ConfigurationText.isName) { return .environment(text) }
            if member.key == "file", text.isPlainText(limit: 4096) { return .file(text) }
        }
        let kind = value.node.kind == .string ? "a text (secrets are never written into this file)" : "another value"
        value.report(#"expected {"env": "NAME"} or {"file": "path"}, found \#(kind)"#)
        return nil
    }
}

extension ValueForm<DisconnectPolicy> {
    static var disconnectPolicy: Self {
        ValueForm(
            "\"continue\", \"cancel\" or a grace such as \"30s\", from 1s to 1d"
        ) { value in
            switch value.node.string {
            case "continue": .continue
            case "cancel": .cancel
            default:
                value.node.string.flatMap(ConfigurationUnits.duration)
                    .flatMap { (.seconds(1) ... .seconds(86_400)).contains($0) ? .grace($0) : nil }
            }
        }
    }
}

extension ValueForm<ImageRequest.Size> {
    /// `"auto"`, `"1024x1024"` or another word that upstreams know.
    static var imageSize: Self {
        ValueForm("a size such as \"1024x1024\" or \"auto\"") { value in
            value.node.string.flatMap { $0.isConfigurationName ? .named($0) : nil }
        }
    }

    static var aspectRatio: Self {
        ValueForm("an aspect ratio such as \"16:9\"") { value in
            let parts = value.node.string?.split(separator: ":", omittingEmptySubsequences: false) ?? []
            let numbers = parts.compactMap { $0.hasPrefix("+") ? nil : Int($0) }.filter { (1...1000).contains($0) }
            return parts.count == 2 && numbers.count == 2 ? .aspectRatio(width: numbers[0], height: numbers[1]) : nil
        }
    }
}
