package import Admission
import ImageGeneration
package import Storage
import StreamCodecs
import Transport

/// What the gateway holds at this moment, for health checks and tests of leaks.
package struct GatewayGauges: Sendable {
    /// Jobs whose upstream half runs.
    package var jobs: Int
    /// Responses being streamed or waited for.
    package var streams: Int
    package var upstreamCalls: Int
    package var connections: Int
    /// Payload bytes held.
    package var payloadBytes: Int
    /// Jobs that are over and still known.
    package var finishedJobs: Int
    /// Of ``payloadBytes``: kept for these.
    package var finishedPayloadBytes: Int
    /// What limits count.
    package var limits: LimitGauge
    package var memory: MemoryGauge?
    /// The image store; nil where none is configured.
    package var images: ImageStoreGauge?

    package init(
        jobs: Int, streams: Int, upstreamCalls: Int, connections: Int, payloadBytes: Int, finishedJobs: Int = 0,
        finishedPayloadBytes: Int = 0, limits: LimitGauge = LimitGauge(), memory: MemoryGauge? = nil,
        images: ImageStoreGauge? = nil
    ) {
        self.jobs = jobs
        self.streams = streams
        self.upstreamCalls = upstreamCalls
        self.connections = connections
        self.payloadBytes = payloadBytes
        self.finishedJobs = finishedJobs
        self.finishedPayloadBytes = finishedPayloadBytes
        self.limits = limits
        self.memory = memory
        self.images = images
    }

    func write(into json: inout JSONWriter, status: StaticString) {
        json.beginObject()
        json.key("status")
        json.value(staticText: status)
        json.field("jobs", self.jobs)
        json.field("streams", self.streams)
        json.field("upstream_calls", self.upstreamCalls)
        json.field("connections", self.connections)
        json.field("payload_bytes", self.payloadBytes)
        json.field("finished_jobs", self.finishedJobs)
        json.field("finished_payload_bytes", self.finishedPayloadBytes)
        json.key("limits")
        json.beginObject()
        json.field("keys", self.limits.keys)
        json.field("permits", self.limits.permits)
        json.field("refused", self.limits.refused)
        json.field("shadow_refused", self.limits.shadowRefused)
        json.endObject()
        self.memory?.write(into: &json)
        if let images = self.images {
            json.key("images")
            json.beginObject()
            json.field("files", images.files)
            json.field("bytes", images.bytes)
            json.field("complete", images.isComplete)
            json.field("writable", images.isWritable)
            json.endObject()
        }
        json.endObject()
    }
}

/// What gives way where payloads want more memory than there is.
package struct MemoryGauge: Sendable {
    /// Bytes in the spill file.
    package var spilledBytes: Int
    /// Jobs whose upstream waits for memory.
    package var waiting: Int
    /// Since the start.
    package var figures: PayloadBudget.Figures

    package init(_ budget: PayloadBudget, spilledBytes: Int) {
        self.spilledBytes = spilledBytes
        self.waiting = budget.waiterCount
        self.figures = budget.figures
    }

    fileprivate func write(into json: inout JSONWriter) {
        json.key("memory")
        json.beginObject()
        json.field("spilled_bytes", self.spilledBytes)
        json.field("waiting", self.waiting)
        json.field("displaced_payloads", self.figures.displacedPayloads)
        json.field("closed_readers", self.figures.closedReaders)
        json.field("refused", self.figures.refused)
        json.endObject()
    }
}
