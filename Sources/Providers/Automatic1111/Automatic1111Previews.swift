import ImageGeneration
import NIOCore
import StreamCodecs

/// Chooses among the many pictures that a server shows on its way: as many as were asked for, spread over the work.
struct Automatic1111Previews: Sendable {
    /// Previews asked for.
    var wanted = 0
    private var shown = 0
    /// The server's number of the last one, -1 before the first.
    private(set) var lastID = -1
    private var lastStep: [Int] = []

    var wantsMore: Bool { self.shown < self.wanted }

    /// - Parameter count: pictures of the job, which the server draws one after the other.
    /// - Returns: nil where nothing new is to be shown; a preview that cannot be read is none.
    mutating func take(_ reply: Automatic1111Reply, count: Int) -> UpstreamEvent? {
        guard let field = reply.preview, self.wantsMore else { return nil }
        let fraction = min(max(reply.number(.progress) ?? 0, 0), 1)
        guard fraction * Double(self.wanted + 1) >= Double(self.shown + 1), self.isNew(reply) else { return nil }
        guard let payload = try? UpstreamPicture.canonical(field, in: reply.document) else { return nil }
        defer { self.shown += 1 }
        return .partialImage(
            imageIndex: min(count - 1, Int(fraction * Double(count))), partialImageIndex: self.shown,
            attributes: UpstreamImageAttributes(), payload: payload)
    }

    /// The same picture is shown until the next step is decoded.
    private mutating func isNew(_ reply: Automatic1111Reply) -> Bool {
        if let id = reply.integer(.livePreviewID) {
            guard id != self.lastID else { return false }
            self.lastID = id
            return true
        }
        let step = [reply.integer(.jobNumber) ?? 0, reply.integer(.samplingStep) ?? 0]
        guard step != self.lastStep else { return false }
        self.lastStep = step
        return true
    }
}
