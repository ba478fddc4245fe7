import NIOHTTP2
import NIOSSL

/// The certificate a listener shows and the key to it: read, and found to belong together.
package final class TLSIdentity: Sendable {
    /// The files it was read from. When one of them changes the table is read again.
    let files: [String]
    let context: NIOSSLContext

    /// - Parameters:
    ///   - certificate: a PEM file; the listener's own certificate first, then those between it and a root.
    ///   - privateKey: a PEM file without passphrase.
    init(
        certificate: String, privateKey: String,
        read: (_ path: String) throws(ConfigurationFileError) -> [UInt8]
    ) throws(TLSIdentityProblem) {
        let chain = try Self.chain(certificate, read)
        let key = try Self.key(privateKey, read)
        var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = NIOHTTP2SupportedALPNProtocols
        do {
            self.context = try NIOSSLContext(configuration: configuration)
        } catch {
            throw TLSIdentityProblem(part: .privateKey, reason: "is not the key of the certificate")
        }
        self.files = [certificate, privateKey]
    }

    private static func chain(
        _ file: String, _ read: (String) throws(ConfigurationFileError) -> [UInt8]
    ) throws(TLSIdentityProblem) -> [NIOSSLCertificateSource] {
        let bytes: [UInt8]
        do { bytes = try read(file) } catch { throw TLSIdentityProblem(part: .certificate, reason: error.reason) }
        guard let certificates = try? NIOSSLCertificate.fromPEMBytes(bytes), !certificates.isEmpty else {
            throw TLSIdentityProblem(part: .certificate, reason: "holds no certificate in PEM")
        }
        return certificates.map { .certificate($0) }
    }

    /// What is wrong with a key is never said in detail.
    private static func key(
        _ file: String, _ read: (String) throws(ConfigurationFileError) -> [UInt8]
    ) throws(TLSIdentityProblem) -> NIOSSLPrivateKeySource {
        let bytes: [UInt8]
        do { bytes = try read(file) } catch { throw TLSIdentityProblem(part: .privateKey, reason: error.reason) }
        guard let key = try? NIOSSLPrivateKey(bytes: bytes, format: .pem) else {
            throw TLSIdentityProblem(part: .privateKey, reason: "holds no private key in PEM without passphrase")
        }
        return .privateKey(key)
    }
}

/// Why a certificate cannot be shown.
struct TLSIdentityProblem: Error {
    enum Part { case certificate, privateKey }
    let part: Part
    let reason: String
}
