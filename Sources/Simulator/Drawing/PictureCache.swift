package import NIOCore
import NIOPosix
import StreamCodecs
import Synchronization

/// Draws pictures off the cooperative pool and keeps the latest ones, so that a thousand streams of one prompt draw once.
package final class PictureCache: Sendable {
    /// One PNG and its base64 text.
    package struct Entry: Sendable {
        package let png: ByteBuffer
        package let base64: ByteBuffer
    }

    private struct Key: Hashable {
        let picture: Picture
        let development: Development
        let paddedTo: Int?
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        var order: [Key] = []
        var bytes = 0
    }

    private let capacity: Int
    private let state = Mutex(State())

    /// - Parameter capacity: bytes kept; the oldest entries go first.
    package init(capacity: Int) {
        self.capacity = capacity
    }

    /// Bytes kept now.
    var bytes: Int { self.state.withLock { $0.bytes } }

    package func entry(
        _ picture: Picture, _ development: Development, paddedTo: Int? = nil
    ) async throws -> Entry {
        let key = Key(picture: picture, development: development, paddedTo: paddedTo)
        if let known = self.state.withLock({ $0.entries[key] }) { return known }
        return try await NIOThreadPool.singleton.runIfActive {
            // Drawn meanwhile for another stream.
            if let known = self.state.withLock({ $0.entries[key] }) { return known }
            let png = PictureRenderer.png(picture, development, paddedTo: paddedTo)
            let entry = Entry(png: png, base64: Base64.encode(png))
            self.keep(entry, for: key)
            return entry
        }
    }

    private func keep(_ entry: Entry, for key: Key) {
        let size = entry.png.readableBytes + entry.base64.readableBytes
        guard size <= self.capacity else { return }
        self.state.withLock { state in
            guard state.entries.updateValue(entry, forKey: key) == nil else { return }
            state.order.append(key)
            state.bytes += size
            while state.bytes > self.capacity, !state.order.isEmpty {
                guard let gone = state.entries.removeValue(forKey: state.order.removeFirst()) else { continue }
                state.bytes -= gone.png.readableBytes + gone.base64.readableBytes
            }
        }
    }
}
