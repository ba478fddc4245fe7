import Glibc

/// How often tests repeat what is a matter of chance.
package enum Soak {
    /// `make soak` sets `SAFELIGHT_SOAK`.
    package static let isOn = getenv("SAFELIGHT_SOAK") != nil

    package static func count(_ small: Int, full: Int) -> Int { Self.isOn ? full : small }
}
