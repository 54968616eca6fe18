#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/io.h"
#include "base/time.h"
#include "base/ulid.h"
#include "crypt/digest.h"

/* Uploads that are not whole yet. Each is a preallocated file that parts are written into at their
 * offsets, and a map beside it that says which parts are there (docs/formats/spool.md). A part that
 * was acknowledged stays, whatever happens to the process or the machine. Any thread.
 *
 * A part is received by one request at a time: the newest wins, an older one that still comes fails
 * with -EBUSY. A part that is there is never written again. */
struct bp_spool;
struct bp_spool_part;

enum {
    BP_SPOOL_PART_MIN = 64 << 10,
    BP_SPOOL_PART_MAX = 1 << 30,
    BP_SPOOL_PART_DEFAULT = 16 << 20,
    BP_SPOOL_PARTS_MAX = 10000,
    BP_SPOOL_NAME_MAX = 255, /* bytes of a file's name */
    BP_SPOOL_ID = 60,        /* of an upload, with its NUL: see bp_spool_id() */
};

struct bp_spool_options {
    const struct bp_io *io; /* borrowed, must outlive the spool */
    const char *dir;        /* borrowed for the call; made when it is not there */
    uint64_t max_bytes;     /* of unfinished uploads together, then -EDQUOT; 0 = no limit */
    uint64_t min_free;      /* kept free on the disk, else -ENOSPC */
    unsigned max_uploads;   /* unfinished at once, then -EDQUOT [10,000] */
    bp_ns_t expiry;         /* without a new part so long, then it is forgotten [7 days] */
};

/* What is uploaded. Texts are bounded and checked by who creates it. */
struct bp_spool_meta {
    char session[BP_ULID_TEXT];
    char file[BP_SPOOL_NAME_MAX + 1];
    char kind[16];
    char device[129];
    uint64_t bytes;
    uint8_t sha256[BP_SHA256_LEN];
    uint32_t part_bytes; /* power of two; 0 when created = chosen */
};

struct bp_spool_info {
    char id[BP_SPOOL_ID];
    struct bp_spool_meta meta;
    uint32_t parts, parts_there;
    bp_ns_t created_wall, expires_wall;
    bool finishing;
    bool moved; /* it was finished, and whether that was remembered is not known: finish it again */
};

/** The id of an upload: the session, "-", and 32 hex digits of a digest over file name and content
 *  digest. So it is the same whenever the same is uploaded. @return `ret` */
char *bp_spool_id(const char *session, const char *file, const uint8_t sha256[static BP_SHA256_LEN],
                  char ret[static BP_SPOOL_ID]);

/** Opens the folder and takes up what an earlier life left. Uploads all of whose parts are there
 * may be in the middle of being finished: finish them (in the background). @return 0, -ENOMEM, or
 * an errno */
BP_MUST_CHECK int bp_spool_open(const struct bp_spool_options *o, struct bp_spool **ret,
                                struct bp_error *err);
/** Nobody may be in a call, no part may be open. Takes NULL. */
void bp_spool_close(struct bp_spool *s);
BP_DEFINE_CLEANUP(struct bp_spool, bp_spool_close)

/**
 * Makes room for an upload, or finds the one of the same session, file, digest and size.
 *
 * @return 0 made, 1 it was there; -ENOSPC the disk, -EDQUOT a limit; -EINVAL for a size of parts
 *         that is not allowed; an errno
 */
BP_MUST_CHECK int bp_spool_create(struct bp_spool *s, const struct bp_spool_meta *meta,
                                  struct bp_spool_info *ret, struct bp_error *err);
/** @return 0, -ENOENT */
BP_MUST_CHECK int bp_spool_get(struct bp_spool *s, const char *id, struct bp_spool_info *ret,
                               struct bp_error *err);
/** Appends the parts that are there as "0-3,7". @return 0, -ENOENT */
BP_MUST_CHECK int bp_spool_put_parts(struct bp_spool *s, const char *id, struct bp_buf *out,
                                     struct bp_error *err);
/** All uploads, in no order. @param ret  heap, owned by the caller; @return 0, -ENOMEM */
BP_MUST_CHECK int bp_spool_list(struct bp_spool *s, struct bp_spool_info **ret, size_t *ret_n);
/** Bytes of the unfinished uploads of a device. */
uint64_t bp_spool_bytes_of(struct bp_spool *s, const char *device);
/** Is an upload of this content being handed on, or was, and it is not known whether that was
 *  remembered? */
bool bp_spool_hands_on(struct bp_spool *s, const uint8_t sha256[static BP_SHA256_LEN]);
/** Of all. */
void bp_spool_sums(struct bp_spool *s, uint64_t *ret_uploads, uint64_t *ret_bytes);
/** Forgets an upload and its bytes. @return 0, -ENOENT, -EBUSY while it is finishing, an errno */
BP_MUST_CHECK int bp_spool_drop(struct bp_spool *s, const char *id, struct bp_error *err);
/** Forgets uploads of the same session, file and device but another digest that nothing has come
 * for: who offers another content has given them up, perhaps without ever hearing of them. */
void bp_spool_supersede(struct bp_spool *s, const struct bp_spool_meta *meta);
/** Forgets what has expired, and some time has passed since: by the monotonic clock, so that a wall
 * clock that jumps loses nothing.
 *  @param now_mono  now; @return how many */
unsigned bp_spool_expire(struct bp_spool *s, bp_ns_t now_mono);

/**
 * Begins to receive a part.
 *
 * @param bytes   must be what part `n` has
 * @param sha256  what its digest must be
 * @param ret     owned by the caller, end with bp_spool_part_commit() or _abort()
 * @return 0; -ENOENT no such upload; BP_EGONE; -EBUSY it is finishing; -EINVAL no such part or a
 *         wrong size; BP_EMISMATCH it is there with another digest; -ENOMEM; an errno. When it is
 *         there with this digest what follows is only checked, not written.
 */
BP_MUST_CHECK int bp_spool_part_begin(struct bp_spool *s, const char *id, uint64_t n,
                                      uint64_t bytes, const uint8_t sha256[static BP_SHA256_LEN],
                                      struct bp_spool_part **ret, struct bp_error *err);
/** The next bytes. @return 0; -EBUSY when a newer request took over; -EINVAL too many; -ENOSPC,
 * -EIO, … */
BP_MUST_CHECK int bp_spool_part_write(struct bp_spool_part *p, const void *data, size_t n,
                                      struct bp_error *err);
/**
 * Checks size and digest, syncs, and marks the part as there. `p` is gone afterwards.
 *
 * @return 0: it is there for good; BP_EDIGEST when its digest is another; -EINVAL too few bytes; as
 * above
 */
BP_MUST_CHECK int bp_spool_part_commit(struct bp_spool_part *p, struct bp_error *err);
/** Forgets what came of it. Does not wait for a disk. Takes NULL. */
void bp_spool_part_abort(struct bp_spool_part *p);

/**
 * Finishes an upload whose parts are all there: checks the digest of the whole and hands the file
 * on. When `take` has returned 0 the upload is forgotten.
 *
 * @param take  called once, without a lock: must move the file at `path` to where it stays, and
 *              remember it, for good; called again after a crash, `path` may be gone by then
 * @return 0; -ENOENT; BP_EMISMATCH parts are missing; -EBUSY somebody is at it; BP_EDIGEST the
 * digest of the whole is another: the upload was dropped; what `take` returned
 */
BP_MUST_CHECK int bp_spool_finish(struct bp_spool *s, const char *id,
                                  int (*take)(void *ctx, const struct bp_spool_info *info,
                                              const char *path, struct bp_error *err),
                                  void *ctx, struct bp_error *err);
