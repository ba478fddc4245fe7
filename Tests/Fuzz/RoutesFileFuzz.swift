import Gateway
import NIOCore

// Any bytes are a table or say why not. Every problem has a place within the file, a table can be shown, and neither holds a secret
// or a control character.

private let secret = "s3cr3t-of-the-surroundings"

@_cdecl("LLVMFuzzerTestOneInput")
func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = ByteBuffer(bytes: UnsafeBufferPointer(start: start, count: count))
    let surroundings = ConfigurationSurroundings(
        directory: "/etc/safelight", environment: { _ in secret },
        readFile: { _ throws(ConfigurationFileError) in Array(secret.utf8) })
    let loaded = RoutesFile.load(bytes, surroundings: surroundings)
    precondition((loaded.table == nil) == loaded.problems.hasErrors, "neither a table nor a reason, or both")
    // CR, LF and both together end a line.
    let lines = bytes.readableBytesView.reduce(1) { $0 + ($1 == 0x0A || $1 == 0x0D ? 1 : 0) }
    for problem in loaded.problems {
        precondition((1...lines + 1).contains(problem.place.line) && problem.place.column >= 1, "no place in the file")
        check(problem.rendered(file: "routes.json"))
    }
    if let table = loaded.table {
        for line in table.rendered().split(separator: "\n") { check(String(line)) }
        for route in table.routes { _ = table.candidates(path: route.location.text) }
        precondition(table.restartRequiredChanges(from: table).isEmpty, "another table than itself")
    }
    return 0
}

private func check(_ line: String) {
    precondition(!line.contains(secret), "a secret is shown")
    precondition(
        line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }, "a control character is shown")
}
