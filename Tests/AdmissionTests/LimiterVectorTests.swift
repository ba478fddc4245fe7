import Foundation
import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@testable import Admission

/// The tables of the shared vectors: what a limiter decides over time, row by row.
@Suite struct LimiterVectorTests {
    private static let folder = SharedFiles.vectors.appendingPathComponent("gcra")

    private struct Row {
        let at: Int64
        let key: String
        let quantity: Int64
        let isLimited: Bool
        let limit: Int64
        let remaining: Int64
        let retryAfter: Int64?
        let resetAfter: Int64
        let retrySeconds: Int64
        let resetSeconds: Int64

        init(_ node: JSONNode) throws {
            self.at = try #require(node["at_us"]?.integer) * 1000
            self.key = try #require(node["key"]?.string)
            self.quantity = try #require(node["quantity"]?.integer)
            self.isLimited = try #require(node["limited"]?.boolean as Bool?)
            self.limit = try #require(node["limit"]?.integer)
            self.remaining = try #require(node["remaining"]?.integer)
            self.retryAfter = node["retry_after_us"]?.integer
            self.resetAfter = try #require(node["reset_after_us"]?.integer)
            self.retrySeconds = try #require(node["retry_after_s"]?.integer)
            self.resetSeconds = try #require(node["reset_after_s"]?.integer)
        }
    }

    @Test(.enabled(if: SharedFiles.has(folder), "needs the folder vectors/gcra of the shared data"))
    func everyRowIsExact() throws {
        let bytes = try SharedFiles.bytes(Self.folder.appendingPathComponent("tables.json"))
        let tables = try JSONDocument(ByteBuffer(bytes: bytes)).root["tables"]?.elements ?? []
        #expect(tables.count == 11)
        var rows = 0
        for table in tables {
            let name = table["name"]?.string ?? ""
            let rate = CellRate(
                count: try #require(table["count"]?.integer),
                period: try #require(table["period_s"]?.integer) * 1_000_000_000,
                burst: try #require(table["max_burst"]?.integer) + 1)
            var arrivals: [String: CellRate.Arrival] = [:]
            for (index, node) in (table["rows"]?.elements ?? []).enumerated() {
                let row = try Row(node)
                let decision = rate.decide(arrivals[row.key], quantity: row.quantity, now: row.at)
                arrivals[row.key] = decision.arrival
                Self.compare(decision, row, "\(name), row \(index)")
                #expect(rate.burst == row.limit)
                rows += 1
            }
        }
        #expect(rows == 86)
    }

    private static func compare(_ decision: CellRate.Decision, _ row: Row, _ place: Comment) {
        #expect(decision.isLimited == row.isLimited, place)
        #expect(decision.remaining == row.remaining, place)
        #expect((decision.retryAfter == nil) == (row.retryAfter == nil), place)
        if let found = decision.retryAfter, let expected = row.retryAfter {
            #expect(abs(found - expected * 1000) <= 2000, place)
        }
        #expect(abs(decision.resetAfter - row.resetAfter * 1000) <= 2000, place)
        #expect((decision.retryAfter.map(Self.seconds) ?? -1) == row.retrySeconds, place)
        #expect(Self.seconds(decision.resetAfter) == row.resetSeconds, place)
    }

    private static func seconds(_ nanoseconds: Int64) -> Int64 { (nanoseconds + 999_999_999) / 1_000_000_000 }
}
