import Glibc
import ImageGeneration
import NIOCore
import StreamCodecs

/// What `safelight generate` shows, whether the work is done here or by a running gateway.
enum GenerationEvent: Sendable {
    case progress(stage: String, percent: Int, message: String)
    case preview(image: Int, number: Int, base64: ByteBuffer)
    case picture(image: Int, base64: ByteBuffer)
    case pictureAt(image: Int, url: String)
    case completed(milliseconds: Int)
    case failed(code: String, message: String)
}

/// Draws a progress bar on a screen, lines elsewhere, and saves what comes.
struct GenerationDisplay {
    private let folder: String
    private let isScreen: Bool
    private(set) var hasPicture = false
    /// The line at the foot of a screen, drawn again below each line that is said.
    private var bar = ""

    private static let barWidth = 30
    private static let clearLine = "\r\u{1B}[K"

    init(folder: String, isScreen: Bool) {
        self.folder = folder
        self.isScreen = isScreen
    }

    mutating func show(_ event: GenerationEvent) throws {
        switch event {
        case .progress(let stage, let percent, let message):
            self.showProgress(stage, percent, message)
        case .preview(let image, let number, let base64):
            try self.save(base64, name: "image-\(image)-preview-\(number)")
        case .picture(let image, let base64):
            self.hasPicture = true
            try self.save(base64, name: "image-\(image)")
        case .pictureAt(let image, let url):
            self.hasPicture = true
            self.line("image \(image): \(url)")
        case .completed(let milliseconds):
            self.lastLine("done in \(Double(milliseconds / 100) / 10) s")
        case .failed(let code, let message):
            self.lastLine("failed: \(code): \(message)")
        }
    }

    private mutating func showProgress(_ stage: String, _ percent: Int, _ message: String) {
        guard self.isScreen else { return Terminal.complain("\(percent)% \(stage): \(message)\n") }
        let filled = percent * Self.barWidth / 100
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: Self.barWidth - filled)
        self.bar = "\(bar) \(percent)% \(stage): \(message)"
        Terminal.complain(Self.clearLine + self.bar)
    }

    private func line(_ text: String) {
        guard self.isScreen else { return Terminal.complain(text + "\n") }
        Terminal.complain(Self.clearLine + text + "\n" + self.bar)
    }

    private mutating func lastLine(_ text: String) {
        self.bar = ""
        self.line(text)
    }

    private func save(_ base64: ByteBuffer, name: String) throws {
        let bytes = try Base64.decode(base64)
        let format = ImageHeader.read(bytes)?.format.fileExtension ?? "bin"
        let path = "\(self.folder)/\(name).\(format)"
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw FileProblem(path: path, reason: String(cString: strerror(errno))) }
        defer { close(file) }
        let isWhole = bytes.withUnsafeReadableBytes { write(file, $0.baseAddress, $0.count) == $0.count }
        guard isWhole else { throw FileProblem(path: path, reason: "it could not be written whole") }
        self.line("saved \(path) (\(bytes.readableBytes) bytes)")
    }
}

struct FileProblem: Error, CustomStringConvertible {
    let path: String
    let reason: String

    var description: String { "\(self.path): \(self.reason)" }
}
