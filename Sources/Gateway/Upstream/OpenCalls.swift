import Providers

/// What the calls are for that are under way: one as a rule, a few at most.
struct OpenCalls {
    private var calls: [(number: Int, purpose: ExchangeCall.Purpose)] = []

    subscript(number: Int) -> ExchangeCall.Purpose? {
        get { self.calls.first { $0.number == number }?.purpose }
        set {
            self.remove(number)
            if let newValue { self.calls.append((number, newValue)) }
        }
    }

    @discardableResult
    mutating func remove(_ number: Int) -> ExchangeCall.Purpose? {
        self.calls.firstIndex { $0.number == number }.map { self.calls.remove(at: $0).purpose }
    }

    /// - Returns: the numbers of those that were under way.
    mutating func removeAll() -> [Int] {
        defer { self.calls = [] }
        return self.calls.map(\.number)
    }
}
