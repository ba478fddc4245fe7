import ImageGeneration
import NIOCore
import StreamCodecs

/// A picture as a reply names it.
struct QueueImage {
    enum Source {
        /// Canonical.
        case payload(ByteBuffer)
        case url(String)
    }

    var source: Result<Source, GatewayError>
    var attributes: UpstreamImageAttributes
    var revisedPrompt: String?
}

extension QueueReply {
    /// Where in the reply's arrays a value stands; −1 where its path has no `*`.
    private struct Place: Hashable, Comparable {
        let outer: Int
        let inner: Int

        init(_ field: JSONField) { (self.outer, self.inner) = field.elements }

        static func < (left: Self, right: Self) -> Bool { (left.outer, left.inner) < (right.outer, right.inner) }

        /// Whether what stands at `other` is said of what stands here. Of a single picture a list says it first.
        func isToldOf(by other: Place) -> Bool {
            if self == other { return true }
            if self.outer < 0 { return other.outer == 0 && other.inner <= 0 }
            return other.outer == self.outer && (other.inner < 0 || self.inner < 0 && other.inner == 0)
        }
    }

    /// Pictures in the order of the reply, at most `limit`; of the definition's alternatives the first that names any.
    func images(limit: Int, base: String) -> [QueueImage] {
        for entry in self.paths.images {
            let inline = self.strings(entry.base64)
            let named = self.strings(entry.url)
            let places = Set(inline.keys).union(named.keys).sorted()
            guard !places.isEmpty else { continue }
            return places.prefix(limit).map { place in
                QueueImage(
                    source: Result { () throws(GatewayError) in
                        try self.checkKept(entry, place)
                        return try self.source(inline[place], named[place], base: base)
                    },
                    attributes: self.attributes(entry, at: place),
                    revisedPrompt: self.element(entry.revisedPrompt, at: place).flatMap {
                        $0.range.count <= Self.maximumText ? JSONValueReader.string($0, in: self.document) : nil
                    })
            }
        }
        return []
    }

    private func strings(_ path: Int?) -> [Place: JSONField] {
        guard let path else { return [:] }
        let fields = self.fields.all(path).filter { $0.kind == .string && !$0.range.isEmpty }
        return Dictionary(fields.map { (Place($0), $0) }, uniquingKeysWith: { first, _ in first })
    }

    private func element(_ path: Int?, at place: Place) -> JSONField? {
        path.flatMap { self.fields.all($0).last { place.isToldOf(by: Place($0)) } }
    }

    /// - Throws: `refused` where moderation withheld the picture: what lies there in its place is none.
    private func checkKept(_ entry: QueueReplyPaths.Images, _ place: Place) throws(GatewayError) {
        guard let field = self.element(entry.refused, at: place), self.isSet(field) else { return }
        throw GatewayError(.refused, "The upstream's moderation withheld the picture.", billed: .yes)
    }

    private func source(
        _ inline: JSONField?, _ named: JSONField?, base: String
    ) throws(GatewayError) -> QueueImage.Source {
        let isDataURL = named.map {
            JSONValueReader.slice($0, in: self.document).readableBytesView.starts(with: "data:".utf8)
        }
        if let field = inline ?? (isDataURL == true ? named : nil) {
            var document = self.document
            do { return .payload(try Base64.canonical(field, in: &document)) } catch {
                throw GatewayError(
                    .upstreamProtocol, "The upstream sent a picture that is not valid base64.", billed: .yes)
            }
        }
        guard let named, named.range.count <= QueueURL.maximumLength,
            let url = JSONValueReader.string(named, in: self.document).flatMap({ QueueURL.resolved($0, base: base) })
        else {
            throw GatewayError(
                .resultURLRefused, "The upstream named a picture by something that is no web address.", billed: .yes)
        }
        return .url(url)
    }

    private func attributes(_ entry: QueueReplyPaths.Images, at place: Place) -> UpstreamImageAttributes {
        func number(_ path: Int?) -> Int64? {
            self.element(path, at: place).flatMap {
                $0.kind == .number ? JSONValueReader.integer($0, in: self.document) : nil
            }
        }
        var attributes = UpstreamImageAttributes()
        if let width = number(entry.width), let height = number(entry.height), width > 0, height > 0 {
            attributes.size = "\(width)x\(height)"
        }
        if let field = self.element(entry.format, at: place), field.kind == .string, field.range.count <= 64 {
            attributes.outputFormat = JSONValueReader.string(field, in: self.document).map(Self.format)
        }
        return attributes
    }

    /// A media type or a file's ending is as good as the format's name.
    private static func format(_ text: String) -> String {
        let name = text.hasPrefix("image/") ? String(text.dropFirst(6)) : text
        return name == "jpg" ? "jpeg" : name
    }
}
