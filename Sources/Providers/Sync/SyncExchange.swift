import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// One request, answered by a document that holds the pictures or names them, or by a picture itself.
struct SyncExchange: ProviderExchange {
    private static let callNumber = 0
    private static let timer = 0

    private let call: ExchangeCall
    private let definition: SyncDefinition
    private let configuration: ProviderConfiguration
    private let parameters: [String: String]
    private let count: Int

    private var answer: UpstreamAnswer
    private var isAnswered = false
    private var links: LinkedPictures
    private var calls = 1
    private var finished: Set<Int> = []
    private var failures: [Int: GatewayError] = [:]
    private var billed: GatewayError.Billed = .no
    private var isFinished = false

    init(
        call: ExchangeCall, job: ExchangeJob, definition: SyncDefinition, configuration: ProviderConfiguration,
        parameters: [String: String]
    ) {
        self.call = call
        self.definition = definition
        self.configuration = configuration
        self.parameters = parameters
        self.count = max(1, job.request.count)
        self.answer = UpstreamAnswer(
            call: Self.callNumber, accepting: definition.reply.images.isEmpty ? .picture : [.json, .picture],
            documents: definition.reply.paths, maximumBytes: configuration.maximumEventBytes)
        self.links = LinkedPictures(maximumBytes: configuration.maximumEventBytes)
    }

    mutating func start(into actions: inout ExchangeActions) {
        actions.append(.send(self.call, call: Self.callNumber))
    }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        self.react(call, into: &actions) { exchange, actions throws(GatewayError) in
            guard call == Self.callNumber else { return try exchange.links.take(head) }
            try exchange.answer.take(head)
            guard exchange.answer.form != .error else { return }
            exchange.billed = .maybe
            actions.append(.emit(.accepted))
            actions.append(.emit(.status(UpstreamStatus(stage: .processing))))
        }
    }

    mutating func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions) {
        self.react(call, into: &actions) { exchange, actions throws(GatewayError) in
            if call == Self.callNumber {
                if try !exchange.answer.append(bytes) { exchange.finishRefused(into: &actions) }
            } else if try !exchange.links.append(bytes) {
                actions.append(.abandon(call: call))
                exchange.take(exchange.links.ended(), into: &actions)
            }
        }
    }

    mutating func ended(call: Int, into actions: inout ExchangeActions) {
        self.react(call, into: &actions) { exchange, actions throws(GatewayError) in
            guard call == Self.callNumber else { return exchange.take(exchange.links.ended(), into: &actions) }
            exchange.isAnswered = true
            switch exchange.answer.form {
            case .error: exchange.finishRefused(into: &actions)
            case .picture: try exchange.takePicture(into: &actions)
            default: try exchange.takeDocument(into: &actions)
            }
        }
    }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        guard self.isLive(call) else { return }
        if call == Self.callNumber {
            self.isAnswered = true
            // That it was refused, and how, was in the head already.
            if self.answer.form == .error { return self.finishRefused(into: &actions) }
            self.finish(error.billed(atLeast: self.billed), into: &actions)
        } else {
            self.take(self.links.failed(error), into: &actions)
        }
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished, self.isAnswered else { return }
        self.goOn(into: &actions)
    }

    /// Such services have no call to cancel by: closing the connection is all there is.
    mutating func cancel(into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.finish(GatewayError(.cancelled, "The job was cancelled.", billed: self.billed), into: &actions)
    }
}

extension SyncExchange {
    private func isLive(_ call: Int) -> Bool {
        !self.isFinished && (call == Self.callNumber ? !self.isAnswered : self.links.call == call)
    }

    private mutating func react(
        _ call: Int, into actions: inout ExchangeActions,
        _ reaction: (inout SyncExchange, inout ExchangeActions) throws(GatewayError) -> Void
    ) {
        guard self.isLive(call) else { return }
        do throws(GatewayError) {
            try reaction(&self, &actions)
        } catch {
            if call == Self.callNumber { return self.finish(error.billed(atLeast: self.billed), into: &actions) }
            actions.append(.abandon(call: call))
            self.take(self.links.failed(error), into: &actions)
        }
    }

    private mutating func finish(_ error: GatewayError?, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.isFinished = true
        if !self.isAnswered { actions.append(.abandon(call: Self.callNumber)) }
        if let call = self.links.call { actions.append(.abandon(call: call)) }
        actions.append(.finish(error))
    }

    private mutating func finishRefused(into actions: inout ExchangeActions) {
        self.finish(
            self.answer.refusal(parameters: self.parameters, hiding: self.configuration.apiKey, readsWords: true),
            into: &actions)
    }
}

// MARK: Pictures

extension SyncExchange {
    /// The whole body is one picture. Some services blur what they refuse, and say so in a header.
    private mutating func takePicture(into actions: inout ExchangeActions) throws(GatewayError) {
        let headers = self.answer.head?.headers ?? [:]
        if self.definition.reply.refusedHeaders.contains(where: { headers[$0.name] == $0.value }) {
            return self.finish(self.refusal(nil), into: &actions)
        }
        let payload = try self.answer.finishedPicture()
        self.emit(
            UpstreamImage(imageIndex: 0, attributes: UpstreamImageAttributes(), payload: payload), into: &actions)
        self.goOn(into: &actions)
    }

    private mutating func takeDocument(into actions: inout ExchangeActions) throws(GatewayError) {
        let (document, fields) = try self.answer.document()
        let reply = SyncReply(fields: fields, document: document, paths: self.definition.reply)
        let refusals = reply.refusals
        if let whole = refusals[-1] { return self.finish(self.refusal(whole), into: &actions) }
        if let failure = reply.failure {
            return self.finish(
                failure.gatewayError(
                    billed: self.billed, parameters: self.parameters, hiding: self.configuration.apiKey,
                    readsWords: true), into: &actions)
        }
        self.describe(reply, into: &actions)
        let pictures = reply.pictures(limit: self.count)
        for index in 0..<self.count {
            if let reason = refusals[index] {
                self.fail(index, self.refusal(reason), into: &actions)
            } else if let picture = pictures[index] {
                self.take(picture, index, in: document, into: &actions)
            }
        }
        self.goOn(into: &actions)
    }

    private mutating func describe(_ reply: SyncReply, into actions: inout ExchangeActions) {
        let model = UpstreamText.label(reply.text(self.definition.reply.model), length: 128)
        if !model.isEmpty { actions.append(.emit(.model(model))) }
        if let usage = reply.usage {
            self.billed = .yes
            actions.append(.emit(.usage(usage)))
        }
    }

    private func refusal(_ message: String?) -> GatewayError {
        let shown = UpstreamText.clean(message, hiding: self.configuration.apiKey)
        return GatewayError(.refused, shown ?? "The upstream's moderation refused the request.", billed: self.billed)
    }

    private mutating func take(
        _ picture: SyncReply.Picture, _ index: Int, in document: ByteBuffer, into actions: inout ExchangeActions
    ) {
        if let base64 = picture.base64 {
            do throws(GatewayError) {
                let payload = try UpstreamPicture.canonical(base64, in: document)
                let image = UpstreamImage(
                    imageIndex: index, attributes: picture.attributes, payload: payload,
                    revisedPrompt: picture.revisedPrompt)
                self.emit(image, into: &actions)
            } catch { self.fail(index, error.billed(atLeast: .maybe), into: &actions) }
        } else if let url = picture.url, url.range.count <= QueueURL.maximumLength,
            let named = JSONValueReader.string(url, in: document),
            let resolved = QueueURL.resolved(named, base: self.configuration.baseURL)
        {
            self.billed = .yes
            self.links.add(
                LinkedPictures.Link(
                    imageIndex: index, url: resolved, attributes: picture.attributes,
                    revisedPrompt: picture.revisedPrompt))
        } else {
            let error = GatewayError(
                .resultURLRefused, "The upstream named a picture by something that is no web address.", billed: .yes)
            self.fail(index, error, into: &actions)
        }
    }

    private mutating func take(_ outcome: LinkedPictures.Outcome, into actions: inout ExchangeActions) {
        switch outcome {
        case .picture(let image): self.emit(image, into: &actions)
        case .failed(let index, let error): self.fail(index, error, into: &actions)
        case .again(let milliseconds):
            actions.append(.wait(milliseconds: milliseconds, timer: Self.timer))
            return
        }
        self.goOn(into: &actions)
    }

    private mutating func emit(_ image: UpstreamImage, into actions: inout ExchangeActions) {
        self.billed = .yes
        self.finished.insert(image.imageIndex)
        actions.append(.emit(.image(image)))
    }

    private mutating func fail(_ index: Int, _ error: GatewayError, into actions: inout ExchangeActions) {
        guard self.failures.updateValue(error, forKey: index) == nil else { return }
        actions.append(.emit(.imageFailed(imageIndex: index, error)))
    }

    /// Fetches the next picture, or ends.
    private mutating func goOn(into actions: inout ExchangeActions) {
        guard !self.isFinished, !self.links.isFetching else { return }
        if let request = self.links.next(call: self.calls) {
            actions.append(.send(request, call: self.calls))
            self.calls += 1
            return
        }
        for index in 0..<self.count where !self.finished.contains(index) && self.failures[index] == nil {
            self.fail(index, self.missing, into: &actions)
        }
        self.finish(self.finished.isEmpty ? self.failures.min { $0.key < $1.key }?.value : nil, into: &actions)
    }

    private var missing: GatewayError {
        if self.definition.reply.emptyMeansRefused { return self.refusal(nil) }
        let words =
            self.finished.isEmpty
            ? "The upstream finished without a picture." : "The upstream drew fewer pictures than asked for."
        return GatewayError(.noImage, words, billed: self.billed)
    }
}
