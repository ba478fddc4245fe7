import ImageGeneration
import NIOCore
import StreamCodecs

/// One reply or event of a queued service, read along the definition's paths.
struct QueueReply {
    let fields: JSONFieldScanner
    let document: ByteBuffer
    let paths: QueueReplyPaths

    /// Text longer than this is no name, state or message.
    static let maximumText = 64 << 10

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
        if let least = self.paths.progressStage, self.number(self.paths.progress) != nil {
            known = max(known ?? least, least)
        }
        if self.isSet(self.paths.failureWhen) { known = max(known ?? .failed, .failed) }
        return (known, unknown)
    }

    /// The service drew the pictures and no longer keeps them.
    var isRemoved: Bool { self.isSet(self.paths.removed) }

    private func isSet(_ list: [Int]) -> Bool {
        list.contains { path in self.fields.all(path).contains(where: self.isSet) }
    }

    /// Neither null, false, 0 nor empty.
    func isSet(_ field: JSONField) -> Bool {
        switch field.kind {
        case .null, .false: false
        case .true: true
        case .number: JSONValueReader.double(field, in: self.document) != 0
        case .string: !field.range.isEmpty
        case .object, .array: field.range.count > 2
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
                    at: max(raw.readerIndex, raw.writerIndex - ProgressBar.maximumTail),
                    length: min(ProgressBar.maximumTail, raw.readableBytes))
                latest =
                    tail.flatMap {
                        ProgressBar.percentage(in: $0.readableBytesView, form: self.paths.progressLogForm)
                    } ?? latest
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
