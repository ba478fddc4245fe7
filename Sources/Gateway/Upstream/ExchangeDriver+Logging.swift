import ImageGeneration
import Logging
import Storage

extension ExchangeDriver {
    /// Which job it is, is said only where the line is written.
    func log(
        _ level: Logger.Level, _ message: Logger.Message, _ metadata: @autoclosure () -> Logger.Metadata
    ) {
        self.environment.logger.log(
            level: level, message,
            metadata: metadata().merging([
                "job_id": "\(self.job.id.text)", "route": "\(self.job.plan.route)",
                "upstream": "\(self.job.plan.upstream.name)",
            ]) { told, _ in told })
    }

    func logEnd() {
        guard let terminal = self.job.log.standing.terminal else { return }
        switch terminal.event {
        case .error(let error):
            let level: Logger.Level = error.code.isOperatorsBusiness ? .error : .warning
            self.log(
                level, "job failed",
                ["code": "\(error.code.rawValue)", "cause": "\(error.cause ?? error.message)"])
        case .completed(let completion):
            self.log(
                .info, "job completed",
                ["images": "\(completion.images.count)", "total_ms": "\(completion.timings.total)"])
        case .cancelled(let cancellation):
            self.log(.info, "job cancelled", ["reason": "\(cancellation.reason.rawValue)"])
        case .stage, .partialImage, .textDelta, .image:
            break
        }
    }
}
