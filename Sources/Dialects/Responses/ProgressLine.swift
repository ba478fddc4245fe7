import ImageGeneration

/// A stage as a line of a log, in the form of progress bars from which clients of queued services read how far the work is.
enum ProgressLine {
    /// Such as ` 40%|####      | 40/100 [Developing]`.
    static func text(_ change: StageChange, progress: Int) -> String {
        let percent = String(repeating: " ", count: progress < 10 ? 2 : progress < 100 ? 1 : 0) + "\(progress)"
        let bar = String(repeating: "#", count: progress / 10) + String(repeating: " ", count: 10 - progress / 10)
        return "\(percent)%|\(bar)| \(progress)/100 [\(change.message.onOneLine)]"
    }
}
