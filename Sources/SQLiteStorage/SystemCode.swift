import Glibc

/// `errno` values with a meaning for storage.
enum SystemCode {
    static let noSpace = ENOSPC
    static let overQuota = EDQUOT

    static func text(_ code: Int32) -> String { String(cString: strerror(code)) }
}
