import NIOCore
import NIOHPACK
import NIOHTTP2

/// What one HTTP/2 connection may ask of us. Whoever goes beyond is told `ENHANCE_YOUR_CALM` and closed.
enum HTTP2Bounds {
    /// Streams at once. As nginx: 128.
    static let concurrentStreams = 128
    /// Bytes of a request's body on the way to us, for each stream.
    private static let window = 256 << 10
    /// Streams that a client may open and reset again within ``resetPeriod`` (CVE-2023-44487).
    static let resets = 200
    private static let resetPeriod = TimeAmount.seconds(30)

    static var configuration: NIOHTTP2Handler.Configuration {
        var configuration = NIOHTTP2Handler.Configuration()
        configuration.connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: self.concurrentStreams),
            HTTP2Setting(parameter: .maxHeaderListSize, value: ConnectionLimits.headerBytes),
            HTTP2Setting(parameter: .initialWindowSize, value: self.window),
        ]
        configuration.connection.targetWindowSize = self.window * 4
        configuration.connection.maximumSequentialContinuationFrames = 5
        configuration.stream.targetWindowSize = self.window
        // How much of a response waits behind a slow peer is bounded by who writes it.
        configuration.stream.outboundBufferSizeHighWatermark = 64 << 10
        configuration.stream.outboundBufferSizeLowWatermark = 32 << 10
        configuration.stream.streamResetFrameRateLimit.maximumCount = self.resets
        configuration.stream.streamResetFrameRateLimit.windowLength = self.resetPeriod
        return configuration
    }
}
