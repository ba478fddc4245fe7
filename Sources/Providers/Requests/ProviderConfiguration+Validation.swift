import ImageGeneration

extension ProviderConfiguration {
    /// Checks what every provider relies on.
    func validate() throws(ProviderConfigurationProblem) {
        let url = self.baseURL.lowercased()
        guard url.hasPrefix("https://") || url.hasPrefix("http://"), !self.baseURL.hasSuffix("/") else {
            throw ProviderConfigurationProblem(
                key: "base_url", message: "expected an absolute http or https URL without a trailing slash")
        }
        guard self.baseURL.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            !self.baseURL.contains(where: { "?#".contains($0) })
        else {
            throw ProviderConfigurationProblem(
                key: "base_url", message: "expected an ASCII URL without spaces, query or fragment")
        }
        if let key = self.apiKey, key.isEmpty || !key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
            throw ProviderConfigurationProblem(
                key: "api_key", message: "expected visible ASCII characters without spaces or line breaks")
        }
        guard self.maximumEventBytes >= 1024 else {
            throw ProviderConfigurationProblem(key: "max_event", message: "expected at least 1 KiB")
        }
    }

    /// - Throws: where the entry names a preset that is none of these.
    func checkPreset(among known: [String]) throws(ProviderConfigurationProblem) {
        guard let preset = self.preset, !known.contains(preset) else { return }
        throw ProviderConfigurationProblem(key: "preset", message: "expected one of \(known.joined(separator: ", "))")
    }
}

extension ProviderCapabilities {
    /// Refuses what the upstream cannot do. Extensions that it does not know are not refused here: they are left out.
    func check(_ request: ImageRequest, upstream: String) throws(GatewayError) {
        guard self.operations.contains(request.operation) else {
            throw GatewayError(
                .unsupportedParameter, "The upstream \(upstream) cannot \(request.operation.rawValue) pictures.",
                parameter: "operation")
        }
        if let name = request.setParameters.first(where: { !self.parameters.contains($0) }) {
            throw GatewayError(
                .unsupportedParameter, "The upstream \(upstream) does not know \(name).", parameter: name)
        }
        guard (1...self.maximumCount).contains(request.count) else {
            throw GatewayError(
                .unsupportedParameter, "The upstream \(upstream) draws 1 to \(self.maximumCount) pictures at once.",
                parameter: "n")
        }
        if request.operation == .edit, request.images.isEmpty {
            throw GatewayError(.invalidParameter, "An edit needs a picture.", parameter: "images")
        }
    }
}
