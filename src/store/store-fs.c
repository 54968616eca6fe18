#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/time.h"
#include "crypt/sign.h"
#include "store/store.h"

/* objects/ab/cdef…: 256 folders, so that none gets too long and a name is found without a list. An
 * object comes in by rename, after its bytes were synced by whoever wrote them, and counts once its
 * folder is synced. It is never changed, so readers need no lock; who has it open keeps it when it
 * is deleted. */

struct fs_store {
    struct bp_store base;
    const struct bp_io *io; /* borrowed */
    char *dir;              /* owned: ".../objects" */
};

struct fs_object {
    struct bp_store_object base;
    int fd;
};

enum { PATH_MAX_ = 4096 };

static struct fs_store *fs_of(struct bp_store *s) {
    return BP_CONTAINER_OF(s, struct fs_store, base);
}

static struct fs_object *object_of(struct bp_store_object *o) {
    return BP_CONTAINER_OF(o, struct fs_object, base);
}

/* The folder of an object, and its path. */
static void paths_of(const struct fs_store *f, const uint8_t *sha256, char dir[static PATH_MAX_],
                     char path[static PATH_MAX_]) {
    char hex[BP_SHA256_HEX];

    (void) bp_sha256_hex(sha256, hex);
    (void) snprintf(dir, PATH_MAX_, "%s/%.2s", f->dir, hex);
    (void) snprintf(path, PATH_MAX_, "%s/%.2s/%s", f->dir, hex, hex + 2);
}

/* Its size, or what keeps it from being opened. */
static int64_t size_of(const struct fs_store *f, const char *path) {
    const struct bp_io *io = f->io;
    int fd = io->open(io->ctx, path, O_RDONLY, 0);
    int64_t size;

    if (fd < 0)
        return fd;
    size = io->size(io->ctx, fd);
    (void) io->close(io->ctx, fd);
    return size;
}

static int fs_head(struct bp_store *s, const uint8_t *sha256, uint64_t *ret_bytes,
                   struct bp_error *err) {
    char dir[PATH_MAX_], path[PATH_MAX_];
    int64_t size;

    paths_of(fs_of(s), sha256, dir, path);
    size = size_of(fs_of(s), path);
    if (size == -ENOENT)
        return bp_fail(err, -ENOENT, "there is no such object");
    if (size < 0)
        return bp_fail(err, (int) size, "cannot look at '%s': %s", path, bp_strerror((int) size));
    *ret_bytes = (uint64_t) size;
    return 0;
}

/* A file that was put under its name, but perhaps is not there for good yet: its folder is synced
 * also when somebody else has put it, whose own sync may have failed. */
static int settle(const struct fs_store *f, const char *dir, struct bp_error *err) {
    int r = f->io->sync_dir(f->io->ctx, dir);

    return r < 0 ? bp_fail(err, r, "cannot sync folder '%s': %s", dir, bp_strerror(r)) : 0;
}

static int make_dir(const struct fs_store *f, const char *dir, struct bp_error *err) {
    int r = f->io->mkdir(f->io->ctx, dir, 0755);

    if (r < 0 && r != -EEXIST)
        return bp_fail(err, r, "cannot make folder '%s': %s", dir, bp_strerror(r));
    return settle(f, f->dir, err); /* the folder's own name, whoever has made it */
}

static int fs_put(struct bp_store *s, const uint8_t *sha256, const char *from, uint64_t bytes,
                  struct bp_error *err) {
    struct fs_store *f = fs_of(s);
    char dir[PATH_MAX_], path[PATH_MAX_];
    int64_t size;
    int r;

    paths_of(f, sha256, dir, path);
    size = size_of(f, path);
    if (size >= 0 && (uint64_t) size == bytes) {
        r = settle(f, dir, err);
        if (r == 0)
            (void) f->io->unlink(f->io->ctx, from);
        return r < 0 ? r : 1;
    }
    if (size < 0 && size != -ENOENT)
        return bp_fail(err, (int) size, "cannot look at '%s': %s", path, bp_strerror((int) size));

    r = make_dir(f, dir, err);
    if (r < 0)
        return r;
    r = f->io->rename(f->io->ctx, from, path);
    if (r < 0)
        return bp_fail(err, r, "cannot move '%s' to '%s': %s", from, path, bp_strerror(r));
    return settle(f, dir, err);
}

static int fs_open(struct bp_store *s, const uint8_t *sha256, struct bp_store_object **ret,
                   struct bp_error *err) {
    struct fs_store *f = fs_of(s);
    char dir[PATH_MAX_], path[PATH_MAX_];
    struct fs_object *o;
    int64_t size;
    int fd;

    paths_of(f, sha256, dir, path);
    fd = f->io->open(f->io->ctx, path, O_RDONLY, 0);
    if (fd == -ENOENT)
        return bp_fail(err, -ENOENT, "there is no such object");
    size = fd < 0 ? fd : f->io->size(f->io->ctx, fd);
    o = size < 0 ? NULL : calloc(1, sizeof *o);
    if (!o) {
        int r = size < 0 ? (int) size : -ENOMEM;

        if (fd >= 0)
            (void) f->io->close(f->io->ctx, fd);
        return bp_fail(err, r, "cannot open '%s': %s", path, bp_strerror(r));
    }
    *o = (struct fs_object){ .base = { s, (uint64_t) size }, .fd = fd };
    *ret = &o->base;
    return 0;
}

static ssize_t fs_read(struct bp_store_object *base, void *p, size_t n, uint64_t off,
                       struct bp_error *err) {
    const struct bp_io *io = fs_of(base->store)->io;
    ssize_t r = io->pread(io->ctx, object_of(base)->fd, p, n, off);

    return r < 0 ? bp_fail(err, (int) r, "cannot read an object: %s", bp_strerror((int) r)) : r;
}

static int fs_fd(struct bp_store_object *base) {
    int fd = fcntl(object_of(base)->fd, F_DUPFD_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

static void fs_object_close(struct bp_store_object *base) {
    const struct bp_io *io = fs_of(base->store)->io;

    (void) io->close(io->ctx, object_of(base)->fd);
    free(object_of(base));
}

/* Names are what we made: two, then 62 small hex digits. */
static bool read_name(const char *folder, const char *name, uint8_t ret[static BP_SHA256_LEN]) {
    char hex[BP_SHA256_HEX + 1];

    return strlen(folder) == 2 && strlen(name) == BP_SHA256_HEX - 3 &&
           snprintf(hex, sizeof hex, "%s%s", folder, name) == BP_SHA256_HEX - 1 &&
           bp_key_digits(bp_str_of(hex), ret, BP_SHA256_LEN) == 0;
}

static int each_in(const struct fs_store *f, const char *folder,
                   int (*fn)(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns),
                   void *ctx) {
    char path[PATH_MAX_];
    const struct dirent *e;
    struct stat st;
    int r = 0;
    DIR *d;

    (void) snprintf(path, sizeof path, "%s/%s", f->dir, folder);
    d = opendir(path);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    while (r == 0 && (e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own stream */
        uint8_t sha256[BP_SHA256_LEN];

        if (read_name(folder, e->d_name, sha256) && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
            r = fn(ctx, sha256, (uint64_t) st.st_size,
                   st.st_mtim.tv_sec * BP_SEC + st.st_mtim.tv_nsec);
    }
    (void) closedir(d);
    return r;
}

static int fs_each(struct bp_store *s,
                   int (*fn)(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns),
                   void *ctx, struct bp_error *err) {
    for (unsigned i = 0; i < 256; i++) {
        char folder[3];
        int r;

        (void) snprintf(folder, sizeof folder, "%02x", i);
        r = each_in(fs_of(s), folder, fn, ctx);
        if (r != 0)
            return r > 0 ? r : bp_fail(err, r, "cannot list objects: %s", bp_strerror(r));
    }
    return 0;
}

static int fs_delete(struct bp_store *s, const uint8_t *sha256, struct bp_error *err) {
    struct fs_store *f = fs_of(s);
    char dir[PATH_MAX_], path[PATH_MAX_];
    int r;

    paths_of(f, sha256, dir, path);
    r = f->io->unlink(f->io->ctx, path);
    if (r < 0 && r != -ENOENT)
        return bp_fail(err, r, "cannot remove '%s': %s", path, bp_strerror(r));
    return 0;
}

static void fs_close(struct bp_store *s) {
    free(fs_of(s)->dir);
    free(fs_of(s));
}

static const struct bp_store_ops fs_ops = {
    .name = "fs",
    .put = fs_put,
    .head = fs_head,
    .open = fs_open,
    .each = fs_each,
    .delete = fs_delete,
    .close = fs_close,
    .read = fs_read,
    .fd = fs_fd,
    .object_close = fs_object_close,
};

static int make_if_missing(const struct bp_io *io, const char *dir, struct bp_error *err) {
    char parent[PATH_MAX_];
    int r = io->mkdir(io->ctx, dir, 0755);

    if (r == -EEXIST)
        return 0;
    bp_io_dirname(dir, parent, sizeof parent);
    if (r == 0)
        r = io->sync_dir(io->ctx, parent);
    return r < 0 ? bp_fail(err, r, "cannot make folder '%s': %s", dir, bp_strerror(r)) : 0;
}

int bp_store_open_fs(const struct bp_io *io, const char *dir, struct bp_store **ret,
                     struct bp_error *err) {
    struct fs_store *f = NULL;
    char path[PATH_MAX_];
    int r;

    if (snprintf(path, sizeof path, "%s/objects", dir) >= PATH_MAX_ - 80)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", dir);
    r = make_if_missing(io, dir, err);
    if (r == 0)
        r = make_if_missing(io, path, err);
    if (r < 0)
        return r;
    f = calloc(1, sizeof *f);
    if (f)
        f->dir = strdup(path);
    if (!f || !f->dir) {
        free(f);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    f->base.ops = &fs_ops;
    f->io = io;
    *ret = &f->base;
    return 0;
}
