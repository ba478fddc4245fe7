/// The files of the playground and of the browser client, embedded in the binary.
package enum WebAssets {
    package static let all: [WebAsset] = [
        WebAsset(path: "/", contentType: "text/html; charset=utf-8", bytes: PackageResources.index_html),
        WebAsset(path: "/playground.js", contentType: script, bytes: PackageResources.playground_js),
        WebAsset(
            path: "/playground-frontends.js", contentType: script, bytes: PackageResources.playground_frontends_js),
        WebAsset(
            path: "/playground.css", contentType: "text/css; charset=utf-8", bytes: PackageResources.playground_css),
    ]

    /// The browser client, which pages of any origin may load.
    package static let client: [WebAsset] = [
        WebAsset(path: "/sdk/safelight.js", contentType: script, bytes: PackageResources.safelight_js),
        WebAsset(path: "/sdk/safelight-run.js", contentType: script, bytes: PackageResources.safelight_run_js),
        WebAsset(path: "/sdk/safelight-react.js", contentType: script, bytes: PackageResources.safelight_react_js),
        WebAsset(path: "/sdk/safelight.d.ts", contentType: types, bytes: PackageResources.safelight_d_ts),
        WebAsset(path: "/sdk/safelight-react.d.ts", contentType: types, bytes: PackageResources.safelight_react_d_ts),
    ]

    private static let script = "text/javascript; charset=utf-8"
    private static let types = "text/plain; charset=utf-8"

    /// What the page needs, and nothing else: its own files, and pictures that arrive as bytes.
    package static let contentSecurityPolicy =
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'"

    package static func asset(at path: String) -> WebAsset? {
        self.all.first { $0.path == path }
    }

    package static func clientAsset(at path: String) -> WebAsset? {
        self.client.first { $0.path == path }
    }
}

package struct WebAsset: Sendable {
    /// Absolute, as it stands in a request.
    package let path: String
    package let contentType: String
    package let bytes: [UInt8]
    /// Strong, quotes included; changes with the bytes.
    package let etag: String

    init(path: String, contentType: String, bytes: [UInt8]) {
        self.path = path
        self.contentType = contentType
        self.bytes = bytes
        self.etag = Self.etag(of: bytes)
    }

    /// 64-bit FNV-1a and the length. It tells one release's file from another's; it guards against nobody.
    private static func etag(of bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
        return "\"\(String(hash, radix: 16))-\(String(bytes.count, radix: 16))\""
    }
}
