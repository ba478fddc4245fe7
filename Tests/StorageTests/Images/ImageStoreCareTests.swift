import Foundation
import Glibc
import ImageGeneration
import NIOCore
import ServiceLifecycle
import Synchronization
import Testing

@testable import Storage

@Suite struct ImageStoreCareTests {
    // MARK: What a crash leaves

    @Test func startRemovesWhatACrashLeftAndNothingElse() async throws {
        try await StoreBench.run { bench in
            let image = try await bench.keep(SamplePicture.bytes(.png, size: 5000))
            let shelf = "\(bench.folder)/\(image.id.text.dropFirst(4).prefix(2))"
            let half = Data(SamplePicture.bytes(.png, size: 2000))
            let abandoned = ["\(shelf)/\(image.id.text).png.a1.part", "\(bench.folder)/probe.b2.part"]
            for path in abandoned { try half.write(to: URL(fileURLWithPath: path)) }
            try half.write(to: URL(fileURLWithPath: "\(shelf)/notes.txt"))
            // A picture that some other process is writing.
            let written = "\(shelf)/\(ImageID().text).png.c3.part"
            try half.write(to: URL(fileURLWithPath: written))
            let writer = try DiskFile(path: written, flags: O_WRONLY)
            #expect(flock(writer.descriptor, LOCK_EX | LOCK_NB) == 0)

            let restarted = try bench.restarted()
            #expect(try await restarted.count() == 2)
            for path in abandoned { #expect(!FileManager.default.fileExists(atPath: path)) }
            #expect(FileManager.default.fileExists(atPath: written))
            #expect(FileManager.default.fileExists(atPath: "\(shelf)/notes.txt"))
            #expect(restarted.gauge.files == 1)
            #expect(restarted.gauge.bytes == 5000)
            #expect(restarted.gauge.isComplete)
            #expect(try await restarted.open(image.id)?.image.version == image.version)
        }
    }

    /// The unfinished file has no picture's name, so nothing can reach it.
    @Test func aHalfWrittenPictureIsOutOfReach() async throws {
        try await StoreBench.run { bench in
            let id = ImageID()
            mkdir("\(bench.folder)/\(id.text.dropFirst(4).prefix(2))", 0o750)
            try Data(SamplePicture.bytes(.png)).write(to: URL(fileURLWithPath: bench.path(id) + ".d4.part"))
            #expect(try await bench.store.open(id) == nil)
            #expect(try await !bench.store.remove(id))
        }
    }

    /// A child process writes as the store does and is killed in the middle.
    @Test func aKilledWriterLeavesNothingBehind() async throws {
        try await StoreBench.run { bench in
            let id = ImageID()
            mkdir("\(bench.folder)/\(id.text.dropFirst(4).prefix(2))", 0o750)
            let path = bench.path(id) + ".e5.part"
            let child = Process()
            child.executableURL = URL(fileURLWithPath: "/bin/sh")
            child.arguments = ["-c", "exec 9>'\(path)'; flock 9 || exit 1; printf x >&9; echo ready; exec cat"]
            let input = Pipe()
            let output = Pipe()
            child.standardInput = input
            child.standardOutput = output
            try child.run()
            #expect(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) == "ready\n")
            #expect(try await bench.store.count() == 0, "its writer lives")
            kill(child.processIdentifier, SIGKILL)
            child.waitUntilExit()
            #expect(try await bench.restarted().count() == 1)
            #expect(bench.files.isEmpty)
        }
    }

    // MARK: Retention

    @Test func sweepsWhatIsOlderThanTheCutoff() async throws {
        let clock = Mutex(Timestamp(seconds: 1000))
        try await StoreBench.run(now: { clock.withLock { $0 } }) { bench in
            try await bench.store.count()
            var old: [ImageID] = []
            for index in 0..<150 { old.append(try await bench.keep(SamplePicture.bytes(.png, size: 100 + index)).id) }
            clock.withLock { $0 = Timestamp(seconds: 2000) }
            let young = try await bench.keep(SamplePicture.bytes(.png))
            // Stored anew, so young again.
            try await bench.keep(SamplePicture.bytes(.gif), as: .gif, id: old[7])
            #expect(try await bench.store.sweep(olderThan: Timestamp(seconds: 1000)) == 0)
            #expect(try await bench.store.sweep(olderThan: Timestamp(seconds: 1500)) == 149)
            #expect(bench.files.count == 2)
            #expect(try await bench.store.open(young.id) != nil)
            #expect(try await bench.store.open(old[7]) != nil)
            #expect(bench.store.gauge == bench.counted)
            #expect(try await bench.store.sweep(olderThan: Timestamp(seconds: 2001)) == 2)
            #expect(bench.store.gauge.files == 0 && bench.store.gauge.bytes == 0)
        }
    }

    @Test func pilesOfOneShelfGoInBatches() async throws {
        let clock = Mutex(Timestamp(seconds: 1000))
        try await StoreBench.run(now: { clock.withLock { $0 } }) { bench in
            for index in 0..<200 {
                let id = try #require(
                    ImageID(
                        "img_aa" + String(repeating: "b", count: 20)
                            + String(1_000 + index).map {
                                ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][$0.wholeNumberValue ?? 0]
                            }.joined()))
                try await bench.keep(SamplePicture.bytes(.png), id: id)
            }
            #expect(try await bench.store.sweep(olderThan: Timestamp(seconds: 1001)) == 200)
            #expect(bench.files.isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(1))) func theSweeperGoesByTheRetentionOfTheMoment() async throws {
        let clock = HeldClock()
        let wall = Mutex(Timestamp(seconds: 10_000))
        let retention = Mutex(Duration.seconds(100))
        try await StoreBench.run(now: { wall.withLock { $0 } }) { bench in
            let (sweeps, swept) = AsyncStream.makeStream(of: Int.self)
            let sweeper = ImageSweeper(
                store: bench.store, retention: { retention.withLock { $0 } }, now: { wall.withLock { $0 } },
                clock: clock
            ) { swept.yield($0) }
            try await bench.keep(SamplePicture.bytes(.png))
            await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await sweeper.run() }
                var removed = sweeps.makeAsyncIterator()
                clock.step()  // Too young: no word of it.
                wall.withLock { $0 = Timestamp(seconds: 10_090) }
                clock.step()
                retention.withLock { $0 = .seconds(80) }
                clock.step()
                #expect(await removed.next() == 1)
                #expect(bench.files.isEmpty)
                tasks.cancelAll()
            }
        }
    }

    // MARK: A full disk

    private static let large = 1_200_000

    @Test(
        .enabled(if: MountedFolder.isPossible, "needs the right to mount a tmpfs"), .timeLimit(.minutes(2)))
    func aFullDiskTakesNothingHalfAndWorksAgain() async throws {
        try await MountedFolder.run(mebibytes: 4) { folder in
            try await StoreBench.run(folder: folder) { bench in
                try await bench.store.count()
                let (ids, error) = await self.fill(bench)
                #expect(error?.code == .storageFull)
                #expect(error?.billed == .yes)
                #expect(ids.count == 3, "in four mebibytes")
                #expect(bench.files.count == 3, "no part of the fourth is left")
                #expect(
                    bench.store.gauge
                        == {
                            var gauge = bench.counted; gauge.refusedBytes = Self.large; return gauge
                        }())
                for id in ids { #expect(try await bench.store.read(id)?.bytes.readableBytes == Self.large) }
                #expect(await !bench.store.probe())
                #expect(!bench.store.gauge.isWritable)
                // A small picture still fits; a large one that fails again is told again.
                try await bench.keep(SamplePicture.bytes(.png, size: 3000))
                #expect(bench.store.gauge.isWritable)
                #expect(await self.fill(bench).error?.code == .storageFull)
                #expect(try await bench.store.remove(ids[0]))
                #expect(await bench.store.probe())
                #expect(bench.store.gauge.isWritable)
                try await bench.keep(SamplePicture.bytes(.png, size: Self.large, seed: 9))
                #expect(bench.files.allSatisfy { !$0.hasSuffix(".part") })
            }
        }
    }

    private func fill(_ bench: StoreBench) async -> (ids: [ImageID], error: GatewayError?) {
        var ids: [ImageID] = []
        do {
            while true { ids.append(try await bench.keep(SamplePicture.bytes(.png, size: Self.large)).id) }
        } catch {
            return (ids, error as? GatewayError)
        }
    }

    @Test(
        .enabled(if: MountedFolder.isPossible, "needs the right to mount a tmpfs"), .timeLimit(.minutes(1)))
    func theMonitorTellsWhenTheDiskTakesWritesAgain() async throws {
        try await MountedFolder.run(mebibytes: 4) { folder in
            try await StoreBench.run(folder: folder) { bench in
                let first = try await bench.keep(SamplePicture.bytes(.png, size: Self.large))
                let clock = HeldClock()
                let (notices, noticed) = AsyncStream.makeStream(of: ImageStoreMonitor.Notice.self)
                let monitor = ImageStoreMonitor(store: bench.store, clock: clock) { noticed.yield($0) }
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask { try await monitor.run() }
                    var heard = notices.makeAsyncIterator()
                    guard case .counted(let gauge, unfinished: 0) = await heard.next() else {
                        Issue.record("not counted")
                        return
                    }
                    #expect(gauge.files == 1 && gauge.bytes == Self.large)
                    _ = await self.fill(bench)
                    clock.step()
                    #expect(await heard.next() == .refusesWrites)
                    clock.step()
                    let isRemoved = try await bench.store.remove(first.id)
                    #expect(isRemoved)
                    clock.step()
                    #expect(await heard.next() == .takesWritesAgain)
                    #expect(bench.store.gauge.isWritable)
                    tasks.cancelAll()
                }
            }
        }
    }

    @Test func aProbeOfAHealthyDiskLeavesNothing() async throws {
        try await StoreBench.run { bench in
            #expect(await bench.store.probe())
            #expect(bench.files.isEmpty)
            #expect(bench.store.gauge.isWritable)
        }
    }
}

/// A small file system of its own.
enum MountedFolder {
    static let isPossible: Bool = {
        let folder = NSTemporaryDirectory() + "safelight-mount-\(UInt64.random(in: 0 ... .max))"
        guard mkdir(folder, 0o750) == 0 else { return false }
        defer { rmdir(folder) }
        guard Self.call("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]) else { return false }
        return Self.call("umount", [folder])
    }()

    static func run(mebibytes: Int, _ body: (String) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "safelight-mount-\(UInt64.random(in: 0 ... .max))"
        mkdir(folder, 0o750)
        guard self.call("mount", ["-t", "tmpfs", "-o", "size=\(mebibytes)m", "tmpfs", folder]) else { return }
        do {
            try await body(folder)
        } catch {
            self.release(folder)
            throw error
        }
        self.release(folder)
    }

    private static func release(_ folder: String) {
        // Lazily: a descriptor may still be on its way to being closed.
        _ = self.call("umount", ["-l", folder])
        rmdir(folder)
    }

    private static func call(_ command: String, _ arguments: [String]) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [command] + arguments
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
