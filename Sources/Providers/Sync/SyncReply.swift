import ImageGeneration
import NIOCore
import StreamCodecs

/// An answer read along the definition's paths.
struct SyncReply {
    let fields: JSONFieldScanner
    let document: ByteBuffer
    let paths: SyncReplyPaths

    private static let maximumText = 64 << 10

    /// A picture as the answer names it.
    struct Picture {
        var base64: JSONField?
        var url: JSONField?
        var attributes = UpstreamImageAttributes()
        var revisedPrompt: String?
    }

    func text(_ list: [Int]) -> String? {
        for path in list {
            for field in self.fields.all(path) {
                if let text = self.text(field), !text.isEmpty { return text }
            }
        }
        return nil
    }

    private func text(_ field: JSONField) -> String? {
        guard field.kind == .string, field.range.count <= Self.maximumText else { return nil }
        return JSONValueReader.string(field, in: self.document)
    }

    private func integer(_ list: [Int]) -> Int? {
        list.lazy.compactMap { self.fields.last($0) }.compactMap { JSONValueReader.integer($0, in: self.document) }
            .first.map { Int(min(max($0, 0), 1 << 40)) }
    }

    var usage: Usage? {
        let input = self.integer(self.paths.inputTokens)
        let output = self.integer(self.paths.outputTokens)
        let total = self.integer(self.paths.totalTokens)
        guard input != nil || output != nil || total != nil else { return nil }
        return Usage(
            inputTokens: input ?? 0, outputTokens: output ?? 0, totalTokens: total ?? (input ?? 0) + (output ?? 0))
    }

    /// Why the service failed, though it answered with success.
    var failure: UpstreamErrorReport? {
        guard self.paths.failureWhen.contains(where: { self.fields.all($0).contains(where: self.saysSomething) }) else {
            return nil
        }
        return UpstreamErrorReport(
            code: self.text(self.paths.failureCode), message: self.text(self.paths.failureMessage))
    }

    private func saysSomething(_ field: JSONField) -> Bool {
        switch field.kind {
        case .null, .false: false
        case .true, .number: true
        case .string: !field.range.isEmpty
        case .object, .array: field.range.count > 2
        }
    }

    /// Pictures that were refused, by index, and why; -1 is the whole request.
    var refusals: [Int: String?] {
        var found: [Int: String?] = [:]
        for rule in self.paths.refused {
            for field in self.fields.all(rule.path) {
                let matches: Bool =
                    switch rule.value {
                    case nil: self.saysSomething(field)
                    case .boolean(let flag): field.kind == (flag ? .true : .false)
                    case .text(let wanted): self.text(field) == wanted
                    }
                guard matches, found[field.elements.0] == nil else { continue }
                found[field.elements.0] = .some(rule.value == nil ? self.text(field) : nil)
            }
        }
        return found
    }

    /// Pictures by their index in the answer, at most `limit` of them.
    func pictures(limit: Int) -> [Int: Picture] {
        for entry in self.paths.images {
            var pictures: [Int: Picture] = [:]
            func each(_ path: Int?, _ take: (inout Picture, JSONField) -> Void) {
                guard let path else { return }
                for field in self.fields.all(path) where field.kind == .string && !field.range.isEmpty {
                    let index = max(0, field.elements.0)
                    if index < limit { take(&pictures[index, default: Picture()], field) }
                }
            }
            each(entry.base64) { $0.base64 = $1 }
            each(entry.url) { picture, field in
                // A link may hold the picture itself.
                let isData = JSONValueReader.slice(field, in: self.document).readableBytesView.starts(
                    with: "data:".utf8)
                if isData { picture.base64 = picture.base64 ?? field } else { picture.url = field }
            }
            guard !pictures.isEmpty else { continue }
            each(entry.format) { $0.attributes.outputFormat = self.format($1) }
            each(entry.size) { $0.attributes.size = self.label($1) }
            each(entry.revisedPrompt) { $0.revisedPrompt = self.text($1) }
            return pictures.filter { $0.value.base64 != nil || $0.value.url != nil }
        }
        return [:]
    }

    private func label(_ field: JSONField) -> String? {
        field.range.count <= 64 ? JSONValueReader.string(field, in: self.document) : nil
    }

    /// `png` or `image/png`.
    private func format(_ field: JSONField) -> String? {
        self.label(field).flatMap { text in
            let word = text.lowercased()
            return ImageFormat.allCases.first {
                $0.rawValue == word || $0.mediaType == word || $0.fileExtension == word
            }?
            .rawValue
        }
    }
}
