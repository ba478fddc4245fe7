extension String {
    /// Without control characters and line breaks, for formats in which a line ends a value.
    var onOneLine: String {
        var text = String.UnicodeScalarView()
        for scalar in self.unicodeScalars {
            let breaks = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.value == 0x2028
            text.append(breaks || scalar.value == 0x2029 ? " " : scalar)
        }
        return String(text)
    }
}
