import ImageGeneration
import NIOCore
import StreamCodecs

/// The status as a stream: nameless events, each a whole status with what is new in the log. It closes behind `COMPLETED`.
struct FalQueueEncoder: DialectEncoder {
    private var status: FalQueueStatus
    private let wantsLogs: Bool
    private let createdAt: Timestamp
    private var lastAt: Timestamp?
    private var isFinished = false

    init(_ context: EncoderContext) {
        self.status = FalQueueStatus(context)
        self.wantsLogs = FalQueueStatus.wantsLogs(context)
        self.createdAt = context.createdAt
    }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        let log = self.status.take(event)
        self.lastAt = event.at
        self.isFinished = event.event.isTerminal
        // Pictures are fetched, and previews have no place here.
        guard log != nil || self.isFinished else { return }
        self.write(log.map { [$0] } ?? [], into: &out)
    }

    /// Not resumable: such a stream always starts at the first event.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    /// The request goes on, so its status stays as it is; the log says why the stream ends.
    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.isFinished = true
        let log = FalQueueStatus.Log(
            at: self.lastAt ?? self.createdAt, message: error.message.onOneLine, level: "ERROR")
        out.write("data: ")
        self.status.write(logs: [log], always: true, into: &out.json)
        out.write("\n\n")
    }

    private func write(_ logs: [FalQueueStatus.Log], into out: inout FrameOutput) {
        out.write("data: ")
        self.status.write(logs: self.wantsLogs ? logs : [], into: &out.json)
        out.write("\n\n")
    }
}
