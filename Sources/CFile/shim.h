// Glibc's own module hides what is Linux's alone.
#include <linux/falloc.h>
#include <sys/types.h>

extern int fallocate(int descriptor, int mode, off_t offset, off_t length);

static inline int cfile_punch_hole(int descriptor, off_t offset, off_t length) {
    return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}
