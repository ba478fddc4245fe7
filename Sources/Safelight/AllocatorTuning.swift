import CMalloc

/// glibc gives large blocks back to the kernel at once and takes fresh, zeroed pages for the next; with a payload of a megabyte
/// for each event that costs as much as copying it. Here it keeps them, and the gateway's `MemoryTrimmer` gives back what has been
/// idle for a while.
enum AllocatorTuning {
    static func apply() {
        // The largest glibc takes as a threshold.
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 512 << 20)
    }
}
