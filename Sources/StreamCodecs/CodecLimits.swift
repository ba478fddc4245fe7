/// Bounds that keep hostile or broken input from taking memory without end.
package struct CodecLimits: Sendable, Equatable {
    /// Largest event in bytes: its data and its field values together. Default 64 MiB.
    package var maximumEventBytes: Int
    /// Deepest nesting of JSON containers. Default 512.
    package var maximumNesting: Int

    package init(maximumEventBytes: Int = 64 << 20, maximumNesting: Int = 512) {
        self.maximumEventBytes = maximumEventBytes
        self.maximumNesting = maximumNesting
    }
}
