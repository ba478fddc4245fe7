/// What an upstream says it used, in OpenAI's shape. All zero when the upstream reports nothing.
package struct Usage: Hashable, Sendable {
    package var inputTokens: Int
    package var inputTextTokens: Int
    package var inputImageTokens: Int
    package var outputTokens: Int
    package var totalTokens: Int

    package init(
        inputTokens: Int = 0, inputTextTokens: Int = 0, inputImageTokens: Int = 0, outputTokens: Int = 0,
        totalTokens: Int = 0
    ) {
        self.inputTokens = inputTokens
        self.inputTextTokens = inputTextTokens
        self.inputImageTokens = inputImageTokens
        self.outputTokens = outputTokens
        self.totalTokens = totalTokens
    }

    package static let zero = Usage()

    package static func + (left: Usage, right: Usage) -> Usage {
        Usage(
            inputTokens: left.inputTokens &+ right.inputTokens,
            inputTextTokens: left.inputTextTokens &+ right.inputTextTokens,
            inputImageTokens: left.inputImageTokens &+ right.inputImageTokens,
            outputTokens: left.outputTokens &+ right.outputTokens,
            totalTokens: left.totalTokens &+ right.totalTokens)
    }
}
