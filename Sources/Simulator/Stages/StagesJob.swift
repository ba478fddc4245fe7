import NIOCore

/// A queued job. Its id holds all of it, so any simulator knows any job, also after a restart.
struct StagesJob: Hashable, Sendable {
    /// Unix milliseconds.
    var start: Int64
    /// Tells equal jobs of one millisecond apart.
    var nonce: UInt32
    var picture: Picture
    /// Pictures, 1…10.
    var count: Int
    var isDraft: Bool
    /// Only what acts after the submission: pace, payload, write size and faults of the answers.
    var script: SimulatorScript

    private static let kind: UInt8 = 0x4A

    var id: String {
        var record = ByteBuffer()
        record.writeInteger(Self.kind)
        record.writeInteger(self.start)
        record.writeInteger(self.nonce)
        record.writeInteger(self.picture.key)
        record.writeInteger(UInt16(self.picture.width))
        record.writeInteger(UInt16(self.picture.height))
        record.writeInteger(UInt8(self.count))
        record.writeInteger(self.flags)
        self.script.write(into: &record)
        return "job_" + CompactID.encode(record)
    }

    private var flags: UInt8 { (self.picture.transparent ? 1 : 0) | (self.isDraft ? 2 : 0) }

    init(start: Int64, nonce: UInt32, picture: Picture, count: Int, isDraft: Bool, script: SimulatorScript) {
        self.start = start
        self.nonce = nonce
        self.picture = picture
        self.count = count
        self.isDraft = isDraft
        self.script = script
    }

    init?(id: String) {
        guard id.hasPrefix("job_"), var record = CompactID.decode(id.dropFirst(4)),
            record.readInteger(as: UInt8.self) == Self.kind, let start = record.readInteger(as: Int64.self),
            let nonce = record.readInteger(as: UInt32.self), let key = record.readInteger(as: UInt64.self),
            let width = record.readInteger(as: UInt16.self), let height = record.readInteger(as: UInt16.self),
            let count = record.readInteger(as: UInt8.self), (1...10).contains(count),
            let flags = record.readInteger(as: UInt8.self), let script = SimulatorScript(record: &record),
            record.readableBytes == 0,
            // Up to the year 9999: beyond, there is no date to print.
            (0...253_402_300_799_000).contains(start)
        else { return nil }
        self.start = start
        self.nonce = nonce
        self.picture = Picture(key: key, width: Int(width), height: Int(height), transparent: flags & 1 == 1)
        self.count = Int(count)
        self.isDraft = flags & 2 == 2
        self.script = script
    }
}

extension SimulatorScript {
    func write(into record: inout ByteBuffer) {
        record.writeInteger(UInt32(clamping: self.duration.milliseconds))
        record.writeInteger(UInt32(clamping: self.queue.milliseconds))
        record.writeInteger(UInt16(clamping: self.position))
        record.writeInteger(UInt32(clamping: self.payload ?? 0))
        record.writeInteger(UInt16(clamping: self.chunk - 1))
        record.writeInteger(UInt8((self.noTerminal ? 1 : 0) | (self.unknownEvent ? 2 : 0)))
        record.writeInteger(UInt8(Self.index(self.refuse)))
        record.writeInteger(UInt8(Self.index(self.fail)))
        record.writeInteger(UInt8(Self.index(self.malformed)))
        switch self.stall {
        case nil: record.writeInteger(UInt8(0))
        case .head: record.writeInteger(UInt8(1))
        case .mid: record.writeInteger(UInt8(2))
        case .afterPreview(let index): record.writeInteger(UInt8(clamping: 3 + index))
        }
        switch self.truncate {
        case nil: record.writeInteger(UInt64(0))
        case .bytes(let count): record.writeInteger(UInt64(1) << 32 | UInt64(UInt32(clamping: count)))
        case .event(let index): record.writeInteger(UInt64(2) << 32 | UInt64(UInt32(clamping: index)))
        }
    }

    init?(record: inout ByteBuffer) {
        guard let duration = record.readInteger(as: UInt32.self), let queue = record.readInteger(as: UInt32.self),
            let position = record.readInteger(as: UInt16.self), let payload = record.readInteger(as: UInt32.self),
            payload <= 64 << 20, let chunk = record.readInteger(as: UInt16.self),
            let flags = record.readInteger(as: UInt8.self), let refuse = record.readInteger(as: UInt8.self),
            let fail = record.readInteger(as: UInt8.self), let malformed = record.readInteger(as: UInt8.self),
            let stall = record.readInteger(as: UInt8.self), let truncate = record.readInteger(as: UInt64.self)
        else { return nil }
        self.init()
        self.duration = .milliseconds(duration)
        self.queue = .milliseconds(queue)
        self.position = Int(position)
        self.payload = payload == 0 ? nil : Int(payload)
        self.chunk = Int(chunk) + 1
        self.noTerminal = flags & 1 == 1
        self.unknownEvent = flags & 2 == 2
        self.refuse = Self.element(refuse)
        self.fail = Self.element(fail)
        self.malformed = Self.element(malformed)
        switch stall {
        case 0: self.stall = nil
        case 1: self.stall = .head
        case 2: self.stall = .mid
        default: self.stall = .afterPreview(Int(stall) - 3)
        }
        let value = Int(truncate & 0xFFFF_FFFF)
        self.truncate = truncate >> 32 == 1 ? .bytes(value) : truncate >> 32 == 2 ? .event(value) : nil
    }

    /// 0 for none, else the place among all cases from 1.
    private static func index<Word: CaseIterable & Equatable>(_ word: Word?) -> Int {
        guard let word else { return 0 }
        return Array(Word.allCases).firstIndex(of: word).map { $0 + 1 } ?? 0
    }

    private static func element<Word: CaseIterable>(_ index: UInt8) -> Word? {
        let all = Array(Word.allCases)
        return (1...all.count).contains(Int(index)) ? all[Int(index) - 1] : nil
    }
}
