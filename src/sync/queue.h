#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sync/sync.h"

/* What is waiting to be sent, in SQLite (WAL, synchronous FULL): sessions, their files, an upload
 * for each file and target, the parts that have arrived. A row is on the disk when the call that
 * wrote it has returned; a kill in the middle of one leaves what was before. Knows nothing of time,
 * threads or networks. Any thread; calls take turns.
 *
 * All may fail with -EBUSY, -ENOSPC, -EIO, -ENOMEM, or BP_ECORRUPT when the file turns out damaged:
 * opening it anew sets it aside. Times `mono` are of this process: they are forgotten at opening.
 */
struct bp_sync_queue;

/** @param ret_renewed  true when a damaged one was set aside as PATH.damaged-<UTC>
 *  @return 0; BP_EUNSUPPORTED, BP_EFORMAT, or as above */
BP_MUST_CHECK int bp_sync_queue_open(const char *path, struct bp_sync_queue **ret,
                                     bool *ret_renewed, struct bp_error *err);
/** Takes NULL. */
void bp_sync_queue_close(struct bp_sync_queue *q);
BP_DEFINE_CLEANUP(struct bp_sync_queue, bp_sync_queue_close)

/* ---- what there is ---- */

/** Adds or replaces, but for the first robot: targets name folders by it, so it is what it was when
 *  the session was added. @param ret_changed  the JSON is another; or NULL */
BP_MUST_CHECK int bp_sync_queue_put_session(struct bp_sync_queue *q,
                                            const struct bp_sync_session *x, bool *ret_changed,
                                            struct bp_error *err);
/** The session goes to this target, and with it every file it has or gets. */
BP_MUST_CHECK int bp_sync_queue_want(struct bp_sync_queue *q, const char *session,
                                     const char *target, bool manifest_last, struct bp_error *err);
/** Adds; or, when its content is another, begins all its uploads anew. That is told by the digest,
 *  without one by size and time. @param sha256  hex or "" @return 0, -ENOENT without the session */
BP_MUST_CHECK int bp_sync_queue_put_file(struct bp_sync_queue *q, const char *session,
                                         const char *name, enum bp_sync_kind kind, uint64_t bytes,
                                         bp_ns_t mtime_ns, const char *sha256,
                                         struct bp_error *err);
BP_MUST_CHECK int bp_sync_queue_close_session(struct bp_sync_queue *q, const char *session,
                                              struct bp_error *err);
BP_MUST_CHECK int bp_sync_queue_forget(struct bp_sync_queue *q, const char *session,
                                       struct bp_error *err);
/** Its URL leads elsewhere now: nothing is there of what was sent, and no session is wanted there.
 */
BP_MUST_CHECK int bp_sync_queue_forget_target(struct bp_sync_queue *q, const char *target,
                                              struct bp_error *err);
/** Between them many calls are one transaction: all or nothing. Holds the queue's turn. */
BP_MUST_CHECK int bp_sync_queue_begin(struct bp_sync_queue *q, struct bp_error *err);
BP_MUST_CHECK int bp_sync_queue_end(struct bp_sync_queue *q, int result, struct bp_error *err);

/* ---- what is next ---- */

/* An upload to work on, with copies of all it needs. */
struct bp_sync_job {
    int64_t upload, file;
    char session[27], sha256[65];                                    /* "" = not known yet */
    char *session_name, *dir, *json, *robot, *name, *remote, *token; /* owned; remote: its name
                                                                        over there */
    enum bp_sync_kind kind;
    uint64_t bytes, part_bytes, done;
    bp_ns_t started_ns, mtime_ns; /* of the file, when the digest was taken */
    unsigned tries;
    bool closed, force, now;
};
void bp_sync_job_done(struct bp_sync_job *j);
#define BP_AUTO_SYNC_JOB BP_CLEANUP(bp_sync_job_done) struct bp_sync_job

/**
 * The first upload of a target that may go: by hand, marked sessions, small descriptions before
 * payload, small files (up to 16 MiB), the newest session; within one as they were added.
 *
 * @param skip  says which not to take: those at work; or NULL
 * @return 1, or 0 when there is none
 */
BP_MUST_CHECK int bp_sync_queue_next(struct bp_sync_queue *q, const char *target, bp_ns_t now_mono,
                                     bool only_now,
                                     bool (*skip)(void *ctx, int64_t file, const char *sha256),
                                     void *ctx, struct bp_sync_job *ret, struct bp_error *err);
/** When the next one that waits for its time may be tried, INT64_MAX = there is none. */
BP_MUST_CHECK int bp_sync_queue_next_mono(struct bp_sync_queue *q, const char *target,
                                          bp_ns_t now_mono, bp_ns_t *ret, struct bp_error *err);

/* A session that a target has to hear of. */
struct bp_sync_due {
    char session[27];
    char *name, *dir, *json, *robot; /* owned */
    bp_ns_t started_ns;
    int64_t revision;           /* of its JSON */
    bool closed, force, finish; /* finish: all its files are there, else tell its JSON */
};
void bp_sync_due_done(struct bp_sync_due *d);
#define BP_AUTO_SYNC_DUE BP_CLEANUP(bp_sync_due_done) struct bp_sync_due
/** @param only_now  tells only what goes by hand, finishes all. @return 1, or 0 when there is none
 */
BP_MUST_CHECK int bp_sync_queue_due(struct bp_sync_queue *q, const char *target, bp_ns_t now_mono,
                                    bool only_now, struct bp_sync_due *ret, struct bp_error *err);

/* ---- what became of it ---- */

/** Size, time and digest as read from the disk. @return 0; 1 when they are others than before: all
 * uploads of the file begin anew, the job's is none any more */
BP_MUST_CHECK int bp_sync_queue_set_digest(struct bp_sync_queue *q, const struct bp_sync_job *j,
                                           uint64_t bytes, bp_ns_t mtime_ns, const char *sha256,
                                           struct bp_error *err);
/** The upload has this token and part size; of others, parts are forgotten, and they are given up.
 *  @return 0; 1 when there is no such upload any more */
BP_MUST_CHECK int bp_sync_queue_begun(struct bp_sync_queue *q, int64_t upload, const char *token,
                                      uint64_t part_bytes, struct bp_error *err);
/** Part n is there. */
BP_MUST_CHECK int bp_sync_queue_put_part(struct bp_sync_queue *q, int64_t upload, uint32_t n,
                                         const char *etag, uint64_t bytes, struct bp_error *err);
/** Exactly those parts are there that the upload says: what the other side told. */
BP_MUST_CHECK int bp_sync_queue_set_parts(struct bp_sync_queue *q, int64_t upload,
                                          const struct bp_sync_upload *u, struct bp_error *err);
/** What is known of parts, into an upload with a layout. */
BP_MUST_CHECK int bp_sync_queue_get_parts(struct bp_sync_queue *q, int64_t upload,
                                          struct bp_sync_upload *u, struct bp_error *err);
/** Begins anew: no token, no parts; what was begun is given up. */
BP_MUST_CHECK int bp_sync_queue_reset(struct bp_sync_queue *q, int64_t upload,
                                      struct bp_error *err);
/** Another name over there, or by force. @param remote  NULL = as it is */
BP_MUST_CHECK int bp_sync_queue_redirect(struct bp_sync_queue *q, int64_t upload,
                                         const char *remote, bool force, struct bp_error *err);
struct bp_sync_outcome {
    enum bp_sync_row_state state;
    enum bp_sync_class class;
    const char *error; /* NULL = "" */
    unsigned tries;
    bp_ns_t next_mono;    /* of a waiting one: not before */
    bp_ns_t confirmed_ns; /* wall, of a done one */
};
BP_MUST_CHECK int bp_sync_queue_set_outcome(struct bp_sync_queue *q, int64_t upload,
                                            const struct bp_sync_outcome *o, struct bp_error *err);
/** The target knows this revision of the session. */
BP_MUST_CHECK int bp_sync_queue_told(struct bp_sync_queue *q, const char *session,
                                     const char *target, int64_t revision, struct bp_error *err);
/** Telling or finishing failed: not again before. @param ret_tries  NULL = this is none more */
BP_MUST_CHECK int bp_sync_queue_tell_later(struct bp_sync_queue *q, const char *session,
                                           const char *target, unsigned *ret_tries,
                                           bp_ns_t next_mono, const char *error,
                                           struct bp_error *err);
BP_MUST_CHECK int bp_sync_queue_finished(struct bp_sync_queue *q, const char *session,
                                         const char *target, bp_ns_t wall_ns, struct bp_error *err);
/** Our side of the session is this now (a merge); `force`: tell it whatever they say. */
BP_MUST_CHECK int bp_sync_queue_set_json(struct bp_sync_queue *q, const char *session,
                                         const char *json, const char *force_target,
                                         struct bp_error *err);

/* ---- what is given up ---- */

/* An upload that nobody goes on with, to be aborted at its target. */
struct bp_sync_abort {
    int64_t number;
    char session[27], sha256[65];
    char *session_name, *robot, *remote, *token; /* owned; remote: the file's name over there */
    bp_ns_t started_ns;
    unsigned tries;
};
void bp_sync_abort_done(struct bp_sync_abort *a);
#define BP_AUTO_SYNC_ABORT BP_CLEANUP(bp_sync_abort_done) struct bp_sync_abort

/** Lists what was begun for a job, with this digest and token. No harm when it is listed. */
BP_MUST_CHECK int bp_sync_queue_abandon(struct bp_sync_queue *q, const char *target,
                                        const struct bp_sync_job *j, const char *sha256,
                                        const char *token, struct bp_error *err);
/** The same is aborted: it is listed no more. No harm when it was not. */
BP_MUST_CHECK int bp_sync_queue_aborted(struct bp_sync_queue *q, const char *target,
                                        const struct bp_sync_job *j, const char *sha256,
                                        const char *token, struct bp_error *err);
/**
 * The next one that is listed, the least tried first; not while its file may have this content
 * again and is to be sent: that goes on with it.
 *
 * @param skip  says which not to take: those at work; or NULL
 * @return 1, or 0 when there is none
 */
BP_MUST_CHECK int
bp_sync_queue_next_abort(struct bp_sync_queue *q, const char *target, bp_ns_t now_mono,
                         bool (*skip)(void *ctx, const char *session, const char *remote),
                         void *ctx, struct bp_sync_abort *ret, struct bp_error *err);
BP_MUST_CHECK int bp_sync_queue_abort_over(struct bp_sync_queue *q, int64_t number,
                                           struct bp_error *err);
/** It could not be aborted: not again before. */
BP_MUST_CHECK int bp_sync_queue_abort_later(struct bp_sync_queue *q, int64_t number,
                                            bp_ns_t next_mono, struct bp_error *err);

/* ---- by hand ---- */

BP_MUST_CHECK int bp_sync_queue_now(struct bp_sync_queue *q, const char *target,
                                    const char *session, struct bp_error *err);
/** The same of one file, at every target; failed ones, too. */
BP_MUST_CHECK int bp_sync_queue_now_file(struct bp_sync_queue *q, const char *session,
                                         const char *name, struct bp_error *err);
/** How many segments of a session there are in the queue. */
BP_MUST_CHECK int bp_sync_queue_segments(struct bp_sync_queue *q, const char *session, int64_t *ret,
                                         struct bp_error *err);
/** Parked ones, failed ones too when `failed`, and those that pause between tries wait again with
 *  fresh tries. @return how many */
BP_MUST_CHECK int64_t bp_sync_queue_retry(struct bp_sync_queue *q, const char *target,
                                          const char *session, bool failed, struct bp_error *err);
BP_MUST_CHECK int bp_sync_queue_set(struct bp_sync_queue *q, const char *key, int64_t value,
                                    struct bp_error *err);
/** @return 0: `ret` is 0 when it was never set */
BP_MUST_CHECK int bp_sync_queue_get(struct bp_sync_queue *q, const char *key, int64_t *ret,
                                    struct bp_error *err);

/* ---- how it stands ---- */

struct bp_sync_counts {
    struct bp_sync_count waiting, parked, failed, done, kept;
};
BP_MUST_CHECK int bp_sync_queue_counts(struct bp_sync_queue *q, const char *target,
                                       struct bp_sync_counts *ret, struct bp_error *err);
int bp_sync_queue_list(struct bp_sync_queue *q, const struct bp_sync_query *query,
                       int (*fn)(void *ctx, const struct bp_sync_row *r), void *ctx,
                       struct bp_error *err);
/** Sessions that are known, oldest first. */
int bp_sync_queue_sessions(struct bp_sync_queue *q,
                           int (*fn)(void *ctx, const struct bp_sync_session *s), void *ctx,
                           struct bp_error *err);
/** Is a closed session finished on all of these targets that it goes to? @return 1, 0, -ENOENT */
BP_MUST_CHECK int bp_sync_queue_is_safe(struct bp_sync_queue *q, const char *session,
                                        const char *const *targets, size_t n, struct bp_error *err);

BP_MUST_CHECK int bp_sync_queue_decide(struct bp_sync_queue *q, const struct bp_sync_decision *d,
                                       struct bp_error *err);
int bp_sync_queue_decisions(struct bp_sync_queue *q,
                            int (*fn)(void *ctx, const struct bp_sync_decision *d), void *ctx,
                            struct bp_error *err);
/** @return 0, -ENOENT, -EALREADY */
BP_MUST_CHECK int bp_sync_queue_undone(struct bp_sync_queue *q, int64_t number,
                                       struct bp_error *err);
