import Logging
import Storage

extension RouteTable.SigningSecret {
    /// The keys, the first of which signs. One that is not there is made.
    /// - Throws: ``KeyFileError``.
    func read(_ logger: Logger) throws -> [[UInt8]] {
        switch self {
        case .given(let secrets):
            return secrets.map { Array($0.reveal().utf8) }
        case .generated(let file):
            let slash = file.lastIndex(of: "/") ?? file.startIndex
            let (bytes, isNew) = try KeyFile.readOrMake(
                folder: String(file[..<slash]), name: String(file[file.index(after: slash)...]))
            if isNew { logger.notice("signing secret made", metadata: ["file": "\(file)"]) }
            return [bytes]
        }
    }
}
