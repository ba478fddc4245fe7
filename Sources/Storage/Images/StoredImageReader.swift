package import NIOCore

/// An open picture. It stays readable to its end, even when it is removed or replaced meanwhile.
package protocol StoredImageReader: Sendable {
    var image: StoredImage { get }

    /// Exactly the bytes of `range`, which lies within the picture.
    /// - Throws: `GatewayError` `storage_unavailable`, also when the file has become shorter.
    func read(_ range: Range<Int>) async throws -> ByteBuffer
}

extension StoredImageReader {
    /// The bytes of `range` in pieces. A piece is read when the one before has been taken, so at most one is in memory.
    package func pieces(of range: Range<Int>, pieceBytes: Int = 64 << 10) -> StoredImagePieces {
        StoredImagePieces(reader: self, range: range, pieceBytes: pieceBytes)
    }
}

package struct StoredImagePieces: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer

    fileprivate let reader: any StoredImageReader
    fileprivate let range: Range<Int>
    fileprivate let pieceBytes: Int

    package func makeAsyncIterator() -> Iterator { Iterator(pieces: self, position: self.range.lowerBound) }

    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let pieces: StoredImagePieces
        fileprivate var position: Int

        package mutating func next() async throws -> ByteBuffer? {
            guard self.position < self.pieces.range.upperBound else { return nil }
            let end = Swift.min(self.position + self.pieces.pieceBytes, self.pieces.range.upperBound)
            let piece = try await self.pieces.reader.read(self.position..<end)
            self.position = end
            return piece
        }
    }
}
