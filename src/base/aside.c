#include "base/aside.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/io.h"
#include "base/time.h"

/* The database goes first: a log without one is thrown away by sqlite, should we not get further.
 */
int bp_set_aside(const char *path, struct bp_error *err) {
    static const char *const suffixes[] = { "", "-wal", "-journal" };
    const struct bp_io *io = &bp_io_posix;
    char stamp[32], from[4096], to[4096];
    time_t now = (time_t) (bp_wall_ns() / BP_SEC);
    struct tm tm;
    int r = 0;

    if (!gmtime_r(&now, &tm) || !strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm))
        return bp_fail(err, -EOVERFLOW, "the clock is beyond all calendars");
    for (size_t i = 0; i < BP_COUNT(suffixes); i++) {
        (void) snprintf(from, sizeof from, "%s%s", path, suffixes[i]);
        if (snprintf(to, sizeof to, "%s.damaged-%s%s", path, stamp, suffixes[i]) >= (int) sizeof to)
            return bp_fail(err, -ENAMETOOLONG, "'%s' is too long", path);
        r = io->rename(io->ctx, from, to);
        if (r < 0 && !(r == -ENOENT && i > 0))
            return bp_prefix(err, r, "it cannot be set aside (%s)", bp_strerror(r));
    }
    (void) snprintf(from, sizeof from, "%s-shm", path);
    (void) io->unlink(io->ctx, from);
    bp_io_dirname(path, from, sizeof from);
    (void) io->sync_dir(io->ctx, from); /* undone by a power cut, it is found damaged again */
    return 0;
}
