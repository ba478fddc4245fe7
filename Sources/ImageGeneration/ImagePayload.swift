package import NIOCore
import Synchronization

/// The bytes of one picture as canonical base64: standard alphabet, padded, no line breaks, no `data:` prefix.
///
/// The buffer is a slice of the storage the upstream's frame was gathered in. It is never decoded on the relay path;
/// encoders splice it between two quotes, which its alphabet allows without escaping. Where memory was short the text is
/// elsewhere, and is read again piece by piece.
package struct ImagePayload: Sendable {
    /// Readable bytes are exactly the canonical text; empty where it is ``displaced``.
    package let base64: ByteBuffer
    /// Keeps the bytes counted against the memory budget until the last holder lets go.
    package let lease: PayloadLease?
    /// Where the text is, when it is not in ``base64``.
    package let displaced: (any DisplacedPayload)?

    /// The caller has made the text canonical.
    package init(canonical base64: ByteBuffer, lease: PayloadLease? = nil) {
        self.base64 = base64
        self.lease = lease
        self.displaced = nil
    }

    package init(displaced: any DisplacedPayload) {
        self.base64 = ByteBuffer()
        self.lease = nil
        self.displaced = displaced
    }

    /// Length of the text in bytes.
    package var base64Count: Int { self.displaced?.base64Count ?? self.base64.readableBytes }

    /// Size of the picture in bytes once decoded.
    package var decodedCount: Int {
        if let displaced = self.displaced { return displaced.decodedCount }
        let count = self.base64.readableBytes
        guard count >= 4 else { return 0 }
        let view = self.base64.readableBytesView
        var padding = 0
        if view[view.index(view.endIndex, offsetBy: -1)] == 0x3D { padding += 1 }
        if view[view.index(view.endIndex, offsetBy: -2)] == 0x3D { padding += 1 }
        return count / 4 * 3 - padding
    }
}

/// Canonical base64 that gave its memory back and can be read again.
package protocol DisplacedPayload: AnyObject, Sendable {
    /// Length of the text in bytes.
    var base64Count: Int { get }
    /// Size of the picture in bytes.
    var decodedCount: Int { get }

    /// Exactly the bytes of `range` of the text.
    /// - Throws: `GatewayError` `storage_unavailable` when they are gone.
    func read(_ range: Range<Int>) async throws -> ByteBuffer
}

/// Bytes held against a budget for as long as any reference to the lease lives.
package final class PayloadLease: Sendable {
    /// Counted by capacity, in bytes.
    package let bytes: Int
    private let release: @Sendable (Int) -> Void
    /// By where the text begins: several pictures of one document may share a lease.
    private let elsewhere = Mutex<[UInt: Elsewhere]>([:])

    private struct Elsewhere {
        weak var payload: (any DisplacedPayload)?
    }

    package init(bytes: Int, release: @escaping @Sendable (Int) -> Void) {
        self.bytes = bytes
        self.release = release
    }

    deinit { self.release(self.bytes) }

    /// Where the text also is, so that holders of one payload displace it once. They hold it, so its place is no other's.
    package func displaced(
        _ text: ByteBuffer, by displace: () -> (any DisplacedPayload)?
    ) -> (any DisplacedPayload)? {
        let place = text.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        if let known = self.elsewhere.withLock({ $0[place]?.payload }) { return known }
        let displaced = displace()
        self.elsewhere.withLock { $0[place] = Elsewhere(payload: displaced) }
        return displaced
    }
}

/// The raster types the gateway relays, by what the bytes are.
package enum ImageFormat: String, Sendable, CaseIterable {
    case png, jpeg, webp, gif, avif

    package var mediaType: String { "image/\(self.rawValue)" }
    package var fileExtension: String { self == .jpeg ? "jpg" : self.rawValue }
}
