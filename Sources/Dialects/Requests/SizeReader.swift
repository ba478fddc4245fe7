import ImageGeneration

/// The grammars of a picture's size.
enum SizeReader {
    /// `auto`, `1024x1024`: passed on as the upstream's own word.
    static func pixels(_ parameter: RequestParameter) throws(GatewayError) -> ImageRequest.Size {
        let text = try parameter.string(maximumCount: 32)
        guard text == "auto" || self.pair(text, separator: "x", maximum: 16_384) != nil else {
            throw parameter.invalid("must be auto or WIDTHxHEIGHT, like 1024x1024")
        }
        return .named(text)
    }

    /// `auto`, `1024x1024`, or a name that an upstream gives to a size, like `landscape_4_3`.
    static func named(_ parameter: RequestParameter) throws(GatewayError) -> ImageRequest.Size {
        let text = try parameter.string(maximumCount: 32)
        let isWord = text.utf8.allSatisfy { byte in
            (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == 0x5F || byte == 0x2D
        }
        let startsWithDigit = text.utf8.first.map { (0x30...0x39).contains($0) } ?? true
        guard isWord, !startsWithDigit || self.pair(text, separator: "x", maximum: 16_384) != nil else {
            throw parameter.invalid("must be WIDTHxHEIGHT, like 1024x1024, or a word, like auto")
        }
        return .named(text)
    }

    /// `16:9`.
    static func aspectRatio(_ parameter: RequestParameter) throws(GatewayError) -> ImageRequest.Size {
        let text = try parameter.string(maximumCount: 32)
        guard let (width, height) = self.pair(text, separator: ":", maximum: 9999) else {
            throw parameter.invalid("must be WIDTH:HEIGHT, like 16:9")
        }
        return .aspectRatio(width: width, height: height)
    }

    private static func pair(_ text: String, separator: Character, maximum: Int) -> (Int, Int)? {
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.count == 2, let width = self.number(parts[0], maximum), let height = self.number(parts[1], maximum)
        else { return nil }
        return (width, height)
    }

    private static func number(_ text: Substring, _ maximum: Int) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let value = Int(text), (1...maximum).contains(value)
        else { return nil }
        return value
    }
}
