import Providers

extension RouteTableBuilder {
    /// An entry of `upstreams`. `upstream` is nil where the entry cannot be used; its name is known all the same.
    struct ResolvedUpstream {
        let name: String
        var upstream: RouteTable.Upstream?
        var capabilities: ProviderCapabilities?
        /// As the entry gives them, by which routes fill their own.
        let timeouts: RoutesFile.Timeouts?
    }

    mutating func upstreams() -> [ResolvedUpstream] {
        guard let entries = self.file.upstreams else { return [] }
        if entries.value.isEmpty { self.report("expected at least one upstream, found none", at: entries.place) }
        return entries.value.map { entry in
            var resolved = ResolvedUpstream(name: entry.name, timeouts: entry.value?.timeouts?.value)
            self.checkBase(entry)
            guard let given = entry.value, let provider = self.provider(of: given),
                let base = given.baseURL ?? self.presetBase(of: given)
            else { return resolved }
            let upstream = self.upstream(entry.name, given, provider: provider.name, base: base)
            resolved.upstream = upstream
            resolved.capabilities = self.inspect(upstream, entry: entry, provider: provider)
            return resolved
        }
    }

    private mutating func checkBase(_ entry: NamedEntry<RoutesFile.Upstream>) {
        guard let given = entry.value, !given.present.contains(.baseURL) else { return }
        if self.presetBase(of: given) != nil { return }
        // Presets to come know their service's address.
        if let preset = given.preset?.value, self.catalog.laterPresets.contains(preset) { return }
        let expected = ValueForm<UpstreamBase>.upstreamBase.expected
        let place = ConfigurationPlace(
            path: entry.place.path + ".base_url", line: entry.place.line, column: entry.place.column)
        self.report("missing key \"base_url\"; expected \(expected)", at: place)
    }

    /// Where the service of the preset is, for an upstream that does not say.
    private func presetBase(of given: RoutesFile.Upstream) -> Located<UpstreamBase>? {
        guard !given.present.contains(.baseURL), let preset = given.preset,
            let url = self.catalog.preset(named: preset.value)?.baseURL
        else { return nil }
        return Located(.url(url), at: preset.place)
    }

    private mutating func provider(of given: RoutesFile.Upstream) -> ConfigurationCatalog.ProviderEntry? {
        guard let name = given.provider else { return nil }
        guard let provider = self.catalog.provider(named: name.value) else {
            self.reportUnknown(
                "provider", name, known: self.catalog.providers.map(\.name), later: self.catalog.laterProviders)
            return nil
        }
        let isQueue = provider.name == "queue"
        if !isQueue {
            guard self.checkPreset(given, provider: provider.name, at: name.place) else { return nil }
        } else if let preset = given.preset, self.catalog.preset(named: preset.value) == nil {
            let known = self.catalog.presets.map(\.name)
            self.reportUnknown("preset", preset, known: known, later: self.catalog.laterPresets)
            return nil
        } else if isQueue, !given.present.contains(.preset), !given.present.contains(.definition) {
            let expected = ConfigurationText.alternatives(self.catalog.presets.map { "\"\($0.name)\"" })
            self.report(
                "missing key \"preset\"; expected \(expected), or a \"definition\", for provider \"queue\"",
                at: name.place)
            return nil
        }
        if let definition = given.definition, !isQueue, provider.name != "sync" {
            self.report("only the providers \"queue\" and \"sync\" have a definition", at: definition.place)
        }
        return provider
    }

    /// False where the entry cannot be used without the preset it names, or should name.
    private mutating func checkPreset(
        _ given: RoutesFile.Upstream, provider: String, at place: ConfigurationPlace
    ) -> Bool {
        let known = self.catalog.providerPresets[provider] ?? []
        guard let preset = given.preset else {
            guard provider == "sync", !given.present.contains(.definition) else { return true }
            let expected = ConfigurationText.alternatives(known.map { "\"\($0)\"" })
            self.report(
                "missing key \"preset\"; expected \(expected), or a \"definition\", for provider \"sync\"", at: place)
            return false
        }
        if known.isEmpty {
            self.report("provider \"\(provider)\" has no presets", at: preset.place)
        } else if !known.contains(preset.value) {
            self.reportUnknown("preset", preset, known: known, later: [])
            return false
        }
        return true
    }

    /// A name that no registry holds: too early, or wrong.
    mutating func reportUnknown(_ kind: String, _ name: Located<String>, known: [String], later: [String]) {
        let quoted = ConfigurationText.quoted(name.value)
        if later.contains(name.value) {
            self.report("\(kind) \(quoted) is not available yet", at: name.place)
            return
        }
        let expected = ConfigurationText.alternatives(known.map { ConfigurationText.quoted($0) })
        let hint = ConfigurationText.suggestion(for: name.value, among: known + later)
        self.report("unknown \(kind) \(quoted); expected \(expected)\(hint)", at: name.place)
    }

    private mutating func upstream(
        _ name: String, _ given: RoutesFile.Upstream, provider: String, base: Located<UpstreamBase>
    ) -> RouteTable.Upstream {
        let isSimulated = base.value == .simulator
        if isSimulated, !self.catalog.simulated.contains(provider) {
            self.report("the simulator does not speak provider \"\(provider)\"", at: base.place)
        } else if isSimulated, let preset = given.preset, let spoken = self.catalog.simulatedPresets[provider],
            !spoken.contains(preset.value)
        {
            let shown = ConfigurationText.quoted(preset.value)
            self.report("the simulator does not speak preset \(shown) of provider \"\(provider)\"", at: base.place)
        }
        self.checkCallExtras(of: given, provider: provider)
        if case .url(let text) = base.value, let url = NetworkNames.webURL(text), !url.isSecure, given.apiKey != nil,
            !self.isLocal(url.host)
        {
            let shown = ConfigurationText.quoted(name)
            self.report("the key of \(shown) is sent unencrypted; expected https", at: base.place, .warning)
        }
        let preset = given.preset.flatMap { self.catalog.preset(named: $0.value) }
        let (key, reason) = self.apiKey(of: given, upstream: name)
        return RouteTable.Upstream(
            name: name, provider: provider, preset: given.preset?.value, definition: given.definition?.value,
            base: base.value, apiKey: key,
            unavailableReason: reason, model: given.model?.value, http: given.http?.value ?? .http1,
            proxy: given.proxy?.value, maximumEventBytes: given.event?.value ?? 64 << 20,
            resultHosts: given.resultHosts?.value.map(\.value) ?? preset?.resultHosts ?? [],
            privateNetwork: given.privateNetwork?.value ?? isSimulated,
            headers: Self.pairs(given.headers), query: Self.pairs(given.query),
            background: given.background?.value ?? false, steadiness: Self.steadiness(given))
    }

    private static func pairs(_ entries: Located<[NamedEntry<String>]>?) -> [(name: String, value: String)] {
        (entries?.value ?? []).compactMap { entry in entry.value.map { (entry.name, $0) } }
    }

    private static func steadiness(_ given: RoutesFile.Upstream) -> UpstreamCondition.Settings {
        var settings = UpstreamCondition.Settings()
        settings.concurrency = given.concurrency?.value
        if let seats = given.waiting?.value { settings.waiting = seats }
        if let failures = given.breaker?.value.failures?.value { settings.breaker.failures = failures }
        if let open = given.breaker?.value.open?.value { settings.breaker.openMilliseconds = Int(open.milliseconds) }
        if let attempts = given.retry?.value.attempts?.value { settings.retry.attempts = attempts }
        if let backoff = given.retry?.value.backoff?.value {
            settings.retry.backoffMilliseconds = Int(backoff.milliseconds)
        }
        return settings
    }

    private func isLocal(_ host: String) -> Bool {
        ListenAddress("\(host):0")?.isLoopback ?? false
    }

    /// The first key that is set, else why there is none.
    private mutating func apiKey(of given: RoutesFile.Upstream, upstream: String) -> (Secret?, reason: String?) {
        guard let references = given.apiKey, !references.value.isEmpty else { return (nil, nil) }
        var reasons: [String] = []
        for reference in references.value {
            do {
                let key = try self.surroundings.secret(reference)
                // It goes into a header.
                if key.reveal().utf8.allSatisfy({ (0x21...0x7E).contains($0) }) { return (key, nil) }
                reasons.append("its key holds characters that no header can carry")
            } catch {
                reasons.append(error.reason)
            }
        }
        let reason = reasons.joined(separator: "; ")
        let shown = ConfigurationText.quoted(upstream)
        self.report("upstream \(shown) is unavailable: \(reason)", at: references.place, .warning)
        return (nil, reason)
    }

    /// Lets the provider judge what only it knows.
    private mutating func inspect(
        _ upstream: RouteTable.Upstream, entry: NamedEntry<RoutesFile.Upstream>,
        provider: ConfigurationCatalog.ProviderEntry
    ) -> ProviderCapabilities? {
        let baseURL =
            switch upstream.base {
            case .url(let text): text
            case .simulator: "http://127.0.0.1:9100"
            }
        // A key that is only unset now is no fault of the file.
        let key = upstream.apiKey?.reveal() ?? (upstream.isAvailable ? nil : "unset")
        switch provider.inspect(upstream.providerConfiguration(baseURL: baseURL, apiKey: key)) {
        case .success(let capabilities): return capabilities
        case .failure(let problem):
            self.report(problem.message, at: self.place(of: problem.key, in: entry))
            return nil
        }
    }

    private func place(of key: String, in entry: NamedEntry<RoutesFile.Upstream>) -> ConfigurationPlace {
        let known: [String: ConfigurationPlace?] = [
            "provider": entry.value?.provider?.place, "preset": entry.value?.preset?.place,
            "base_url": entry.value?.baseURL?.place, "api_key": entry.value?.apiKey?.place,
            "model": entry.value?.model?.place,
        ]
        if key.hasPrefix("definition"), let place = entry.value?.definition?.place {
            return ConfigurationPlace(
                path: place.path + key.dropFirst("definition".count), line: place.line, column: place.column)
        }
        return known[key].flatMap(\.self) ?? entry.place
    }
}
