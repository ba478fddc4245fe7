import CCurl
import HTTPTypes

/// A list of strings in libcurl's form. The call that uses it keeps it alive.
final class CurlStringList {
    private(set) var head: UnsafeMutablePointer<curl_slist>?

    func append(_ text: String) {
        // libcurl leaves the list alone when memory is short.
        if let grown = curl_slist_append(self.head, text) { self.head = grown }
    }

    deinit { curl_slist_free_all(self.head) }
}

extension CurlStringList {
    /// The fields of a request. Framing is libcurl's; what it would add unasked is taken out.
    convenience init(_ fields: HTTPFields) {
        self.init()
        for field in fields where !Self.framing.contains(field.name) {
            // In libcurl's lists "Name:" removes a field and "Name;" sends an empty one.
            self.append(field.value.isEmpty ? "\(field.name.rawName);" : "\(field.name.rawName): \(field.value)")
        }
        self.append("Expect:")
        if !fields.contains(.accept) { self.append("Accept:") }
        if !fields.contains(.contentType) { self.append("Content-Type:") }
    }

    private static let framing: Set<HTTPField.Name> = [.contentLength, .transferEncoding, .expect]
}
