#pragma once

#include <pthread.h>

#include "base/bucket.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "sync/digests.h"
#include "sync/queue.h"
#include "sync/schedule.h"
#include "sync/sync.h"

/* What the files of the engine share.
 *
 * A line is a target with its threads; a transfer is a file on its way over a line. Threads of a
 * line do whatever is next (work.c): probe, conclude, send a part, complete, pick from the queue.
 *
 * Lock order: the queue's turn → lock (asked by the queue which uploads are at work). Under `lock`
 * nothing is called but the clock; a target and the queue are called without it. */

/* Bytes of the last ten whole seconds. */
struct bp_sync_meter {
    uint64_t v[11];
    bp_ns_t sec;  /* of the newest, mono */
    bp_ns_t from; /* mono second of the first */
};
void bp_sync_meter_add(struct bp_sync_meter *m, uint64_t n, bp_ns_t now_mono);
double bp_sync_meter_rate(struct bp_sync_meter *m, bp_ns_t now_mono);

/* A transfer goes from one to the next, never back; `ended` ends it from any of them. */
enum bp_sync_phase { BP_SYNC_PREPARE, BP_SYNC_PARTS, BP_SYNC_COMPLETE };

enum bp_sync_end {
    BP_SYNC_END_FAILED, /* as `failure` says */
    BP_SYNC_END_DONE,
    BP_SYNC_END_KEPT,
    BP_SYNC_END_MOOT, /* its row has changed meanwhile: nothing to say of it */
};

struct bp_sync_transfer {
    struct bp_sync_transfer *next; /* [lock] */
    struct bp_sync_line *line;     /* constant */
    struct bp_sync_job job;        /* constant once it is listed, but now and sha256 [lock] */
    struct bp_sync_session_ref ref;
    struct bp_sync_file file;       /* [whoever has `taken` it], constant from PARTS on */
    struct bp_sync_upload up;       /* the same; parts[].there [lock] */
    char path[4096];                /* constant */
    int fd;                         /* owned; constant from PARTS on */
    enum bp_sync_phase phase;       /* [lock] */
    bool taken;                     /* [lock] somebody prepares, completes or concludes it */
    unsigned inflight;              /* [lock] parts being sent */
    uint32_t next_part;             /* [lock] those before are there or in flight */
    bool ended;                     /* [lock] nothing more is handed out */
    enum bp_sync_end end;           /* [lock] when ended */
    struct bp_sync_failure failure; /* [lock] the first one */
    bool progressed;                /* [lock] a part has arrived */
    bool begun;                     /* [taken] up.ctx is the target's */
    struct bp_sync_digests digests; /* [taken], constant from PARTS on; empty when known before */
    bp_ns_t mtime_ns;               /* [taken] of the file at `fd`: what it was when it was begun */
    bool spoiled;                   /* [taken] its parts make another file: none is of use */
    bool cancel;                    /* [atomic] */
    uint64_t done;                  /* [lock] bytes there */
    uint64_t flying;                /* [lock] bytes sent of parts that are not there yet */
    struct bp_sync_meter meter;     /* [lock] */
};

struct bp_sync_words {
    char **v; /* NULL-ended, owned; or NULL */
};

struct bp_sync_line {
    struct bp_sync *s;
    char *name, *url; /* constant, owned */
    struct bp_sync_target t;
    struct bp_sync_words tags, robots, topics; /* constant */
    bool optional;                             /* constant */
    enum bp_sync_policy policy;                /* constant */
    pthread_t *threads;
    unsigned nthreads;
    /* all [lock] */
    enum bp_sync_state state;
    enum bp_sync_class class;
    char text[400];
    bp_ns_t since_wall;
    bool changed; /* to be told */
    bool paused, want_probe, probing, picking, telling, now_pending;
    bool dry; /* the queue had nothing for it, until dry_until or a kick */
    bp_ns_t dry_until, next_probe, probe_pause, last_probe, wait_until;
    uint64_t kicks;                           /* counts what may have made it less dry */
    unsigned throttled, clock_tries, refused; /* since a part arrived */
    bp_ns_t clock_offset;
    struct bp_sync_transfer *transfers;
    struct bp_sync_meter meter;
    uint64_t sent, resent, have, told_sent;
};

struct bp_sync {
    struct bp_mutex lock;
    pthread_cond_t cond;
    struct bp_sync_clock clock; /* constant */
    struct bp_sync_queue *queue;
    struct bp_sync_line *lines; /* constant */
    size_t nlines;
    char *device; /* constant */
    unsigned parallel;
    uint64_t part_bytes;
    struct bp_sync_words metered_links, roots;
    bool no_hints, no_priority, selective, own; /* constant */
    void (*on_event)(void *ctx, const struct bp_sync_event *e);
    void *ctx;
    pthread_t keeper, listener;
    int stop_fd; /* eventfd, wakes the listener */
    bool started, listening;
    /* all [lock] */
    bool stopping; /* [atomic] too */
    bool paused, metered, closed_window;
    int metered_set; /* 1, 0, or -1: by the interface */
    struct bp_sync_schedule rates, metered_rates, windows;
    struct bp_bucket bucket;
    uint64_t rng;
    bp_ns_t next_hour;
};

static inline bp_ns_t bp_sync_mono(const struct bp_sync *s) {
    return s->clock.mono(s->clock.ctx);
}

static inline bp_ns_t bp_sync_wall(const struct bp_sync *s) {
    return s->clock.wall(s->clock.ctx);
}

static inline void bp_sync_wake_locked(struct bp_sync *s) BP_REQUIRES(s->lock) {
    s->clock.wake(s->clock.ctx, &s->cond);
}

static inline void bp_sync_wait_locked(struct bp_sync *s, bp_ns_t mono_until) BP_REQUIRES(s->lock) {
    s->clock.wait(s->clock.ctx, &s->lock, &s->cond, mono_until);
}

/* ---- engine.c ---- */

/** Something may have made a line less dry. */
void bp_sync_kick(struct bp_sync *s);
/** Probes again and, by hand, ends waits that the target imposed. @param target  NULL = all */
void bp_sync_revive(struct bp_sync *s, const char *target, bool by_hand);
/** Tells, with the time set; without the lock. */
void bp_sync_emit(struct bp_sync *s, struct bp_sync_event e);
/** Tells of a failure of the engine itself. */
void bp_sync_complain(struct bp_sync *s, const char *what, const struct bp_error *err);
void bp_sync_set_state_locked(struct bp_sync_line *l, enum bp_sync_state state,
                              enum bp_sync_class class, const char *text);
/** The real clock. */
extern const struct bp_sync_clock bp_sync_real_clock;
bool bp_sync_matches(const struct bp_sync_line *l, const struct bp_sync_session *x);
/** Empty words = NULL. @return false when out of memory */
bool bp_sync_words_copy(struct bp_sync_words *to, const char *const *from);
void bp_sync_words_done(struct bp_sync_words *w);

/* ---- add.c ---- */

/** A new queue from the session folders below the roots. */
int bp_sync_rebuild(struct bp_sync *s, struct bp_error *err);

/** Adds a file of the session in `dir`. @param sha256  or NULL */
BP_MUST_CHECK int bp_sync_put_file(struct bp_sync *s, const char *dir, const char *session,
                                   const char *name, enum bp_sync_kind kind, const char *sha256,
                                   struct bp_error *err);
/** The folder of a session. @param ret  owned by the caller; @return 0, -ENOENT */
BP_MUST_CHECK int bp_sync_dir_of(struct bp_sync *s, const char *session, char **ret,
                                 struct bp_error *err);

/* ---- work.c ---- */

void *bp_sync_work(void *arg);
/** What a failure means for the whole line. Without the lock. */
void bp_sync_line_failed(struct bp_sync_line *l, const struct bp_sync_failure *f);
/** Transfers end, what is in flight is given up. */
void bp_sync_suspend_locked(struct bp_sync_line *l, const char *why);

/* ---- keeper.c: limits by time, hours, progress ---- */

void *bp_sync_keep(void *arg);
void bp_sync_apply_limits_locked(struct bp_sync *s, bool metered) BP_REQUIRES(s->lock);

/* ---- upload.c ---- */

struct bp_sync_transfer *bp_sync_transfer_new(struct bp_sync_line *l, struct bp_sync_job *taken);
void bp_sync_transfer_free(struct bp_sync_transfer *t);
void bp_sync_prepare(struct bp_sync_transfer *t);
/** @param buf  of BP_SYNC_READ bytes */
void bp_sync_put_part(struct bp_sync_transfer *t, uint32_t n, uint8_t *buf);
void bp_sync_complete(struct bp_sync_transfer *t);
/** The last word about it: row, events; unlists and frees. */
void bp_sync_conclude(struct bp_sync_transfer *t);
enum { BP_SYNC_READ = 256 << 10 };

/* ---- abort.c ---- */

/** The upload of a transfer that has ended is of no use: aborts it over there, now or later. */
void bp_sync_give_up(struct bp_sync_transfer *t);
/** Aborts one of those that are listed. Only by who picks. @return 1 it was tried, 0 there is none
 */
int bp_sync_abort_next(struct bp_sync_line *l, struct bp_error *err);

/* ---- tell.c ---- */

void bp_sync_tell(struct bp_sync_line *l, const struct bp_sync_due *d);
/** Are the segments that the manifest in `dir` lists there, each with the digest it says? Only then
 *  may anything tell the target that the session is whole. @return 0 or -EIO */
int bp_sync_check_manifest(struct bp_sync_line *l, const char *session, const char *dir,
                           struct bp_sync_failure *f);
/** A file's name is taken by another content. */
void bp_sync_file_conflict(struct bp_sync_transfer *t, const char *their_sha256);

/* ---- link.c ---- */

/** This thread's I/O and CPU after everybody else's. */
void bp_sync_low_priority(void);
/** Is the default route over an interface of one of these patterns? */
bool bp_sync_link_is_metered(const struct bp_sync_words *patterns);
/** Listens to the kernel until stop_fd; hints. */
void *bp_sync_listen(void *arg);

/* ---- metrics.c ---- */

struct bp_sync_stats {
    struct bp_counter sent, resent, have, parts, files, sessions, failures[BP_SYNC_CLASSES_N_];
    struct bp_counter parked, probes, conflicts, rebuilt;
    struct bp_gauge active, online, clock_offset_ns;
};
extern struct bp_sync_stats bp_sync_stats;
