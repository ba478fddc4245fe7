package import HTTPTypes

/// How long an upstream asks to be left alone: `retry-after-ms`, else `Retry-After` in seconds or as a date.
package enum RetryAfter {
    /// Longer requests are cut to this, a week, which no job waits; in milliseconds.
    static let maximumMilliseconds = 604_800_000

    /// Nil when the header is absent, malformed or in the past. A date counts from the response's own `Date`, so that no
    /// clock is read and the two clocks need not agree; without `Date` it says nothing.
    package static func milliseconds(_ headers: HTTPFields) -> Int? {
        if let name = HTTPField.Name("retry-after-ms"), let text = headers[name], let value = self.number(text) {
            return self.capped(value)
        }
        guard let text = headers[.retryAfter] else { return nil }
        if let seconds = self.number(text) { return self.capped(seconds * 1000) }
        guard let then = HTTPDate.seconds(text), let now = headers[.date].flatMap(HTTPDate.seconds), then > now else {
            return nil
        }
        return self.capped(Double(then - now) * 1000)
    }

    /// `27s`, `1.5s`: a duration as Google's errors carry it.
    static func milliseconds(duration text: String) -> Int? {
        guard text.hasSuffix("s"), let seconds = self.number(String(text.dropLast())) else { return nil }
        return self.capped(seconds * 1000)
    }

    private static func number(_ text: String) -> Double? {
        guard text.utf8.count <= 32, let value = Double(text), value.isFinite, value >= 0 else { return nil }
        return value
    }

    private static func capped(_ milliseconds: Double) -> Int {
        Int(min(milliseconds, Double(self.maximumMilliseconds)).rounded(.up))
    }
}

/// The three date forms of RFC 9110 section 5.6.7.
enum HTTPDate {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// Unix seconds.
    static func seconds(_ text: String) -> Int? {
        guard text.utf8.count <= 64 else { return nil }
        var time: Int?
        var month: Int?
        var numbers: [(value: Int, digits: Int)] = []
        for word in text.split(whereSeparator: { " ,-".contains($0) }) {
            if word.contains(":") {
                time = self.time(word)
            } else if let index = self.months.firstIndex(of: String(word)) {
                month = index + 1
            } else if word.utf8.allSatisfy({ $0.isDigit }), let value = Int(word) {
                numbers.append((value, word.utf8.count))
            }
        }
        guard let time, let month, numbers.count == 2, (1...31).contains(numbers[0].value) else { return nil }
        // RFC 850 writes two digits; those below 70 are of this century.
        let short = numbers[1].digits <= 2
        let year = short ? numbers[1].value + (numbers[1].value < 70 ? 2000 : 1900) : numbers[1].value
        guard (1970...9999).contains(year) else { return nil }
        return self.days(year: year, month: month, day: numbers[0].value) * 86_400 + time
    }

    private static func time(_ word: Substring) -> Int? {
        let parts = word.split(separator: ":").map { Int($0) ?? -1 }
        guard parts.count == 3, (0...23).contains(parts[0]), (0...59).contains(parts[1]), (0...60).contains(parts[2])
        else {
            return nil
        }
        return parts[0] * 3600 + parts[1] * 60 + parts[2]
    }

    /// Days since 1970-01-01, by 400-year eras that begin in March.
    private static func days(year: Int, month: Int, day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
