/// Reads server-sent events as the OpenAI Python SDK does, the strictest of the readers we know: a blank line
/// dispatches whenever an event, an id that persisted, a `retry` or data is held, also an event without data.
struct EventStreamReader {
    struct Event: Equatable {
        var name: String?
        var data: String
        var id: String?
        var retry: Int?
    }

    static func events(_ bytes: [UInt8]) -> [Event] {
        var events: [Event] = []
        var name: String?
        var data: [String] = []
        var id: String?
        var retry: Int?
        var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        lines.removeLast()
        for line in lines {
            if line.isEmpty {
                guard name != nil || !data.isEmpty || id != nil || retry != nil else { continue }
                events.append(Event(name: name, data: data.joined(separator: "\n"), id: id, retry: retry))
                (name, data, retry) = (nil, [], nil)
                continue
            }
            guard !line.hasPrefix(":") else { continue }
            let field = line.prefix { $0 != ":" }
            let rest = line.dropFirst(field.count + 1)
            let value = String(rest.hasPrefix(" ") ? rest.dropFirst() : rest)
            switch field {
            case "event": name = value
            case "data": data.append(value)
            case "id": id = value
            case "retry": retry = Int(value)
            default: break
            }
        }
        return events
    }
}
