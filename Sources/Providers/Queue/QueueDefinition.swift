import HTTPTypes
import ImageGeneration
import StreamCodecs

/// How one queued service is spoken to, as data: its calls, what it is told, and where its replies say what.
///
/// Presets are such data, and so is a definition of one's own; ``init(layers:)`` reads the JSON form, which `docs/queue.md`
/// describes for those who write one.
struct QueueDefinition: Sendable {
    var operations: Set<ImageRequest.Operation>
    /// Pictures one job can bring.
    var maximumCount: Int
    var key: KeyHeader?
    var follow: Follow
    var submit: QueueCallTemplate
    /// One call that both submits and streams.
    var submitStream: QueueCallTemplate?
    var status: QueueCallTemplate
    var events: QueueCallTemplate?
    /// What is done with events whose data is no document but text, by their `event:` name.
    var namedEvents: [String: EventUse]
    /// Where finished pictures are told, if not by the status.
    var result: QueueCallTemplate?
    var cancel: QueueCallTemplate?
    var body: QueueTemplate
    var bodyForm: BodyForm
    var poll: Poll
    /// Hosts besides the base URL's to which calls with the key may go when a reply names them; `*.` stands for any subdomain.
    var linkHosts: [String]
    var reply: QueueReplyPaths
    var failureCodes: QueueFailureCodes

    /// The header that carries the key, and what stands before it: `Bearer `, `Key `, nothing.
    struct KeyHeader: Sendable {
        var name: HTTPField.Name
        var prefix: String
    }

    /// How states are learned; all end in polling when they fail.
    enum Follow: String, Sendable, CaseIterable { case poll, events, submit }

    enum BodyForm: String, Sendable, CaseIterable { case json, multipart }

    enum EventUse: String, Sendable, CaseIterable {
        /// A piece of the log: its last progress bar counts.
        case log
        /// A picture on its way as a `data:` URL; anything else is passed over.
        case preview
        /// The status is asked at once, whatever the data says.
        case status
        case ignore
    }

    /// In milliseconds.
    struct Poll: Sendable {
        /// The first pace, and the fastest.
        var interval = 1000
        /// The pace rises to this while nothing changes.
        var maximumInterval = 5000
        /// How long after the submission the service may not know the job yet.
        var unknownJobGrace = 10_000
    }

    /// Whether a job cannot be followed to its end without the address that replies call so.
    func needs(link name: String) -> Bool {
        self.status.names(.link(name)) || self.result?.names(.link(name)) ?? false
    }

    /// Whether a call behind the submission names the model.
    var followsByModel: Bool {
        [self.status, self.events, self.result, self.cancel].contains { $0?.names(.model) ?? false }
    }
}

/// Where a job stands, by rank: of several that a reply names, the furthest counts.
enum QueueState: String, Sendable, CaseIterable, Comparable {
    case queued, processing, generating, uploading, succeeded, failed
    /// Moderation refused the request before any work.
    case refused
    /// Moderation withheld the work.
    case filtered
    case cancelled
    /// The service does not know the job.
    case missing

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }

    static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }

    /// Nil for states in which no more is to come.
    var stage: Stage? {
        switch self {
        case .queued: .queued
        case .processing: .processing
        case .generating: .generating
        case .uploading: .uploading
        case .succeeded, .failed, .refused, .filtered, .cancelled, .missing: nil
        }
    }
}

/// A request: `url` and the values of `query` may name `{base}`, `{job_id}`, `{model}` and the definition's links.
struct QueueCallTemplate: Sendable {
    var method: HTTPRequest.Method
    /// Begins with the base or a link.
    var url: [URLPart]
    /// Added where the address does not have them.
    var query: [(name: String, value: [URLPart])] = []
    /// Besides the key's and those of the body; `Accept` here replaces the usual one.
    var headers: HTTPFields

    enum URLPart: Sendable, Equatable {
        case literal(String)
        case base
        case jobID
        case model
        /// A URL that the reply to the submission named.
        case link(String)
    }

    /// What the parts stand for.
    struct Values {
        var base: String
        var jobID: String?
        var model: String?
        var links: [String: String] = [:]

        func text(_ part: URLPart, keeping kept: String) -> String? {
            switch part {
            case .literal(let literal): return literal
            case .base: return self.base
            case .jobID: return self.jobID.map { QueueURL.encoded($0, keeping: "-._~") }
            case .model:
                // Models are paths at some services; a segment of dots would climb out of it.
                guard let model = self.model,
                    !model.split(separator: "/").contains(where: { $0.allSatisfy { $0 == "." } })
                else { return nil }
                return QueueURL.encoded(model, keeping: kept)
            case .link(let name): return self.links[name]
            }
        }
    }

    func names(_ part: URLPart) -> Bool {
        self.url.contains(part) || self.query.contains { $0.value.contains(part) }
    }

    /// Nil where a part has no value.
    func url(_ values: Values) -> String? {
        guard let first = self.url.first, let address = values.text(first, keeping: "") else { return nil }
        var suffix = ""
        for part in self.url.dropFirst() {
            guard let text = values.text(part, keeping: "-._~/:") else { return nil }
            suffix += text
        }
        var query: [(name: String, value: String)] = []
        for (name, parts) in self.query {
            let texts = parts.compactMap { values.text($0, keeping: "-._~") }
            guard texts.count == parts.count else { return nil }
            query.append((name, texts.joined()))
        }
        return QueueURL.extended(address, by: suffix, query: query)
    }
}

/// Words of a service for why something failed, and what they mean; a `*` at the end of a word stands for the rest of it.
struct QueueFailureCodes: Sendable {
    enum Meaning: String, Sendable, CaseIterable {
        case refused, failed, quota
        case rateLimited = "rate_limited"
        case auth = "key_refused"

        /// As ``UpstreamErrorReport`` knows it.
        fileprivate var word: String {
            switch self {
            case .refused: "content_policy_violation"
            case .failed: "server_error"
            case .quota: "insufficient_quota"
            case .rateLimited: "rate_limit_exceeded"
            case .auth: "invalid_api_key"
            }
        }
    }

    var meanings: [(word: String, meaning: Meaning)] = []

    func judge(_ report: inout UpstreamErrorReport) {
        for case let said? in [report.code, report.type] {
            let found = self.meanings.first { word, _ in
                word.hasSuffix("*") ? said.hasPrefix(word.dropLast()) : said == word
            }
            guard let found else { continue }
            report.meaning = found.meaning.word
            return
        }
    }
}

/// Paths into replies, compiled: each number is an index into `paths`; of several the first that has a value counts.
struct QueueReplyPaths: Sendable {
    var paths: JSONFieldPaths
    var jobID: [Int]
    var links: [(name: String, paths: [Int])]
    var state: [Int]
    var states: [String: QueueState]
    /// A value here that is neither null, false, 0 nor empty means failure, whatever the state says.
    var failureWhen: [Int]
    var failureCode: [Int]
    var failureMessage: [Int]
    /// A value here means that the service no longer keeps what it drew.
    var removed: [Int]
    var progress: [Int]
    /// Multiplied with the number to make percent.
    var progressScale: Double
    /// The least stage of a job that has a number.
    var progressStage: QueueState?
    /// Log text whose last progress bar tells the percentage.
    var progressLog: [Int]
    var progressLogForm: ProgressBar.Form
    var queuePosition: [Int]
    var estimate: [Int]
    /// Milliseconds in one unit of the estimate.
    var estimateUnit: Double
    var message: [Int]
    var images: [Images]

    /// Either `url` or `base64`, with `*` where there may be several.
    struct Images: Sendable {
        var url: Int?
        var base64: Int?
        var width: Int?
        var height: Int?
        var format: Int?
        var revisedPrompt: Int?
        /// A value here means that moderation withheld this picture.
        var refused: Int?
    }
}
