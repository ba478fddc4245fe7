#pragma once
#include <stdint.h>

/// Allocations of this process since its start: calls of malloc, calloc, realloc and aligned_alloc.
uint64_t malloc_count(void);
