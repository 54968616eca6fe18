#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bag/verify.h"
#include "base/macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes as a recording; behind MCAP's magic, so that no run is wasted on its absence. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char magic[] = "\x89MCAP0\r\n";
    BP_AUTO_FD int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct bp_verify_result result;
    struct bp_error err;
    char path[32];
    const char *paths[] = { path };

    if (fd < 0 || write(fd, data, size) != (ssize_t) size || pwrite(fd, magic, 8, 0) != 8)
        return 0;
    (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    (void) !bp_verify(paths, 1, &(struct bp_verify_opts){ .threads = 1 }, &result, &err);
    return 0;
}
