import ImageGeneration
import NIOCore

/// Several conversations with one upstream as one: their calls, timers and pictures are told apart by number, their standings are summed
/// up, and the whole is over when the last of them is.
struct FanOutExchange: ProviderExchange {
    struct Child {
        /// Nil for one that cannot be followed any more.
        var exchange: (any ProviderExchange)?
        let images: Range<Int>
        var handle: String?
        var status: UpstreamStatus?
        var isOver = false
        var error: GatewayError?
        var finished: Set<Int> = []

        init(_ exchange: any ProviderExchange, images: Range<Int>, handle: String? = nil) {
            self.exchange = exchange
            self.images = images
            self.handle = handle
        }

        /// Submitted before a restart, and nothing is known of it.
        init(lost images: Range<Int>) {
            self.images = images
            self.isOver = true
            self.error = GatewayError(
                .interrupted, "The gateway was restarted while the upstream worked.", billed: .maybe)
        }
    }

    private var children: [Child]
    private var isOver = false

    /// Calls and timers of one child; the driver bounds the sum.
    private static let stride = 1 << 16

    init(_ children: [Child]) { self.children = children }

    mutating func start(into actions: inout ExchangeActions) {
        for index in self.children.indices {
            self.feed(index, into: &actions) { exchange, own in exchange.start(into: &own) }
        }
    }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        self.feed(call / Self.stride, into: &actions) { exchange, own in
            exchange.received(head: head, call: call % Self.stride, into: &own)
        }
    }

    mutating func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions) {
        self.feed(call / Self.stride, into: &actions) { exchange, own in
            exchange.received(bytes: bytes, call: call % Self.stride, into: &own)
        }
    }

    mutating func ended(call: Int, into actions: inout ExchangeActions) {
        self.feed(call / Self.stride, into: &actions) { exchange, own in
            exchange.ended(call: call % Self.stride, into: &own)
        }
    }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        self.feed(call / Self.stride, into: &actions) { exchange, own in
            exchange.failed(call: call % Self.stride, error: error, into: &own)
        }
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        self.feed(timer / Self.stride, into: &actions) { exchange, own in
            exchange.timerFired(timer % Self.stride, into: &own)
        }
    }

    mutating func cancel(into actions: inout ExchangeActions) {
        for index in self.children.indices {
            self.feed(index, into: &actions) { exchange, own in exchange.cancel(into: &own) }
        }
    }

    private mutating func feed(
        _ index: Int, into actions: inout ExchangeActions,
        _ input: (inout any ProviderExchange, inout ExchangeActions) -> Void
    ) {
        guard self.children.indices.contains(index), !self.children[index].isOver,
            var exchange = self.children[index].exchange
        else { return }
        self.children[index].exchange = nil
        var own = ExchangeActions()
        input(&exchange, &own)
        self.children[index].exchange = exchange
        for action in own { self.pass(action, of: index, into: &actions) }
    }

    // MARK: Actions of a child

    private mutating func pass(_ action: ExchangeAction, of index: Int, into actions: inout ExchangeActions) {
        let base = index * Self.stride
        switch action {
        case .send(let call, let number): actions.append(.send(call, call: base + number))
        case .abandon(let number): actions.append(.abandon(call: base + number))
        case .wait(let delay, let timer): actions.append(.wait(milliseconds: delay, timer: base + timer))
        case .emit(let event): self.pass(event, of: index, into: &actions)
        case .finish(let error): self.finish(index, error, into: &actions)
        }
    }

    private mutating func pass(_ event: UpstreamEvent, of index: Int, into actions: inout ExchangeActions) {
        let first = self.children[index].images.lowerBound
        switch event {
        case .partialImage(let image, let number, let attributes, let payload):
            guard self.children[index].images.contains(first + image) else { return }
            actions.append(
                .emit(
                    .partialImage(
                        imageIndex: first + image, partialImageIndex: number, attributes: attributes, payload: payload)
                ))
        case .image(var image):
            image.imageIndex += first
            guard self.children[index].images.contains(image.imageIndex) else { return }
            self.children[index].finished.insert(image.imageIndex)
            actions.append(.emit(.image(image)))
        case .imageFailed(_, let error):
            // Told at the end: until then another attempt may be made of the whole.
            self.children[index].error = self.children[index].error ?? error
        case .status(let status):
            self.children[index].status = status
            actions.append(.emit(.status(self.standing)))
        case .handle(let handle):
            self.children[index].handle = handle
            actions.append(.emit(.handle(FanOutHandles(list: self.children.map(\.handle)).text)))
        case .accepted, .textDelta, .usage, .model, .unknownEvent:
            actions.append(.emit(event))
        }
    }

    /// Of several pictures the least advanced stage; progress is the mean where anyone tells one.
    private var standing: UpstreamStatus {
        let stages = self.children.map { $0.isOver ? Stage.generating : $0.status?.stage ?? .queued }
        let stage = stages.min() ?? .queued
        var standing = UpstreamStatus(stage: stage)
        if self.children.contains(where: { $0.status?.progress != nil }) {
            let sum = self.children.reduce(0) { $0 + ($1.isOver ? 100 : $1.status?.progress ?? 0) }
            standing.progress = min(99, sum / self.children.count)
        }
        let working = self.children.filter { !$0.isOver }.compactMap(\.status)
        standing.estimatedMilliseconds = working.compactMap(\.estimatedMilliseconds).max()
        if stage == .queued { standing.queuePosition = working.compactMap(\.queuePosition).max() }
        standing.message = self.children.count == 1 ? working.first?.message : nil
        return standing
    }

    // MARK: Endings

    private mutating func finish(_ index: Int, _ error: GatewayError?, into actions: inout ExchangeActions) {
        self.children[index].isOver = true
        self.children[index].exchange = nil
        self.children[index].error = error ?? self.children[index].error
        guard !self.isOver, self.children.allSatisfy(\.isOver) else { return }
        self.isOver = true
        guard self.children.contains(where: { !$0.finished.isEmpty }) else {
            return actions.append(.finish(self.failure))
        }
        for child in self.children {
            for image in child.images where !child.finished.contains(image) {
                let missing = GatewayError(.noImage, "The upstream finished without this picture.")
                actions.append(.emit(.imageFailed(imageIndex: image, child.error ?? missing)))
            }
        }
        actions.append(.finish(nil))
    }

    /// The first reason, and the most that any of them can have cost. Nil when all ended well.
    private var failure: GatewayError? {
        let errors = self.children.compactMap(\.error)
        guard var error = errors.first else { return nil }
        if errors.contains(where: { $0.billed == .yes }) {
            error.billed = .yes
        } else if errors.contains(where: { $0.billed == .maybe }) {
            error.billed = .maybe
        }
        return error
    }
}
