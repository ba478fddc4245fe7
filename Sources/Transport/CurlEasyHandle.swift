import CCurl
import HTTPTypes

/// One of libcurl's easy handles with its buffer for error texts. Making one costs a little, so they are used again where that is safe.
final class CurlEasyHandle {
    let raw: UnsafeMutableRawPointer
    private let errorText: UnsafeMutablePointer<CChar>
    /// What the options are set for; nil after ``forget()``.
    private var shape: Shape?

    /// What calls may share, so that the options set for one serve the next.
    private struct Shape {
        /// libcurl holds on to it, so it is kept.
        let headerList: CurlStringList
        let route: CallRoute
        let method: HTTPRequest.Method
        let connection: UpstreamConnectionPolicy
        let connect: Duration?

        /// Nil for a call that is not like others: one with addresses of its own, or with a long body or none.
        init?(_ call: CurlCall) {
            guard call.addressList == nil, (1...CurlEasyHandle.copiedBodyBytes).contains(call.body.count) else {
                return nil
            }
            self.headerList = call.headerList
            self.route = call.route
            self.method = call.request.method
            self.connection = call.request.connection
            self.connect = call.request.timeouts.connect
        }

        func matches(_ other: Shape) -> Bool {
            self.headerList === other.headerList && self.route === other.route && self.method == other.method
                && self.connection == other.connection && self.connect == other.connect
        }
    }

    /// Before 8.1.0 a handle keeps a pointer to the last field of its last response, and a response whose first field begins with
    /// white space makes libcurl write there: any upstream could end the process (curl's issue 11101).
    static let mayBeUsedAgain = (curl_version_info(CURLVERSION_FIRST)?.pointee.version_num ?? 0) >= 0x08_01_00

    init?() {
        guard let raw = curl_easy_init() else { return nil }
        self.raw = raw
        self.errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        self.errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        curl_easy_cleanup(self.raw)
        self.errorText.deallocate()
    }

    /// Forgets the last call's options; libcurl keeps what makes the next one cheap.
    private func forget() {
        guard self.shape != nil || self.isSet else { return }
        curl_easy_reset(self.raw)
        self.shape = nil
        self.isSet = false
    }

    private var isSet = false

    /// Ends a pause; libcurl brings what it kept back before this returns.
    func continueReading() -> CURLcode { curl_easy_pause(self.raw, CURLPAUSE_CONT) }

    /// libcurl's words about the last call.
    func detail(_ code: CURLcode) -> String {
        if self.errorText[0] != 0 { return String(cString: self.errorText) }
        return String(cString: curl_easy_strerror(code))
    }

    /// Sets up everything that does not depend on the thread's multi handle. The call keeps its lists alive.
    func prepare(_ call: CurlCall, profile: TransferProfile) throws(CurlError) {
        self.errorText[0] = 0
        let shape = Shape(call)
        if let shape, let last = self.shape, shape.matches(last) {
            try self.setCopiedBody(call, count: call.body.count)
            return try self.setCallbacks(call)
        }
        self.forget()
        self.isSet = true
        try self.check(ccurl_easy_apply_profile(self.raw, profile.receiveBufferBytes))
        try self.set(CURLOPT_ERRORBUFFER, pointer: self.errorText)
        try self.setCertificates(profile.certificates)
        try self.set(CURLOPT_URL, call.request.url)
        try self.setConnection(call)
        try self.setMethod(call)
        try self.set(CURLOPT_HTTPHEADER, pointer: call.headerList.head)
        if let addresses = call.addressList { try self.set(CURLOPT_RESOLVE, pointer: addresses.head) }
        try self.setCallbacks(call)
        self.shape = shape
    }

    private func setCertificates(_ certificates: CertificateBundle) throws(CurlError) {
        if certificates.hasDefaultFile || certificates.path != nil {
            try self.set(CURLOPT_CAPATH, nil)
            try self.set(CURLOPT_PROXY_CAPATH, nil)
        }
        if let path = certificates.path {
            try self.set(CURLOPT_CAINFO, path)
            try self.set(CURLOPT_PROXY_CAINFO, path)
        }
    }

    private func setConnection(_ call: CurlCall) throws(CurlError) {
        try self.set(CURLOPT_PROXY, call.route.proxy)
        // An empty list, so that libcurl does not ask the environment again.
        try self.set(CURLOPT_NOPROXY, "")
        switch call.request.connection.version {
        case .http1: try self.set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        case .http2:
            let isEncrypted = call.route.origin.scheme == "https"
            try self.set(
                CURLOPT_HTTP_VERSION, Int(isEncrypted ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE))
            try self.set(CURLOPT_PIPEWAIT, isEncrypted ? 1 : 0)
            // libcurl 7.88 breaks the framing on the second use of a connection without TLS.
            try self.set(CURLOPT_FRESH_CONNECT, isEncrypted ? 0 : 1)
            try self.set(CURLOPT_FORBID_REUSE, isEncrypted ? 0 : 1)
        }
        if call.request.connection.addresses.isGuarded {
            // A connection of before, or one that is kept for later, would pass by the check of its address.
            try self.set(CURLOPT_FRESH_CONNECT, 1)
            try self.set(CURLOPT_FORBID_REUSE, 1)
            try self.set(CURLOPT_NOPROXY, "*")
        }
        // Our own deadline ends the call; libcurl's decides when it turns to the next address.
        if let connect = call.request.timeouts.connect {
            let milliseconds = (connect.nanosecondsClamped.addingClamped(999_999)) / 1_000_000
            try self.set(CURLOPT_CONNECTTIMEOUT_MS, Int(min(max(milliseconds, 1), 86_400_000)))
        }
    }

    private func setMethod(_ call: CurlCall) throws(CurlError) {
        let method = call.request.method
        switch (method, call.body.count) {
        case (.get, 0): try self.set(CURLOPT_HTTPGET, 1)
        case (.head, 0): try self.set(CURLOPT_NOBODY, 1)
        case (.post, 0), (.put, 0), (.patch, 0):
            try self.check(ccurl_easy_set_copied_body(self.raw, nil, 0))
        case (_, 0): try self.set(CURLOPT_HTTPGET, 1)
        case (_, let count): try self.setBody(call, count: count)
        }
        let isImplied = method == .post || call.body.count == 0 && (method == .get || method == .head)
        if !isImplied { try self.set(CURLOPT_CUSTOMREQUEST, method.rawValue) }
    }

    /// A short body is copied, for then it leaves in one write with the head; a long one is asked for piece by piece.
    private func setBody(_ call: CurlCall, count: Int) throws(CurlError) {
        guard count <= Self.copiedBodyBytes else {
            try self.set(CURLOPT_POST, 1)
            try self.check(ccurl_easy_set_offset(self.raw, CURLOPT_POSTFIELDSIZE_LARGE, Int64(count)))
            return
        }
        // Or libcurl takes 64 KiB for a body that it has at hand already.
        try self.set(CURLOPT_UPLOAD_BUFFERSIZE, Self.copiedBodyBytes)
        try self.setCopiedBody(call, count: count)
    }

    private func setCopiedBody(_ call: CurlCall, count: Int) throws(CurlError) {
        let code = withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { buffer in
            var body = call.body
            let filled = body.read(into: buffer)
            return ccurl_easy_set_copied_body(self.raw, buffer.baseAddress, filled)
        }
        try self.check(code)
    }

    fileprivate static let copiedBodyBytes = 16 * 1024

    private func setCallbacks(_ call: CurlCall) throws(CurlError) {
        try self.check(
            ccurl_easy_set_call_callbacks(
                self.raw, Unmanaged.passUnretained(call).toOpaque(), CurlCallbacks.header, CurlCallbacks.body,
                CurlCallbacks.upload, CurlCallbacks.seek, CurlCallbacks.connectionReady))
    }

    func set(_ option: CURLoption, _ value: Int) throws(CurlError) {
        try self.check(ccurl_easy_set_long(self.raw, option, value))
    }

    func set(_ option: CURLoption, _ value: String?) throws(CurlError) {
        try self.check(ccurl_easy_set_string(self.raw, option, value))
    }

    func set(_ option: CURLoption, pointer: UnsafeMutableRawPointer?) throws(CurlError) {
        try self.check(ccurl_easy_set_pointer(self.raw, option, pointer))
    }

    func check(_ code: CURLcode) throws(CurlError) {
        if code != CURLE_OK { throw CurlError(code: code) }
    }
}

/// What all calls of a transport share.
struct TransferProfile {
    let receiveBufferBytes: Int
    let certificates: CertificateBundle
}

struct CurlError: Error {
    let code: CURLcode
}
