import CCurl

extension UpstreamFailure.Reason {
    /// - Parameters:
    ///   - wasConnected: the request had begun to leave.
    ///   - hasHead: the head of the response was whole.
    ///   - detail: libcurl's words.
    init(_ code: CURLcode, wasConnected: Bool, hasHead: Bool, detail: String) {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: self = .resolve
        case CURLE_COULDNT_CONNECT, CURLE_PROXY: self = .connect
        case CURLE_OPERATION_TIMEDOUT: self = wasConnected ? .totalTimeout : .connectTimeout
        case _ where Self.tlsCodes.contains(code.rawValue): self = .tls
        case CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_HTTP2_STREAM:
            if !wasConnected {
                self = .connect
            } else {
                self = Self.isMalformed(detail) ? .malformed : .truncated
            }
        case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING, CURLE_HTTP2:
            self = wasConnected ? .malformed : .other
        // libcurl's ways to say that a field is over its limit, or is none.
        case CURLE_OUT_OF_MEMORY where wasConnected && !hasHead: self = .malformed
        case CURLE_BAD_FUNCTION_ARGUMENT where wasConnected && !hasHead: self = .malformed
        default: self = .other
        }
    }

    /// libcurl reports both a broken connection and broken framing as a failure to receive.
    private static func isMalformed(_ detail: String) -> Bool {
        detail.contains("chunked-encoding") || detail.contains("Too large response headers")
    }

    private static let tlsCodes: Set<CURLcode.RawValue> = Set(
        [
            CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ENGINE_NOTFOUND,
            CURLE_SSL_ENGINE_SETFAILED, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_USE_SSL_FAILED,
            CURLE_SSL_ENGINE_INITFAILED, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CRL_BADFILE, CURLE_SSL_ISSUER_ERROR,
            CURLE_SSL_PINNEDPUBKEYNOTMATCH, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_CLIENTCERT,
        ].map(\.rawValue))
}
