import HummingbirdCore
import NIOCore

/// The script asks for a connection that breaks here.
struct ConnectionCut: Error {}

/// Writes a body in the script's write sizes and breaks it where the script says. A write waits for the client to read, so
/// no more than one event is held for a slow one.
struct ResponseStream {
    let visit: Visit
    let script: SimulatorScript
    private var writer: any ResponseBodyWriter
    private var eventIndex = 0
    /// Bytes until the connection is cut.
    private var budget: Int?

    init(writer: any ResponseBodyWriter, script: SimulatorScript, visit: Visit) {
        self.writer = writer
        self.script = script
        self.visit = visit
        if case .bytes(let count) = script.truncate { self.budget = count }
    }

    /// - Parameter last: the event that ends the stream, or a whole body.
    mutating func send(_ pieces: [ByteBuffer], last: Bool = false) async throws {
        let index = self.eventIndex
        self.eventIndex += 1
        let cut = self.script.truncate == .event(index)
        let stalls = last && self.script.stall == .mid
        guard cut || stalls else { return try await self.write(pieces) }
        let half = pieces.reduce(0) { $0 + $1.readableBytes } / 2
        try await self.write(Self.prefix(of: pieces, bytes: half))
        if cut { throw ConnectionCut() }
        try await self.visit.stall()
    }

    consuming func finish() async throws {
        // A budget larger than the body was never used up: the response ends as if none was set.
        try await self.writer.finish(nil)
    }

    private mutating func write(_ pieces: [ByteBuffer]) async throws {
        guard let budget = self.budget else { return try await self.writeSlices(pieces) }
        let allowed = Self.prefix(of: pieces, bytes: budget)
        let count = allowed.reduce(0) { $0 + $1.readableBytes }
        self.budget = budget - count
        try await self.writeSlices(allowed)
        if count < pieces.reduce(0, { $0 + $1.readableBytes }) { throw ConnectionCut() }
    }

    private mutating func writeSlices(_ pieces: [ByteBuffer]) async throws {
        let batchBytes = 1 << 18
        var batch: [ByteBuffer] = []
        var bytes = 0
        for var piece in pieces {
            while let slice = piece.readSlice(length: min(self.script.chunk, piece.readableBytes)),
                slice.readableBytes > 0
            {
                batch.append(slice)
                bytes += slice.readableBytes
                if batch.count >= 256 || bytes >= batchBytes {
                    try await self.writer.write(contentsOf: batch)
                    batch.removeAll(keepingCapacity: true)
                    bytes = 0
                }
            }
        }
        if !batch.isEmpty { try await self.writer.write(contentsOf: batch) }
    }

    static func prefix(of pieces: [ByteBuffer], bytes: Int) -> [ByteBuffer] {
        var left = bytes
        return pieces.compactMap { piece in
            let slice = piece.getSlice(at: piece.readerIndex, length: min(left, piece.readableBytes))
            left -= slice?.readableBytes ?? 0
            return slice.flatMap { $0.readableBytes > 0 ? $0 : nil }
        }
    }
}
