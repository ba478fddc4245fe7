import CMalloc
import ServiceLifecycle
import Storage

/// Gives memory back to the system once the payloads it held are gone.
struct MemoryTrimmer: Service {
    let budget: PayloadBudget
    let clock: any Clock<Duration>

    private static let interval = Duration.seconds(5)
    /// Less than this is not worth a walk through the allocator.
    private static let worthwhile = 8 << 20

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var peak = 0
            while (try? await self.clock.sleep(for: Self.interval)) != nil {
                peak = max(peak, self.budget.takePeak())
                let held = self.budget.heldBytes
                guard peak - held >= Self.worthwhile, held <= peak / 4 else { continue }
                malloc_trim(0)
                peak = held
            }
        }
    }
}
