import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import Providers

/// Calls and actions as JSON for golden files.
enum Transcript {
    static func json(_ value: Any) throws -> String {
        let options: JSONSerialization.WritingOptions = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try JSONSerialization.data(withJSONObject: value, options: options), as: UTF8.self)
            + "\n"
    }

    static func calls(_ calls: [ExchangeCall]) -> [[String: Any]] {
        calls.map { call in
            var headers: [String: String] = [:]
            for field in call.headers { headers[field.name.canonicalName] = field.value }
            var fields: [String: Any] = [
                "method": call.method.rawValue, "url": call.url, "headers": headers, "purpose": "\(call.purpose)",
            ]
            if !call.body.isEmpty {
                let body = call.body.reduce(into: Data()) { $0.append(contentsOf: $1.readableBytesView) }
                fields["body"] =
                    (try? JSONSerialization.jsonObject(with: body)) ?? String(decoding: body, as: UTF8.self)
            }
            return fields
        }
    }

    static func events(_ actions: [ExchangeAction]) -> [[String: Any]] {
        actions.map { action in
            switch action {
            case .send(let call, let number): ["action": "send", "call": number, "purpose": "\(call.purpose)"]
            case .abandon(let call): ["action": "abandon", "call": call]
            case .emit(let event): self.event(event)
            case .wait(let milliseconds, let timer): ["action": "wait", "milliseconds": milliseconds, "timer": timer]
            case .finish(let error):
                error.map { ["action": "finish", "error": self.error($0)] } ?? ["action": "finish"]
            }
        }
    }

    private static func event(_ event: UpstreamEvent) -> [String: Any] {
        switch event {
        case .accepted: ["event": "accepted"]
        case .handle(let id): ["event": "handle", "id": id]
        case .status(let status):
            self.fields([
                "event": "status", "stage": status.stage.name, "progress": status.progress,
                "queue_position": status.queuePosition, "estimated_ms": status.estimatedMilliseconds,
                "message": status.message,
            ])
        case .partialImage(let index, let partial, let attributes, let payload):
            self.attributes(attributes).merging([
                "event": "partial_image", "image_index": index, "partial_image_index": partial,
                "payload": String(buffer: payload),
            ]) { $1 }
        case .textDelta(let text): ["event": "text_delta", "delta": text]
        case .image(let image):
            self.attributes(image.attributes).merging(
                self.fields([
                    "event": "image", "image_index": image.imageIndex, "payload": String(buffer: image.payload),
                    "usage": image.usage.map(self.usage), "revised_prompt": image.revisedPrompt,
                ])
            ) { $1 }
        case .imageFailed(let index, let error):
            ["event": "image_failed", "image_index": index, "error": self.error(error)]
        case .usage(let usage): ["event": "usage", "usage": self.usage(usage)]
        case .model(let model): ["event": "model", "model": model]
        case .unknownEvent(let type): ["event": "unknown_event", "type": type]
        }
    }

    static func error(_ error: GatewayError) -> [String: Any] {
        self.fields([
            "code": error.code.rawValue, "message": error.message, "billed": error.billed.rawValue,
            "retry_after_ms": error.retryAfterMilliseconds, "upstream_status": error.upstreamStatus,
            "parameter": error.parameter,
        ])
    }

    private static func attributes(_ attributes: UpstreamImageAttributes) -> [String: Any] {
        self.fields([
            "size": attributes.size, "quality": attributes.quality, "background": attributes.background,
            "output_format": attributes.outputFormat, "created_at": attributes.createdAt,
        ])
    }

    private static func usage(_ usage: Usage) -> [String: Any] {
        [
            "input_tokens": usage.inputTokens, "input_text_tokens": usage.inputTextTokens,
            "input_image_tokens": usage.inputImageTokens, "output_tokens": usage.outputTokens,
            "total_tokens": usage.totalTokens,
        ]
    }

    private static func fields(_ fields: [String: Any?]) -> [String: Any] { fields.compactMapValues(\.self) }
}
