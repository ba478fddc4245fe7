import Crypto
import Dialects
import Glibc
import HTTPTypes
import ImageGeneration
import NIOCore
import Storage

/// A client's own name for a request, by which repetitions of it are recognised.
struct IdempotencyKey: Hashable, Sendable {
    /// Whose key it is: two clients may use the same words.
    let scope: String
    let text: String

    private static let maximumLength = 255

    /// - Returns: nil where the request has none.
    /// - Throws: `invalid_parameter` for anything but 1 to 255 visible ASCII characters.
    init?(_ headers: HTTPFields, scope: @autoclosure () -> String) throws(GatewayError) {
        guard let text = headers[.idempotencyKey] else { return nil }
        guard (1...Self.maximumLength).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw GatewayError(
                .invalidParameter, "Idempotency-Key must be 1 to \(Self.maximumLength) visible ASCII characters.",
                parameter: "Idempotency-Key")
        }
        self.scope = scope()
        self.text = text
    }
}

/// Tells a repeated request from another one: SHA-256 of method, path and body.
struct RequestDigest: Hashable, Sendable {
    private let bytes: [UInt8]

    /// A form's boundary is left out: clients that send a form again choose a new one.
    init(method: String, path: String, contentType: String?, body: ByteBuffer) {
        var hash = SHA256()
        hash.update(data: Array("\(method) \(path)\n".utf8))
        let boundary = contentType.flatMap(Self.boundary)
        body.withUnsafeReadableBytes { bytes in
            guard let boundary else { return hash.update(bufferPointer: bytes) }
            Self.update(&hash, bytes, without: boundary)
        }
        self.bytes = Array(hash.finalize())
    }

    /// Lower-case hexadecimal.
    var text: String { Hex.encode(self.bytes) }

    private static func boundary(_ contentType: String) -> [UInt8]? {
        let lowered = contentType.lowercased()
        guard lowered.hasPrefix("multipart/form-data"), let at = lowered.utf8.firstRange(of: Array("boundary=".utf8))
        else { return nil }
        let value = contentType.utf8.dropFirst(lowered.utf8.distance(from: lowered.startIndex, to: at.upperBound))
        let plain = value.first == 0x22 ? value.dropFirst().prefix { $0 != 0x22 } : value.prefix { $0 != 0x3B }
        // Anything shorter stands in a body for other reasons too.
        return plain.count >= 8 ? Array(plain) : nil
    }

    private static func update(_ hash: inout SHA256, _ bytes: UnsafeRawBufferPointer, without boundary: [UInt8]) {
        var rest = bytes
        while let offset = Self.offset(of: boundary, in: rest) {
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: rest[..<offset]))
            // What stands between two boundaries stays apart.
            hash.update(data: [0])
            rest = UnsafeRawBufferPointer(rebasing: rest[(offset + boundary.count)...])
        }
        hash.update(bufferPointer: rest)
    }

    private static func offset(of text: [UInt8], in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let start = bytes.baseAddress, let first = text.first else { return nil }
        var offset = 0
        while bytes.count - offset >= text.count {
            guard let found = memchr(start + offset, Int32(first), bytes.count - offset - text.count + 1) else {
                return nil
            }
            offset = UnsafeRawPointer(found) - start
            if memcmp(start + offset, text, text.count) == 0 { return offset }
            offset += 1
        }
        return nil
    }
}
