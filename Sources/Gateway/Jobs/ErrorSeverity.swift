import ImageGeneration
import Logging

extension GatewayError.Code {
    /// What a refused request is worth in the log.
    var logLevel: Logger.Level {
        switch self {
        case .internal, .storageFull, .providerAuth, .providerQuota: .error
        case .notFound, .methodNotAllowed: .debug
        default: self.source == .client ? .info : .warning
        }
    }

    /// Failures nobody but the operator can mend.
    var isOperatorsBusiness: Bool {
        switch self {
        case .providerAuth, .providerQuota, .internal, .storageFull: true
        default: false
        }
    }
}
