import HTTPTypes
import ImageGeneration
import Storage
import StreamCodecs

/// Status, header fields and bytes of the answer to a request for a stored picture.
struct ImageAnswer: Sendable {
    let status: Int
    let fields: HTTPFields
    /// What of the picture follows the head; nil: nothing.
    let body: Range<Int>?

    /// A picture does not change under its id, but a browser shall not keep it for ever either. In seconds.
    private static let maximumAge: Int64 = 3600

    /// The answer to GET and HEAD.
    init(_ call: ImageCall, _ image: StoredImage, _ access: ImageAccess, now: Timestamp) {
        let tag = image.entityTag
        var fields = Self.caching(tag, access, now: now)
        switch call.conditions.evaluate(tag, method: call.method) {
        case .notModified:
            self.init(status: 304, fields: fields)
            return
        case .failed:
            self.init(status: 412, fields: fields)
            return
        case .proceed:
            break
        }
        fields.describe(image)
        // Ranges are GET's alone.
        let extent = call.method == .get ? call.conditions.extent(tag, size: image.size) : .whole
        switch extent {
        case .whole:
            fields[.contentLength] = String(image.size)
            self.init(status: 200, fields: fields, body: call.method == .get ? 0..<image.size : nil)
        case .part(let range):
            fields[.contentLength] = String(range.count)
            fields[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(image.size)"
            self.init(status: 206, fields: fields, body: range)
        case .unsatisfiable:
            var fields = Self.caching(tag, access, now: now)
            fields[.contentRange] = "bytes */\(image.size)"
            self.init(status: 416, fields: fields)
        }
    }

    private init(status: Int, fields: HTTPFields, body: Range<Int>? = nil) {
        var fields = fields
        // 204 and 304 have no body, and so no length of one.
        if fields[.contentLength] == nil, status != 204, status != 304 { fields[.contentLength] = "0" }
        self.status = status
        self.fields = fields
        self.body = body
    }

    /// The picture is gone.
    static let deleted = ImageAnswer(status: 204, fields: [.cacheControl: "no-store"])

    /// A condition of a DELETE does not hold.
    static func preconditionFailed(_ image: StoredImage) -> ImageAnswer {
        ImageAnswer(status: 412, fields: [.eTag: image.entityTag.text, .cacheControl: "no-store"])
    }

    /// Whoever has the URL may keep the picture as long as the URL holds, and show it on any site. What the owner's credential
    /// brought is asked for again each time, and stays on its own site.
    private static func caching(_ tag: EntityTag, _ access: ImageAccess, now: Timestamp) -> HTTPFields {
        var fields: HTTPFields = [.eTag: tag.text]
        switch access {
        case .signedURL(let expires):
            let age = max(0, min(self.maximumAge, expires.seconds - now.seconds))
            fields[.cacheControl] = "private, max-age=\(age)"
            fields[.crossOriginResourcePolicy] = "cross-origin"
        case .owner, .scope:
            fields[.cacheControl] = "private, no-cache"
            fields[.crossOriginResourcePolicy] = "same-origin"
        }
        return fields
    }
}

extension HTTPFields {
    /// The type is what the bytes were found to be; nothing a browser might run.
    fileprivate mutating func describe(_ image: StoredImage) {
        self[.contentType] = image.format.mediaType
        self[.acceptRanges] = "bytes"
        self[.contentDisposition] = "inline; filename=\"\(image.fileName)\""
        self[.contentSecurityPolicy] = "sandbox; default-src 'none'"
        self[.xContentTypeOptions] = "nosniff"
    }
}

extension StoredImage {
    /// Strong: another version is another sequence of bytes.
    var entityTag: EntityTag { EntityTag(strong: self.version) }
}
