#ifndef CSCAN_H
#define CSCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Vectorised searches over bytes. None reads outside bytes[0 ..< count]; `bytes` may be NULL when `count` is 0. */

/* Offset of the first CR or LF; `count` if there is none. */
size_t cscan_line_end(const uint8_t *bytes, size_t count);

/* Length of the leading run of base64 alphabet bytes, A-Z a-z 0-9 + and /. */
size_t cscan_base64_run(const uint8_t *bytes, size_t count);

/* Length of the leading run of bytes that are plain inside a JSON string: ASCII from 0x20 up, neither quote nor
   backslash. */
size_t cscan_json_plain_run(const uint8_t *bytes, size_t count);

/* Whether two regions hold the same bytes. */
static inline int cscan_equal(const void *left, const void *right, size_t count) {
    return count == 0 || memcmp(left, right, count) == 0;
}

#endif
