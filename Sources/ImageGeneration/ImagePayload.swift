package import NIOCore

/// The bytes of one picture as canonical base64: standard alphabet, padded, no line breaks, no `data:` prefix.
///
/// The buffer is a slice of the storage the upstream's frame was gathered in. It is never decoded on the relay path;
/// encoders splice it between two quotes, which its alphabet allows without escaping.
package struct ImagePayload: Sendable {
    /// Readable bytes are exactly the canonical text.
    package let base64: ByteBuffer
    /// Keeps the bytes counted against the memory budget until the last holder lets go.
    package let lease: PayloadLease?

    /// The caller has made the text canonical.
    package init(canonical base64: ByteBuffer, lease: PayloadLease? = nil) {
        self.base64 = base64
        self.lease = lease
    }

    /// Length of the text in bytes.
    package var base64Count: Int { self.base64.readableBytes }

    /// Size of the picture in bytes once decoded.
    package var decodedCount: Int {
        let count = self.base64.readableBytes
        guard count >= 4 else { return 0 }
        let view = self.base64.readableBytesView
        var padding = 0
        if view[view.index(view.endIndex, offsetBy: -1)] == 0x3D { padding += 1 }
        if view[view.index(view.endIndex, offsetBy: -2)] == 0x3D { padding += 1 }
        return count / 4 * 3 - padding
    }
}

/// Bytes held against a budget for as long as any reference to the lease lives.
package final class PayloadLease: Sendable {
    /// Counted by capacity, in bytes.
    package let bytes: Int
    private let release: @Sendable (Int) -> Void

    package init(bytes: Int, release: @escaping @Sendable (Int) -> Void) {
        self.bytes = bytes
        self.release = release
    }

    deinit { self.release(self.bytes) }
}

/// The raster types the gateway relays, by what the bytes are.
package enum ImageFormat: String, Sendable, CaseIterable {
    case png, jpeg, webp, gif, avif

    package var mediaType: String { "image/\(self.rawValue)" }
    package var fileExtension: String { self == .jpeg ? "jpg" : self.rawValue }
}
