import Foundation
import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

/// What a stream must yield, in the words of the vector files.
struct ExpectedEvent: Codable, Equatable, Sendable {
    var event: String
    var id: String
    var data: String
    var retry: Int?
}

/// What a decoder made of a stream.
struct DecodedStream: Equatable {
    var events: [ExpectedEvent] = []
    var deliveredBy: [Int] = []
    var lastEventID = ""
    var reconnectionTime: Int?
    /// What a scanner was given, per event.
    var scanned: [[UInt8]] = []

    /// Decodes `bytes`, read in the pieces given. Every piece lies in memory of its own size, so that a sanitizer
    /// sees reads beyond it.
    /// - Parameter sharing: small frames share a copy of their read.
    init(
        _ bytes: [UInt8], _ pieces: [Range<Int>], sharing: Bool = false, limits: CodecLimits = .init()
    ) throws {
        var decoder = ServerSentEventDecoder(limits: limits, scanner: RecordingScanner())
        for piece in pieces {
            try Array(bytes[piece]).withUnsafeBytes { read in
                if sharing { decoder.beginRead(read) }
                defer { decoder.endRead() }
                var rest = read
                while let frame = try decoder.consume(&rest) {
                    self.events.append(ExpectedEvent(frame))
                    self.deliveredBy.append(piece.upperBound - rest.count)
                    self.scanned.append(decoder.scanner.bytes)
                }
            }
        }
        self.lastEventID = String(buffer: decoder.lastEventID)
        self.reconnectionTime = decoder.reconnectionTime
    }
}

extension ExpectedEvent {
    init(_ frame: ServerSentEventFrame) {
        self.init(
            event: frame.event.map { String(decoding: $0.readableBytesView, as: UTF8.self) } ?? "message",
            id: String(decoding: frame.lastEventID.readableBytesView, as: UTF8.self),
            data: String(decoding: frame.data.readableBytesView, as: UTF8.self), retry: frame.retry)
    }

    /// By code points: canonically equivalent text is not equal here.
    static func == (left: ExpectedEvent, right: ExpectedEvent) -> Bool {
        left.event.utf8.elementsEqual(right.event.utf8) && left.id.utf8.elementsEqual(right.id.utf8)
            && left.data.utf8.elementsEqual(right.data.utf8) && left.retry == right.retry
    }
}

/// Keeps what it is given.
struct RecordingScanner: FrameDataScanner {
    var bytes: [UInt8] = []
    var isEnded = false

    mutating func begin() {
        self.bytes = []
        self.isEnded = false
    }
    mutating func scan(_ piece: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: piece) }
    mutating func end() { self.isEnded = true }
}

enum ServerSentEventVectors {
    static let folder = SharedFiles.vectors.appendingPathComponent("sse")

    struct File<Vector: Decodable>: Decodable {
        var vectors: [Vector]
    }

    struct Vector: Decodable, Sendable, CustomTestStringConvertible {
        var name: String
        var inputBase64: String
        var expected: [ExpectedEvent]
        var deliveredBy: [Int]?
        var final: Final
        var splits: [Int]?
        var retryUnscored: Bool?

        var testDescription: String { self.name }
        var input: [UInt8] { [UInt8](Data(base64Encoded: self.inputBase64) ?? Data()) }

        /// Cut in two everywhere, into single and double bytes, and at the offsets the vector names.
        var cuts: [[Range<Int>]] {
            let count = self.input.count
            let bounds = [0] + (self.splits ?? []) + [count]
            return ByteSplits.all(count: count) + [zip(bounds, bounds.dropFirst()).map { $0..<$1 }]
        }
    }

    struct LargeVector: Decodable, Sendable, CustomTestStringConvertible {
        struct Part: Decodable, Sendable {
            var base64: String
            var times: Int
        }
        struct Event: Decodable, Sendable {
            var event: String
            var id: String
            var retry: Int?
            var data: String?
            var dataLengthBytes: Int?
            var dataSha256: String?
        }

        var name: String
        var inputParts: [Part]
        var inputLengthBytes: Int
        var expected: [Event]
        var final: Final

        var testDescription: String { self.name }
        var input: [UInt8] {
            self.inputParts.flatMap { part in
                let piece = [UInt8](Data(base64Encoded: part.base64) ?? Data())
                return Array(repeatElement(piece, count: part.times).joined())
            }
        }
    }

    struct Final: Decodable, Sendable {
        var lastEventId: String
        var reconnectionTime: Int?
    }

    static func small() throws -> [Vector] { try self.read("vectors.json") }
    static func large() throws -> [LargeVector] { try self.read("vectors-large.json") }

    private static func read<Vector: Decodable>(_ name: String) throws -> [Vector] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(
            File<Vector>.self, from: Data(SharedFiles.bytes(self.folder.appendingPathComponent(name)))
        ).vectors
    }
}
