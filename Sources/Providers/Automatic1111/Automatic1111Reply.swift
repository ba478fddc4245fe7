import ImageGeneration
import NIOCore
import StreamCodecs

/// The values of the server's answers that are read: the progress of one task, of the whole server, and the result.
enum Automatic1111Field: Int, CaseIterable {
    case progress, active, queued, eta, livePreview, livePreviewID, textInfo
    case etaRelative, currentImage, interrupted, jobCount, samplingStep, jobNumber
    case images, info, firstImage

    var path: String {
        switch self {
        case .progress: "progress"
        case .active: "active"
        case .queued: "queued"
        case .eta: "eta"
        case .livePreview: "live_preview"
        case .livePreviewID: "id_live_preview"
        case .textInfo: "textinfo"
        case .etaRelative: "eta_relative"
        case .currentImage: "current_image"
        case .interrupted: "state.interrupted"
        case .jobCount: "state.job_count"
        case .samplingStep: "state.sampling_step"
        case .jobNumber: "state.job_no"
        case .images: "images.*"
        case .info: "info"
        case .firstImage: "index_of_first_image"
        }
    }

    static let paths = JSONFieldPaths(allCases.map(\.path))
}

struct Automatic1111Reply {
    let fields: JSONFieldScanner
    let document: ByteBuffer

    /// The result's own description is long: it repeats the prompts.
    private static let maximumInfo = 1 << 20

    func field(_ field: Automatic1111Field) -> JSONField? { self.fields.last(field.rawValue) }

    func isTrue(_ field: Automatic1111Field) -> Bool { self.field(field)?.kind == .true }

    func number(_ field: Automatic1111Field) -> Double? {
        self.field(field).flatMap { JSONValueReader.double($0, in: self.document) }.flatMap { $0.isFinite ? $0 : nil }
    }

    func integer(_ field: Automatic1111Field) -> Int? {
        self.number(field).flatMap { abs($0) < 1e9 ? Int($0) : nil }
    }

    /// 0…100; nil where the server says nothing.
    var percentage: Int? { self.number(.progress).map { Int(min(max($0, 0), 1) * 100) } }

    var estimatedMilliseconds: Int? {
        (self.number(.eta) ?? self.number(.etaRelative)).flatMap { $0 > 0 && $0 < 86_400 ? Int($0 * 1000) : nil }
    }

    /// Requests ahead, from `In queue: 2/3`: those that wait before ours, and the one that runs.
    var queuePosition: Int? {
        guard let field = self.field(.textInfo), field.kind == .string, field.range.count <= 256,
            let text = JSONValueReader.string(field, in: self.document)
        else { return nil }
        let digits = text.drop { !$0.isASCII || !$0.isNumber }.prefix { $0.isASCII && $0.isNumber }
        return Int(digits).flatMap { $0 <= 1_000_000 ? $0 : nil }
    }

    /// The picture that is being drawn, if the answer has one.
    var preview: JSONField? {
        [self.field(.livePreview), self.field(.currentImage)].compactMap(\.self).first {
            $0.kind == .string && !$0.range.isEmpty
        }
    }

    /// The finished pictures: behind a grid of all of them, which some servers put first, and before whatever scripts append.
    func images(count: Int) -> [JSONField] {
        let all = self.fields.all(Automatic1111Field.images.rawValue).filter { $0.kind == .string && !$0.range.isEmpty }
        guard all.count > count else { return all }
        return Array(all.dropFirst(min(self.firstImage ?? (count > 1 ? 1 : 0), all.count - count)).prefix(count))
    }

    /// Said in `info`, which is JSON within a string.
    private var firstImage: Int? {
        guard let info = self.field(.info), info.kind == .string, info.range.count <= Self.maximumInfo,
            let text = JSONValueReader.string(info, in: self.document)
        else { return nil }
        var scanner = JSONFieldScanner(Automatic1111Field.paths, maximumNesting: 64)
        scanner.begin()
        let bytes = ByteBuffer(string: text)
        bytes.withUnsafeReadableBytes { scanner.scan($0) }
        scanner.end()
        guard scanner.error == nil else { return nil }
        return Automatic1111Reply(fields: scanner, document: bytes).integer(.firstImage).flatMap { $0 >= 0 ? $0 : nil }
    }
}
