import NIOCore

/// A response under way. Its id holds all of it, so any simulator knows any response, also after a restart.
struct ResponsesJob: Hashable, Sendable {
    /// Unix milliseconds.
    var start: Int64
    /// Tells equal responses of one millisecond apart.
    var nonce: UInt32
    var picture: Picture
    var previews: Int
    var isBackground: Bool
    var draws: Bool
    var script: SimulatorScript

    private static let kind: UInt8 = 0x52

    var id: String {
        var record = ByteBuffer()
        record.writeInteger(Self.kind)
        record.writeInteger(self.start)
        record.writeInteger(self.nonce)
        record.writeInteger(self.picture.key)
        record.writeInteger(UInt16(self.picture.width))
        record.writeInteger(UInt16(self.picture.height))
        record.writeInteger(UInt8(self.previews))
        record.writeInteger(
            UInt8((self.picture.transparent ? 1 : 0) | (self.isBackground ? 2 : 0) | (self.draws ? 4 : 0)))
        self.script.write(into: &record)
        return "resp_" + CompactID.encode(record)
    }

    init(
        start: Int64, nonce: UInt32, picture: Picture, previews: Int, isBackground: Bool, draws: Bool,
        script: SimulatorScript
    ) {
        self.start = start
        self.nonce = nonce
        self.picture = picture
        self.previews = previews
        self.isBackground = isBackground
        self.draws = draws
        self.script = script
    }

    init?(id: String) {
        guard id.hasPrefix("resp_"), var record = CompactID.decode(id.dropFirst(5)),
            record.readInteger(as: UInt8.self) == Self.kind, let start = record.readInteger(as: Int64.self),
            let nonce = record.readInteger(as: UInt32.self), let key = record.readInteger(as: UInt64.self),
            let width = record.readInteger(as: UInt16.self), let height = record.readInteger(as: UInt16.self),
            let previews = record.readInteger(as: UInt8.self), previews <= 3,
            let flags = record.readInteger(as: UInt8.self), let script = SimulatorScript(record: &record),
            record.readableBytes == 0, (0...253_402_300_799_000).contains(start)
        else { return nil }
        self.init(
            start: start, nonce: nonce,
            picture: Picture(key: key, width: Int(width), height: Int(height), transparent: flags & 1 == 1),
            previews: Int(previews), isBackground: flags & 2 == 2, draws: flags & 4 == 4, script: script)
    }

    /// Ids of the items within.
    var callID: String { "ig_" + String(self.nonce, radix: 16) }
    var messageID: String { "msg_" + String(self.nonce, radix: 16) }

    /// Only background responses queue. In milliseconds.
    var queue: Int64 { self.isBackground ? self.script.queue.milliseconds : 0 }

    /// The response comes to nothing.
    var fails: Bool { self.script.fail != nil }
    var isRefused: Bool { self.script.refuse == .stream }

    /// Age in milliseconds at which the response is over; nil where it stands still for ever.
    var end: Int64? {
        let duration = self.script.duration.milliseconds
        switch self.script.stall {
        case .afterPreview, .mid: return nil
        case .head, nil: return self.queue + (self.fails || self.isRefused ? duration / 2 : duration)
        }
    }
}
