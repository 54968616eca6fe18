#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/io.h"
#include "crypt/digest.h"

/* Objects: bytes under the name of their SHA-256, so that the same content lies there once. Whether
 * anybody still refers to one is the catalogue's business. An object is there whole and for good,
 * or not at all, also across a power cut. Any thread. */
struct bp_store;
struct bp_store_object;

/* What a backend does; each as the function of that name below. */
struct bp_store_ops {
    const char *name; /* "fs", "s3" */
    int (*put)(struct bp_store *s, const uint8_t *sha256, const char *path, uint64_t bytes,
               struct bp_error *err);
    int (*head)(struct bp_store *s, const uint8_t *sha256, uint64_t *ret_bytes,
                struct bp_error *err);
    int (*open)(struct bp_store *s, const uint8_t *sha256, struct bp_store_object **ret,
                struct bp_error *err);
    int (*each)(struct bp_store *s,
                int (*fn)(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns),
                void *ctx, struct bp_error *err);
    int (*delete)(struct bp_store *s, const uint8_t *sha256, struct bp_error *err);
    int (*url)(struct bp_store *s, const uint8_t *sha256, char **ret,
               struct bp_error *err); /* or NULL */
    void (*close)(struct bp_store *s);
    ssize_t (*read)(struct bp_store_object *o, void *p, size_t n, uint64_t off,
                    struct bp_error *err);
    int (*fd)(struct bp_store_object *o); /* or NULL: objects are no files */
    void (*object_close)(struct bp_store_object *o);
};

/* Embedded first in a backend's own structs. */
struct bp_store {
    const struct bp_store_ops *ops;
};
struct bp_store_object {
    struct bp_store *store; /* borrowed */
    uint64_t bytes;
};

/**
 * Objects as files, `dir`/objects/ab/cdef…; the folders are made.
 *
 * @param io   borrowed, must outlive the store
 * @param ret  owned by the caller, release with bp_store_close()
 * @return 0, -ENOMEM, or an errno
 */
BP_MUST_CHECK int bp_store_open_fs(const struct bp_io *io, const char *dir, struct bp_store **ret,
                                   struct bp_error *err);
/** No object of it may be open. Takes NULL. */
void bp_store_close(struct bp_store *s);
BP_DEFINE_CLEANUP(struct bp_store, bp_store_close)

/**
 * Takes a file over: when this returns 0 the object is there for good and `path` is gone.
 *
 * @param sha256  of the file; checked by the caller
 * @param path    written and synced; on the same file system as a store of files
 * @return 0, 1 when the object was there already (`path` is gone then, too), or an errno: `path` is
 *         as it was, unless the object is there
 */
BP_MUST_CHECK int bp_store_put(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN],
                               const char *path, uint64_t bytes, struct bp_error *err);
/** @return 0 and its size, -ENOENT, or an errno */
BP_MUST_CHECK int bp_store_head(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN],
                                uint64_t *ret_bytes, struct bp_error *err);
/** @param ret  owned by the caller, release with bp_store_object_close(); @return as above */
BP_MUST_CHECK int bp_store_get(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN],
                               struct bp_store_object **ret, struct bp_error *err);
/** @return bytes read, fewer than n at the end only, or an errno. Any thread, several at once. */
ssize_t bp_store_object_read(struct bp_store_object *o, void *p, size_t n, uint64_t off,
                             struct bp_error *err);
/** A new descriptor of the file, owned by the caller; -EOPNOTSUPP when objects are no files. */
int bp_store_object_fd(struct bp_store_object *o);
/** Takes NULL. */
void bp_store_object_close(struct bp_store_object *o);
BP_DEFINE_CLEANUP(struct bp_store_object, bp_store_object_close)

/**
 * Tells every object, in no order; ones that come or go meanwhile may be missed.
 *
 * @param fn  borrowed for the call; `wall_ns` is when it was put; nonzero stops and is returned
 */
int bp_store_each(struct bp_store *s,
                  int (*fn)(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns),
                  void *ctx, struct bp_error *err);
/** @return 0 also when there is none, or an errno */
BP_MUST_CHECK int bp_store_delete(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN],
                                  struct bp_error *err);

/**
 * Where a client may read an object by itself, for some minutes.
 *
 * @param ret  heap, owned by the caller; a secret
 * @return 0, -EOPNOTSUPP when there is no such place, or an errno
 */
BP_MUST_CHECK int bp_store_url(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN],
                               char **ret, struct bp_error *err);
