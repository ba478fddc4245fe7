import ImageGeneration
import NIOCore
import StreamCodecs

/// A picture as text within an answer.
enum UpstreamPicture {
    /// - Throws: `upstream_protocol` where the text is no base64, or none at all.
    static func canonical(_ field: JSONField, in document: ByteBuffer) throws(GatewayError) -> ByteBuffer {
        var document = document
        let payload: ByteBuffer
        do { payload = try Base64.canonical(field, in: &document) } catch {
            throw GatewayError(.upstreamProtocol, "The upstream sent a picture that is not valid base64.")
        }
        guard payload.readableBytes > 0 else {
            throw GatewayError(.upstreamProtocol, "The upstream sent an empty picture.")
        }
        return payload
    }
}
