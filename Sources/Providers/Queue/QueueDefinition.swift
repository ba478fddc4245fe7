import HTTPTypes
import ImageGeneration
import StreamCodecs

/// How one queued service is spoken to, as data: its calls, what it is told, and where its replies say what.
///
/// Presets are such data, and so is a definition of one's own; ``init(layers:)`` reads the JSON form.
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
    /// Where finished pictures are told, if not by the status.
    var result: QueueCallTemplate?
    var cancel: QueueCallTemplate?
    var body: QueueTemplate
    var poll: Poll
    /// Hosts besides the base URL's to which calls with the key may go when a reply names them; `*.` stands for any subdomain.
    var linkHosts: [String]
    var reply: QueueReplyPaths

    /// The header that carries the key, and what stands before it: `Bearer `, `Key `, nothing.
    struct KeyHeader: Sendable {
        var name: HTTPField.Name
        var prefix: String
    }

    /// How states are learned; all end in polling when they fail.
    enum Follow: String, Sendable, CaseIterable { case poll, events, submit }

    /// In milliseconds.
    struct Poll: Sendable {
        /// The first pace, and the fastest.
        var interval = 1000
        /// The pace rises to this while nothing changes.
        var maximumInterval = 5000
        /// How long after the submission the service may not know the job yet.
        var unknownJobGrace = 10_000
    }
}

/// Where a job stands, by rank: of several that a reply names, the furthest counts.
enum QueueState: String, Sendable, CaseIterable, Comparable {
    case queued, processing, generating, uploading, succeeded, failed, refused, cancelled
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
        case .succeeded, .failed, .refused, .cancelled, .missing: nil
        }
    }
}

/// A request: `url` may name `{base}`, `{job_id}`, `{model}` and the definition's links.
struct QueueCallTemplate: Sendable {
    var method: HTTPRequest.Method
    var url: [URLPart]
    var headers: HTTPFields

    enum URLPart: Sendable, Equatable {
        case literal(String)
        case base
        case jobID
        case model
        /// A URL that the reply to the submission named.
        case link(String)
    }

    /// Nil where a part has no value.
    func url(base: String, jobID: String?, model: String?, links: [String: String]) -> String? {
        var text = ""
        for part in self.url {
            switch part {
            case .literal(let literal): text += literal
            case .base: text += base
            case .jobID:
                guard let jobID else { return nil }
                text += QueueURL.encoded(jobID, keeping: "-._~")
            case .model:
                guard let model else { return nil }
                // Models are paths at some services; a segment of dots would climb out of it.
                guard !model.split(separator: "/").contains(where: { $0.allSatisfy { $0 == "." } }) else { return nil }
                text += QueueURL.encoded(model, keeping: "-._~/:")
            case .link(let name):
                guard let link = links[name] else { return nil }
                text += link
            }
        }
        return text
    }
}

/// Paths into replies, compiled: each number is an index into `paths`; of several the first that has a value counts.
struct QueueReplyPaths: Sendable {
    var paths: JSONFieldPaths
    var jobID: [Int]
    var links: [(name: String, paths: [Int])]
    var state: [Int]
    var states: [String: QueueState]
    /// A value here that is neither null, false nor empty means failure, whatever the state says.
    var failureWhen: [Int]
    var failureCode: [Int]
    var failureMessage: [Int]
    var progress: [Int]
    /// Multiplied with the number to make percent.
    var progressScale: Double
    /// Log text whose last progress bar tells the percentage.
    var progressLog: [Int]
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
    }
}
