package import HTTPTypes

/// One kind of call of a dialect.
package struct DialectEndpoint: Sendable {
    package let method: HTTPRequest.Method
    /// Below the route's path, without leading slash. `{name}` stands for one path segment, `{name...}` for one or more. Empty: the
    /// route itself. Of several templates that fit a path the first one listed is meant.
    package let subpath: String
    package let action: Action

    package init(method: HTTPRequest.Method, subpath: String, action: Action) {
        self.method = method
        self.subpath = subpath
        self.action = action
    }

    /// What the gateway does. Where it is about one job, `{id}` of the path names it.
    package enum Action: Sendable {
        /// Creates a job; the response mode follows the request and the route.
        case create
        /// Creates a job and always streams.
        case createStreaming
        /// Creates a job and answers its snapshot at once.
        case submit
        /// Where the job stands, without its pictures' bytes.
        case snapshot
        /// The job's answer as it stands, with what its pictures are delivered as.
        case answer
        /// The job's events, from where the client stands.
        case stream
        case list
        /// Cancels the job, then answers where it stands.
        case cancel
        /// About no job at all.
        case describe
    }
}

/// One call as it came: of which kind, and what its target and head say.
package struct DialectCall: Sendable {
    package let endpoint: DialectEndpoint
    /// What stands for each `{name}` of the endpoint's path, as sent.
    package let parameters: [String: String]
    /// Decoded query items in order.
    package let query: [(name: String, value: String)]
    package let headers: HTTPFields
    /// Absolute URL of the route's path or mount, without trailing slash, from `public_url`.
    package let base: String

    package init(
        endpoint: DialectEndpoint, parameters: [String: String] = [:], query: [(name: String, value: String)] = [],
        headers: HTTPFields = [:], base: String
    ) {
        self.endpoint = endpoint
        self.parameters = parameters
        self.query = query
        self.headers = headers
        self.base = base
    }

    package func query(_ name: String) -> String? {
        self.query.first { $0.name == name }?.value
    }
}

/// How a call about a job that exists is answered.
package struct FollowWish: Sendable {
    package var form: Form
    /// Where the client of a stream stands; nil: at the beginning.
    package var position: StreamPosition?

    package enum Form: Sendable { case snapshot, answer, stream }

    package init(_ form: Form, position: StreamPosition? = nil) {
        self.form = form
        self.position = position
    }

    /// As the endpoint's action says.
    package init(_ call: DialectCall) {
        switch call.endpoint.action {
        case .stream: self.init(.stream, position: call.headers[.lastEventID].map(StreamPosition.eventID))
        case .answer: self.init(.answer)
        case .create, .createStreaming, .submit, .snapshot, .list, .cancel, .describe: self.init(.snapshot)
        }
    }
}

/// Where the client of a stream stands.
package enum StreamPosition: Sendable, Equatable {
    /// The id of the last event it has seen, whatever it sent as one.
    case eventID(String)
    /// It has seen all before this event, and this event in part or as a whole.
    case part(EventPart)
}

/// One of the frames that a dialect writes for one event.
package struct EventPart: Sendable, Hashable, Comparable {
    /// `EventSequence.number` of the event.
    package let number: UInt32
    package let part: Int

    package init(number: UInt32, part: Int) {
        self.number = number
        self.part = part
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.number, left.part) < (right.number, right.part)
    }
}

extension HTTPField.Name {
    fileprivate static let lastEventID = HTTPField.Name("last-event-id")!
}
