/// How a create request is answered that does not say itself.
package enum RouteMode: String, Sendable, CaseIterable {
    /// A stream when the request asks for one, else one answer.
    case auto
    /// Always a stream.
    case stream
    /// Always one answer, once the job is done.
    case wait
    /// Always the job's snapshot at once; what becomes of it is asked later.
    case queue
}

/// Who may call a route.
package enum RouteAuth: String, Sendable, CaseIterable { case required, optional, `public` }

/// What happens to wishes that an upstream cannot fulfil.
package enum UnsupportedPolicy: String, Sendable, CaseIterable {
    /// The request fails and names the parameter.
    case refuse
    /// The parameter is left out.
    case drop
    /// The nearest thing the upstream can do is asked for.
    case nearest
}

/// What becomes of a job that nobody watches any more.
package enum DisconnectPolicy: Hashable, Sendable {
    /// It goes on.
    case `continue`
    /// It is cancelled at once.
    case cancel
    /// It is cancelled unless somebody comes back in time.
    case grace(Duration)
}

/// Pictures that a request gives by URL.
package enum InputURLs: String, Sendable, CaseIterable { case refuse }

/// Who decides whether a message of a conversation wants a picture.
package enum PictureIntent: String, Sendable, CaseIterable {
    /// Every one does.
    case always
    /// The upstream's model, where it can.
    case model
    /// A list of words.
    case rule
}

/// What a heartbeat looks like.
package enum HeartbeatStyle: String, Sendable, CaseIterable {
    /// A comment and a blank line.
    case comment
    /// A comment line alone: it never ends an event.
    case line
    /// One space between two lines of JSON.
    case space
}
