#include "bag/sealed-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

enum { STEP = 1 << 20 };

/* One copy on its way. */
struct copy {
    const struct bp_seal_opts *o;
    const struct bp_io *io;
    const char *from, *to;
    char tmp[4096];
    int in, out;
    struct bp_sealed *sealed; /* owned */
    uint64_t size;
    uint8_t *buf; /* owned */
};

static void copy_done(struct copy *c, int code) {
    bp_sealed_free(c->sealed);
    if (c->in >= 0)
        (void) c->io->close(c->io->ctx, c->in);
    if (c->out >= 0)
        (void) c->io->close(c->io->ctx, c->out);
    if (code < 0 && c->out >= 0)
        (void) c->io->unlink(c->io->ctx, c->tmp);
    free(c->buf);
}

static int copy_open(struct copy *c, struct bp_error *err) {
    const struct bp_io *io = c->io;

    if (access(c->to, F_OK) == 0)
        return bp_fail(err, -EEXIST, "'%s' is there already", c->to);
    if (snprintf(c->tmp, sizeof c->tmp, "%s.tmp", c->to) >= (int) sizeof c->tmp)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", c->to);
    c->buf = malloc(STEP);
    if (!c->buf)
        return bp_fail(err, -ENOMEM, "out of memory");
    c->out = io->open(io->ctx, c->tmp, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (c->out < 0)
        return bp_fail(err, c->out, "cannot make '%s': %s", c->tmp, bp_strerror(c->out));
    return 0;
}

/* The name appears only when all of it is on disk. */
static int copy_publish(struct copy *c, struct bp_error *err) {
    const struct bp_io *io = c->io;
    char dir[4096];
    int r = io->sync(io->ctx, c->out);

    if (r == 0)
        r = io->rename(io->ctx, c->tmp, c->to);
    bp_io_dirname(c->to, dir, sizeof dir);
    if (r == 0)
        r = io->sync_dir(io->ctx, dir);
    return r < 0 ? bp_fail(err, r, "cannot write '%s': %s", c->to, bp_strerror(r)) : 0;
}

static int told(const struct copy *c, uint64_t done) {
    return c->o->progress && c->o->progress(c->o->ctx, done, c->size) ? -ECANCELED : 0;
}

static int seal_all(struct copy *c) {
    const struct bp_io *io = c->io;
    uint64_t at = 0;
    int r = 0;

    while (r == 0) {
        ssize_t n = io->pread(io->ctx, c->in, c->buf, STEP, at);

        if (n <= 0) {
            r = (int) n;
            break;
        }
        r = bp_sealed_append(c->sealed, c->buf, (size_t) n, at, NULL);
        at += (uint64_t) n;
        if (r == 0)
            r = told(c, at);
    }
    return r == 0 ? bp_sealed_end(c->sealed) : r;
}

int bp_seal_file(const struct bp_seal_opts *o, const char *from, const char *to,
                 struct bp_error *err) {
    struct copy c = { .o = o, .io = o->io, .from = from, .to = to, .in = -1, .out = -1 };
    int64_t size = 0;
    int r;

    if (bp_keyring_empty(o->keys))
        return bp_fail(err, BP_EKEY, "sealed to whom? No key was given");
    r = c.in = o->io->open(o->io->ctx, from, O_RDONLY, 0);
    if (r >= 0)
        size = o->io->size(o->io->ctx, c.in);
    if (r < 0 || size < 0) {
        r = r < 0 ? r : (int) size;
        copy_done(&c, r);
        return bp_fail(err, r, "cannot open '%s': %s", from, bp_strerror(r));
    }
    c.size = (uint64_t) size;
    r = copy_open(&c, err);
    if (r == 0) {
        r = bp_sealed_create(o->io, c.out, o->keys, o->session, &c.sealed);
        if (r == 0)
            r = seal_all(&c);
        if (r < 0)
            (void) bp_fail(err, r, "cannot seal '%s': %s", from, bp_strerror(r));
    }
    if (r == 0)
        r = copy_publish(&c, err);
    copy_done(&c, r);
    return r;
}

int bp_sealed_no_key(const struct bp_sealed *s, const char *path, struct bp_error *err) {
    char whom[200];

    bp_sealed_recipients(s, whom, sizeof whom);
    return bp_fail(err, BP_EKEY, "'%s' is sealed to %s: give the key with --key FILE", path, whom);
}

int bp_sealed_open_path(const struct bp_io *io, const char *path, struct bp_keyring *keys,
                        int *ret_fd, struct bp_sealed **ret, struct bp_error *err) {
    int fd = io->open(io->ctx, path, O_RDONLY, 0), r;

    if (fd < 0)
        return bp_fail(err, fd, "cannot open '%s': %s", path, bp_strerror(fd));
    r = bp_sealed_open(io, fd, keys, ret);
    if (r < 0) {
        (void) io->close(io->ctx, fd);
        return bp_fail(err, r, "'%s' as a sealed file: %s", path, bp_strerror(r));
    }
    *ret_fd = fd;
    return 0;
}

static int unseal_all(struct copy *c) {
    uint64_t at = 0;
    int r = 0;

    while (r == 0 && at < c->size) {
        ssize_t n = bp_sealed_pread(c->sealed, c->buf, STEP, at, false);

        if (n <= 0)
            return n < 0 ? (int) n : BP_ETRUNCATED;
        r = c->io->pwrite(c->io->ctx, c->out, c->buf, (size_t) n, at);
        at += (uint64_t) n;
        if (r == 0)
            r = told(c, at);
    }
    return r;
}

int bp_unseal_file(const struct bp_seal_opts *o, const char *from, const char *to,
                   struct bp_error *err) {
    struct copy c = { .o = o, .io = o->io, .from = from, .to = to, .in = -1, .out = -1 };
    int r = bp_sealed_open_path(o->io, from, o->keys, &c.in, &c.sealed, err);

    if (r < 0)
        return r;
    c.size = bp_sealed_size(c.sealed);
    if (!bp_sealed_readable(c.sealed))
        r = bp_sealed_no_key(c.sealed, from, err);
    else if (bp_sealed_state(c.sealed) != BP_SEALED_COMPLETE || bp_sealed_holes(c.sealed))
        r = bp_fail(err, bp_sealed_holes(c.sealed) ? BP_ECORRUPT : BP_ETRUNCATED,
                    "'%s' has no genuine end: 'bagpipe recover --key' makes whole what was "
                    "interrupted",
                    from);
    if (r == 0)
        r = copy_open(&c, err);
    if (r == 0) {
        r = unseal_all(&c);
        if (r < 0)
            (void) bp_fail(err, r, "cannot unseal '%s': %s", from, bp_strerror(r));
    }
    if (r == 0)
        r = copy_publish(&c, err);
    copy_done(&c, r);
    return r;
}

/* ---- verifying ---- */

struct faults {
    void (*fn)(void *ctx, const char *fault);
    void *ctx;
    int n;
};

static void fault(struct faults *f, const char *fmt, ...) BP_PRINTF(2, 3);

static void fault(struct faults *f, const char *fmt, ...) {
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    (void) vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    f->n++;
    if (f->fn)
        f->fn(f->ctx, text);
}

static int verify_frame(struct bp_sealed *s, uint64_t i, uint8_t *plain) {
    struct bp_sealed_frame f;
    ssize_t n;
    int r = bp_sealed_check(s, i, &f);

    if (r < 0 || !bp_sealed_readable(s))
        return r;
    n = bp_sealed_pread(s, plain, f.n, f.off, false);
    return n < 0 ? (int) n : n == (ssize_t) f.n ? 0 : BP_ETRUNCATED;
}

int bp_sealed_verify(struct bp_sealed *s, void (*fn)(void *ctx, const char *text),
                     int (*step)(void *ctx), void *ctx) {
    BP_AUTO_FREE uint8_t *plain = malloc(bp_sealed_frame_most(s));
    struct faults f = { .fn = fn, .ctx = ctx };

    if (!plain)
        return -ENOMEM;
    if (bp_sealed_state(s) == BP_SEALED_OPEN)
        fault(&f, "sealed container without its end: interrupted, or cut");
    else if (bp_sealed_state(s) == BP_SEALED_CUT)
        fault(&f, BP_SEALED_CLOSED_TEXT ": 'bagpipe recover --key' ends it");
    if (bp_sealed_holes(s))
        fault(&f, "%llu stretches of sealed frames are damaged or missing",
              (unsigned long long) bp_sealed_holes(s));
    for (uint64_t i = 0; i < bp_sealed_frames(s); i++) {
        int r = verify_frame(s, i, plain);

        if (r == BP_ECORRUPT || r == BP_ETRUNCATED)
            fault(&f, "sealed frame %llu is damaged or not in its place", (unsigned long long) i);
        else if (r < 0)
            return r;
        if (step && step(ctx) != 0)
            return -ECANCELED;
    }
    return f.n;
}
