import HTTPTypes
import NIOCore

/// A request with its body read.
struct SimulatorRequest: Sendable {
    let method: HTTPRequest.Method
    /// Without the query.
    let path: String
    /// Of the endpoint's path, such as `/api/v1/images`.
    let prefix: String
    let query: String
    let headers: HTTPFields
    let body: ByteBuffer
    /// `http://host:port`, as the client knows this server.
    let origin: String
    let visit: Visit

    /// What the request itself asks of the simulator, on top of `base`: the query first, then the header, which wins.
    func script(over base: SimulatorScript) throws(SimulatorError) -> SimulatorScript {
        var script = base
        do throws(SimulatorScriptProblem) {
            for item in self.query.split(separator: "&") where item.hasPrefix("sim=") {
                try script.apply(PercentEncoding.decode(item.dropFirst(4)))
            }
            for value in self.headers[values: .simulator] { try script.apply(value) }
        } catch {
            throw SimulatorError(400, error.message, code: "invalid_simulator_script")
        }
        return script
    }

    /// The script with the prompt's own directives, and the prompt without them.
    func script(over base: SimulatorScript, prompt: String) throws(SimulatorError) -> (SimulatorScript, prompt: String)
    {
        var script = try self.script(over: base)
        do throws(SimulatorScriptProblem) {
            let prompt = try script.apply(directivesIn: prompt)
            return (script, prompt)
        } catch {
            throw SimulatorError(400, error.message, code: "invalid_simulator_script", parameter: "prompt")
        }
    }
}

extension HTTPField.Name {
    static let simulator = Self("x-simulator")!
    static let requestID = Self("x-request-id")!
}

enum PercentEncoding {
    /// `+` stays a plus sign except where a form would have put a space; broken escapes stay as they are.
    static func decode(_ text: some StringProtocol) -> String {
        var bytes: [UInt8] = []
        var rest = Substring(text).utf8[...]
        while let byte = rest.popFirst() {
            if byte == 0x25, rest.count >= 2, let value = UInt8(String(Substring(rest.prefix(2))), radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == 0x2B ? 0x20 : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
