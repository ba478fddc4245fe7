import CCurl

/// Processors this process may run on, which containers and `taskset` make fewer than the machine has. At least 1.
package enum AvailableProcessors {
    package static var count: Int { Int(ccurl_available_processors()) }
}
