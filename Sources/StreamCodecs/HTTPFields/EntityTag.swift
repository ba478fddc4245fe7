/// An entity tag: RFC 9110, section 8.8.3.
package struct EntityTag: Hashable, Sendable {
    package let isWeak: Bool
    /// What stands between the quotes.
    package let opaque: String

    /// - Parameter opaque: visible ASCII without `"`.
    package init(strong opaque: String) {
        self.isWeak = false
        self.opaque = opaque
    }

    /// Reads exactly one tag, as `If-Range` may hold it. Nil for anything else, a date among it.
    package init?(_ text: String) {
        var rest = Substring(text).utf8
        guard let tag = Self.take(from: &rest), rest.isEmpty else { return nil }
        self = tag
    }

    private init(isWeak: Bool, opaque: String) {
        self.isWeak = isWeak
        self.opaque = opaque
    }

    package var text: String { self.isWeak ? "W/\"\(self.opaque)\"" : "\"\(self.opaque)\"" }

    /// For `If-Range` and `If-Match`: the same bytes.
    package func stronglyMatches(_ other: EntityTag) -> Bool {
        !self.isWeak && !other.isWeak && self.opaque == other.opaque
    }

    /// For `If-None-Match`: as good as the same.
    package func weaklyMatches(_ other: EntityTag) -> Bool { self.opaque == other.opaque }

    fileprivate static func take(from rest: inout Substring.UTF8View) -> EntityTag? {
        let isWeak = rest.starts(with: "W/".utf8)
        if isWeak { rest = rest.dropFirst(2) }
        guard rest.popFirst() == UInt8(ascii: "\"") else { return nil }
        let opaque = rest.prefix { $0 == 0x21 || (0x23...0x7E).contains($0) || $0 >= 0x80 }
        rest = rest[opaque.endIndex...]
        guard rest.popFirst() == UInt8(ascii: "\"") else { return nil }
        return EntityTag(isWeak: isWeak, opaque: String(Substring(opaque)))
    }
}

/// The value of `If-Match` or `If-None-Match`: RFC 9110, sections 13.1.1 and 13.1.2.
package enum EntityTagCondition: Hashable, Sendable {
    /// `*`
    case any
    case tags([EntityTag])

    /// Nil when the field is neither `*` nor a list of tags. Empty list elements are skipped.
    package init?(field: String) {
        if field == "*" {
            self = .any
            return
        }
        var tags: [EntityTag] = []
        var rest = Substring(field).utf8
        var mayTake = true
        while let byte = rest.first {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"):
                rest.removeFirst()
            case UInt8(ascii: ","):
                rest.removeFirst()
                mayTake = true
            default:
                guard mayTake, let tag = EntityTag.take(from: &rest) else { return nil }
                tags.append(tag)
                mayTake = false
            }
        }
        guard !tags.isEmpty else { return nil }
        self = .tags(tags)
    }

    package func stronglyMatches(_ tag: EntityTag) -> Bool {
        switch self {
        case .any: true
        case .tags(let tags): tags.contains { $0.stronglyMatches(tag) }
        }
    }

    package func weaklyMatches(_ tag: EntityTag) -> Bool {
        switch self {
        case .any: true
        case .tags(let tags): tags.contains { $0.weaklyMatches(tag) }
        }
    }
}
