import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs
import Web

/// What the page at `/` is made of: its files, and the routes it offers.
enum PlaygroundRoutes {
    static func response(_ asset: WebAsset, ifNoneMatch: String?) -> DialectResponse {
        var fields = HTTPFields()
        fields[.contentType] = asset.contentType
        fields[.eTag] = asset.etag
        fields[.cacheControl] = "no-cache"
        fields[.contentSecurityPolicy] = WebAssets.contentSecurityPolicy
        if ifNoneMatch == asset.etag { return DialectResponse(status: 304, headers: fields, body: ByteBuffer()) }
        return DialectResponse(status: 200, headers: fields, body: ByteBuffer(bytes: asset.bytes))
    }

    /// A script of the browser client: pages of any origin may load it.
    static func response(client asset: WebAsset, ifNoneMatch: String?) -> DialectResponse {
        var response = self.response(asset, ifNoneMatch: ifNoneMatch)
        response.headers[.contentSecurityPolicy] = nil
        response.headers[.accessControlAllowOrigin] = "*"
        if let policy = HTTPField.Name("cross-origin-resource-policy") { response.headers[policy] = "cross-origin" }
        return response
    }

    /// `{"routes": [{name, path, dialect, operation, modes, upstreams}]}`.
    static func response(_ live: LiveTable) -> DialectResponse {
        var json = JSONWriter()
        json.beginObject()
        json.key("routes")
        json.beginArray()
        for route in live.table.routes { self.write(route, live, into: &json) }
        json.endArray()
        json.endObject()
        var fields = HTTPFields()
        fields[.contentType] = "application/json"
        fields[.cacheControl] = "no-store"
        return DialectResponse(status: 200, headers: fields, body: json.buffer)
    }

    private static func write(_ route: RouteTable.Route, _ live: LiveTable, into json: inout JSONWriter) {
        json.beginObject()
        json.field("name", route.name)
        json.field("path", route.location.text)
        json.field("dialect", route.dialect)
        json.field("operation", route.operation.rawValue)
        json.key("modes")
        json.beginArray()
        if route.mode == .auto || route.mode == .stream { json.value("stream") }
        if route.mode == .auto || route.mode == .wait { json.value("wait") }
        if route.mode == .auto || route.mode == .queue { json.value("queue") }
        json.endArray()
        json.key("upstreams")
        json.beginArray()
        for target in route.upstreams where live.target(target) != nil { json.value(target.upstream.name) }
        json.endArray()
        json.endObject()
    }
}
