import NIOCore
import StreamCodecs

/// A checked request to the queue. Fields that shape nothing here are accepted and left alone.
struct StagesRequest: Sendable {
    var prompt = ""
    var width = 1024
    var height = 1024
    var count = 1
    var isDraft = false
    var transparent = false
    var seed: UInt64?
    var blogID: String?
    var blogJobID: String?

    init(_ body: ByteBuffer) throws(SimulatorError) {
        let root: JSONNode
        do { root = try JSONDocument(body, duplicateKeys: .last).root } catch {
            throw SimulatorError(400, "The body is not valid JSON.", code: "invalid_json")
        }
        guard root.kind == .object else { throw SimulatorError(400, "The body must be a JSON object.") }
        guard let prompt = root["prompt"]?.string, !prompt.isEmpty else {
            throw SimulatorError(422, "prompt: a text is required", code: "missing")
        }
        self.prompt = prompt
        self.isDraft = try Self.text(root, "quality") == "draft" || root["is_draft"]?.boolean == true
        if let ratio = try Self.text(root, "aspect_ratio") {
            (self.width, self.height) = try Self.size(ratio: ratio, draft: self.isDraft)
        } else if self.isDraft {
            (self.width, self.height) = (512, 512)
        }
        self.transparent = try Self.text(root, "background") == "transparent"
        if let count = try Self.integer(root, "n", 1...10) { self.count = Int(count) }
        self.seed = try Self.integer(root, "seed", Int64.min...Int64.max).map { UInt64(bitPattern: $0) }
        self.blogID = try Self.text(root, "blog_id")
        self.blogJobID = try Self.text(root, "blog_job_id")
    }

    private static func text(_ root: JSONNode, _ key: String) throws(SimulatorError) -> String? {
        guard let node = root[key], !node.isNull else { return nil }
        guard let text = node.string else { throw SimulatorError(422, "\(key): a text is expected", code: "type") }
        return text
    }

    private static func integer(
        _ root: JSONNode, _ key: String, _ range: ClosedRange<Int64>
    ) throws(SimulatorError) -> Int64? {
        guard let node = root[key], !node.isNull else { return nil }
        guard let number = node.integer, range.contains(number) else {
            throw SimulatorError(422, "\(key): a whole number in range is expected", code: "type")
        }
        return number
    }

    /// About a megapixel (a quarter of it for drafts) in the given ratio, both sides multiples of 16.
    static func size(ratio text: String, draft: Bool) throws(SimulatorError) -> (width: Int, height: Int) {
        let named = ["square": "1:1", "landscape": "3:2", "portrait": "2:3"]
        let sides = (named[text] ?? text).split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
        guard sides.count == 2, let across = sides[0], let down = sides[1], (1...100).contains(across),
            (1...100).contains(down), max(across, down) <= 3 * min(across, down)
        else {
            throw SimulatorError(422, "aspect_ratio: W:H is expected, at most 3:1", code: "type")
        }
        let area = (draft ? 512 * 512 : 1024 * 1024)
        func side(_ share: Double) -> Int { max(16, Int((Double(area) * share).squareRoot() / 16 + 0.5) * 16) }
        return (side(Double(across) / Double(down)), side(Double(down) / Double(across)))
    }
}
