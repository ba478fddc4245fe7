import HTTPTypes
import ImageGeneration
import Storage
import Testing

@testable import Gateway

@Suite struct ImageAnswerTests {
    private static let now = Timestamp(seconds: 10_000)
    private static let signed = ImageAccess.signedURL(expires: Timestamp(seconds: 10_600))
    private static let tag = "\"v1\""

    private static func image(_ size: Int = 1000, _ format: ImageFormat = .png) throws -> StoredImage {
        let id = try #require(ImageID("img_abcdefghijklmnopqrstuvwxyz"))
        return StoredImage(id: id, format: format, size: size, storedAt: Timestamp(seconds: 1), version: "v1")
    }

    private static func answer(
        _ method: ImageCall.Method = .get, _ fields: HTTPFields = [:], access: ImageAccess = signed
    ) throws -> ImageAnswer {
        let image = try Self.image()
        let call = ImageCall(
            method: method, id: image.id, query: nil, requester: .nobody, conditions: ImageConditions(fields))
        return ImageAnswer(call, image, access, now: Self.now)
    }

    // MARK: Heads

    @Test(arguments: ImageFormat.allCases) func saysWhatTheBytesAreAndLetsNothingRun(_ format: ImageFormat) throws {
        let image = try Self.image(1000, format)
        let call = ImageCall(method: .get, id: image.id, query: nil, requester: .nobody)
        let answer = ImageAnswer(call, image, Self.signed, now: Self.now)
        #expect(answer.status == 200)
        #expect(answer.body == 0..<1000)
        let expected: HTTPFields = [
            .contentType: "image/\(format.rawValue)", .contentLength: "1000", .acceptRanges: "bytes",
            .xContentTypeOptions: "nosniff", .contentSecurityPolicy: "sandbox; default-src 'none'",
            .crossOriginResourcePolicy: "cross-origin", .cacheControl: "private, max-age=600", .eTag: Self.tag,
            .contentDisposition: "inline; filename=\"img_abcdefghijklmnopqrstuvwxyz.\(format.fileExtension)\"",
        ]
        #expect(answer.fields == expected)
    }

    @Test(
        arguments: [
            (10_600, "private, max-age=600"), (10_001, "private, max-age=1"), (10_000, "private, max-age=0"),
            (9_000, "private, max-age=0"), (13_600, "private, max-age=3600"), (13_601, "private, max-age=3600"),
            (2_592_000, "private, max-age=3600"),
        ] as [(Int64, String)]) func isKeptNoLongerThanItsURL(_ expires: Int64, _ expected: String) throws
    {
        let answer = try Self.answer(access: .signedURL(expires: Timestamp(seconds: expires)))
        #expect(answer.fields[.cacheControl] == expected)
    }

    @Test(arguments: [ImageAccess.owner, .scope]) func whatACredentialBroughtIsAskedForAgain(
        _ access: ImageAccess
    ) throws {
        let answer = try Self.answer(access: access)
        #expect(answer.fields[.cacheControl] == "private, no-cache")
        #expect(answer.fields[.crossOriginResourcePolicy] == "same-origin")
    }

    @Test func headSaysTheSameWithoutBody() throws {
        let get = try Self.answer()
        let head = try Self.answer(.head)
        #expect(head.status == 200)
        #expect(head.body == nil)
        #expect(head.fields == get.fields)
        let ranged = try Self.answer(.head, [.range: "bytes=0-9"])
        #expect(ranged.status == 200)
        #expect(ranged.fields == get.fields)
        #expect(try Self.answer(.head, [.range: "bytes=2000-"]).status == 200)
    }

    // MARK: Ranges

    @Test(arguments: [
        ("bytes=0-0", 0..<1), ("bytes=0-99", 0..<100), ("bytes=100-199", 100..<200), ("bytes=999-999", 999..<1000),
        ("bytes=0-", 0..<1000), ("bytes=990-", 990..<1000), ("bytes=-10", 990..<1000), ("bytes=-5000", 0..<1000),
        ("bytes=500-99999999999999999999", 500..<1000),
    ]) func aRangeIsPartOfThePicture(_ field: String, _ range: Range<Int>) throws {
        let answer = try Self.answer(.get, [.range: field])
        #expect(answer.status == 206)
        #expect(answer.body == range)
        #expect(answer.fields[.contentLength] == String(range.count))
        #expect(answer.fields[.contentRange] == "bytes \(range.lowerBound)-\(range.upperBound - 1)/1000")
        #expect(answer.fields[.contentType] == "image/png")
        #expect(answer.fields[.eTag] == Self.tag)
    }

    @Test(arguments: ["bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=99999999999999999999-"])
    func aRangeBeyondThePictureCannotBeSatisfied(_ field: String) throws {
        let answer = try Self.answer(.get, [.range: field])
        #expect(answer.status == 416)
        #expect(answer.body == nil)
        #expect(answer.fields[.contentRange] == "bytes */1000")
        #expect(answer.fields[.contentLength] == "0")
        #expect(answer.fields[.contentType] == nil)
    }

    @Test(arguments: ["bytes=0-1,3-4", "bytes=2-1", "bytes=", "bytes=x", "items=0-1", "0-1", "bytes=1000-,0-1"])
    func whatIsNotOneRangeBringsTheWhole(_ field: String) throws {
        let answer = try Self.answer(.get, [.range: field])
        #expect(answer.status == 200)
        #expect(answer.body == 0..<1000)
        #expect(answer.fields[.contentRange] == nil)
    }

    @Test func twoRangeFieldsAreSeveralRanges() throws {
        var fields = HTTPFields()
        fields.append(HTTPField(name: .range, value: "bytes=0-1"))
        fields.append(HTTPField(name: .range, value: "bytes=4-5"))
        #expect(try Self.answer(.get, fields).status == 200)
    }

    @Test(arguments: [
        ("\"v1\"", 206), ("\"v2\"", 200), ("W/\"v1\"", 200), ("v1", 200), ("", 200), ("*", 200),
        ("\"v1\", \"v2\"", 200),
        ("Sat, 29 Oct 1994 19:43:31 GMT", 200),
    ]) func aRangeHoldsForTheBytesTheClientHas(_ field: String, _ status: Int) throws {
        #expect(try Self.answer(.get, [.range: "bytes=0-9", .ifRange: field]).status == status)
        // Of other bytes even a range that cannot be satisfied brings the whole.
        #expect(
            try Self.answer(.get, [.range: "bytes=1000-", .ifRange: field]).status == (status == 206 ? 416 : 200))
        #expect(try Self.answer(.get, [.ifRange: field]).status == 200, "without a range it says nothing")
    }

    // MARK: Conditions

    @Test(arguments: [
        ("\"v1\"", 304), ("W/\"v1\"", 304), ("*", 304), ("\"x\", \"v1\"", 304), ("\"x\",W/\"v1\"", 304),
        ("\"v2\"", 200), ("\"V1\"", 200), ("v1", 200), ("", 200), ("\"x,v1\"", 200), ("\"v1", 200),
    ]) func whatTheClientHasIsNotSentAgain(_ field: String, _ status: Int) throws {
        for method in [ImageCall.Method.get, .head] {
            let answer = try Self.answer(method, [.ifNoneMatch: field])
            #expect(answer.status == status)
            guard status == 304 else { continue }
            #expect(answer.body == nil)
            #expect(answer.fields[.eTag] == Self.tag)
            #expect(answer.fields[.cacheControl] == "private, max-age=600")
            #expect(answer.fields[.contentLength] == nil)
            #expect(answer.fields[.contentType] == nil)
        }
        let ranged = try Self.answer(.get, [.ifNoneMatch: field, .range: "bytes=0-9"])
        #expect(ranged.status == (status == 304 ? 304 : 206))
    }

    @Test(arguments: [
        ("\"v1\"", 200), ("*", 200), ("\"x\", \"v1\"", 200), ("W/\"v1\"", 412), ("\"v2\"", 412), ("v1", 412), ("", 412),
    ]) func aPictureThatIsNotTheOneMeant(_ field: String, _ status: Int) throws {
        let answer = try Self.answer(.get, [.ifMatch: field])
        #expect(answer.status == status)
        #expect((answer.body == nil) == (status == 412))
        if status == 412 { #expect(answer.fields[.contentLength] == "0") }
        // If-Match comes first.
        #expect(
            try Self.answer(.get, [.ifMatch: field, .ifNoneMatch: "*"]).status == (status == 412 ? 412 : 304))
    }

    @Test func datesSayNothingWhereThereAreNone() throws {
        let answer = try Self.answer(
            .get,
            [.ifModifiedSince: "Sat, 29 Oct 2094 19:43:31 GMT", .ifUnmodifiedSince: "Sat, 29 Oct 1994 19:43:31 GMT"])
        #expect(answer.status == 200)
        #expect(answer.fields[.lastModified] == nil)
    }

    @Test(
        arguments: [
            (HTTPFields(), ImageConditions.Outcome.proceed), ([.ifMatch: "\"v1\""], .proceed),
            ([.ifMatch: "\"x\""], .failed),
            ([.ifNoneMatch: "\"v1\""], .failed), ([.ifNoneMatch: "\"x\""], .proceed), ([.range: "bytes=0-1"], .proceed),
        ] as [(HTTPFields, ImageConditions.Outcome)]) func conditionsOfADelete(
            _ fields: HTTPFields, _ expected: ImageConditions.Outcome
        ) throws
    {
        #expect(ImageConditions(fields).evaluate(try Self.image().entityTag, method: .delete) == expected)
    }

    @Test func deletedSaysNothing() {
        #expect(ImageAnswer.deleted.status == 204)
        #expect(ImageAnswer.deleted.body == nil)
        #expect(ImageAnswer.deleted.fields[.contentLength] == nil)
    }
}
