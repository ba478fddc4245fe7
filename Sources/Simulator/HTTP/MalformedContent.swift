import NIOCore

/// Ways to spoil what is sent; see ``SimulatorScript/Malformation``.
enum MalformedContent {
    static let page = ByteBuffer(
        string: "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n"
            + "<body><h1>Bad Gateway</h1><p>An intermediary answered in place of the API.</p></body></html>\n")

    /// Bytes that are neither text nor an event: NUL, lone continuation bytes, lone carriage returns.
    static let garbage = ByteBuffer(bytes: [
        0x00, 0xFF, 0xFE, 0x80, 0x0D, 0x64, 0x61, 0x74, 0x61, 0xC3, 0x28, 0x00, 0x0D, 0xF0, 0x9F, 0x0A,
    ])

    /// What a script makes of the last document of a job.
    static func applied(
        to pieces: [ByteBuffer], _ script: SimulatorScript, wrongFields: String
    ) -> [ByteBuffer] {
        switch script.malformed {
        case .json: self.cut(pieces)
        case .event: [ByteBuffer(string: wrongFields)]
        case .sse: [self.garbage]
        case .base64, .html, nil: pieces
        }
    }

    /// Two thirds of the text.
    static func cut(_ pieces: [ByteBuffer]) -> [ByteBuffer] {
        let count = pieces.reduce(0) { $0 + $1.readableBytes }
        return ResponseStream.prefix(of: pieces, bytes: count * 2 / 3)
    }

    /// The payload with characters in its middle that no base64 text has.
    static func breakBase64(_ payload: ByteBuffer) -> [ByteBuffer] {
        let half = payload.readableBytes / 2
        var first = payload
        guard let head = first.readSlice(length: half) else { return [payload] }
        return [head, ByteBuffer(string: "*~#"), first]
    }
}
