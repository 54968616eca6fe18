#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

/* What an agent or server knows about sessions, in SQLite (WAL, synchronous FULL): a row survives a
 * power cut once the call that wrote it has returned. The recordings themselves are the truth; a
 * catalogue that was lost is made anew from their folders. Any thread; calls take turns. */
struct bp_catalog;

enum bp_session_status {
    BP_STATUS_RECORDING,
    BP_STATUS_PAUSED,
    BP_STATUS_FINISHED,
    BP_STATUS_FAILED,  /* it could not be finished: `bagpipe recover` and the next start complete it
                        */
    BP_STATUS_DELETED, /* a tombstone: the folder is gone */
    BP_STATUS_N_
};

/** "recording", "paused", "finished", "failed", "deleted". */
const char *bp_status_name(enum bp_session_status s);
/** @return the status or -EINVAL */
int bp_status_from_name(const char *name);

/* What a session is kept for; nothing else about it differs. */
enum bp_session_class {
    BP_CLASS_SESSION,  /* somebody started it */
    BP_CLASS_SNAPSHOT, /* what came before and after a moment, saved from the history */
    BP_CLASS_N_
};

/** "session", "snapshot". */
const char *bp_class_name(enum bp_session_class c);
/** @return the class or -EINVAL */
int bp_class_from_name(const char *name);

/* Texts are never NULL in what a function here returned; NULL is read as "". */
struct bp_catalog_session {
    char id[27]; /* ULID, that of the folder's manifest */
    enum bp_session_status status;
    enum bp_session_class class;
    char *name, *dir; /* owned */
    char *request;    /* owned: JSON of what was asked for, to go on after a crash */
    char *mission, *operator_, *notes;
    char *tags;                   /* owned: JSON array of texts */
    bp_ns_t started_ns, ended_ns; /* wall; 0 while it runs */
    uint64_t messages, bytes, lost;
    uint32_t segments, outages;
    char *error; /* owned: why it failed */
};

/** Frees the texts and zeroes. */
void bp_catalog_session_done(struct bp_catalog_session *s);
#define BP_AUTO_CATALOG_SESSION BP_CLEANUP(bp_catalog_session_done) struct bp_catalog_session

struct bp_catalog_mark {
    bp_ns_t wall_ns;
    char *text, *values; /* owned; JSON object of texts */
};

/**
 * Opens the database and checks it whole (`PRAGMA quick_check`). A damaged one is set aside as
 * PATH.damaged-<UTC>, with its log, and an empty one takes its place.
 *
 * @param path         of the database; made when it is not there (its folder must be)
 * @param ret          owned by the caller, release with bp_catalog_close()
 * @param ret_renewed  true when a damaged one was set aside: fill it from the folders; or NULL
 * @return 0; BP_EUNSUPPORTED when a later version made it; BP_EFORMAT when it is a database of
 *         something else; -EBUSY when somebody keeps it locked; -ENOSPC, -EACCES, … an errno
 */
BP_MUST_CHECK int bp_catalog_open(const char *path, struct bp_catalog **ret, bool *ret_renewed,
                                  struct bp_error *err);
/** Takes NULL. */
void bp_catalog_close(struct bp_catalog *c);
BP_DEFINE_CLEANUP(struct bp_catalog, bp_catalog_close)

/* All below may fail with -EBUSY, -ENOSPC, -EIO, -ENOMEM, or BP_ECORRUPT when the database turns
 * out damaged: opening it anew sets it aside. */

/**
 * Adds or replaces by id; its marks stay.
 *
 * @param s  borrowed; `id` is a ULID in capitals. Texts of up to 256 MiB together
 * @return 0, -EINVAL when the id or status is none, or as above
 */
BP_MUST_CHECK int bp_catalog_put(struct bp_catalog *c, const struct bp_catalog_session *s,
                                 struct bp_error *err);
/**
 * @param key  an id, or the name of the newest session called so (a deleted one only when there is
 *             no other)
 * @param ret  release with bp_catalog_session_done()
 * @return 0, -ENOENT, or as above
 */
BP_MUST_CHECK int bp_catalog_get(struct bp_catalog *c, const char *key,
                                 struct bp_catalog_session *ret, struct bp_error *err);

struct bp_catalog_query {
    int status;         /* enum bp_session_status, or -1: all but deleted */
    const char *text;   /* in name, mission, notes or tags, A to Z as a to z; NULL = any */
    bp_ns_t from, to;   /* started in [from, to), wall; to 0 = no end */
    const char *before; /* id: only older ones (paging), or NULL */
    uint32_t limit;     /* 0 = 100, at most 1000 */
};
/**
 * Newest first, by id.
 *
 * @param fn  called for each, under the catalogue's lock: no bp_catalog_* in it; nonzero stops
 *            and is returned. What it gets is borrowed for the call
 * @return 0, what fn returned, or a negative code
 */
int bp_catalog_list(struct bp_catalog *c, const struct bp_catalog_query *q,
                    int (*fn)(void *ctx, const struct bp_catalog_session *s), void *ctx,
                    struct bp_error *err);

/** @return 0, -ENOENT when there is no session `id`, or as above */
BP_MUST_CHECK int bp_catalog_add_mark(struct bp_catalog *c, const char *id,
                                      const struct bp_catalog_mark *m, struct bp_error *err);
/** Oldest first; as bp_catalog_list(). */
int bp_catalog_marks(struct bp_catalog *c, const char *id,
                     int (*fn)(void *ctx, const struct bp_catalog_mark *m), void *ctx,
                     struct bp_error *err);
