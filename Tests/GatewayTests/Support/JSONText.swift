import Foundation
import GatewayTesting
import NIOCore
import Testing

/// Answers and events as Foundation reads them; nothing of ours is used.
struct JSONObject: CustomStringConvertible {
    private let members: [String: Any]

    init(_ text: String) throws {
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
        self.members = try #require(value as? [String: Any], "not an object: \(text.prefix(200))")
    }

    init(_ buffer: ByteBuffer) throws { try self.init(String(buffer: buffer)) }

    private init(members: [String: Any]) { self.members = members }

    /// The member at `a.b.0.c`.
    private func value(_ path: String) -> Any? {
        path.split(separator: ".").reduce(self.members as Any?) { value, key in
            if let object = value as? [String: Any] { return object[String(key)] }
            if let list = value as? [Any], let index = Int(key), list.indices.contains(index) { return list[index] }
            return nil
        }
    }

    func string(_ path: String) -> String? { self.value(path) as? String }
    func integer(_ path: String) -> Int? { self.value(path) as? Int }
    func count(_ path: String) -> Int? { (self.value(path) as? [Any])?.count }

    var description: String { "\(self.members)".prefix(500).description }
}

extension StreamingClient.Event {
    func json() throws -> JSONObject { try JSONObject(self.data) }
}
