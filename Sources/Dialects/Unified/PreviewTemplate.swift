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

    /// The time of the last preview as text: those of one read share it.
    private var time = (at: Timestamp(milliseconds: .min), text: (UInt64(0), UInt64(0), UInt64(0)))

    private static let longestNumbers = 5 * 20 + 24 + 160
    /// Smaller payloads are copied with the rest of their event.
    private static let copiedBelow = 2048

    init(job: JobID) {
        var json = JSONWriter()
        json.beginObject()
        json.field("type", staticText: "partial_image")
        json.field("job_id", job.text)
        json.key("seq")
        self.opening = json.takeBuffer()
    }

    /// - Parameter frame: what the event's frame begins with, up to its number; nil: the object alone is written.
    mutating func write(
        _ entry: SequencedEvent, _ preview: PartialImage, frame: ByteBuffer? = nil, into out: inout FrameOutput
    ) {
        if self.attributes != preview.attributes { self.describe(preview.attributes) }
        if self.time.at != entry.at { self.note(entry.at) }
        let payload = preview.payload.base64
        let isCopied = preview.payload.displaced == nil && payload.readableBytes < Self.copiedBelow
        let room =
            self.opening.readableBytes + self.description.readableBytes + Self.longestNumbers
            + (frame?.readableBytes ?? 0) + (isCopied ? payload.readableBytes : 0)
        out.json.buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
            var cursor = ByteCursor(target)
            if let frame {
                cursor.put(frame)
                cursor.put(entry.sequence.rawValue)
                cursor.put("\ndata: ")
            }
            cursor.put(self.opening)
            cursor.put(entry.sequence.rawValue)
            cursor.put(",\"at\":\"")
            withUnsafeBytes(of: self.time.text) { cursor.copy($0) }
            cursor.put("\",\"stage\":\"")
            cursor.put(entry.stage.staticName)
            cursor.put("\",\"progress\":")
            cursor.put(UInt64(entry.progress))
            cursor.put(",\"image_index\":")
            cursor.put(UInt64(preview.imageIndex))
            cursor.put(",\"partial_image_index\":")
            cursor.put(UInt64(preview.partialImageIndex))
            cursor.put(self.description)
            if isCopied {
                cursor.put(payload)
                cursor.put(frame == nil ? "\"}" : "\"}\n\n")
            }
            return cursor.count
        }
        guard !isCopied else { return }
        out.splice(preview.payload)
        out.write(frame == nil ? "\"}" : "\"}\n\n")
    }

    private mutating func note(_ time: Timestamp) {
        self.time.at = time
        withUnsafeMutableBytes(of: &self.time.text) { time.writeRFC3339(into: $0.assumingMemoryBound(to: UInt8.self)) }
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
        self.description = json.takeBuffer()
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

    mutating func copy(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: self.target[self.count..<self.count + bytes.count])
            .copyMemory(from: bytes)
        self.count += bytes.count
    }
}
