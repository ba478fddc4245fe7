import NIOCore
import StreamCodecs

/// Small records as names: base64url over the record and a checksum, so that a made-up name is told from a real one. It is no
/// secret and proves nothing.
enum CompactID {
    static let maximumLength = 128

    static func encode(_ record: ByteBuffer) -> String {
        var sealed = record
        sealed.writeInteger(self.checksum(record))
        let text = Base64.encode(sealed).readableBytesView.compactMap { byte -> UInt8? in
            switch byte {
            case 0x2B: 0x2D
            case 0x2F: 0x5F
            case 0x3D: nil
            default: byte
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: some StringProtocol) -> ByteBuffer? {
        guard (1...self.maximumLength).contains(text.utf8.count) else { return nil }
        var standard = ByteBuffer()
        for byte in text.utf8 {
            switch byte {
            case 0x2D: standard.writeInteger(UInt8(0x2B))
            case 0x5F: standard.writeInteger(UInt8(0x2F))
            case 0x2B, 0x2F, 0x3D: return nil
            default: standard.writeInteger(byte)
            }
        }
        while standard.readableBytes % 4 != 0 { standard.writeInteger(UInt8(0x3D)) }
        guard var record = try? Base64.decode(standard), record.readableBytes > 4,
            var body = record.readSlice(length: record.readableBytes - 4),
            record.readInteger(as: UInt32.self) == self.checksum(body)
        else { return nil }
        body.discardReadBytes()
        return body
    }

    private static func checksum(_ record: ByteBuffer) -> UInt32 {
        var hash = FNV1a()
        hash.combine(record.readableBytesView)
        return UInt32(truncatingIfNeeded: SplitMix64.mix(hash.value))
    }
}

/// A picture as the name of its file.
struct ImageID {
    let picture: Picture
    let payload: Int?

    private static let kind: UInt8 = 0x49

    init(picture: Picture, payload: Int?) {
        self.picture = picture
        self.payload = payload
    }

    init?(_ text: String) {
        guard text.hasPrefix("img_"), var record = CompactID.decode(text.dropFirst(4)),
            record.readInteger(as: UInt8.self) == Self.kind, let key = record.readInteger(as: UInt64.self),
            let width = record.readInteger(as: UInt16.self), let height = record.readInteger(as: UInt16.self),
            let transparent = record.readInteger(as: UInt8.self), let payload = record.readInteger(as: UInt32.self),
            record.readableBytes == 0, payload <= 64 << 20
        else { return nil }
        self.picture = Picture(key: key, width: Int(width), height: Int(height), transparent: transparent == 1)
        self.payload = payload == 0 ? nil : Int(payload)
    }

    var text: String {
        var record = ByteBuffer()
        record.writeInteger(Self.kind)
        record.writeInteger(self.picture.key)
        record.writeInteger(UInt16(self.picture.width))
        record.writeInteger(UInt16(self.picture.height))
        record.writeInteger(UInt8(self.picture.transparent ? 1 : 0))
        record.writeInteger(UInt32(self.payload ?? 0))
        return "img_" + CompactID.encode(record)
    }
}
