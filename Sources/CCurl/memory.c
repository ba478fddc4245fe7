#include "CCurl.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

// libcurl takes its buffers for each call and gives them back at its end. The system's allocator merges blocks of that
// size with their neighbours and sorts what is free each time; a short call would spend much of its time on that. So
// each thread keeps a few.

enum { LEAST = 16 << 10, MOST = 68 << 10, KEPT = 32 };

static _Thread_local struct {
    void *blocks[KEPT];
    int count;
} kept;

static void *take(size_t size) {
    if (size >= LEAST && size <= MOST) {
        for (int index = kept.count - 1; index >= 0; index--) {
            size_t usable = malloc_usable_size(kept.blocks[index]);
            if (usable < size || usable / 2 > size) continue;
            void *block = kept.blocks[index];
            kept.blocks[index] = kept.blocks[--kept.count];
            return block;
        }
    }
    return malloc(size);
}

static void give_back(void *block) {
    if (block == NULL) return;
    size_t usable = kept.count < KEPT ? malloc_usable_size(block) : 0;
    if (usable >= LEAST && usable <= MOST)
        kept.blocks[kept.count++] = block;
    else
        free(block);
}

CURLcode ccurl_global_init(void) {
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, take, give_back, realloc, strdup, calloc);
}

void ccurl_release_memory(void) {
    while (kept.count > 0) free(kept.blocks[--kept.count]);
}
