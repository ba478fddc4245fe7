import StreamCodecs

/// `/upstreams` of the operators' listener: what is configured and how it fares.
enum UpstreamListing {
    static func write(_ upstreams: [LiveTable.UpstreamReport], into json: inout JSONWriter) {
        json.beginObject()
        json.key("upstreams")
        json.beginArray()
        for entry in upstreams { self.write(entry, into: &json) }
        json.endArray()
        json.endObject()
    }

    private static func write(_ entry: LiveTable.UpstreamReport, into json: inout JSONWriter) {
        json.beginObject()
        json.field("name", entry.upstream.name)
        json.field("provider", entry.upstream.provider)
        json.field("available", entry.upstream.isAvailable)
        json.field("unavailable_reason", entry.upstream.unavailableReason)
        if let condition = entry.condition {
            json.field("breaker", condition.breaker.rawValue)
            json.field("active", condition.active)
            json.field("waiting", condition.waiting)
            json.field("concurrency", entry.upstream.steadiness.concurrency)
            json.field("held_ms", condition.heldMilliseconds)
        }
        json.endObject()
    }
}
