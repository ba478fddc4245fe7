import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// Pictures of a finished job on their way in.
struct QueueResults {
    var images: [QueueImage] = []
    var hasBegun = false
    var finished = 0
    var firstFailure: GatewayError?
}

extension QueueExchange {
    mutating func succeeded(
        _ reply: QueueReply, by purpose: QueueResponse.Purpose, into actions: inout ExchangeActions
    ) {
        self.failures = 0
        self.abandonLive(into: &actions)
        // Where the result is a call of its own, it may still say that there is none.
        if self.definition.result != nil { return self.fetchResult(into: &actions) }
        self.takeResults(reply, mayAskAgain: purpose != .status && self.jobID != nil, into: &actions)
    }

    mutating func fetchResult(into actions: inout ExchangeActions) {
        guard let template = self.definition.result, self.send(template, .result, into: &actions) else {
            return self.finish(
                GatewayError(.upstreamProtocol, "The upstream did not name where the result is.", billed: .maybe),
                into: &actions)
        }
    }

    /// - Parameter mayAskAgain: the status knows more than an event may have said.
    mutating func takeResults(_ reply: QueueReply, mayAskAgain: Bool, into actions: inout ExchangeActions) {
        self.billed = .yes
        let limit = max(self.definition.maximumCount, self.request.count)
        self.results.images = reply.images(limit: limit, base: self.configuration.baseURL)
        guard !self.results.images.isEmpty else {
            if mayAskAgain { return self.pollInstead(into: &actions) }
            let message =
                reply.isRemoved
                ? "The upstream no longer keeps the job's pictures." : "The upstream finished without a picture."
            return self.finish(GatewayError(.noImage, message, billed: .yes), into: &actions)
        }
        self.beginResults(into: &actions)
    }

    /// The service answered the question for the job by its one picture.
    mutating func takeWhole(_ payload: ByteBuffer, into actions: inout ExchangeActions) {
        self.billed = .yes
        self.results.images = [
            QueueImage(source: .success(.payload(payload)), attributes: UpstreamImageAttributes())
        ]
        self.beginResults(into: &actions)
    }

    private mutating func beginResults(into actions: inout ExchangeActions) {
        self.results.hasBegun = true
        self.failures = 0
        if self.shown.stage != .uploading {
            actions.append(.emit(.status(UpstreamStatus(stage: .uploading))))
        }
        self.takePicture(0, into: &actions)
    }

    private mutating func takePicture(_ first: Int, into actions: inout ExchangeActions) {
        var index = first
        while index < self.results.images.count {
            switch self.results.images[index].source {
            case .success(.url): return self.fetchPicture(index, into: &actions)
            case .success(.payload(let payload)): self.record(index, .success(payload), into: &actions)
            case .failure(let error): self.record(index, .failure(error), into: &actions)
            }
            index += 1
        }
        self.conclude(into: &actions)
    }

    mutating func fetchPicture(_ index: Int, into actions: inout ExchangeActions) {
        guard case .success(.url(let url)) = self.results.images[index].source else { return }
        // No key and no header of the upstream's: the address is not ours to trust.
        var call = ExchangeCall(method: .get, url: url, purpose: .resultURL)
        call.headers[.accept] = "image/*"
        call.maximumResponseBytes = self.configuration.maximumEventBytes / 4 * 3
        self.open(call, .picture(index), into: &actions)
    }

    mutating func finishPicture(
        _ index: Int, _ outcome: Result<ByteBuffer, GatewayError>, into actions: inout ExchangeActions
    ) {
        self.failures = 0
        self.record(index, outcome, into: &actions)
        self.takePicture(index + 1, into: &actions)
    }

    private mutating func record(
        _ index: Int, _ outcome: Result<ByteBuffer, GatewayError>, into actions: inout ExchangeActions
    ) {
        let image = self.results.images[index]
        switch outcome {
        case .success(let payload) where payload.readableBytes > 0:
            self.results.finished += 1
            actions.append(
                .emit(
                    .image(
                        UpstreamImage(
                            imageIndex: index, attributes: image.attributes, payload: payload,
                            revisedPrompt: image.revisedPrompt))))
        case .success:
            self.fail(
                index, GatewayError(.upstreamProtocol, "The upstream sent an empty picture.", billed: .yes),
                into: &actions)
        case .failure(let error):
            self.fail(index, error.billed(atLeast: .yes), into: &actions)
        }
    }

    private mutating func fail(_ index: Int, _ error: GatewayError, into actions: inout ExchangeActions) {
        self.results.firstFailure = self.results.firstFailure ?? error
        actions.append(.emit(.imageFailed(imageIndex: index, error)))
    }

    private mutating func conclude(into actions: inout ExchangeActions) {
        guard self.results.finished > 0 else {
            return self.finish(self.results.firstFailure, into: &actions)
        }
        for index in self.results.images.count..<max(self.results.images.count, self.request.count) {
            self.fail(
                index, GatewayError(.noImage, "The upstream drew fewer pictures than asked for.", billed: .yes),
                into: &actions)
        }
        self.finish(nil, into: &actions)
    }

    static func pictureError(_ status: Int) -> GatewayError {
        GatewayError(
            .upstreamError, "The upstream's picture could not be fetched: status \(status).", billed: .yes,
            upstreamStatus: status)
    }
}
