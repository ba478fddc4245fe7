import Glibc
import NIOCore
package import ServiceLifecycle

/// A server that says where it could not listen: there may be two, and system errors come with the name of a function that means
/// nothing to an operator.
package struct ListenerService: Service {
    private let address: ListenAddress
    private let source: String
    private let server: any Service

    /// - Parameter source: where an operator finds the address: a key of `routes.json`, or an option.
    package init(_ server: any Service, at address: ListenAddress, of source: String) {
        self.server = server
        self.address = address
        self.source = source
    }

    package func run() async throws {
        do {
            try await self.server.run()
        } catch let error as IOError {
            let reason = String(cString: strerror(error.errnoCode))
            throw ListenerError(address: self.address, source: self.source, reason: reason)
        }
    }
}

private struct ListenerError: Error, CustomStringConvertible {
    let address: ListenAddress
    let source: String
    let reason: String

    var description: String { "cannot listen on \(self.address) (\(self.source)): \(self.reason)." }
}
