import Providers

/// What the calls are for that are under way: one as a rule, a few at most.
struct OpenCalls {
    private struct Call {
        let number: Int
        let purpose: ExchangeCall.Purpose
        let worksInSilence: Bool
    }

    private var calls: [Call] = []

    /// The purpose of a call that is under way.
    subscript(number: Int) -> ExchangeCall.Purpose? { self.calls.first { $0.number == number }?.purpose }

    /// As ``ExchangeCall/worksInSilence`` says.
    func worksInSilence(_ number: Int) -> Bool {
        self.calls.first { $0.number == number }?.worksInSilence ?? false
    }

    mutating func open(_ number: Int, _ call: ExchangeCall) {
        self.remove(number)
        self.calls.append(Call(number: number, purpose: call.purpose, worksInSilence: call.worksInSilence))
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
