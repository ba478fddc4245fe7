/* One search of each kind for 16-byte (SSE2, always there) and 32-byte (AVX2, asked at run time) vectors. A mask bit is
   set where the search stops. */

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

static inline uint32_t line_end_mask16(__m128i bytes) {
    __m128i cr = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r'));
    __m128i lf = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n'));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(cr, lf));
}

static inline AVX2 uint32_t line_end_mask32(__m256i bytes) {
    __m256i cr = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\r'));
    __m256i lf = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\n'));
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(cr, lf));
}

/* An unsigned `x <= limit` is `min(x, limit) == x`. '/' stands right before '0', so digits and slash are one range. */
static inline uint32_t base64_run_mask16(__m128i bytes) {
    __m128i letter = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i digit = _mm_sub_epi8(bytes, _mm_set1_epi8('/'));
    __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(10)), digit);
    __m128i is_plus = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('+'));
    __m128i good = _mm_or_si128(is_letter, _mm_or_si128(is_digit, is_plus));
    return ~(uint32_t)_mm_movemask_epi8(good) & 0xFFFFu;
}

static inline AVX2 uint32_t base64_run_mask32(__m256i bytes) {
    __m256i letter = _mm256_sub_epi8(_mm256_or_si256(bytes, _mm256_set1_epi8(0x20)), _mm256_set1_epi8('a'));
    __m256i digit = _mm256_sub_epi8(bytes, _mm256_set1_epi8('/'));
    __m256i is_letter = _mm256_cmpeq_epi8(_mm256_min_epu8(letter, _mm256_set1_epi8(25)), letter);
    __m256i is_digit = _mm256_cmpeq_epi8(_mm256_min_epu8(digit, _mm256_set1_epi8(10)), digit);
    __m256i is_plus = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('+'));
    __m256i good = _mm256_or_si256(is_letter, _mm256_or_si256(is_digit, is_plus));
    return ~(uint32_t)_mm256_movemask_epi8(good);
}

/* Bytes from 0x80 up are negative as signed ones, so one signed comparison finds them and the control characters. */
static inline uint32_t json_plain_run_mask16(__m128i bytes) {
    __m128i outside = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), bytes);
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(outside, _mm_or_si128(quote, backslash)));
}

static inline AVX2 uint32_t json_plain_run_mask32(__m256i bytes) {
    __m256i outside = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
    __m256i quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
    __m256i backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(outside, _mm256_or_si256(quote, backslash)));
}

static inline __m128i load16(const uint8_t *bytes) { return _mm_loadu_si128((const __m128i *)bytes); }
static inline AVX2 __m256i load32(const uint8_t *bytes) { return _mm256_loadu_si256((const __m256i *)bytes); }

/* Most names and numbers end within the first 16 bytes; only what is longer pays for choosing an instruction set. The
   last, partial vector overlaps the one before, whose bytes are known to go on. */
#define DEFINE_SEARCH(NAME)                                                                                            \
    static size_t NAME##_sse2(const uint8_t *bytes, size_t count, size_t at) {                                         \
        for (; at + 16 <= count; at += 16) {                                                                           \
            uint32_t mask = NAME##_mask16(load16(bytes + at));                                                         \
            if (mask) return at + (size_t)__builtin_ctz(mask);                                                         \
        }                                                                                                              \
        if (at == count) return count;                                                                                 \
        uint32_t mask = NAME##_mask16(load16(bytes + count - 16));                                                     \
        return mask ? count - 16 + (size_t)__builtin_ctz(mask) : count;                                                \
    }                                                                                                                  \
                                                                                                                       \
    static AVX2 size_t NAME##_avx2(const uint8_t *bytes, size_t count, size_t at) {                                    \
        for (; at + 64 <= count; at += 64) {                                                                           \
            uint64_t low = NAME##_mask32(load32(bytes + at));                                                          \
            uint64_t high = NAME##_mask32(load32(bytes + at + 32));                                                    \
            uint64_t mask = low | high << 32;                                                                          \
            if (mask) return at + (size_t)__builtin_ctzll(mask);                                                       \
        }                                                                                                              \
        return NAME##_sse2(bytes, count, at);                                                                          \
    }                                                                                                                  \
                                                                                                                       \
    size_t cscan_##NAME(const uint8_t *bytes, size_t count) {                                                          \
        if (count < 16) return NAME##_portable(bytes, count, 0);                                                       \
        uint32_t mask = NAME##_mask16(load16(bytes));                                                                  \
        if (mask) return (size_t)__builtin_ctz(mask);                                                                  \
        if (count >= 128 && __builtin_cpu_supports("avx2")) return NAME##_avx2(bytes, count, 16);                      \
        return NAME##_sse2(bytes, count, 16);                                                                          \
    }
