#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bag/recover-priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A segment as recovery meets it: walked group by group, and by what its end says. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    int fd = memfd_create("segment", MFD_CLOEXEC);
    struct bp_defs defs = { 0 };
    struct bp_segment *s = NULL;
    struct bp_walk w = { 0 };
    char path[40];

    if (fd < 0 || write(fd, p, n) != (ssize_t) n)
        return 0;
    (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (bp_walk(&bp_io_posix, path, NULL, &defs, &w, NULL) == 0) {
        if (w.s->off > n || w.s->off % BP_BLOCK)
            abort();
        bp_walk_done(&w);
    }
    if (bp_segment_load(&bp_io_posix, path, &s, NULL) == 0)
        bp_segment_free(s);
    bp_defs_done(&defs);
    (void) close(fd);
    return 0;
}
