import ImageGeneration
import NIOCore
import StreamCodecs

/// One reply or event of a queued service, read along the definition's paths.
struct QueueReply {
    let fields: JSONFieldScanner
    let document: ByteBuffer
    let paths: QueueReplyPaths

    /// Text longer than this is no name, state or message.
    private static let maximumText = 64 << 10

    func text(_ list: [Int]) -> String? {
        for path in list {
            for field in self.fields.all(path) where field.range.count <= Self.maximumText {
                if field.kind == .string, !field.range.isEmpty {
                    return JSONValueReader.string(field, in: self.document)
                }
                if field.kind == .number { return String(buffer: JSONValueReader.slice(field, in: self.document)) }
            }
        }
        return nil
    }

    func number(_ list: [Int]) -> Double? {
        list.lazy.compactMap { path in
            self.fields.last(path).flatMap { $0.kind == .number ? JSONValueReader.double($0, in: self.document) : nil }
        }.first { $0.isFinite }
    }

    /// The furthest of the states named; `unknown` is a word the definition lacks.
    var state: (known: QueueState?, unknown: String?) {
        var known: QueueState?
        var unknown: String?
        for path in self.paths.state {
            guard let word = self.text([path]), word.utf8.count <= 128 else { continue }
            if let state = self.paths.states[word] {
                known = max(known ?? state, state)
            } else {
                unknown = unknown ?? word
            }
        }
        if self.saysFailure { known = max(known ?? .failed, .failed) }
        return (known, unknown)
    }

    private var saysFailure: Bool {
        self.paths.failureWhen.contains { path in
            self.fields.all(path).contains { field in
                switch field.kind {
                case .null, .false: false
                case .true, .number: true
                case .string: !field.range.isEmpty
                case .object, .array: field.range.count > 2
                }
            }
        }
    }

    /// 0…100.
    var progress: Int? {
        if let number = self.number(self.paths.progress) {
            return Int(min(max(number * self.paths.progressScale, 0), 100))
        }
        return self.logProgress
    }

    private var logProgress: Int? {
        var latest: Int?
        for path in self.paths.progressLog {
            for field in self.fields.all(path) where field.kind == .string {
                // Bars are at the end; a long log is not read from its start.
                let raw = JSONValueReader.slice(field, in: self.document)
                let tail = raw.getSlice(
                    at: max(raw.readerIndex, raw.writerIndex - 4096), length: min(4096, raw.readableBytes))
                latest = tail.flatMap { ProgressBar.percentage(in: $0.readableBytesView) } ?? latest
            }
        }
        return latest
    }

    var queuePosition: Int? {
        self.number(self.paths.queuePosition).flatMap { (0...1_000_000).contains($0) ? Int($0) : nil }
    }

    var estimatedMilliseconds: Int? {
        self.number(self.paths.estimate).flatMap { number in
            let milliseconds = number * self.paths.estimateUnit
            return (0...604_800_000).contains(milliseconds) ? Int(milliseconds) : nil
        }
    }

    var failure: UpstreamErrorReport {
        UpstreamErrorReport(code: self.text(self.paths.failureCode), message: self.text(self.paths.failureMessage))
    }
}

/// Text progress bars as tqdm writes them: ` 25%|##5       | 7/28 […]`.
enum ProgressBar {
    /// Of the last bar; 0…100.
    static func percentage(in text: ByteBufferView) -> Int? {
        var end = text.endIndex
        while let sign = text[..<end].lastIndex(of: UInt8(ascii: "%")) {
            let next = text.index(after: sign)
            if next < text.endIndex, text[next] == UInt8(ascii: "|"), let value = self.number(before: sign, in: text) {
                return value
            }
            end = sign
        }
        return nil
    }

    private static func number(before end: Int, in text: ByteBufferView) -> Int? {
        let digits = text[..<end].suffix(4).reversed().prefix { $0.isDigit }.reversed()
        guard (1...3).contains(digits.count) else { return nil }
        let value = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return value <= 100 ? value : nil
    }
}

// MARK: Pictures

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
    /// Pictures in the order of the reply, at most `limit`; of the definition's alternatives the first that names any.
    func images(limit: Int, base: String) -> [QueueImage] {
        for entry in self.paths.images {
            let inline = self.strings(entry.base64)
            let named = self.strings(entry.url)
            let indexes = Set(inline.keys).union(named.keys).sorted()
            guard !indexes.isEmpty else { continue }
            return indexes.prefix(limit).map { index in
                QueueImage(
                    source: Result { () throws(GatewayError) in try self.source(inline[index], named[index], base: base)
                    },
                    attributes: self.attributes(entry, at: index),
                    revisedPrompt: self.element(entry.revisedPrompt, at: index).flatMap {
                        $0.range.count <= Self.maximumText ? JSONValueReader.string($0, in: self.document) : nil
                    })
            }
        }
        return []
    }

    private func strings(_ path: Int?) -> [Int: JSONField] {
        guard let path else { return [:] }
        let fields = self.fields.all(path).filter { $0.kind == .string && !$0.range.isEmpty }
        return Dictionary(fields.map { ($0.elements.0, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private func element(_ path: Int?, at index: Int) -> JSONField? {
        path.flatMap { self.fields.all($0).last { $0.elements.0 == index } }
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

    private func attributes(_ entry: QueueReplyPaths.Images, at index: Int) -> UpstreamImageAttributes {
        func number(_ path: Int?) -> Int64? {
            self.element(path, at: index).flatMap {
                $0.kind == .number ? JSONValueReader.integer($0, in: self.document) : nil
            }
        }
        var attributes = UpstreamImageAttributes()
        if let width = number(entry.width), let height = number(entry.height), width > 0, height > 0 {
            attributes.size = "\(width)x\(height)"
        }
        if let field = self.element(entry.format, at: index), field.kind == .string, field.range.count <= 64 {
            attributes.outputFormat = JSONValueReader.string(field, in: self.document)
        }
        return attributes
    }
}
