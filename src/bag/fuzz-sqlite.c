#include <stdio.h>
#include <unistd.h>

#include "bag/reader.h"
#include "base/macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A whole database, behind sqlite's magic so that no run is wasted on its absence. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char magic[16] = "SQLite format 3";
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    char path[] = "/dev/shm/bp-fuzz-XXXXXX";
    const char *paths[] = { path };
    struct bp_bag_msg m;
    struct bp_error err;
    BP_AUTO_FD int fd = -1;
    bool ok;

    if (size <= sizeof magic)
        return 0;
    fd = mkstemp(path);
    if (fd < 0)
        return 0;
    ok = pwrite(fd, data, size, 0) == (ssize_t) size &&
         pwrite(fd, magic, sizeof magic, 0) == (ssize_t) sizeof magic &&
         bp_bag_open(paths, 1, &b, &err) == 0 &&
         bp_bag_iterate(b, &(struct bp_bag_filter){ .lenient = true }, &it, &err) == 0;
    (void) unlink(path);
    for (int i = 0; ok && i < 10000 && bp_bag_next(it, &m, &err) > 0; i++)
        if (m.size > 0 && m.data[m.size - 1] == 0xff && m.data[0] == 0xfe)
            break; /* touch both ends of the payload */
    return 0;
}
