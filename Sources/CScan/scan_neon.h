/* The 16-byte searches for arm64, where NEON is always there. The narrowing shift leaves four mask bits a byte. */

#include <arm_neon.h>

static inline uint64_t nibbles(uint8x16_t stops) {
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(stops), 4)), 0);
}

static inline uint64_t line_end_mask16(uint8x16_t bytes) {
    return nibbles(vorrq_u8(vceqq_u8(bytes, vdupq_n_u8('\r')), vceqq_u8(bytes, vdupq_n_u8('\n'))));
}

static inline uint64_t base64_run_mask16(uint8x16_t bytes) {
    uint8x16_t letter = vsubq_u8(vorrq_u8(bytes, vdupq_n_u8(0x20)), vdupq_n_u8('a'));
    uint8x16_t digit = vsubq_u8(bytes, vdupq_n_u8('/'));
    uint8x16_t good = vorrq_u8(vcleq_u8(letter, vdupq_n_u8(25)), vcleq_u8(digit, vdupq_n_u8(10)));
    return nibbles(vmvnq_u8(vorrq_u8(good, vceqq_u8(bytes, vdupq_n_u8('+')))));
}

static inline uint64_t json_plain_run_mask16(uint8x16_t bytes) {
    uint8x16_t outside = vcltq_s8(vreinterpretq_s8_u8(bytes), vdupq_n_s8(0x20));
    uint8x16_t mark = vorrq_u8(vceqq_u8(bytes, vdupq_n_u8('"')), vceqq_u8(bytes, vdupq_n_u8('\\')));
    return nibbles(vorrq_u8(outside, mark));
}

#define DEFINE_SEARCH(NAME)                                                                                            \
    size_t cscan_##NAME(const uint8_t *bytes, size_t count) {                                                          \
        size_t at = 0;                                                                                                 \
        for (; at + 16 <= count; at += 16) {                                                                           \
            uint64_t mask = NAME##_mask16(vld1q_u8(bytes + at));                                                       \
            if (mask) return at + ((size_t)__builtin_ctzll(mask) >> 2);                                                \
        }                                                                                                              \
        return NAME##_portable(bytes, count, at);                                                                      \
    }
