import NIOCore
import StreamCodecs

// Parts lie inside the body; what the writer makes of them is read back the same.

private let boundary = "bound"

@_cdecl("LLVMFuzzerTestOneInput")
func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = FuzzInput(start, count)
    let header = String(decoding: input.payload.prefix(80), as: UTF8.self)
    if let found = MultipartForm.boundary(contentType: header) {
        precondition((1...70).contains(found.utf8.count), "boundary of a wrong length")
        _ = try? MultipartForm.parts(ByteBuffer(bytes: input.payload), boundary: found)
    }
    // Input seldom guesses delimiters and line ends, so two rare bytes stand for them.
    let body = input.payload.flatMap { byte -> [UInt8] in
        switch byte {
        case 0x01: Array("--\(boundary)".utf8)
        case 0x02: Array("\r\n".utf8)
        case 0x03: Array("Content-Disposition: form-data; name=\"".utf8)
        default: [byte]
        }
    }
    guard let parts = try? MultipartForm.parts(ByteBuffer(bytes: body), boundary: boundary, maximumParts: 8) else {
        return 0
    }
    precondition(parts.count <= 8, "more parts than allowed")
    precondition(parts.reduce(0) { $0 + $1.body.readableBytes } <= body.count, "parts larger than the body")
    var writer = MultipartFormWriter()
    for part in parts {
        writer.append(
            name: part.name, fileName: part.fileName ?? "file", contentType: part.contentType ?? "image/png",
            body: part.body)
    }
    let own = writer.boundary
    var written = ByteBuffer()
    for piece in writer.finish() { written.writeImmutableBuffer(piece) }
    guard !parts.isEmpty else { return 0 }
    guard let again = try? MultipartForm.parts(written, boundary: own) else {
        preconditionFailure("what was written is no form")
    }
    precondition(again.map(\.body) == parts.map(\.body), "bodies changed")
    return 0
}
