#pragma once

#include <pthread.h>
#include <uthash.h>

#include "base/mutex.h"
#include "store/spool-map.h"

/* What the spool's files share. One lock, a leaf, for everything that changes; a file is never
 * touched under it. What must not happen twice at once has a flag, and whoever finds it set waits
 * on `changed`. */

enum { BP_SPOOL_PATH = 4096 };

struct bp_spool_upload {
    UT_hash_handle hh; /* [lock] by id */
    char id[BP_SPOOL_ID];
    struct bp_spool_meta meta; /* constant */
    uint8_t head[BP_SPOOL_HEAD];
    uint32_t parts;          /* constant */
    uint32_t there_n;        /* [lock] */
    uint8_t *there;          /* [lock] owned: a bit a part */
    bp_ns_t created_wall;    /* constant */
    bp_ns_t touched_mono;    /* [lock] a part was acknowledged; before our start: as if so */
    bool making;             /* [lock] its files are not there yet */
    bool finishing, dropped; /* [lock] */
    bool moved;              /* [lock] all parts were there, its file is gone: it was handed on */
    unsigned users;          /* [lock] who may use the files; the last one closes them */
    bool opening;            /* [lock] */
    int data_fd, map_fd;     /* [lock] -1, or open while there are users */
    unsigned epoch;          /* [lock] failed syncs: what was written before one is in doubt */
    bool syncing;            /* [lock] */
    struct bp_spool_part *waiting; /* [lock] parts for the next sync */
    struct bp_spool_part *coming;  /* [lock] parts that are being received */
    /* Digest of the first `hashed` bytes, which are there; one part at a time goes on with it. */
    struct bp_sha256 *hash;       /* [lock] owned */
    uint64_t hashed;              /* [lock] */
    struct bp_spool_part *hasher; /* [lock] */
};

struct bp_spool_part {
    struct bp_spool *spool;
    struct bp_spool_upload *upload;
    struct bp_spool_part *prev, *next; /* [lock] in upload->coming */
    struct bp_spool_part *also;        /* [lock] in upload->waiting */
    uint32_t n;
    uint64_t bytes, got;
    uint8_t sha256[BP_SHA256_LEN];
    struct bp_sha256 *hash;  /* owned: of the part */
    struct bp_sha256 *whole; /* owned: of the file up to here, or NULL */
    unsigned epoch;          /* of the upload, when it began */
    bool known;              /* it is there: what comes is only checked */
    bool writing;            /* [lock] */
    bool committing;         /* [lock] */
    bool superseded;         /* [lock] */
    bool done;               /* [lock] its sync has ended, with `result` */
    int result;
};

struct bp_spool {
    const struct bp_io *io;
    char *dir; /* owned */
    uint64_t max_bytes, min_free;
    unsigned max_uploads;
    bp_ns_t expiry;
    struct bp_mutex lock;            /* leaf */
    pthread_cond_t changed;          /* any flag went */
    struct bp_spool_upload *uploads; /* [lock] */
    uint64_t bytes;                  /* [lock] of all of them */
};

/** ".data" or ".map" of an upload. */
void bp_spool_path(const struct bp_spool *s, const char *id, const char *suffix,
                   char ret[static BP_SPOOL_PATH]);
struct bp_spool_upload *bp_spool_find_locked(struct bp_spool *s, const char *id)
    BP_REQUIRES(s->lock);
/** Has it expired? */
bool bp_spool_expired_locked(const struct bp_spool *s, const struct bp_spool_upload *u,
                             bp_ns_t now_mono) BP_REQUIRES(s->lock);
/** Opens its files if need be. Who calls has counted itself into `users` under the lock, when it
 *  found the upload, and ends with bp_spool_leave(), also after a failure. @return 0 or an errno */
BP_MUST_CHECK int bp_spool_use(struct bp_spool *s, struct bp_spool_upload *u, struct bp_error *err);
/** The last one closes the files, and frees an upload that was dropped. */
void bp_spool_leave(struct bp_spool *s, struct bp_spool_upload *u);
/** Takes it out of the table and removes its files; freed when its last user leaves. */
int bp_spool_forget(struct bp_spool *s, struct bp_spool_upload *u, struct bp_error *err);
void bp_spool_upload_free(struct bp_spool_upload *u);
/** New, with `parts` and `there` by its meta. @return NULL when out of memory */
struct bp_spool_upload *bp_spool_upload_new(const struct bp_spool_meta *meta, bp_ns_t created_wall);
/** Takes up what lies in the folder. */
BP_MUST_CHECK int bp_spool_load(struct bp_spool *s, struct bp_error *err);
