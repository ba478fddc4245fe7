import HTTPTypes
import Providers

/// Which of the upstream's answers a call gets.
struct AnswerScript {
    let answers: [FixtureAnswer]
    /// The calls to which the answers were given; nil: by number, to whichever call comes.
    private let asked: [ExchangeCall]?
    private var used: Set<Int> = []

    init(_ answers: [FixtureAnswer]) {
        self.answers = answers
        self.asked = nil
    }

    /// What the upstream says to one who comes back behind `call`: each address goes on with its next answer, and then
    /// says its last again, as a job that stands still would.
    init(_ answers: [FixtureAnswer], to asked: [ExchangeCall], behind call: Int) {
        self.answers = answers
        self.asked = asked
        self.used = Set(answers.indices.prefix(call + 1))
    }

    /// Index of the answer.
    mutating func answer(to call: ExchangeCall, number: Int) -> Int? {
        guard let asked = self.asked else { return self.answers.indices.contains(number) ? number : nil }
        let same = self.answers.indices.filter { index in
            index < asked.count && asked[index].url == call.url && asked[index].method == call.method
        }
        let answer = same.first { !self.used.contains($0) } ?? same.last ?? self.submission(insteadFor: call, asked)
        if let answer { self.used.insert(answer) }
        return answer
    }

    /// Where states were told by the submission alone, asking for them tells the same.
    private func submission(insteadFor call: ExchangeCall, _ asked: [ExchangeCall]) -> Int? {
        guard let index = asked.firstIndex(where: { $0.purpose == .submit }), index < self.answers.count else {
            return nil
        }
        switch call.purpose {
        case .events: return self.answers[index].isStream ? index : nil
        case .status: return self.answers[index].isStream ? nil : index
        case .submit, .result, .resultURL, .cancel: return nil
        }
    }
}
