#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bag/reader.h"
#include "base/macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A whole MCAP file: summary, walk, resynchronisation, decompression, merge. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    BP_AUTO_FD int fd = memfd_create("fuzz", MFD_CLOEXEC);
    const struct bp_bag_filter f = { .lenient = true };
    struct bp_bag_msg m;
    char path[32];
    const char *paths[] = { path };

    if (fd < 0 || write(fd, data, size) != (ssize_t) size)
        return 0;
    (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (bp_bag_open(paths, 1, &b, NULL) < 0 || bp_bag_iterate(b, &f, &it, NULL) < 0)
        return 0;

    while (bp_bag_next(it, &m, NULL) > 0)
        if (m.size > 0 && m.data[m.size - 1] == 0xff && m.data[0] == 0xfe)
            break; /* touch both ends of the payload */
    return 0;
}
