import Glibc
import NIOCore
import ServiceLifecycle

/// A server that says where it could not listen: there are two, and system errors come with the name of a function that means
/// nothing to an operator.
struct ListenerService: Service {
    let address: ListenAddress
    /// In `routes.json`.
    let key: String
    let server: any Service

    func run() async throws {
        do {
            try await self.server.run()
        } catch let error as IOError {
            let reason = String(cString: strerror(error.errnoCode))
            throw ListenerError(address: self.address, key: self.key, reason: reason)
        }
    }
}

struct ListenerError: Error, CustomStringConvertible {
    let address: ListenAddress
    let key: String
    let reason: String

    var description: String { "cannot listen on \(self.address) (\(self.key)): \(self.reason)." }
}
