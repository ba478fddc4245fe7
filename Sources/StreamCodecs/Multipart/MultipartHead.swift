/// What the head of a part says.
struct MultipartHead {
    var name: String
    var fileName: String?
    var contentType: String?

    /// Takes the head line by line; no header that counts may come twice.
    struct Builder {
        private var disposition: (name: String, fileName: String?)?
        private var contentType: String?

        mutating func take(line: UnsafeRawBufferPointer) throws(CodecError) {
            guard line.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
                throw .multipart("control character in a part head")
            }
            guard let colon = line.firstIndex(of: 0x3A), colon > 0, line[..<colon].allSatisfy(HeaderParameters.isToken)
            else { throw .multipart("malformed header in a part head") }
            let value = UnsafeRawBufferPointer(rebasing: line[(colon + 1)...])
            switch String(decoding: line[..<colon], as: UTF8.self).lowercased() {
            case "content-disposition": try self.takeDisposition(value)
            case "content-type":
                guard self.contentType == nil else { throw .multipart("Content-Type given twice") }
                self.contentType = Self.trimmed(value)
            case "content-transfer-encoding":
                // RFC 7578 section 4.7: senders must not, and these alone change nothing.
                guard ["binary", "8bit", "7bit"].contains(Self.trimmed(value).lowercased()) else {
                    throw .multipart("encoded part")
                }
            default: break
            }
        }

        func finish() throws(CodecError) -> MultipartHead {
            guard let disposition = self.disposition else { throw .multipart("part without a name") }
            return MultipartHead(
                name: disposition.name, fileName: disposition.fileName, contentType: self.contentType)
        }

        private mutating func takeDisposition(_ value: UnsafeRawBufferPointer) throws(CodecError) {
            guard self.disposition == nil else { throw .multipart("Content-Disposition given twice") }
            guard var parameters = HeaderParameters(value, leading: "form-data") else {
                throw .multipart("part that is not form-data")
            }
            var values: [String: [UInt8]] = [:]
            while let parameter = parameters.next() {
                guard case .parameter(let name, let value) = parameter,
                    values.updateValue(value, forKey: name) == nil
                else { throw .multipart("malformed Content-Disposition") }
            }
            guard let name = values["name"].flatMap({ String(validating: Self.unquoted($0), as: UTF8.self) }) else {
                throw .multipart("part without a name")
            }
            let plain = values["filename"].map { String(decoding: Self.unquoted($0), as: UTF8.self) }
            self.disposition = (name, plain ?? values["filename*"].flatMap(Self.extendedValue))
        }

        /// Browsers write a quote in a name as `%22`; nothing else is taken for an escape, as they leave `%` alone.
        private static func unquoted(_ value: [UInt8]) -> [UInt8] {
            guard value.contains(0x25) else { return value }
            var result: [UInt8] = []
            var rest = value[...]
            while let byte = rest.popFirst() {
                if byte == 0x25, rest.starts(with: [0x32, 0x32]) {
                    rest.removeFirst(2)
                    result.append(0x22)
                } else {
                    result.append(byte)
                }
            }
            return result
        }

        /// `UTF-8''text%20in%20percent%20form`, RFC 8187; nil for other charsets and broken escapes.
        private static func extendedValue(_ value: [UInt8]) -> String? {
            let parts = value.split(separator: 0x27, maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, String(decoding: parts[0], as: UTF8.self).lowercased() == "utf-8" else {
                return nil
            }
            var result: [UInt8] = []
            var rest = parts[2]
            while let byte = rest.popFirst() {
                guard byte == 0x25 else {
                    result.append(byte)
                    continue
                }
                let digits = rest.prefix(2)
                guard digits.count == 2, digits.allSatisfy(Self.isHexadecimal),
                    let decoded = UInt8(String(decoding: digits, as: UTF8.self), radix: 16), decoded >= 0x20
                else { return nil }
                result.append(decoded)
                rest.removeFirst(2)
            }
            return String(validating: result, as: UTF8.self)
        }

        private static func isHexadecimal(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte & 0xDF)
        }

        private static func trimmed(_ value: UnsafeRawBufferPointer) -> String {
            let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 }
            let kept = value.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
            return String(decoding: Array(kept), as: UTF8.self)
        }
    }
}
