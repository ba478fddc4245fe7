/// Looks at a frame's data while it is gathered, piece by piece, so that each byte is read while it is still in cache.
///
/// The pieces of one frame are consecutive bytes of its data: data lines joined by LF, without the last LF. A piece is
/// only valid during the call.
package protocol FrameDataScanner: Sendable {
    /// A new frame begins: forget the last one. Called before the first piece, only for frames that have data.
    mutating func begin()
    mutating func scan(_ piece: UnsafeRawBufferPointer)
    /// The frame is complete. Not called for a frame that never ends.
    mutating func end()
}

/// For streams whose data needs no look.
package struct NoScanner: FrameDataScanner {
    package init() {}
    package mutating func begin() {}
    package mutating func scan(_ piece: UnsafeRawBufferPointer) {}
    package mutating func end() {}
}
