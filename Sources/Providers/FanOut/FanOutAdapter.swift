package import ImageGeneration
import NIOCore
import StreamCodecs

/// Lets an upstream that makes few pictures at a time make many: one conversation for each share, side by side.
package struct FanOutAdapter: ProviderAdapter {
    private let single: any ProviderAdapter
    package let capabilities: ProviderCapabilities

    /// Pictures that one job may ask for, as everywhere.
    private static let maximumCount = 10

    private init(_ single: any ProviderAdapter) {
        self.single = single
        var capabilities = single.capabilities
        capabilities.maximumCount = max(Self.maximumCount, capabilities.maximumCount)
        capabilities.parameters.insert("n")
        self.capabilities = capabilities
    }

    /// The adapter itself where it makes as many as a job may ask for.
    package static func around(_ adapter: any ProviderAdapter) -> any ProviderAdapter {
        adapter.capabilities.maximumCount >= Self.maximumCount ? adapter : FanOutAdapter(adapter)
    }

    private var share: Int { max(1, self.single.capabilities.maximumCount) }

    package func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        guard job.request.count > self.share else { return try self.single.makeExchange(for: job) }
        var children: [FanOutExchange.Child] = []
        for part in self.parts(of: job) {
            children.append(FanOutExchange.Child(try self.single.makeExchange(for: part.job), images: part.images))
        }
        return FanOutExchange(children)
    }

    package func makeExchange(
        resuming handle: String, for job: ExchangeJob
    ) throws(GatewayError) -> (any ProviderExchange)? {
        guard job.request.count > self.share else {
            return try self.single.makeExchange(resuming: handle, for: job)
        }
        let parts = self.parts(of: job)
        guard let handles = FanOutHandles(handle), handles.list.count == parts.count else { return nil }
        var children: [FanOutExchange.Child] = []
        for (part, handle) in zip(parts, handles.list) {
            guard let handle, let exchange = try self.single.makeExchange(resuming: handle, for: part.job) else {
                children.append(FanOutExchange.Child(lost: part.images))
                continue
            }
            children.append(FanOutExchange.Child(exchange, images: part.images, handle: handle))
        }
        return children.contains { !$0.isOver } ? FanOutExchange(children) : nil
    }

    private func parts(of job: ExchangeJob) -> [(job: ExchangeJob, images: Range<Int>)] {
        stride(from: 0, to: job.request.count, by: self.share).map { first in
            let images = first..<min(first + self.share, job.request.count)
            var request = job.request
            request.count = images.count
            // The same seed would draw the same picture again.
            request.seed = request.seed.map { $0 &+ Int64(first) }
            return (ExchangeJob(id: job.id, request: request, entropy: job.entropy &+ UInt64(first)), images)
        }
    }
}

/// The handles of all conversations of one job as one text: a JSON array, null where none is known.
struct FanOutHandles: Sendable {
    var list: [String?]

    private static let maximumBytes = 128 << 10

    init(list: [String?]) { self.list = list }

    /// Nil for any other text.
    init?(_ text: String) {
        guard text.utf8.count <= Self.maximumBytes,
            let root = try? JSONDocument(ByteBuffer(string: text), maximumNesting: 2, maximumNodes: 64).root,
            root.kind == .array
        else { return nil }
        self.list = root.elements.map(\.string)
    }

    var text: String {
        var writer = JSONWriter()
        writer.beginArray()
        for handle in self.list {
            if let handle { writer.value(handle) } else { writer.null() }
        }
        writer.endArray()
        return String(buffer: writer.buffer)
    }
}
