import NIOCore
import StreamCodecs

// Whatever the text, the parser ends and stays in its bounds; what it accepts, written again, is accepted and equal.

private func write(_ node: JSONNode, into writer: inout JSONWriter) {
    precondition(node.position.line > 0 && node.position.column > 0, "position")
    switch node.kind {
    case .null: writer.null()
    case .boolean: writer.value(node.boolean ?? false)
    case .string: writer.value(node.string ?? "")
    case .number: writer.value(raw: node.raw)
    case .array:
        writer.beginArray()
        for element in node.elements { write(element, into: &writer) }
        writer.endArray()
    case .object:
        writer.beginObject()
        for member in node.members {
            writer.key(dynamic: member.key)
            write(member.value, into: &writer)
        }
        writer.endObject()
    }
}

private func areEqual(_ left: JSONNode, _ right: JSONNode) -> Bool {
    guard left.kind == right.kind else { return false }
    switch left.kind {
    case .null: return true
    case .boolean: return left.boolean == right.boolean
    case .string: return left.string.map { Array($0.utf8) } == right.string.map { Array($0.utf8) }
    case .number: return left.raw == right.raw && left.double == right.double && left.integer == right.integer
    case .array:
        let (ours, theirs) = (left.elements, right.elements)
        return ours.count == theirs.count && zip(ours, theirs).allSatisfy(areEqual)
    case .object:
        let (ours, theirs) = (left.members, right.members)
        return ours.count == theirs.count
            && zip(ours, theirs).allSatisfy {
                Array($0.key.utf8) == Array($1.key.utf8) && areEqual($0.value, $1.value)
            }
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = FuzzInput(start, count)
    let source = ByteBuffer(bytes: input.payload)
    let strict: JSONDocument
    do throws(JSONSyntaxError) {
        strict = try JSONDocument(source, maximumNesting: 32)
    } catch {
        precondition(error.offset >= 0 && error.offset <= input.payload.count, "offset outside the text")
        precondition(error.line > 0 && error.column > 0, "position of a fault")
        return 0
    }
    var writer = JSONWriter(asciiOnly: input.choice & 8 == 0)
    write(strict.root, into: &writer)
    guard let again = try? JSONDocument(writer.buffer, maximumNesting: 32, duplicateKeys: .last) else {
        preconditionFailure("what was written is no JSON")
    }
    // Two keys that differ in lone surrogates only are one key once they are written.
    if (try? JSONDocument(writer.buffer, maximumNesting: 32)) != nil {
        precondition(areEqual(strict.root, again.root), "writing changed the value")
    }
    return 0
}
