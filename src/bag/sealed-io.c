#include <errno.h>
#include <fcntl.h>

#include "bag/sealed-priv.h"

/* The write path, recovery and the folder's readers know nothing of sealing: they get this table
 * instead of the file system's. What a name that ends in ".sealed" stands for is the plain file;
 * all offsets and sizes are its. */

struct bp_sealed_fd {
    int fd;
    struct bp_sealed *s; /* owned */
    struct bp_sealed_label label;
    bool labelled;
    struct bp_sealed_fd *next;
};

static struct bp_sealed_fd *find(struct bp_sealed_io *s, int fd) {
    struct bp_sealed_fd *x;

    bp_mutex_lock(&s->lock);
    for (x = s->open; x && x->fd != fd;)
        x = x->next;
    bp_mutex_unlock(&s->lock);
    return x;
}

static int remember(struct bp_sealed_io *s, int fd, struct bp_sealed *sealed) {
    struct bp_sealed_fd *x = calloc(1, sizeof *x);

    if (!x)
        return -ENOMEM;
    x->fd = fd;
    x->s = sealed;
    bp_mutex_lock(&s->lock);
    x->next = s->open;
    s->open = x;
    bp_mutex_unlock(&s->lock);
    return 0;
}

/* A file that is there keeps its header; an empty one, or one to be emptied, gets one. */
static int attach(struct bp_sealed_io *s, int fd, int flags) {
    struct bp_sealed *sealed = NULL;
    int64_t size = s->under->size(s->under->ctx, fd);
    int r = size < 0 ? (int) size : 0;

    if (r == 0 && size == 0 && (flags & O_ACCMODE) != O_RDONLY && (flags & O_CREAT))
        r = bp_sealed_create(s->under, fd, s->keys, s->session, &sealed);
    else if (r == 0)
        r = bp_sealed_open(s->under, fd, s->keys, &sealed);
    if (r == 0)
        r = remember(s, fd, sealed);
    if (r < 0)
        bp_sealed_free(sealed);
    return r;
}

static int sealed_open(void *ctx, const char *path, int flags, unsigned mode) {
    struct bp_sealed_io *s = ctx;
    int fd, r;

    if (!bp_sealed_name(path))
        return s->under->open(s->under->ctx, path, flags, mode);
    /* frames are found, and partly written ones completed, by reading */
    if ((flags & O_ACCMODE) == O_WRONLY)
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    fd = s->under->open(s->under->ctx, path, flags, mode);
    if (fd < 0)
        return fd;
    r = attach(s, fd, flags);
    if (r == 0)
        return fd;
    (void) s->under->close(s->under->ctx, fd);
    if ((flags & O_CREAT) && (flags & O_EXCL)) /* who fails to make a file makes none */
        (void) s->under->unlink(s->under->ctx, path);
    return r;
}

static int sealed_close(void *ctx, int fd) {
    struct bp_sealed_io *s = ctx;
    struct bp_sealed_fd **at, *x;

    bp_mutex_lock(&s->lock);
    for (at = &s->open; *at && (*at)->fd != fd;)
        at = &(*at)->next;
    x = *at;
    if (x)
        *at = x->next;
    bp_mutex_unlock(&s->lock);
    if (x)
        bp_sealed_free(x->s);
    free(x);
    return s->under->close(s->under->ctx, fd);
}

static ssize_t sealed_pread(void *ctx, int fd, void *buf, size_t n, uint64_t off) {
    struct bp_sealed_io *s = ctx;
    struct bp_sealed_fd *x = find(s, fd);

    /* Who reads through this table checks CRCs: damage is for them to judge. */
    return x ? bp_sealed_pread(x->s, buf, n, off, true)
             : s->under->pread(s->under->ctx, fd, buf, n, off);
}

static int sealed_pwrite(void *ctx, int fd, const void *buf, size_t n, uint64_t off) {
    struct bp_sealed_io *s = ctx;
    struct bp_sealed_fd *x = find(s, fd);
    int r;

    if (!x)
        return s->under->pwrite(s->under->ctx, fd, buf, n, off);
    r = bp_sealed_append(x->s, buf, n, off, x->labelled ? &x->label : NULL);
    x->labelled = false;
    return r;
}

static int sealed_datasync(void *ctx, int fd) {
    struct bp_sealed_io *s = ctx;

    return s->under->datasync(s->under->ctx, fd);
}

static int sealed_sync(void *ctx, int fd) {
    struct bp_sealed_io *s = ctx;

    return s->under->sync(s->under->ctx, fd);
}

static int sealed_sync_dir(void *ctx, const char *path) {
    struct bp_sealed_io *s = ctx;

    return s->under->sync_dir(s->under->ctx, path);
}

/* Plain bytes up to off + len take more on disk: a block for each frame, which holds 64 KiB or more
 * where there is traffic, and some for what is smaller. */
static int sealed_allocate(void *ctx, int fd, uint64_t off, uint64_t len) {
    enum { SLACK = 1 << 20 };
    struct bp_sealed_io *s = ctx;
    struct bp_sealed_fd *x = find(s, fd);
    uint64_t size, stored, more;

    if (!x)
        return s->under->allocate(s->under->ctx, fd, off, len);
    size = bp_sealed_size(x->s);
    stored = bp_sealed_stored(x->s);
    more = off + len > size ? off + len - size : 0;
    more += more / 16 + SLACK;
    return s->under->allocate(s->under->ctx, fd, stored, BP_ALIGN(more, (uint64_t) SEALED_BLOCK));
}

static int sealed_truncate(void *ctx, int fd, uint64_t size) {
    struct bp_sealed_io *s = ctx;
    struct bp_sealed_fd *x = find(s, fd);

    return x ? bp_sealed_truncate(x->s, size) : s->under->truncate(s->under->ctx, fd, size);
}

static int64_t sealed_size(void *ctx, int fd) {
    struct bp_sealed_io *s = ctx;
    struct bp_sealed_fd *x = find(s, fd);

    return x ? (int64_t) bp_sealed_size(x->s) : s->under->size(s->under->ctx, fd);
}

static int sealed_rename(void *ctx, const char *from, const char *to) {
    struct bp_sealed_io *s = ctx;

    return s->under->rename(s->under->ctx, from, to);
}

static int sealed_unlink(void *ctx, const char *path) {
    struct bp_sealed_io *s = ctx;

    return s->under->unlink(s->under->ctx, path);
}

static int sealed_mkdir(void *ctx, const char *path, unsigned mode) {
    struct bp_sealed_io *s = ctx;

    return s->under->mkdir(s->under->ctx, path, mode);
}

static int64_t sealed_free_bytes(void *ctx, const char *path) {
    struct bp_sealed_io *s = ctx;

    return s->under->free_bytes(s->under->ctx, path);
}

void bp_sealed_io_init(struct bp_sealed_io *s, const struct bp_io *under, struct bp_keyring *keys) {
    *s = (struct bp_sealed_io){
        .io = { .open = sealed_open,
                .close = sealed_close,
                .pread = sealed_pread,
                .pwrite = sealed_pwrite,
                .datasync = sealed_datasync,
                .sync = sealed_sync,
                .sync_dir = sealed_sync_dir,
                .allocate = sealed_allocate,
                .truncate = sealed_truncate,
                .size = sealed_size,
                .rename = sealed_rename,
                .unlink = sealed_unlink,
                .mkdir = sealed_mkdir,
                .free_bytes = sealed_free_bytes,
                .ctx = s },
        .under = under,
        .keys = keys,
    };
    bp_mutex_init(&s->lock);
}

static struct bp_sealed_io *sealed_of(const struct bp_io *io) {
    return io->open == sealed_open ? io->ctx : NULL;
}

void bp_sealed_io_session(const struct bp_io *io, const char *id) {
    struct bp_sealed_io *s = sealed_of(io);
    size_t n = strnlen(id, sizeof s->session - 1);

    if (!s)
        return;
    memcpy(s->session, id, n);
    s->session[n] = 0;
}

struct bp_keyring *bp_io_keys(const struct bp_io *io) {
    struct bp_sealed_io *s = sealed_of(io);

    return s ? s->keys : NULL;
}

const struct bp_io *bp_io_below(const struct bp_io *io) {
    struct bp_sealed_io *s = sealed_of(io);

    return s ? s->under : io;
}

struct bp_sealed *bp_sealed_of(const struct bp_io *io, int fd) {
    struct bp_sealed_io *s = sealed_of(io);
    struct bp_sealed_fd *x = s ? find(s, fd) : NULL;

    return x ? x->s : NULL;
}

void bp_sealed_io_label(const struct bp_io *io, int fd, const struct bp_sealed_label *label) {
    struct bp_sealed_io *s = sealed_of(io);
    struct bp_sealed_fd *x = s ? find(s, fd) : NULL;

    if (!x)
        return;
    x->label = *label;
    x->labelled = true;
}

int bp_sealed_io_end(const struct bp_io *io, int fd) {
    struct bp_sealed *s = bp_sealed_of(io, fd);

    return s ? bp_sealed_end(s) : 0;
}
