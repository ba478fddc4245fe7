/// Writes `multipart/form-data` bodies for tests.
enum Form {
    enum Part {
        case text(String, String)
        case file(String, String, String, String)
    }

    static let contentType = "multipart/form-data; boundary=safelight-boundary"

    static func body(_ parts: [Part]) -> String {
        parts.map { part in
            switch part {
            case .text(let name, let value):
                "--safelight-boundary\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n\(value)\r\n"
            case .file(let name, let fileName, let type, let content):
                "--safelight-boundary\r\nContent-Disposition: form-data; name=\"\(name)\"; filename=\"\(fileName)\"\r\n"
                    + "Content-Type: \(type)\r\n\r\n\(content)\r\n"
            }
        }.joined() + "--safelight-boundary--\r\n"
    }
}
