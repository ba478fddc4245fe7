// Durable acceptances: how many a second, and how long one takes, against what one flush of this disk takes. Run by
// `make bench`. Usage: store-benchmark [folder [seconds]]

import Glibc
import ImageGeneration
import NIOPosix
import SQLiteStorage
import Storage
import Synchronization

func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

struct Distribution {
    private let sorted: [UInt64]

    init(_ values: [UInt64]) { self.sorted = values.sorted() }

    var count: Int { self.sorted.count }

    /// In milliseconds.
    func percentile(_ percent: Double) -> Double {
        guard !self.sorted.isEmpty else { return 0 }
        let index = min(self.sorted.count - 1, Int(Double(self.sorted.count) * percent / 100))
        return Double(self.sorted[index]) / 1_000_000
    }
}

func text(_ milliseconds: Double) -> String { "\((milliseconds * 100).rounded() / 100)" }

/// Appends and flushes as the write-ahead log does, a file of the same folder and writes of about a group's size.
func measureFlush(in folder: String, bytes: Int) -> Distribution {
    let path = "\(folder)/flush"
    let file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    precondition(file >= 0, "the folder must be writable")
    defer {
        close(file)
        unlink(path)
    }
    let block = [UInt8](repeating: 0x5A, count: bytes)
    let times = (0..<200).map { _ -> UInt64 in
        let start = monotonicNanoseconds()
        precondition(
            write(file, block, block.count) == block.count && fdatasync(file) == 0, "the disk must take writes")
        return monotonicNanoseconds() - start
    }
    return Distribution(times)
}

func request() -> ImageRequest {
    var request = ImageRequest(
        operation: .generate, prompt: String(repeating: "a lighthouse at dusk, oil on canvas ", count: 5))
    request.model = "gpt-image-1"
    request.size = .named("1024x1024")
    request.quality = "high"
    return request
}

/// One job of a client.
func accept(_ store: SQLiteJobStore, client: Int) async throws {
    let job = AcceptedJob(
        id: JobID(), owner: JobOwner(principal: "client-\(client)", clientAddress: "192.0.2.1"), route: "images",
        dialect: "unified", request: request(), upstream: "openai", delivery: "inline", disconnect: "continue",
        mode: "auto", createdAt: Timestamp(milliseconds: Int64(monotonicNanoseconds() / 1_000_000)))
    _ = try await store.accept(job)
}

/// Each client sends its next job as soon as the last is accepted, or when it is due: `rate` jobs a second of all
/// clients together. Times of the latter run from when a job was due, so that a stall counts for all whom it keeps
/// waiting.
func acceptances(
    _ store: SQLiteJobStore, clients: Int, rate: Int?, seconds: UInt64
) async throws -> (Distribution, Double) {
    let start = monotonicNanoseconds()
    let end = start + seconds * 1_000_000_000
    let clock = ContinuousClock()
    let begin = clock.now
    let times = try await withThrowingTaskGroup(of: [UInt64].self) { group in
        for client in 0..<clients {
            group.addTask {
                var times: [UInt64] = []
                while true {
                    var due = monotonicNanoseconds()
                    if let rate {
                        let place = UInt64(times.count * clients + client)
                        due = start + place * 1_000_000_000 / UInt64(rate)
                        try await clock.sleep(until: begin + .nanoseconds(due - start))
                    }
                    guard due < end else { return times }
                    try await accept(store, client: client)
                    times.append(monotonicNanoseconds() - due)
                }
            }
        }
        return try await group.reduce(into: []) { $0 += $1 }
    }
    return (Distribution(times), Double(monotonicNanoseconds() - start) / 1_000_000_000)
}

func measure(
    clients: Int, rate: Int?, seconds: UInt64, in folder: String, _ threads: NIOThreadPool
) async throws {
    let path = "\(folder)/jobs-\(clients)-\(rate ?? 0).db"
    let commits = Mutex(0)
    let store = try SQLiteJobStore.open(
        SQLiteJobStore.Configuration(path: path),
        uploads: UploadFolder(folder: "\(folder)/uploads", threads: threads),
        hooks: StoreHooks(
            onFatal: { print($0) }, didCommit: { count in if count > 0 { commits.withLock { $0 += 1 } } }))
    let before = measureFlush(in: folder, bytes: 64 << 10)
    let (times, elapsed) = try await acceptances(store, clients: clients, rate: rate, seconds: seconds)
    let after = measureFlush(in: folder, bytes: 64 << 10)
    await store.close()
    for suffix in ["", "-wal", "-shm", ".lock"] { unlink(path + suffix) }
    let flush = max(before.percentile(50), after.percentile(50))
    let perCommit = times.count / max(1, commits.withLock { $0 })
    print(
        "  \(clients) clients, \(rate.map { "\($0)/s offered" } ?? "as fast as they can"): "
            + "\(Int(Double(times.count) / elapsed))/s, \(perCommit) per commit")
    print(
        "    p50 \(text(times.percentile(50))) ms, p99 \(text(times.percentile(99))) ms, p99.9 "
            + "\(text(times.percentile(99.9))) ms; bound for p99 (2 flushes + 5 ms): \(text(2 * flush + 5)) ms")
    print(
        "    flush of 64 KiB: p50 \(text(before.percentile(50))) ms before, \(text(after.percentile(50))) ms after; "
            + "p99 \(text(before.percentile(99))) ms, \(text(after.percentile(99))) ms")
}

let folder = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "var/store-benchmark"
let seconds = CommandLine.arguments.count > 2 ? UInt64(CommandLine.arguments[2]) ?? 10 : 10
try StateFolder.make(folder)
let threads = NIOThreadPool(numberOfThreads: 2)
threads.start()
print("Durable acceptances, SQLite, request of about 300 bytes, \(seconds) s each")
for clients in [64, 256] {
    for rate in [2000, nil] {
        try await measure(clients: clients, rate: rate, seconds: seconds, in: folder, threads)
    }
}
try await threads.shutdownGracefully()
