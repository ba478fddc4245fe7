/// How the simulator listens and behaves.
package struct SimulatorConfiguration: Sendable {
    /// A name or an address. Default `127.0.0.1`.
    package var host: String
    /// 0 takes any free port. Default 9100.
    package var port: Int
    /// What holds where a request says nothing.
    package var defaults: SimulatorScript
    /// Answers every POST instead of the endpoints.
    package var replay: ReplayTranscript?
    /// Bytes of drawings kept for reuse. Default 64 MiB.
    package var cacheBytes: Int

    package init(
        host: String = "127.0.0.1", port: Int = 9100, defaults: SimulatorScript = SimulatorScript(),
        replay: ReplayTranscript? = nil, cacheBytes: Int = 64 << 20
    ) {
        self.host = host
        self.port = port
        self.defaults = defaults
        self.replay = replay
        self.cacheBytes = cacheBytes
    }
}
