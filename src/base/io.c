#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static int posix_open(void *ctx, const char *path, int flags, unsigned mode) {
    int fd;

    (void) ctx;
    do
        fd = open(path, flags | O_CLOEXEC, (mode_t) mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int posix_close(void *ctx, int fd) {
    (void) ctx;
    return close(fd) < 0 ? -errno : 0;
}

static ssize_t posix_pread(void *ctx, int fd, void *buf, size_t n, uint64_t off) {
    size_t done = 0;

    (void) ctx;
    while (done < n) {
        ssize_t r = pread(fd, (char *) buf + done, n - done, (off_t) (off + done));

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        done += (size_t) r;
    }
    return (ssize_t) done;
}

static int posix_pwrite(void *ctx, int fd, const void *buf, size_t n, uint64_t off) {
    size_t done = 0;

    (void) ctx;
    while (done < n) {
        ssize_t r = pwrite(fd, (const char *) buf + done, n - done, (off_t) (off + done));

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -EIO;
        done += (size_t) r;
    }
    return 0;
}

static int posix_datasync(void *ctx, int fd) {
    (void) ctx;
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int posix_sync(void *ctx, int fd) {
    (void) ctx;
    return fsync(fd) < 0 ? -errno : 0;
}

static int posix_sync_dir(void *ctx, const char *path) {
    BP_AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void) ctx;
    if (fd < 0)
        return -errno;

    return fsync(fd) < 0 ? -errno : 0;
}

static int posix_allocate(void *ctx, int fd, uint64_t off, uint64_t len) {
    (void) ctx;
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t) off, (off_t) len) < 0 ? -errno : 0;
}

static int posix_truncate(void *ctx, int fd, uint64_t size) {
    (void) ctx;
    return ftruncate(fd, (off_t) size) < 0 ? -errno : 0;
}

static int64_t posix_size(void *ctx, int fd) {
    struct stat st;

    (void) ctx;
    return fstat(fd, &st) < 0 ? -errno : st.st_size;
}

static int posix_rename(void *ctx, const char *from, const char *to) {
    (void) ctx;
    return rename(from, to) < 0 ? -errno : 0;
}

static int posix_unlink(void *ctx, const char *path) {
    (void) ctx;
    return unlink(path) < 0 ? -errno : 0;
}

static int posix_mkdir(void *ctx, const char *path, unsigned mode) {
    (void) ctx;
    return mkdir(path, (mode_t) mode) < 0 ? -errno : 0;
}

static int64_t posix_free_bytes(void *ctx, const char *path) {
    struct statvfs v;

    (void) ctx;
    return statvfs(path, &v) < 0 ? -errno : (int64_t) ((uint64_t) v.f_bavail * v.f_frsize);
}

const struct bp_io bp_io_posix = {
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .pwrite = posix_pwrite,
    .datasync = posix_datasync,
    .sync = posix_sync,
    .sync_dir = posix_sync_dir,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .size = posix_size,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .free_bytes = posix_free_bytes,
};

void bp_io_dirname(const char *path, char *dir, size_t cap) {
    const char *slash = strrchr(path, '/');

    if (!slash)
        (void) snprintf(dir, cap, ".");
    else if (slash == path)
        (void) snprintf(dir, cap, "/");
    else
        (void) snprintf(dir, cap, "%.*s", (int) (slash - path), path);
}

static int write_and_sync(const struct bp_io *io, const char *tmp, const void *p, size_t n) {
    int fd = io->open(io->ctx, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int r, c;

    if (fd < 0)
        return fd;

    r = io->pwrite(io->ctx, fd, p, n, 0);
    if (r >= 0)
        r = io->sync(io->ctx, fd); /* the name must never point at bytes that are not there */
    c = io->close(io->ctx, fd);
    return r < 0 ? r : c;
}

int bp_io_replace_file(const struct bp_io *io, const char *path, const void *p, size_t n,
                       struct bp_error *err) {
    char tmp[4096], dir[4096];
    int r;

    if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= (int) sizeof tmp)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", path);

    r = write_and_sync(io, tmp, p, n);
    if (r >= 0)
        r = io->rename(io->ctx, tmp, path);
    if (r < 0) {
        (void) io->unlink(io->ctx, tmp);
        return bp_fail(err, r, "cannot write '%s': %s", path, bp_strerror(r));
    }

    bp_io_dirname(path, dir, sizeof dir);
    r = io->sync_dir(io->ctx, dir); /* the new name survives a power cut */
    if (r < 0)
        return bp_fail(err, r, "cannot sync folder '%s': %s", dir, bp_strerror(r));
    return 0;
}

int bp_io_read_file(const struct bp_io *io, const char *path, size_t limit, char **ret,
                    size_t *ret_n, struct bp_error *err) {
    BP_AUTO_FREE char *p = NULL;
    int64_t size;
    ssize_t n;
    int fd;

    fd = io->open(io->ctx, path, O_RDONLY, 0);
    if (fd < 0)
        return bp_fail(err, fd, "cannot open '%s': %s", path, bp_strerror(fd));

    size = io->size(io->ctx, fd);
    if (size >= 0 && ((uint64_t) size > limit || (uint64_t) size == SIZE_MAX))
        size = -EFBIG;
    n = (ssize_t) size; /* a failure, or at most `limit` */
    if (size >= 0) {
        p = malloc((size_t) size + 1);
        n = p ? io->pread(io->ctx, fd, p, (size_t) size, 0) : -ENOMEM;
    }
    (void) io->close(io->ctx, fd);
    if (n < 0)
        return bp_fail(err, (int) n, "cannot read '%s': %s", path, bp_strerror((int) n));

    p[n] = 0;
    *ret_n = (size_t) n;
    *ret = BP_TAKE_PTR(p);
    return 0;
}
