/// What an image store holds.
package struct ImageStoreGauge: Sendable, Equatable {
    /// Pictures.
    package internal(set) var files = 0
    /// Of the pictures, without what the file system adds.
    package internal(set) var bytes = 0
    /// False while the pictures of earlier runs are still being counted.
    package internal(set) var isComplete = false
    /// Size of the last picture that the disk did not take, since when it has taken none; nil: the last one went well.
    var refusedBytes: Int?

    /// False from a failed write until one succeeds, be it a probe.
    package var isWritable: Bool { self.refusedBytes == nil }

    mutating func add(files: Int, bytes: Int) {
        self.files += files
        self.bytes += bytes
    }
}
