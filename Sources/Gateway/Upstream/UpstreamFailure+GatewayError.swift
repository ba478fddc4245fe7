import ImageGeneration
import Providers
import Transport

extension UpstreamFailure {
    /// What the failure means to a client; libcurl's words stay in `cause`.
    func gatewayError(purpose: ExchangeCall.Purpose, upstream: String) -> GatewayError {
        let billed: GatewayError.Billed
        switch purpose {
        case .submit: billed = self.requestSent ? .maybe : .no
        case .status, .events, .result, .resultURL: billed = .maybe
        case .cancel: billed = .no
        }
        if self.reason == .refusedAddress { return ResultURLPolicy.refusal(self.detail) }
        let (code, message) = self.meaning(upstream)
        return GatewayError(code, message, billed: billed, cause: "\(self.reason.rawValue): \(self.detail)")
    }

    private func meaning(_ upstream: String) -> (GatewayError.Code, String) {
        switch self.reason {
        case .resolve: (.upstreamUnreachable, "The name of \(upstream) does not resolve.")
        case .refusedAddress: (.resultURLRefused, "\(upstream) named an address the gateway does not connect to.")
        case .connect: (.upstreamUnreachable, "\(upstream) cannot be reached.")
        case .tls: (.upstreamUnreachable, "No trusted TLS connection to \(upstream) can be made.")
        case .connectTimeout: (.upstreamTimeout, "\(upstream) did not accept the connection in time (connect).")
        case .firstByteTimeout: (.upstreamTimeout, "\(upstream) did not begin to answer in time (first_byte).")
        case .totalTimeout: (.upstreamTimeout, "\(upstream) did not finish in time (total).")
        case .idleTimeout: (.upstreamStalled, "\(upstream) stopped sending before it had finished (idle).")
        case .truncated: (.upstreamTruncated, "\(upstream) ended the response before it was whole.")
        case .malformed: (.upstreamProtocol, "\(upstream) did not answer in HTTP.")
        case .tooLarge: (.upstreamTooLarge, "\(upstream) sent more than the gateway accepts.")
        case .other: (.upstreamError, "The call to \(upstream) failed.")
        }
    }
}
