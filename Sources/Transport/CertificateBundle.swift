import CCurl
import Glibc

/// The certificates upstreams are verified against: the system's, and those of a further PEM file. libcurl takes one
/// file, and keeps a parsed store only for a file, so both are joined in one that lives in memory.
final class CertificateBundle: Sendable {
    /// Nil for libcurl's own default.
    let path: String?
    /// Whether libcurl's default is one file, so that its folder of certificates can be left out and the store be kept.
    let hasDefaultFile: Bool
    private let descriptor: Int32

    init(additional: String?) throws(TransportStartError) {
        let system = ccurl_default_certificates().map { String(cString: $0) }
        self.hasDefaultFile = system.map { access($0, R_OK) == 0 } ?? false
        guard let additional else {
            self.path = nil
            self.descriptor = -1
            return
        }
        var bytes: [UInt8] = []
        if let system, self.hasDefaultFile { bytes = try Self.read(system) + [UInt8(ascii: "\n")] }
        bytes += try Self.read(additional)
        self.descriptor = ccurl_memory_file("certificates", bytes, bytes.count)
        guard self.descriptor >= 0 else { throw TransportStartError(step: "certificates in memory", code: errno) }
        self.path = "/proc/self/fd/\(self.descriptor)"
    }

    deinit {
        if self.descriptor >= 0 { close(self.descriptor) }
    }

    private static func read(_ path: String) throws(TransportStartError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw TransportStartError(step: "certificates: \(path)", code: errno) }
        defer { close(file) }
        var bytes: [UInt8] = []
        while true {
            let chunk = [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
                count = max(0, Glibc.read(file, buffer.baseAddress, buffer.count))
            }
            guard !chunk.isEmpty else { return bytes }
            bytes += chunk
        }
    }
}
