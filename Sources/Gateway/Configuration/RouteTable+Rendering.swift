import Admission
import Dialects
import HTTPTypes
import ImageGeneration

extension RouteTable {
    /// The table for a terminal: one line for each call a client can make, columns aligned. Why an upstream is unavailable is
    /// a warning of the file, said once.
    package func rendered() -> String {
        let head = ["ROUTE", "METHOD", "PATH", "DIALECT", "OPERATION", "MODE", "LIMITS", "UPSTREAMS"]
        let routes = TextTable.aligned([head] + self.routes.flatMap(\.rows))
        guard !self.webhooks.isEmpty else { return routes }
        return routes + "\n" + TextTable.aligned([["WEBHOOK", "URL", "ROUTES"]] + self.webhooks.map(self.row))
    }

    private func row(_ webhook: Webhook) -> [String] {
        let routes = self.routes.filter { $0.notify == webhook.name }.map { ConfigurationText.visible($0.name) }
        return [
            webhook.name + (webhook.unavailableReason == nil ? "" : " (unavailable)"), webhook.shownURL,
            routes.isEmpty ? "-" : routes.joined(separator: ", "),
        ]
    }
}

extension RouteTable.Route {
    fileprivate var rows: [[String]] {
        self.endpoints.map { endpoint in
            let path = self.location.text + (endpoint.subpath.isEmpty ? "" : "/" + endpoint.subpath)
            let models = self.match.models.map { " (\($0.map(\.text).joined(separator: ", ")))" } ?? ""
            let start = [
                ConfigurationText.visible(self.name), endpoint.method.rawValue,
                ConfigurationText.visible(path + models),
                self.dialect,
            ]
            guard let mode = self.mode(of: endpoint.action) else {
                return start + [Self.word(for: endpoint.action), "-", "-", "-"]
            }
            return start + [
                self.operation.rawValue, mode, self.limitNames, self.upstreams.map(Self.text).joined(separator: ", "),
            ]
        }
    }

    /// As `routes.json` names them; `none` for a route without.
    private var limitNames: String {
        var names: [String] = []
        for rule in self.limits where !names.contains(rule.policy) { names.append(rule.policy) }
        return names.isEmpty ? "none" : names.joined(separator: ", ")
    }

    /// How a call that creates a job is answered; nil for other calls.
    private func mode(of action: DialectEndpoint.Action) -> String? {
        switch action {
        case .create: self.mode.rawValue
        case .createStreaming: "stream"
        case .submit: "queue"
        case .snapshot, .answer, .stream, .list, .cancel, .describe: nil
        }
    }

    private static func word(for action: DialectEndpoint.Action) -> String {
        switch action {
        case .create, .createStreaming, .submit: "create"
        case .snapshot: "snapshot"
        case .answer: "answer"
        case .stream: "stream"
        case .list: "list"
        case .cancel: "cancel"
        case .describe: "describe"
        }
    }

    private static func text(_ target: RouteTable.Target) -> String {
        target.upstream.name + (target.upstream.unavailableReason == nil ? "" : " (unavailable)")
    }
}

/// Rows of cells as lines of text, columns aligned.
package enum TextTable {
    package static func aligned(_ rows: [[String]]) -> String {
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.unicodeScalars.count)
            }
        }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                column == row.count - 1
                    ? cell : cell + String(repeating: " ", count: widths[column] - cell.unicodeScalars.count)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}
