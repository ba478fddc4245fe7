import NIOCore
import StreamCodecs

/// A checked request to `txt2img` or `img2img`.
struct WebUIJob: Sendable {
    var prompt = ""
    var width = 512
    var height = 512
    var steps = 20
    /// Pictures, drawn one after the other.
    var count = 1
    var seed: UInt64 = 0
    var inputHash = FNV1a()
    var taskID: String?
    var script = SimulatorScript()

    init(_ body: ByteBuffer, edit: Bool) throws(SimulatorError) {
        let root: JSONNode
        do { root = try JSONDocument(body, duplicateKeys: .last).root } catch {
            throw SimulatorError(422, "body: JSON decode error")
        }
        guard root.kind == .object else { throw SimulatorError(422, "body: value is not a valid dict") }
        self.prompt = root["prompt"]?.string ?? ""
        self.steps = try Self.integer(root, "steps", 1...150) ?? 20
        self.width = try Self.integer(root, "width", 64...2048) ?? 512
        self.height = try Self.integer(root, "height", 64...2048) ?? 512
        let iterations = try Self.integer(root, "n_iter", 1...8) ?? 1
        self.count = iterations * (try Self.integer(root, "batch_size", 1...8) ?? 1)
        if let seed = root["seed"]?.integer, seed >= 0 { self.seed = UInt64(seed) }
        self.taskID = root["force_task_id"]?.string
        self.inputHash.combine((root["negative_prompt"]?.string ?? "").utf8)
        if let sampler = root["sampler_name"]?.string, sampler.isEmpty {
            throw SimulatorError(404, "Sampler not found")
        }
        guard edit else { return }
        let images = (root["init_images"]?.elements ?? []).compactMap(\.stringSlice)
        guard !images.isEmpty else { throw SimulatorError(404, "Init image not found") }
        for image in images { self.inputHash.combine(image.readableBytesView) }
    }

    private static func integer(
        _ root: JSONNode, _ name: String, _ range: ClosedRange<Int64>
    ) throws(SimulatorError) -> Int? {
        guard let node = root[name], !node.isNull else { return nil }
        guard let number = node.integer, range.contains(number) else {
            throw SimulatorError(422, "value is not a valid integer", parameter: name)
        }
        return Int(number)
    }

    var picture: Picture {
        var subject = self.inputHash
        subject.combine(self.prompt.utf8)
        return Picture(
            key: Picture.key(subject: subject.value, seed: self.script.seed ?? self.seed), width: self.width,
            height: self.height)
    }

    /// 0…1
    func fraction(began: Int64, now: Int64) -> Double {
        let duration = self.script.duration.milliseconds
        let share = duration > 0 ? Double(now - began) / Double(duration) : 1
        return switch self.script.stall {
        case .afterPreview, .mid: min(max(share, 0), 0.5)
        case .head, nil: min(max(share, 0), 1)
        }
    }

    /// What is seen of the picture under way; nil before the first step.
    func development(at fraction: Double) -> Development? {
        let step = Int(fraction * 4) - 1
        return step < 0 || self.script.previews == 0 ? nil : .preview(step: min(step, 2), count: 3)
    }
}
