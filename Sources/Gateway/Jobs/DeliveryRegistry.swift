import ImageGeneration
import Synchronization

/// The responses under way, so that draining can wait for them and end the rest.
final class DeliveryRegistry: Sendable {
    private let responses = Mutex<[ObjectIdentifier: Response]>([:])

    enum Response: Sendable {
        case stream(StreamDelivery)
        /// One that cannot say in its format that it ends early: it can only be cut off.
        case whole(on: ClientConnection)

        fileprivate var id: ObjectIdentifier {
            switch self {
            case .stream(let delivery): ObjectIdentifier(delivery)
            // There is one at a time: a stream of HTTP/2 is a connection of its own here.
            case .whole(let connection): ObjectIdentifier(connection)
            }
        }
    }

    var count: Int { self.responses.withLock { $0.count } }

    /// Counts a response until ``end(_:)``.
    func begin(_ response: Response) { self.responses.withLock { $0[response.id] = response } }

    func end(_ response: Response) { self.responses.withLock { $0[response.id] = nil } }

    func cutAll() {
        for case .whole(let connection) in self.all { connection.abort() }
    }

    func interruptAll(_ error: GatewayError) {
        for case .stream(let delivery) in self.all { delivery.interrupt(error) }
    }

    private var all: [Response] { self.responses.withLock { Array($0.values) } }
}
