import NIOCore

/// Progress that is told as text among other text.
enum ProgressBar {
    enum Form: String, Sendable, CaseIterable {
        /// As tqdm writes them: ` 25%|##5       | 7/28 […]`.
        case bar
        /// Any whole percentage, as in `step 7 of 28 (25%)`.
        case percent
    }

    /// Bytes at the end of a log that are read: the newest is at the end.
    static let maximumTail = 4096

    /// Of the last one in the text; 0…100.
    static func percentage(in text: ByteBufferView, form: Form = .bar) -> Int? {
        var end = text.endIndex
        while let sign = text[..<end].lastIndex(of: UInt8(ascii: "%")) {
            let next = text.index(after: sign)
            let byte = next < text.endIndex ? text[next] : nil
            if self.ends(form, with: byte), let value = self.number(before: sign, in: text) { return value }
            end = sign
        }
        return nil
    }

    /// Whether what stands behind the sign lets it be the form's; nil at the end of the text.
    private static func ends(_ form: Form, with byte: UInt8?) -> Bool {
        switch (form, byte) {
        case (.bar, _): byte == UInt8(ascii: "|")
        case (.percent, nil): true
        case (.percent, let byte?): !byte.isDigit && !(0x41...0x5A).contains(byte) && !(0x61...0x7A).contains(byte)
        }
    }

    private static func number(before end: Int, in text: ByteBufferView) -> Int? {
        let digits = text[..<end].suffix(4).reversed().prefix { $0.isDigit }.reversed()
        guard (1...3).contains(digits.count) else { return nil }
        let value = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return value <= 100 ? value : nil
    }
}
