package import NIOCore

/// One dispatched event. Bytes are as they came: invalid UTF-8 is replaced where a `String` is made of them.
package struct ServerSentEventFrame: Sendable {
    /// The type; nil when none was given, which means "message".
    package var event: ByteBuffer?
    /// The data lines joined by LF. Owns its storage: the decoder never writes to it again, so that slices are free and
    /// a change in place copies nothing as long as no one else holds it.
    package var data: ByteBuffer
    /// The id that a reconnecting client would send, as stored when the event was dispatched; empty if there is none.
    package var lastEventID: ByteBuffer
    /// The last valid `retry:` of this block, in milliseconds.
    package var retry: Int?

    package init(
        event: ByteBuffer? = nil, data: ByteBuffer, lastEventID: ByteBuffer = ByteBuffer(), retry: Int? = nil
    ) {
        self.event = event
        self.data = data
        self.lastEventID = lastEventID
        self.retry = retry
    }

    /// Whether the type is `name`; an event without type is a "message".
    package func isEvent(_ name: StaticString) -> Bool {
        self.withEvent { name.equals($0) }
    }

    /// Which of `names` the type is.
    package func index(among names: [StaticString]) -> Int? { self.withEvent { $0.index(among: names) } }

    private func withEvent<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        guard let event = self.event else {
            let message: StaticString = "message"
            return message.withUTF8Buffer { body(UnsafeRawBufferPointer($0)) }
        }
        return event.withUnsafeReadableBytes(body)
    }
}
