/// A value whose mutating methods can be called inside an expectation.
final class Box<Value> {
    var value: Value

    init(_ value: Value) { self.value = value }

    @discardableResult
    func callAsFunction<Result>(_ body: (inout Value) -> Result) -> Result { body(&self.value) }
}
