import NIOCore
import StreamCodecs

// A range lies within the picture and is never empty; what was read means the same when it is written again. Entity tags
// likewise.

@_cdecl("LLVMFuzzerTestOneInput")
func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = FuzzInput(start, count)
    let field = String(decoding: input.payload, as: UTF8.self)
    let sizes = [0, 1, Int(input.choice), 65_536, Int.max]
    // The fuzzer seldom finds the unit by itself.
    for text in [field, "bytes=" + field] {
        guard let range = ByteRange(field: text) else { continue }
        for size in sizes {
            guard let resolved = range.resolved(size: size) else { continue }
            precondition(!resolved.isEmpty, "an empty range")
            precondition(resolved.lowerBound >= 0 && resolved.upperBound <= size, "a range beyond the picture")
        }
        precondition(ByteRange(field: written(range)) == range, "another range when written again")
    }
    if let tag = EntityTag(field) { precondition(EntityTag(tag.text) == tag, "another tag when written again") }
    if case .tags(let tags) = EntityTagCondition(field: field) {
        let list = tags.map(\.text).joined(separator: ", ")
        precondition(EntityTagCondition(field: list) == .tags(tags), "other tags when written again")
    }
    return 0
}

private func written(_ range: ByteRange) -> String {
    switch range {
    case .from(let first): "bytes=\(first)-"
    case .span(let first, let last): "bytes=\(first)-\(last)"
    case .suffix(let count): "bytes=-\(count)"
    }
}
