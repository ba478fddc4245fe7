import Synchronization

/// The conditions of all upstreams by name, and the rotations of groups. Outlives reloads: an upstream whose settings stay keeps what is
/// known of it.
package final class UpstreamConditions: Sendable {
    private struct State {
        var conditions: [String: UpstreamCondition] = [:]
        var rotations: [String: (members: [Member], rotation: GroupRotation)] = [:]
    }

    struct Member: Hashable, Sendable {
        var upstream: String
        var weight: Int
    }

    private let state = Mutex(State())

    package init() {}

    func condition(of name: String, _ settings: UpstreamCondition.Settings) -> UpstreamCondition {
        self.state.withLock { state in
            if let known = state.conditions[name], known.settings == settings { return known }
            let made = UpstreamCondition(name: name, settings: settings)
            state.conditions[name] = made
            return made
        }
    }

    /// Indices of the members in the order in which to try them this time.
    func order(of group: String, _ members: [Member]) -> [Int] {
        self.state.withLock { state in
            if state.rotations[group]?.members != members {
                state.rotations[group] = (members, GroupRotation(weights: members.map(\.weight)))
            }
            return state.rotations[group]?.rotation.next() ?? []
        }
    }
}
