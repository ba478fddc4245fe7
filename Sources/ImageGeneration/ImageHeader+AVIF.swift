import NIOCore

// ISO/IEC 14496-12 and 23008-12; https://aomediacodec.github.io/av1-avif/

extension ImageHeader {
    /// Brands that are looked at, the major one not counted.
    private static let maximumBrands = 64

    /// `avif` or `avis` as major brand or among the compatible ones.
    static func hasAVIFBrand(_ bytes: ByteBuffer) -> Bool {
        guard bytes.has("ftyp".utf8, at: 4) else { return false }
        let declared = bytes.number(at: 0, as: UInt32.self) ?? 0
        let end = min(declared, 16 + self.maximumBrands * 4)
        return ([8] + Array(stride(from: 16, to: max(16, end), by: 4))).contains { offset in
            bytes.has("avif".utf8, at: offset) || bytes.has("avis".utf8, at: offset)
        }
    }

    /// The `ispe` property of the primary item. Descends by name only, so nesting costs nothing.
    static func avifSize(_ bytes: ByteBuffer) -> Size? {
        let file = BoxReader(bytes: bytes, range: 0..<bytes.readableBytes)
        // A first box that reaches to the end of the file leaves no room for a picture.
        guard bytes.number(at: 0, as: UInt32.self) != 0, file.box("ftyp") != nil,
            let meta = file.box("meta")?.dropping(4), let primary = self.primaryItem(meta.box("pitm")),
            let properties = meta.box("iprp"), let container = properties.box("ipco"),
            let associations = properties.box("ipma")
        else { return nil }
        let boxes = container.boxes
        for index in self.properties(of: primary, in: associations) where boxes.indices.contains(index - 1) {
            let (type, content) = boxes[index - 1]
            if type == BoxReader.type("ispe") { return self.spatialExtent(content) }
        }
        return nil
    }

    private static func primaryItem(_ box: BoxReader?) -> Int? {
        guard let box, let version = box.number(at: 0, as: UInt8.self) else { return nil }
        return version == 0 ? box.number(at: 4, as: UInt16.self) : box.number(at: 4, as: UInt32.self)
    }

    private static func spatialExtent(_ box: BoxReader) -> Size? {
        guard let width = box.number(at: 4, as: UInt32.self), let height = box.number(at: 8, as: UInt32.self) else {
            return nil
        }
        return (width, height)
    }

    /// The item's properties as positions in `ipco`, from 1. Every step takes bytes, so a false count ends with the
    /// box.
    private static func properties(of item: Int, in box: BoxReader) -> [Int] {
        guard let version = box.number(at: 0, as: UInt8.self), let flags = box.number(at: 3, as: UInt8.self),
            let entries = box.number(at: 4, as: UInt32.self)
        else { return [] }
        let hasWideItems = version >= 1
        let hasWideIndexes = flags & 1 == 1
        var offset = 8
        for _ in 0..<entries {
            let entry =
                hasWideItems ? box.number(at: offset, as: UInt32.self) : box.number(at: offset, as: UInt16.self)
            offset += hasWideItems ? 4 : 2
            guard let entry, let count = box.number(at: offset, as: UInt8.self) else { return [] }
            offset += 1
            let width = hasWideIndexes ? 2 : 1
            defer { offset += count * width }
            guard entry == item else { continue }
            return (0..<count).compactMap { position in
                // The top bit says whether the property is essential.
                hasWideIndexes
                    ? box.number(at: offset + position * 2, as: UInt16.self).map { $0 & 0x7FFF }
                    : box.number(at: offset + position, as: UInt8.self).map { $0 & 0x7F }
            }
        }
        return []
    }
}

/// The boxes in a part of the file. All offsets count from the part's beginning, none reads beyond its end.
private struct BoxReader {
    let bytes: ByteBuffer
    let range: Range<Int>

    static func type(_ name: StaticString) -> Int {
        name.withUTF8Buffer { $0.reduce(0) { $0 << 8 | Int($1) } }
    }

    func number<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type) -> Int? {
        let start = self.range.lowerBound + offset
        guard start + MemoryLayout<Number>.size <= self.range.upperBound else { return nil }
        return self.bytes.number(at: start, as: type)
    }

    func dropping(_ count: Int) -> BoxReader? {
        guard count <= self.range.count else { return nil }
        return BoxReader(bytes: self.bytes, range: self.range.lowerBound + count..<self.range.upperBound)
    }

    /// Content of the first box of this type among those that are complete.
    func box(_ name: StaticString) -> BoxReader? {
        let wanted = Self.type(name)
        var offset = 0
        while let (type, content, end) = self.box(at: offset) {
            if type == wanted { return content }
            offset = end
        }
        return nil
    }

    /// All boxes up to the first that is broken or cut.
    var boxes: [(type: Int, content: BoxReader)] {
        var boxes: [(type: Int, content: BoxReader)] = []
        var offset = 0
        while let (type, content, end) = self.box(at: offset) {
            boxes.append((type, content))
            offset = end
        }
        return boxes
    }

    /// Size 1 announces a size of 64 bits behind the type; size 0 reaches to the end.
    private func box(at offset: Int) -> (type: Int, content: BoxReader, end: Int)? {
        guard let short = self.number(at: offset, as: UInt32.self),
            let type = self.number(at: offset + 4, as: UInt32.self)
        else { return nil }
        let left = self.range.count - offset
        var header = 8
        var size = short == 0 ? left : short
        if short == 1 {
            guard let long = self.number(at: offset + 8, as: UInt64.self) else { return nil }
            header = 16
            size = long
        }
        guard size >= header, size <= left else { return nil }
        let start = self.range.lowerBound + offset
        return (type, BoxReader(bytes: self.bytes, range: start + header..<start + size), offset + size)
    }
}
