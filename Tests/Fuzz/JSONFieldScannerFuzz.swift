import NIOCore
import StreamCodecs

// However a document is cut, the scanner finds the same; it and the document parser agree on what is JSON and on
// values; canonical base64 is what a strict decoder takes.

private let names = ["", "a", "a.b", "a.*", "*", "*.*", "*.*.b", "data.*.b64_json", "error.message"]
private let paths = JSONFieldPaths(names)
private let nesting = 32

private struct Outcome: Equatable {
    var error: CodecError?
    var fields: [JSONField]
}

private func scan(_ input: FuzzInput, _ pieces: [Range<Int>], _ scanner: inout JSONFieldScanner) -> Outcome {
    scanner.begin()
    input.forEachPiece(pieces) { scanner.scan($0) }
    scanner.end()
    return Outcome(error: scanner.error, fields: scanner.fields)
}

/// The nodes a path leads to, by the document parser.
private func nodes(_ name: String, from root: JSONNode) -> [JSONNode] {
    var found = [root]
    for step in name.isEmpty ? [] : name.split(separator: ".") {
        found = found.flatMap { node in step == "*" ? node.elements : node[String(step)].map { [$0] } ?? [] }
    }
    return found
}

private func check(_ field: JSONField, _ node: JSONNode, _ document: ByteBuffer) {
    let quotes = field.kind == .string ? 1 : 0
    precondition(node.range == field.range.lowerBound - quotes..<field.range.upperBound + quotes, "other range")
    precondition(node.string == JSONValueReader.string(field, in: document), "other string")
    precondition(node.integer == JSONValueReader.integer(field, in: document), "other integer")
    precondition(node.double == JSONValueReader.double(field, in: document), "other double")
    if field.kind == .string {
        let isDone = node.string.map { Array($0.utf8) == Array("done".utf8) }
        precondition(JSONValueReader.equals(field, "done", in: document) == isDone, "equals")
    }
}

private func checkCanonical(_ field: JSONField, _ document: ByteBuffer) {
    var document = document
    guard let text = try? Base64.canonical(field, in: &document) else { return }
    precondition((try? Base64.decode(text)) != nil, "canonical text that does not decode")
    // Canonical text is a fixed point, and stands on its own.
    precondition((try? Base64.canonical(text: text)) == text, "canonical text changes again")
}

@_cdecl("LLVMFuzzerTestOneInput")
func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = FuzzInput(start, count)
    var scanner = JSONFieldScanner(paths, maximumNesting: nesting)
    let whole = scan(input, input.whole, &scanner)
    precondition(scan(input, input.pieces, &scanner) == whole, "the cuts changed the outcome")

    let document = ByteBuffer(bytes: input.payload)
    let parsed = try? JSONDocument(document, maximumNesting: nesting, duplicateKeys: .last)
    precondition((parsed == nil) == (whole.error != nil), "scanner and parser disagree on what is JSON")
    for field in whole.fields {
        precondition(field.range.upperBound <= input.payload.count, "range outside the document")
    }
    if let parsed {
        for (path, name) in names.enumerated() {
            let fields = scanner.all(path)
            let expected = nodes(name, from: parsed.root)
            precondition(fields.count == expected.count, "other number of values")
            for (field, node) in zip(fields, expected) { check(field, node, document) }
        }
        for field in whole.fields where field.kind == .string { checkCanonical(field, document) }
    }
    if let text = try? Base64.canonical(text: document) {
        precondition((try? Base64.decode(text)) != nil, "canonical free text that does not decode")
    }
    return 0
}
