#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Every file operation of the storage code goes through this table, so that a test can fail, delay
 * or cut the k-th one. Each call returns >= 0 or a negative errno; none sets errno. A table is
 * constant and may be used by several threads. */
struct bp_io {
    int (*open)(void *ctx, const char *path, int flags, unsigned mode);
    int (*close)(void *ctx, int fd);
    /* May be short at the end of the file only; EINTR is handled inside. */
    ssize_t (*pread)(void *ctx, int fd, void *buf, size_t n, uint64_t off);
    /* Writes all n bytes or fails; how much arrived after a failure is unknown. Returns 0. */
    int (*pwrite)(void *ctx, int fd, const void *buf, size_t n, uint64_t off);
    int (*datasync)(void *ctx, int fd);
    int (*sync)(void *ctx, int fd);
    /* fsync of a folder, so that a created or renamed name in it survives a power cut. */
    int (*sync_dir)(void *ctx, const char *path);
    /* Allocates [off, off+len) without changing the size (FALLOC_FL_KEEP_SIZE). */
    int (*allocate)(void *ctx, int fd, uint64_t off, uint64_t len);
    int (*truncate)(void *ctx, int fd, uint64_t size);
    int64_t (*size)(void *ctx, int fd);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *path);
    int (*mkdir)(void *ctx, const char *path, unsigned mode);
    /* Bytes free for us on the file system of `path`. */
    int64_t (*free_bytes)(void *ctx, const char *path);
    void *ctx;
};

extern const struct bp_io bp_io_posix;

/**
 * Replaces `path` with n bytes so that a reader, even after a power cut, sees the old or the new
 * content whole: writes `path`.tmp, syncs it, renames, syncs the folder.
 */
BP_MUST_CHECK int bp_io_replace_file(const struct bp_io *io, const char *path, const void *p,
                                     size_t n, struct bp_error *err);

/**
 * Reads a whole file of at most `limit` bytes.
 *
 * @param ret    heap, owned by the caller; one zero byte follows the content
 * @return 0, -EFBIG when it is larger than `limit`, or the errno of what failed
 */
BP_MUST_CHECK int bp_io_read_file(const struct bp_io *io, const char *path, size_t limit,
                                  char **ret, size_t *ret_n, struct bp_error *err);

/** Folder part of `path` into `dir` ("." when there is none). */
void bp_io_dirname(const char *path, char *dir, size_t cap);
