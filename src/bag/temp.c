#include "bag/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <zstd.h>

#include "base/macro.h"

int bp_temp_dir(char *ret, size_t cap, struct bp_error *err) {
    const char *dir = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */

    dir = dir && *dir ? dir : "/var/tmp";
    if (snprintf(ret, cap, "%s/bagpipe-XXXXXX", dir) >= (int) cap)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", dir);
    if (!mkdtemp(ret))
        return bp_fail(err, -errno, "cannot make a temporary folder in '%s': %s; set TMPDIR", dir,
                       bp_strerror(-errno));
    return 0;
}

static int open_pair(const char *from, const char *to, int *in, int *out, struct bp_error *err) {
    *in = open(from, O_RDONLY | O_CLOEXEC);
    if (*in < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", from, bp_strerror(-errno));
    *out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (*out < 0)
        return bp_fail(err, -errno, "cannot make '%s': %s", to, bp_strerror(-errno));
    return 0;
}

static int write_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return w < 0 ? -errno : -EIO;
        p += w;
        n -= (size_t) w;
    }
    return 0;
}

static ssize_t read_some(int fd, void *p, size_t n) {
    ssize_t r;

    do
        r = read(fd, p, n);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static int no_room(const char *to, int r, struct bp_error *err) {
    return bp_fail(err, r, "cannot write '%s': %s; set TMPDIR to a folder with more room", to,
                   bp_strerror(r));
}

int bp_temp_copy(const char *from, const char *to, struct bp_error *err) {
    enum { PIECE = 1 << 20 };
    BP_AUTO_FREE char *buf = malloc(PIECE);
    BP_AUTO_FD int in = -1, out = -1;
    ssize_t n;
    int r = open_pair(from, to, &in, &out, err);

    if (r < 0)
        return r;
    if (!buf)
        return bp_fail(err, -ENOMEM, "no memory");
    do
        n = copy_file_range(in, NULL, out, NULL, (size_t) 1 << 30, 0);
    while (n > 0);
    if (n == 0)
        return 0;

    while ((n = read_some(in, buf, PIECE)) > 0) {
        r = write_all(out, buf, (size_t) n);
        if (r < 0)
            return no_room(to, r, err);
    }
    return n < 0 ? bp_fail(err, (int) n, "cannot read '%s': %s", from, bp_strerror((int) n)) : 0;
}

struct unzstd {
    ZSTD_DCtx *z;
    char *in_buf, *out_buf;
    size_t in_cap, out_cap;
};

static void unzstd_done(struct unzstd *u) {
    (void) ZSTD_freeDCtx(u->z);
    free(u->in_buf);
    free(u->out_buf);
}

/* All of one piece of input. *more: the frame goes on. */
static int unzstd_piece(struct unzstd *u, size_t n, int out, size_t *more, const char *from,
                        const char *to, struct bp_error *err) {
    ZSTD_inBuffer in = { .src = u->in_buf, .size = n };
    ZSTD_outBuffer o;

    do {
        int r;

        o = (ZSTD_outBuffer){ .dst = u->out_buf, .size = u->out_cap };
        *more = ZSTD_decompressStream(u->z, &o, &in);
        if (ZSTD_isError(*more))
            return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: zstd: %s", from,
                           ZSTD_getErrorName(*more));
        r = write_all(out, u->out_buf, o.pos);
        if (r < 0)
            return no_room(to, r, err);
    } while (in.pos < in.size || o.pos == o.size);
    return 0;
}

int bp_temp_unzstd(const char *from, const char *to, struct bp_error *err) {
    BP_CLEANUP(unzstd_done)
    struct unzstd u = { .in_cap = ZSTD_DStreamInSize(), .out_cap = ZSTD_DStreamOutSize() };
    BP_AUTO_FD int in = -1, out = -1;
    size_t more = 1;
    ssize_t n;
    int r = open_pair(from, to, &in, &out, err);

    if (r < 0)
        return r;
    u.z = ZSTD_createDCtx();
    u.in_buf = malloc(u.in_cap);
    u.out_buf = malloc(u.out_cap);
    if (!u.z || !u.in_buf || !u.out_buf)
        return bp_fail(err, -ENOMEM, "no memory");

    while ((n = read_some(in, u.in_buf, u.in_cap)) > 0) {
        r = unzstd_piece(&u, (size_t) n, out, &more, from, to, err);
        if (r < 0)
            return r;
    }
    if (n < 0)
        return bp_fail(err, (int) n, "cannot read '%s': %s", from, bp_strerror((int) n));
    if (more != 0)
        return bp_fail(err, BP_ETRUNCATED, "'%s' is damaged: its zstd data ends too early", from);
    return 0;
}
