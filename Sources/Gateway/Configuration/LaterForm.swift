import StreamCodecs

/// The form of a feature that this release does not have, as data: enough to check it and to compare it with the
/// schema.
package indirect enum LaterForm: Sendable {
    case text, boolean, number, duration, rate, secret
    /// Whole, from 1.
    case count
    case choice([String])
    case list(LaterForm)
    /// An object whose keys are names.
    case named(LaterForm)
    case object([String: LaterForm])
    /// An object that is not looked into.
    case anyObject

    /// Reports whatever is not of the form; true when nothing was.
    func check(_ value: ConfigurationValue) -> Bool {
        switch self {
        case .text: ValueForm<String>.text().read(value) != nil
        case .boolean: ValueForm<Bool>.boolean.read(value) != nil
        case .number: ValueForm<Double>.number.read(value) != nil
        case .count: ValueForm<Int>.integer(in: 1...1_000_000_000).read(value) != nil
        case .duration:
            ValueForm<Duration>.duration(in: .milliseconds(1) ... .seconds(3650 * 86_400)).read(value) != nil
        case .rate: ValueForm<RequestRate>.rate.read(value) != nil
        case .secret: ValueForm<[SecretReference]>.secret.read(value) != nil
        case .choice(let words): Self.check(value, words: words)
        case .list(let element): value.elements().map { $0.map(element.check).allSatisfy(\.self) } ?? false
        case .named(let element): value.members().map { $0.map { element.check($0.value) }.allSatisfy(\.self) } ?? false
        case .object(let keys): Self.check(value, keys: keys)
        case .anyObject: value.members() != nil
        }
    }

    private static func check(_ value: ConfigurationValue, words: [String]) -> Bool {
        if let word = value.node.string, words.contains(word) { return true }
        value.report(expected: ConfigurationText.alternatives(words.map { "\"\($0)\"" }))
        return false
    }

    private static func check(_ value: ConfigurationValue, keys: [String: LaterForm]) -> Bool {
        guard let members = value.members() else { return false }
        var fine = true
        for (name, place, member) in members {
            if let form = keys[name] {
                fine = form.check(member) && fine
            } else {
                let hint = ConfigurationText.suggestion(for: name, among: keys.keys.sorted())
                let message = "unknown key \(ConfigurationText.quoted(name))\(hint)"
                value.source.report(ConfigurationProblem(.error, at: place, message))
                fine = false
            }
        }
        return fine
    }
}
