import ImageGeneration
import NIOCore
import StreamCodecs

// Values of the unified model that several dialects write alike.
extension JSONWriter {
    /// RFC 3339 straight into the buffer: an event's time costs no allocation.
    mutating func field(_ key: StaticString, time: Timestamp?) {
        guard let time else { return }
        self.key(key)
        self.beginSplicedString()
        self.buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 24) { target in
            time.writeRFC3339(into: UnsafeMutableBufferPointer(rebasing: target.bindMemory(to: UInt8.self)[..<24]))
            return 24
        }
        self.endSplicedString()
    }

    /// In OpenAI's shape, all members present.
    mutating func field(_ key: StaticString, usage: Usage) {
        self.key(key)
        self.beginObject()
        self.field("input_tokens", usage.inputTokens)
        self.key("input_tokens_details")
        self.beginObject()
        self.field("image_tokens", usage.inputImageTokens)
        self.field("text_tokens", usage.inputTextTokens)
        self.endObject()
        self.field("output_tokens", usage.outputTokens)
        self.field("total_tokens", usage.totalTokens)
        self.endObject()
    }

    mutating func field(_ key: StaticString, orNull value: Int?) {
        self.key(key)
        if let value { self.value(value) } else { self.null() }
    }

    mutating func field(_ key: StaticString, orNull value: String?) {
        self.key(key)
        if let value { self.value(value) } else { self.null() }
    }
}

extension FrameOutput {
    /// A member whose value is the payload's text, spliced between two quotes.
    mutating func field(_ key: StaticString, payload: ImagePayload) {
        self.json.key(key)
        self.json.beginSplicedString()
        self.splice(payload)
        self.json.endSplicedString()
    }

    mutating func write(_ text: StaticString) { self.json.buffer.writeStaticString(text) }
}

extension ByteBuffer {
    /// ASCII digits, without a `String` on the way.
    mutating func writeDecimal(_ number: UInt64) {
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: 20) { target in
            var length = 1
            var rest = number / 10
            while rest > 0 {
                length += 1
                rest /= 10
            }
            rest = number
            for index in stride(from: length - 1, through: 0, by: -1) {
                target[index] = UInt8(0x30 + rest % 10)
                rest /= 10
            }
            return length
        }
    }
}
