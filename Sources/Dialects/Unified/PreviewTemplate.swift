import ImageGeneration
import NIOCore
import StreamCodecs

/// Writes the members of previews, which are most of what is written: what repeats from one to the next is copied as it was
/// written first, and only the numbers between are made anew. Gives byte for byte what ``JSONWriter`` would.
struct PreviewTemplate: Sendable {
    /// `{"type":"partial_image","job_id":"…","seq":`
    private let opening: ByteBuffer
    private var attributes: ImageAttributes?
    /// `,"size":…,"b64_json":"` for ``attributes``.
    private var description = ByteBuffer()

    private static let longestNumbers = 4 * 20 + 24 + 128

    init(job: JobID) {
        var json = JSONWriter()
        json.beginObject()
        json.field("type", staticText: "partial_image")
        json.field("job_id", job.text)
        json.key("seq")
        self.opening = json.buffer
    }

    mutating func write(_ entry: SequencedEvent, _ preview: PartialImage, into out: inout FrameOutput) {
        if self.attributes != preview.attributes { self.describe(preview.attributes) }
        let room = self.opening.readableBytes + self.description.readableBytes + Self.longestNumbers
        out.json.buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
            var cursor = ByteCursor(target)
            cursor.put(self.opening)
            cursor.put(entry.sequence.rawValue)
            cursor.put(",\"at\":\"")
            cursor.put(entry.at)
            cursor.put("\",\"stage\":\"")
            cursor.put(entry.stage.staticName)
            cursor.put("\",\"progress\":")
            cursor.put(UInt64(entry.progress))
            cursor.put(",\"image_index\":")
            cursor.put(UInt64(preview.imageIndex))
            cursor.put(",\"partial_image_index\":")
            cursor.put(UInt64(preview.partialImageIndex))
            cursor.put(self.description)
            return cursor.count
        }
        out.splice(preview.payload)
        out.write("\"}")
    }

    private mutating func describe(_ attributes: ImageAttributes) {
        self.attributes = attributes
        var json = JSONWriter()
        json.beginObject()
        UnifiedJSON.writeAttributes(attributes, into: &json)
        json.field("created_at", attributes.createdAt)
        json.key("b64_json")
        json.beginSplicedString()
        // The object it opens stands already open: a comma takes the place of the brace.
        json.buffer.setInteger(UInt8(ascii: ","), at: json.buffer.readerIndex)
        self.description = json.buffer
    }
}

/// Fills a piece of memory from its start. The caller has made it large enough.
private struct ByteCursor {
    private let target: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ target: UnsafeMutableRawBufferPointer) { self.target = target }

    mutating func put(_ text: StaticString) {
        text.withUTF8Buffer { self.copy(UnsafeRawBufferPointer($0)) }
    }

    mutating func put(_ bytes: ByteBuffer) {
        bytes.withUnsafeReadableBytes { self.copy($0) }
    }

    mutating func put(_ time: Timestamp) {
        time.writeRFC3339(
            into: UnsafeMutableRawBufferPointer(rebasing: self.target[self.count..<self.count + 24])
                .assumingMemoryBound(to: UInt8.self))
        self.count += 24
    }

    mutating func put(_ number: UInt64) {
        var length = 1
        var rest = number
        while rest > 9 {
            rest /= 10
            length += 1
        }
        rest = number
        for index in stride(from: self.count + length - 1, through: self.count, by: -1) {
            self.target[index] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
            rest /= 10
        }
        self.count += length
    }

    private mutating func copy(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: self.target[self.count..<self.count + bytes.count])
            .copyMemory(from: bytes)
        self.count += bytes.count
    }
}
