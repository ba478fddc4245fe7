extension RouteTable {
    /// A change that the running process cannot follow.
    package struct RestartRequiredChange: Hashable, Sendable {
        /// `server.listen`
        package let key: String
        /// As it runs.
        package let running: String
        /// As the new file has it.
        package let configured: String
    }

    /// What of this table takes effect only after a restart, when `running` is the table the process began with.
    package func restartRequiredChanges(from running: RouteTable) -> [RestartRequiredChange] {
        let keys: [(String, @Sendable (RouteTable) -> String)] = [
            ("server.listen", { $0.server.listen.description }),
            ("server.tls", { $0.server.tls == nil ? "off" : "on" }),
            ("admin.listen", { $0.admin.listen.description }),
            ("storage.jobs.sqlite", { $0.storage.jobs?.database ?? "none" }),
            ("storage.jobs.retention", { $0.storage.jobs.map { "\($0.retention)" } ?? "none" }),
            ("storage.jobs.keep_prompts", { $0.storage.jobs.map { "\($0.keepsPrompts)" } ?? "none" }),
            ("storage.images.disk", { $0.storage.images?.disk ?? "none" }),
            ("storage.images.prefix", { $0.storage.images?.prefix ?? "none" }),
        ]
        return keys.compactMap { key, text in
            let (before, after) = (text(running), text(self))
            return before == after ? nil : RestartRequiredChange(key: key, running: before, configured: after)
        }
    }
}
