package import Admission
import StreamCodecs

extension RoutesFile {
    /// An entry of a list in `limits`: one thing that is counted.
    package struct Limit: Sendable {
        /// By what requests are told apart. Required.
        package let per: Located<LimitRule.Scope>?
        /// Create requests in a period.
        package let requests: Located<RequestRate>?
        /// Pictures in a period.
        package let images: Located<RequestRate>?
        /// Cost units (`costs`) in a period.
        package let cost: Located<RequestRate>?
        /// Jobs at once, 1…1,000,000.
        package let concurrent: Located<Int>?
        /// The most at once. Default: the whole quantity. Not for `/day` and `concurrent`.
        package let burst: Located<Int>?
        /// Counts and reports, refuses nothing. Default false.
        package let shadow: Located<Bool>?
        /// The keys that are there.
        package let present: Set<Key>

        package enum Key: String, ConfigurationKey {
            case per, requests, images, cost, concurrent, burst, shadow
        }
    }

    /// `costs`
    package struct Costs: Sendable {
        /// Units of one picture by `size/quality`; `*` stands for any run of characters.
        package let image: Located<[NamedEntry<Double>]>?
        /// Units of one preview of one picture. Default 0.
        package let preview: Located<Double>?

        package enum Key: String, ConfigurationKey { case image, preview }
    }
}

extension RoutesFile.Limit: ConfigurationObject {
    /// The largest quantity, and the largest burst.
    static let most = 1_000_000_000

    init(_ reader: ObjectReader<Key>) {
        self.per = reader.require(.per, .limitScope)
        self.requests = reader.read(.requests, .rate)
        self.images = reader.read(.images, .rate)
        self.cost = reader.read(.cost, .rate)
        self.concurrent = reader.read(.concurrent, .integer(in: 1...1_000_000))
        self.burst = reader.read(.burst, .integer(in: 1...Self.most))
        self.shadow = reader.read(.shadow, .boolean)
        self.present = reader.present
    }
}

extension RoutesFile.Costs: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.image = reader.read(.image, .costPatterns)
        self.preview = reader.read(.preview, .cost)
    }
}

extension ValueForm<LimitRule.Scope> {
    static var limitScope: Self {
        ValueForm("\"ip\", \"token\", \"route\", \"global\" or a claim such as \"claim:tenant\"") { value in
            switch value.node.string {
            case "ip": .ip
            case "token": .token
            case "route": .route
            case "global": .global
            case let text?: Self.claim(text).map { .claim($0) }
            case nil: nil
            }
        }
    }

    /// Visible ASCII that needs no quoting in a header field; claims are often named by a URL.
    private static func claim(_ text: String) -> String? {
        guard text.hasPrefix("claim:") else { return nil }
        let name = text.dropFirst("claim:".count)
        let fine = name.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C }
        return (1...128).contains(name.utf8.count) && fine ? String(name) : nil
    }
}

extension ValueForm<Double> {
    static var cost: Self {
        ValueForm("a number from 0 to 1000000") { value in
            value.node.double.flatMap { (0...1_000_000).contains($0) ? $0 : nil }
        }
    }
}

extension ValueForm<[NamedEntry<Double>]> {
    static var costPatterns: Self {
        ValueForm(expected: "an object of costs by \"size/quality\"") { value in
            value.members()?.map { name, place, member in
                let fine = (1...128).contains(name.utf8.count) && name.utf8.allSatisfy { (0x21...0x7E).contains($0) }
                if !fine {
                    let message = "expected a pattern such as \"1024x1024/high\" or \"*\""
                    value.source.report(
                        ConfigurationProblem(.error, at: place, "\(message), found \(ConfigurationText.quoted(name))"))
                }
                return NamedEntry(name: name, place: place, value: ValueForm<Double>.cost.read(member))
            }
        }
    }
}
