import NIOCore
import StreamCodecs

// However a stream is cut, the same events come out, none larger than the bound; and what the encoder writes of them
// comes back.

private struct Recorder: FrameDataScanner {
    var bytes: [UInt8] = []
    var isOpen = false

    mutating func begin() {
        precondition(!self.isOpen, "begin without end")
        self.isOpen = true
        self.bytes = []
    }
    mutating func scan(_ piece: UnsafeRawBufferPointer) {
        precondition(self.isOpen && !piece.isEmpty, "scan outside a frame")
        self.bytes.append(contentsOf: piece)
    }
    mutating func end() {
        precondition(self.isOpen, "end without begin")
        self.isOpen = false
    }
}

private struct Event: Equatable {
    var type: [UInt8]?
    var data: [UInt8]
    var id: [UInt8]
    var retry: Int?
}

private struct Outcome: Equatable {
    var events: [Event] = []
    var error: CodecError?
    var lastEventID: [UInt8] = []
    var reconnectionTime: Int?
    var isPartial = false
}

private func decode(_ input: FuzzInput, _ pieces: [Range<Int>], _ limit: Int) -> Outcome {
    var decoder = ServerSentEventDecoder(limits: CodecLimits(maximumEventBytes: limit), scanner: Recorder())
    var outcome = Outcome()
    input.forEachPiece(pieces) { piece in
        guard outcome.error == nil else { return }
        var rest = piece
        do throws(CodecError) {
            while let frame = try decoder.consume(&rest) {
                let data = Array(frame.data.readableBytesView)
                precondition(data.count <= limit, "event beyond the bound")
                precondition(data == decoder.scanner.bytes, "scanner saw other bytes")
                outcome.events.append(
                    Event(
                        type: frame.event.map { Array($0.readableBytesView) }, data: data,
                        id: Array(frame.lastEventID.readableBytesView), retry: frame.retry))
            }
            precondition(rest.isEmpty, "bytes left")
        } catch {
            outcome.error = error
        }
    }
    outcome.lastEventID = Array(decoder.lastEventID.readableBytesView)
    outcome.reconnectionTime = decoder.reconnectionTime
    outcome.isPartial = decoder.hasPartialFrame
    return outcome
}

/// Events as they come back from the encoder's text.
private func encodedAgain(_ events: [Event]) -> [Event]? {
    var out = ByteBuffer()
    var expected: [Event] = []
    for event in events {
        // Encoders write text; ids persist, so every event states its own.
        guard let data = String(validating: event.data, as: UTF8.self),
            let id = String(validating: event.id, as: UTF8.self),
            let type = String(validating: event.type ?? [], as: UTF8.self)
        else { return nil }
        do throws(CodecError) {
            try ServerSentEventEncoder.writeHead(
                event: event.type == nil ? nil : type, id: id, retryMilliseconds: event.retry, into: &out)
        } catch {
            // A type may hold NUL, which the encoder refuses.
            precondition(event.type?.contains(0) == true, "encoder refused what the decoder gave")
            return nil
        }
        ServerSentEventEncoder.writeData(text: data, into: &out)
        expected.append(event)
    }
    var decoder = ServerSentEventDecoder(scanner: NoScanner())
    var decoded: [Event] = []
    out.withUnsafeReadableBytes { bytes in
        var rest = bytes
        while let frame = try? decoder.consume(&rest) {
            decoded.append(
                Event(
                    type: frame.event.map { Array($0.readableBytesView) }, data: Array(frame.data.readableBytesView),
                    id: Array(frame.lastEventID.readableBytesView), retry: frame.retry))
        }
    }
    precondition(decoded == expected, "encoder and decoder disagree")
    return decoded
}

@_cdecl("LLVMFuzzerTestOneInput")
func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = FuzzInput(start, count)
    let limit = input.choice & 4 == 0 ? 1 << 20 : 24
    let whole = decode(input, input.whole, limit)
    precondition(decode(input, input.pieces, limit) == whole, "the cuts changed the outcome")
    _ = encodedAgain(whole.events)
    return 0
}
