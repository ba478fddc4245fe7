/// What the simulator does with one request: how long it takes and what goes wrong. See `docs/simulator.md`.
package struct SimulatorScript: Hashable, Sendable {
    /// From the start of the work to its end. Default 4 s.
    package var duration: Duration = .seconds(4)
    /// Previews at most; the request may ask for fewer. Default 3.
    package var previews = 3
    /// Before the response head. Default none.
    package var firstByte: Duration = .zero
    /// Waiting time of queued jobs before `duration` begins. Default 500 ms.
    package var queue: Duration = .milliseconds(500)
    /// Requests ahead when a job is queued; falls to 0 over `queue`. Default 2.
    package var position = 2
    /// Bytes every PNG is padded to; nil: as drawn.
    package var payload: Int?
    /// Answer with this status instead of working.
    package var status: Int?
    /// Sent with `status`. Default for 429 and 503: 1 s.
    package var retryAfter: Duration?
    package var refuse: Refusal?
    package var stall: Stall?
    package var truncate: Truncation?
    package var malformed: Malformation?
    /// The stream ends cleanly, but without its last event.
    package var noTerminal = false
    /// The picture arrives right after the first preview.
    package var earlyFinal = false
    /// An event of a type nobody knows is sent after the first one.
    package var unknownEvent = false
    /// Bytes of one write, 1…65536. Default 65536.
    package var chunk = 65536
    package var fail: Failure?
    /// Overrides the request's own seed.
    package var seed: UInt64?

    package enum Refusal: String, Hashable, Sendable, CaseIterable {
        /// 400 in place of an answer.
        case head
        /// An error event after the first preview.
        case stream
    }

    package enum Stall: Hashable, Sendable {
        /// Nothing is answered at all.
        case head
        /// Silence after the preview of this index, from 0; a queued job stops at half its progress.
        case afterPreview(Int)
        /// Silence in the middle of the last event.
        case mid
    }

    package enum Truncation: Hashable, Sendable {
        /// The connection closes after this many bytes of the body.
        case bytes(Int)
        /// The connection closes in the middle of the event of this index, from 0.
        case event(Int)
    }

    package enum Malformation: String, Hashable, Sendable, CaseIterable {
        /// The last JSON text is cut short inside a whole event.
        case json
        /// Characters outside the alphabet in the middle of the last payload.
        case base64
        /// A page of HTML with status 200.
        case html
        /// The last event lacks its payload and has fields of wrong types.
        case event
        /// Bytes that are no text at all in place of the last event.
        case sse
    }

    package enum Failure: String, Hashable, Sendable, CaseIterable {
        /// An error event with an `error` object.
        case nested
        /// An error event with the fields at its top level.
        case flat
    }

    package init() {}
}

extension SimulatorScript {
    /// Presets of the pace: `fast` ends at once, `normal` lets a human watch, `slow` tries patience.
    package enum Profile: String, Sendable, CaseIterable {
        case fast, normal, slow
    }

    package init(profile: Profile) {
        self.init()
        self.use(profile)
    }

    mutating func use(_ profile: Profile) {
        switch profile {
        case .fast: (self.duration, self.queue, self.position) = (.milliseconds(200), .zero, 0)
        case .normal: (self.duration, self.queue, self.position) = (.seconds(4), .milliseconds(500), 2)
        case .slow: (self.duration, self.queue, self.position) = (.seconds(30), .seconds(5), 5)
        }
    }
}
