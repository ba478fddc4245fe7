import StreamCodecs

/// `GET /v1/models`: what clients may ask for by name, in OpenAI's list form, each with the routes that take it.
///
/// Names come from the table alone: those that a route matches or allows, and those that its available upstreams are asked for.
/// A pattern (`gpt-image-*`) is no name.
struct ModelListing {
    private var order: [String] = []
    private var models: [String: Entry] = [:]

    private struct Entry {
        var routes: [String] = []
        /// Names of upstreams.
        var upstreams: [String] = []
    }

    init(_ live: LiveTable) {
        for route in live.table.routes {
            let available = route.upstreams.filter { live.target($0) != nil }
            let names = ((route.match.models ?? []) + (route.allow.models ?? [])).map(\.text)
            for name in names where !name.contains("*") {
                self.add(name, route.name, upstreams: available.map(\.upstream.name))
            }
            for target in available {
                if let model = target.model { self.add(model, route.name, upstreams: [target.upstream.name]) }
            }
        }
    }

    private mutating func add(_ name: String, _ route: String, upstreams: [String]) {
        if self.models[name] == nil { self.order.append(name) }
        var entry = self.models[name] ?? Entry()
        if !entry.routes.contains(route) { entry.routes.append(route) }
        for upstream in upstreams where !entry.upstreams.contains(upstream) { entry.upstreams.append(upstream) }
        self.models[name] = entry
    }

    /// `{"object": "list", "data": [{"id", "object", "created", "owned_by", "routes"}]}`. When a model was made is not known here.
    func write(into json: inout JSONWriter) {
        json.beginObject()
        json.field("object", staticText: "list")
        json.key("data")
        json.beginArray()
        for name in self.order {
            guard let entry = self.models[name] else { continue }
            json.beginObject()
            json.field("id", name)
            json.field("object", staticText: "model")
            json.field("created", 0)
            json.field("owned_by", entry.upstreams.first ?? "safelight")
            json.key("routes")
            json.beginArray()
            for route in entry.routes { json.value(route) }
            json.endArray()
            json.endObject()
        }
        json.endArray()
        json.endObject()
    }
}
