import ImageGeneration
import Storage
import Transport

/// How an attempt to deliver a message ended.
enum WebhookOutcome: Equatable, Sendable {
    /// - retryAfterMilliseconds: as the receiver asks, at most an hour.
    case answered(status: Int, retryAfterMilliseconds: Int?)
    /// No answer.
    case failed(Failure)

    enum Failure: Equatable, Sendable {
        case call(UpstreamFailure.Reason)
        /// The name is not in `webhooks` any more.
        case notConfigured
        /// None of its secrets is set.
        case secretUnset
        /// What is to be told could not be read.
        case jobUnreadable
        /// The gateway stopped meanwhile.
        case interrupted

        /// As the delivery log has it.
        var word: String {
            switch self {
            case .call(let reason): reason.rawValue
            case .notConfigured: "not_configured"
            case .secretUnset: "secret_unset"
            case .jobUnreadable: "job_unreadable"
            case .interrupted: "interrupted"
            }
        }
    }

    var status: Int? {
        if case .answered(let status, _) = self { status } else { nil }
    }

    var errorWord: String? {
        if case .failed(let failure) = self { failure.word } else { nil }
    }
}

/// When a message that was not taken is sent again.
enum WebhookSchedule {
    /// Behind each attempt that fails, in milliseconds; after the last of them there is no other.
    static let delays: [Int64] = [5000, 60_000, 15 * 60_000, 2 * 3_600_000]

    /// By how much a delay is made shorter or longer, so that messages that failed together do not come back together.
    static let jitter = 0.8...1.2

    /// - Parameters:
    ///   - attempt: from 1.
    ///   - now: when the attempt ended.
    ///   - jitter: drawn from ``jitter``.
    static func fate(after outcome: WebhookOutcome, attempt: Int, now: Timestamp, jitter: Double) -> WebhookFate {
        var asked: Int64 = 0
        switch outcome {
        case .answered(200..<300, _): return .delivered
        // "Gone": the receiver wants no more of this.
        case .answered(410, _): return .givenUp
        case .failed(.interrupted): return .retry(at: now)
        case .answered(_, let retryAfter): asked = Int64(retryAfter ?? 0)
        case .failed: break
        }
        guard (1...self.delays.count).contains(attempt) else { return .givenUp }
        let delay = Int64(Double(self.delays[attempt - 1]) * jitter)
        return .retry(at: now.advanced(byMilliseconds: max(delay, asked)))
    }
}
