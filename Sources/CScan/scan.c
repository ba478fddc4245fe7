#include "CScan.h"

#include <stdbool.h>

static inline bool stops_line_end(uint8_t byte) { return byte == '\r' || byte == '\n'; }

static inline bool stops_base64_run(uint8_t byte) {
    return !((uint8_t)((byte | 0x20) - 'a') <= 25 || (uint8_t)(byte - '/') <= 10 || byte == '+');
}

static inline bool stops_json_plain_run(uint8_t byte) {
    return byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\';
}

#define DEFINE_PORTABLE(NAME)                                                                                          \
    static inline size_t NAME##_portable(const uint8_t *bytes, size_t count, size_t at) {                              \
        while (at < count && !stops_##NAME(bytes[at])) at += 1;                                                        \
        return at;                                                                                                     \
    }

DEFINE_PORTABLE(line_end)
DEFINE_PORTABLE(base64_run)
DEFINE_PORTABLE(json_plain_run)

#if defined(__x86_64__)
#include "scan_x86.h"
#elif defined(__aarch64__)
#include "scan_neon.h"
#else
#define DEFINE_SEARCH(NAME)                                                                                            \
    size_t cscan_##NAME(const uint8_t *bytes, size_t count) { return NAME##_portable(bytes, count, 0); }
#endif

DEFINE_SEARCH(line_end)
DEFINE_SEARCH(base64_run)
DEFINE_SEARCH(json_plain_run)
