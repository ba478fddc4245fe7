import NIOCore
import StreamCodecs
import Testing

@Suite struct MultipartFormTests {
    private func parts(_ text: String, boundary: String = "b") throws -> [MultipartPart] {
        try MultipartForm.parts(ByteBuffer(string: text), boundary: boundary)
    }

    private func part(_ head: String, body: String = "v") throws -> MultipartPart {
        let parts = try self.parts("--b\r\n\(head)\r\n\r\n\(body)\r\n--b--\r\n")
        try #require(parts.count == 1)
        return parts[0]
    }

    @Test(
        arguments: [
            ("multipart/form-data; boundary=abc", "abc"),
            ("Multipart/Form-Data;BOUNDARY=\"a b:c\"", "a b:c"),
            (
                "multipart/form-data; charset=utf-8; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
                "----WebKitFormBoundary7MA4YWxkTrZu0gW"
            ),
            (
                "multipart/form-data; boundary=------------------------d74496d66958873e;",
                "------------------------d74496d66958873e"
            ),
            ("multipart/form-data ; boundary=a/b=c?d ", "a/b=c?d"),
            ("multipart/form-data; boundary=" + String(repeating: "x", count: 70), String(repeating: "x", count: 70)),
            ("multipart/form-data; boundary=" + String(repeating: "x", count: 71), nil),
            ("multipart/form-data", nil), ("multipart/form-data; boundary=", nil),
            ("multipart/form-data; boundary=\"\"", nil),
            ("multipart/form-data; boundary=a; boundary=b", nil), ("multipart/form-data; boundary=\"a", nil),
            ("multipart/form-data; boundary=\"a \"", nil), ("multipart/form-data; boundary=a\"b", nil),
            ("multipart/form-data; boundary=a\r\nb", nil), ("multipart/form-data; boundary=\u{E9}", nil),
            ("multipart/form-datax; boundary=a", nil), ("multipart/mixed; boundary=a", nil), ("application/json", nil),
            ("", nil),
            ("multipart/form-data boundary=a", nil),
        ] as [(String, String?)])
    func boundaries(contentType: String, expected: String?) {
        #expect(MultipartForm.boundary(contentType: contentType) == expected)
    }

    /// As Chrome, curl, httpx and requests write it.
    @Test(
        arguments: ["", "preamble\r\n", "\r\n", "--bx\r\n"], ["\r\n", "", "\r\nepilogue\r\n--b\r\n", "  \r\n", "\n"])
    func fieldsAndFiles(preamble: String, epilogue: String) throws {
        let text =
            preamble + "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nA fox\r\nin snow\r\n"
            + "--b  \r\ncontent-type: image/png \r\nContent-Length: 9\r\n"
            + "CONTENT-DISPOSITION: form-data; name=\"image[]\"; filename=\"a b.png\"\r\n\r\n\u{89}PNG\r\n--\r\n"
            + "--b\r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n--b--" + epilogue
        let parts = try self.parts(text)
        #expect(parts.map(\.name) == ["prompt", "image[]", "empty"])
        #expect(parts.map(\.fileName) == [nil, "a b.png", nil])
        #expect(parts.map(\.contentType) == [nil, "image/png", nil])
        #expect(parts.map { String(buffer: $0.body) } == ["A fox\r\nin snow", "\u{89}PNG\r\n--", ""])
    }

    @Test func bodiesShareTheInput() throws {
        let head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n"
        let body = ByteBuffer(string: head + String(repeating: "x", count: 5000) + "\r\n--b--\r\n")
        let part = try #require(try MultipartForm.parts(body, boundary: "b").first)
        body.withUnsafeReadableBytes { whole in
            part.body.withUnsafeReadableBytes {
                #expect($0.baseAddress == whole.baseAddress.map { $0 + head.utf8.count })
            }
        }
    }

    @Test(arguments: [
        ("--bc", "--bc"), ("--b-", "--b-"), ("--b --", "--b --"), ("\n--b", "\n--b"), ("x--b--", "x--b--"),
        ("--b\n", "--b\n"),
        ("--b--x", "--b--x"), ("\r\n\r\n", "\r\n\r\n"), ("\r", "\r"), ("\r\r\n", "\r\r\n"),
    ])
    func contentThatLooksLikeABoundary(content: String, expected: String) throws {
        #expect(try String(buffer: self.part("Content-Disposition: form-data; name=a", body: content).body) == expected)
        let doubled = "x\r\n" + content
        #expect(try String(buffer: self.part("Content-Disposition: form-data; name=a", body: doubled).body) == doubled)
    }

    @Test(
        arguments: [
            (#"name="a\"b""#, #"a"b"#, nil), (#"name="a%22b%20c%0D""#, #"a"b%20c%0D"#, nil),
            (#"name="a\\b\c""#, #"a\b\c"#, nil),
            (#"name="x"; filename="C:\dir\f.png""#, "x", #"C:\dir\f.png"#), ("name=\"gr\u{FC}n\"", "gr\u{FC}n", nil),
            (#"name="";filename="""#, "", ""), (#"filename="a;b.png"; name="x""#, "x", "a;b.png"),
            ("name=x;", "x", nil),
            (#"name="x"; filename*=UTF-8''%e2%82%ac%20.png"#, "x", "\u{20AC} .png"),
            (#"name="x"; filename="plain"; filename*=utf-8'en'%41"#, "x", "plain"),
            (#"name="x"; filename*=latin1''%41"#, "x", nil), (#"name="x"; filename*=UTF-8''%4"#, "x", nil),
            (#"name="x"; filename*=UTF-8''%0d%0a"#, "x", nil), (#"name="x"; filename*=UTF-8''%+1"#, "x", nil),
        ] as [(String, String, String?)])
    func names(parameters: String, name: String, fileName: String?) throws {
        let part = try self.part("Content-Disposition: form-data; \(parameters)")
        #expect(part.name == name)
        #expect(part.fileName == fileName)
    }

    @Test func aFormWithoutParts() throws {
        #expect(try self.parts("--b--\r\n").isEmpty)
    }

    @Test func aPartWithoutABlankBodyLine() throws {
        let parts = try self.parts("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--")
        #expect(parts.map(\.body.readableBytes) == [0])
    }

    @Test(arguments: [
        ("", "no boundary line"), ("--c\r\n", "no boundary line"), ("x--b\r\n", "no boundary line"),
        ("--b\nContent-Disposition: form-data; name=a\n\nv\n--b--\n", "no boundary line"),
        ("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nv", "no final boundary line"),
        ("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--b", "no final boundary line"),
        ("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--b-", "no final boundary line"),
        ("--b\r\nContent-Disposition: form-data; name=a\r\n", "part head without an end"),
        ("--b\r\n", "part head without an end"),
        ("--b\r\n\r\nv\r\n--b--", "part without a name"),
        ("--b\r\nContent-Type: text/plain\r\n\r\nv\r\n--b--", "part without a name"),
        ("--b\r\nContent-Disposition: form-data\r\n\r\nv\r\n--b--", "part without a name"),
        ("--b\r\nContent-Disposition: attachment; name=a\r\n\r\nv\r\n--b--", "part that is not form-data"),
        ("--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nv\r\n--b--", "malformed Content-Disposition"),
        ("--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nv\r\n--b--", "malformed Content-Disposition"),
        ("--b\r\nContent-Disposition: form-data; name\r\n\r\nv\r\n--b--", "malformed Content-Disposition"),
        (
            "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\nv\r\n--b--",
            "Content-Disposition given twice"
        ),
        (
            "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\nv\r\n--b--",
            "Content-Type given twice"
        ),
        (
            "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\nv\r\n--b--",
            "encoded part"
        ),
        ("--b\r\nContent-Disposition: form-data; name=\"a\nb\"\r\n\r\nv\r\n--b--", "bare line break in a part head"),
        ("--b\r\nContent-Disposition: form-data; name=\"a\rb\"\r\n\r\nv\r\n--b--", "bare line break in a part head"),
        (
            "--b\r\nContent-Disposition: form-data; name=a;\r\n filename=b\r\n\r\nv\r\n--b--",
            "malformed header in a part head"
        ),
        ("--b\r\nContent-Disposition: form-data; name=\"a\0\"\r\n\r\nv\r\n--b--", "control character in a part head"),
        ("--b\r\nno colon\r\n\r\nv\r\n--b--", "malformed header in a part head"),
        ("--b\r\n: x\r\n\r\nv\r\n--b--", "malformed header in a part head"),
    ])
    func refuses(text: String, reason: String) {
        #expect(throws: CodecError.multipart(reason)) { try self.parts(text) }
    }

    @Test func namesThatAreNotUTF8AreRefused() {
        var body = ByteBuffer(string: "--b\r\nContent-Disposition: form-data; name=\"")
        body.writeInteger(0xFF as UInt8)
        body.writeString("\"\r\n\r\nv\r\n--b--")
        let form = body
        #expect(throws: CodecError.multipart("part without a name")) { try MultipartForm.parts(form, boundary: "b") }
    }

    @Test func headsAndPartsAreBounded() throws {
        let long = String(repeating: "x", count: 8192)
        #expect(throws: CodecError.multipart("part head too large")) {
            try self.parts("--b\r\nContent-Disposition: form-data; name=\(long)\r\n\r\nv\r\n--b--")
        }
        let fits = String(repeating: "x", count: 8192 - 44)
        #expect(try self.part("Content-Disposition: form-data; name=\(fits)").name == fits)
        let one = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n"
        #expect(try self.parts(String(repeating: one, count: 256) + "--b--").count == 256)
        #expect(throws: CodecError.multipart("too many parts")) {
            try self.parts(String(repeating: one, count: 257) + "--b--")
        }
    }

    @Test func everyCutIsRefused() {
        let text =
            "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\nContent-Type: x/y\r\n\r\nv\r\n--b--"
        for count in 0..<text.utf8.count {
            #expect(throws: CodecError.self) {
                try self.parts(String(decoding: text.utf8.prefix(count), as: UTF8.self))
            }
        }
    }

    @Test func everySingleByteChangeEndsInPartsOrAnError() {
        let text = Array(
            "--b\r\nContent-Disposition: form-data; name=\"a\"; filename*=UTF-8''%41\r\n\r\nv\r\n--b--".utf8)
        for index in text.indices {
            for byte in UInt8.min...UInt8.max {
                var changed = text
                changed[index] = byte
                guard let parts = try? MultipartForm.parts(ByteBuffer(bytes: changed), boundary: "b") else { continue }
                #expect(parts.count <= 1)
            }
        }
    }

    @Test func whatIsWrittenReadsBackTheSame() throws {
        var writer = MultipartFormWriter()
        let file = ByteBuffer(string: "\r\n--x\r\n\u{89}PNG")
        writer.append(name: "prompt", text: "A fox\r\n\u{1F98A}")
        writer.append(name: "image[]", fileName: "a\"b\\c.png", contentType: "image/png\r\nX: y", body: file)
        writer.append(name: "q\"\r\n", text: "")
        let contentType = writer.contentType
        let boundary = try #require(MultipartForm.boundary(contentType: contentType))
        let pieces = writer.finish()
        file.withUnsafeReadableBytes { bytes in
            pieces[1].withUnsafeReadableBytes { #expect($0.baseAddress == bytes.baseAddress, "not copied") }
        }
        var whole = ByteBuffer()
        for piece in pieces { whole.writeImmutableBuffer(piece) }
        let parts = try MultipartForm.parts(whole, boundary: boundary)
        #expect(parts.map(\.name) == ["prompt", "image[]", "q\"%0D%0A"])
        #expect(parts.map(\.fileName) == [nil, "a\"b\\c.png", nil])
        #expect(parts.map(\.contentType) == [nil, "image/pngX: y", nil])
        #expect(parts.map(\.body) == [ByteBuffer(string: "A fox\r\n\u{1F98A}"), file, ByteBuffer()])
    }

    @Test("no name leaves its quotes", arguments: [#"a\"#, #"\\"#, #"\\a\"#, "\"", "a\r\nb: c", "%5C"])
    func hostileNamesStayInside(name: String) throws {
        var writer = MultipartFormWriter()
        writer.append(name: name, fileName: name, contentType: "image/png", body: ByteBuffer(string: "body"))
        let boundary = writer.boundary
        var written = ByteBuffer()
        for piece in writer.finish() { written.writeImmutableBuffer(piece) }
        let parts = try MultipartForm.parts(written, boundary: boundary)
        #expect(parts.map { String(buffer: $0.body) } == ["body"])
    }

    @Test func theWriterTakesOnlyBoundariesOfTheStandard() {
        #expect(MultipartFormWriter(boundary: "a b")?.boundary == "a b")
        for boundary in ["", "a ", "a\"", "a\r\n", "\u{E9}", String(repeating: "x", count: 71)] {
            #expect(MultipartFormWriter(boundary: boundary) == nil)
        }
    }
}
