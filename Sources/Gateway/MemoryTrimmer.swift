import CMalloc
import Glibc
import NIOPosix
import ServiceLifecycle
import Storage

/// Gives memory back to the system: once the payloads it held are gone, and whenever the process takes much more than payloads may.
struct MemoryTrimmer: Service {
    let budget: PayloadBudget
    let clock: any Clock<Duration>

    private static let interval = Duration.seconds(1)
    /// Rounds without a look at the peak.
    private static let peakRounds = 5
    /// Less than this is not worth a walk through the allocator.
    private static let worthwhile = 8 << 20
    /// What the process takes beyond the limit before it is walked through all the same: freed blocks that lie between used ones.
    private static let slack = 96 << 20

    init(budget: PayloadBudget, clock: any Clock<Duration>) {
        self.budget = budget
        self.clock = clock
        // Threads free what other threads could use and do not find: while memory is short that is not left to the next second.
        budget.onRelief { [weak budget] in
            guard let budget else { return }
            NIOThreadPool.singleton.submit { _ in
                if Self.residentBytes() ?? 0 > budget.limit + Self.slack { malloc_trim(0) }
            }
        }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var peak = 0
            var round = 0
            /// What was resident after the last walk: where that did not help, the next one waits until there is more.
            var floor = 0
            while (try? await self.clock.sleep(for: Self.interval)) != nil {
                round += 1
                let resident = Self.residentBytes() ?? 0
                floor = min(floor, resident)
                if resident > max(self.budget.limit, floor) + Self.slack {
                    malloc_trim(0)
                    floor = Self.residentBytes() ?? 0
                    continue
                }
                guard round % Self.peakRounds == 0 else { continue }
                peak = max(peak, self.budget.takePeak())
                let held = self.budget.heldBytes
                guard peak - held >= Self.worthwhile, held <= peak / 4 else { continue }
                malloc_trim(0)
                peak = held
            }
        }
    }

    /// The second number of the process's `statm`, in pages; nil where there is no such file.
    private static func residentBytes() -> Int? {
        let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 128)
        let count = read(file, &text, text.count)
        guard count > 0 else { return nil }
        let fields = text[..<count].split(separator: UInt8(ascii: " "))
        guard fields.count > 1, let pages = Int(String(decoding: fields[1], as: UTF8.self)) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }
}
