import ImageGeneration
import NIOCore
import StreamCodecs

extension OpenAIResponsesExchange {
    /// Events that say nothing that others do not: of one family each.
    private static let redundant = [
        "response.content_part.", "response.output_text.", "response.refusal.", "response.reasoning_",
        "response.image_generation_call.", "response.output_item.",
    ]

    mutating func take(
        _ reply: OpenAIResponsesReply, _ frame: ServerSentEventFrame, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        guard self.ending == nil, self.isNews(reply) else { return }
        let type = reply.text(reply.field(.type)) ?? frame.eventName ?? ""
        switch type {
        case "response.created", "response.in_progress", "response.queued": self.begin(reply, type, into: &actions)
        case "response.image_generation_call.in_progress", "response.image_generation_call.generating":
            self.show(.generating, into: &actions)
        case "response.image_generation_call.partial_image":
            self.show(.generating, into: &actions)
            try self.tally.takePartial(reply, into: &actions)
        case "response.output_item.done": try self.tally.take(reply.item, of: reply, into: &actions)
        case "response.output_text.delta", "response.refusal.delta": self.tally.takeText(reply, into: &actions)
        case "response.refusal.done": self.tally.takeRefusal(reply)
        case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
            try self.takeTerminal(reply, type, into: &actions)
        case "error": self.takeError(frame, into: &actions)
        default:
            guard !Self.redundant.contains(where: { type.hasPrefix($0) }) else { return }
            actions.append(.emit(.unknownEvent(type: UpstreamText.label(type))))
        }
    }

    private mutating func begin(_ reply: OpenAIResponsesReply, _ type: String, into actions: inout ExchangeActions) {
        self.learn(reply, into: &actions)
        guard !self.isCancelling else { return }
        self.tally.nameModel(reply, into: &actions)
        let isQueued = type == "response.queued" || reply.text(reply.field(.status)) == "queued"
        self.show(isQueued ? .queued : .processing, into: &actions)
    }

    private mutating func takeTerminal(
        _ reply: OpenAIResponsesReply, _ type: String, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        guard let end = try self.tally.take(object: reply, into: &actions) else {
            throw GatewayError(
                .upstreamProtocol, "The upstream ended without saying how: \(UpstreamText.label(type)).",
                billed: self.tally.billed)
        }
        self.end(end, into: &actions)
    }

    /// Ends the response, in a background one as well: the service says so itself.
    private mutating func takeError(_ frame: ServerSentEventFrame, into actions: inout ExchangeActions) {
        let error = self.tally.error(from: UpstreamErrorReport(body: frame.data, status: nil))
        self.end(self.tally.end(by: error, into: &actions), into: &actions)
    }
}
