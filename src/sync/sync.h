#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"
#include "sync/target.h"

/* libbagpipe-sync: brings files of sessions to targets, over links that drop, crawl and lie; each
 * part once, each file proven by its digest before it counts as there. What is waiting stands in a
 * queue (SQLite) and outlives kills and power cuts. docs/design/sync.md tells how.
 *
 * All functions: any thread, unless said otherwise. Texts given are borrowed for the call. */
struct bp_sync;

struct bp_mutex;

/* The clock seam; a test puts simulated time here. NULL members are not allowed. */
struct bp_sync_clock {
    bp_ns_t (*mono)(void *ctx);
    bp_ns_t (*wall)(void *ctx);
    /* Waits under `lock` for `wake` or mono_until, whichever is first; may return early. */
    void (*wait)(void *ctx, struct bp_mutex *lock, void *cond, bp_ns_t mono_until);
    void (*wake)(void *ctx, void *cond); /* wakes all, under the lock */
    void *ctx;
};

enum bp_sync_event_kind {
    BP_SYNC_EV_TARGET,   /* a target's state has changed; `text` says it */
    BP_SYNC_EV_NOTICE,   /* something to know: clock corrected, queue rebuilt, conflict decided */
    BP_SYNC_EV_BEGUN,    /* a file's first byte is about to go */
    BP_SYNC_EV_PROGRESS, /* at most one a second and target: the rest is in the status */
    BP_SYNC_EV_FILE,     /* a file is there, proven by digest */
    BP_SYNC_EV_PARKED,   /* a file waits after 7 tries; `text` says why */
    BP_SYNC_EV_FAILED,   /* a file was refused for good; `text` says why */
    BP_SYNC_EV_SESSION,  /* a closed session is whole on this target */
    BP_SYNC_EV_SAFE,     /* … on every required target: the local copy may be deleted */
    BP_SYNC_EV_SESSION_CHANGED, /* by a conflict with the other side: `text` is the new JSON */
    BP_SYNC_EVENTS_N_
};

struct bp_sync_event {
    enum bp_sync_event_kind kind;
    const char *target, *session, *file; /* or NULL */
    const char *text;                    /* or NULL */
    enum bp_sync_class class;            /* of failures */
    uint64_t bytes;
    bp_ns_t wall_ns;
};

/** "target", "notice", "begun" … */
const char *bp_sync_event_name(enum bp_sync_event_kind k);

/* Which sessions go to a target: every list that is not empty must have a word in common with the
 * session's. Words may hold * and ? as in file names. */
struct bp_sync_filter {
    const char *const *tags, *const *robots, *const *topics; /* NULL-ended, or NULL = any */
};

struct bp_sync_target_config {
    const char *name; /* "site"; state is kept by it, for as long as it has this URL */
    struct bp_sync_target_opts opts;
    struct bp_sync_target open; /* an open one in place of opts, when ops is set; taken over */
    struct bp_sync_filter filter;
    bool optional; /* a session is safe without it */
    enum bp_sync_policy policy;
};

struct bp_sync_opts {
    const char *path; /* of the queue; made when it is not there (its folder must be) */
    const struct bp_sync_target_config *targets;
    size_t ntargets;
    const char *const *roots; /* folders of session folders, to rebuild a damaged queue from */
    size_t nroots;
    const char *device;
    bool own; /* it recorded the sessions it adds: when a file of one has changed (recovery may
                 complete a segment), ours replaces the former content, whatever the policy */
    unsigned parallel;   /* parts at once and target; 0 = 4, at most 64 */
    uint64_t part_bytes; /* power of two from 64 KiB on; 0 = 16 MiB */
    /* As bp_sync_rates_parse() reads them; NULL = no limit. */
    const char *rates;         /* "08:00-18:00=2Mbit, else=unlimited" */
    const char *metered_rates; /* the same on metered links */
    const char *windows;       /* "22:00-06:00, Sat-Sun 00:00-24:00": when to send; NULL = always */
    const char *const *metered_links; /* patterns of interface names; NULL = wwan*, ppp*, rmnet* */
    bool selective;                   /* folders: what describes them; segments when fetched */
    bool no_hints;                    /* do not listen to netlink */
    bool no_priority;                 /* threads as they are, not nice and idle */
    void (*on_event)(void *ctx, const struct bp_sync_event *e); /* on our threads, no lock held; may
                                                                   call back, must not wait long */
    void *ctx;
    const struct bp_sync_clock *clock; /* NULL = the real one; must outlive the engine */
    uint64_t seed;                     /* of the jitter; 0 = from the system */
};

/**
 * Opens the queue and the targets; nothing is sent before bp_sync_start(). A damaged queue is set
 * aside and made anew from the session folders below `roots`.
 *
 * @param ret_renewed  true when it was; or NULL
 * @return 0, BP_EUSAGE for options that are none, BP_EBUSY when another process has the queue, or
 *         an errno
 */
BP_MUST_CHECK int bp_sync_open(const struct bp_sync_opts *o, struct bp_sync **ret,
                               bool *ret_renewed, struct bp_error *err);
/** Stops, and frees. Takes NULL. */
void bp_sync_close(struct bp_sync *s);
BP_DEFINE_CLEANUP(struct bp_sync, bp_sync_close)

/** Starts the threads. @return 0 or -EAGAIN */
BP_MUST_CHECK int bp_sync_start(struct bp_sync *s, struct bp_error *err);
/** Ends them: what is being sent is given up and goes on at the next start, part by part. */
void bp_sync_stop(struct bp_sync *s);

/* ---- what to send ---- */

struct bp_sync_session {
    const char *id;   /* ULID */
    const char *dir;  /* its folder */
    const char *name; /* NULL = the folder's */
    const char *json; /* as for `PUT /ingest/sessions/{ulid}`; NULL = id, name, device, started */
    const char *const *tags, *const *robots, *const *topics; /* NULL-ended; NULL = none */
    bp_ns_t started_ns;                                      /* wall */
    bool marked;                                             /* goes before others */
};

/** Adds a session, or changes what is known of it; a changed JSON is told to its targets. @return
 * 0, -EINVAL when the id is none or JSON is none, or what the queue says */
BP_MUST_CHECK int bp_sync_add_session(struct bp_sync *s, const struct bp_sync_session *x,
                                      struct bp_error *err);

/**
 * Adds a finished file of a session, or says that its content has changed.
 *
 * @param name    relative to the session's folder
 * @param sha256  lower-case hex when it is known, else NULL: it is made at first read
 * @return 0 (also when it stands there already), -ENOENT without such a session, -EINVAL for a name
 *         that leads out of the folder, an errno of the file
 */
BP_MUST_CHECK int bp_sync_add_file(struct bp_sync *s, const char *session, const char *name,
                                   enum bp_sync_kind kind, const char *sha256,
                                   struct bp_error *err);
/** No more files come: it is complete when these are there. */
BP_MUST_CHECK int bp_sync_close_session(struct bp_sync *s, const char *session,
                                        struct bp_error *err);
/**
 * Adds a finished session folder whole: what its manifest.json lists, the manifest, signature and
 * metadata, and closes it. Without a manifest every file in it. With `selective` the segments are
 * left to bp_sync_fetch(), and it is closed with the last of them.
 *
 * @param extra  what the folder does not tell (tags, JSON …); or NULL. id and dir are not used
 * @param ret_id  of BP_ULID_TEXT bytes, or NULL
 */
BP_MUST_CHECK int bp_sync_add_folder(struct bp_sync *s, const char *dir,
                                     const struct bp_sync_session *extra, char *ret_id,
                                     struct bp_error *err);
struct bp_sync_fetch {
    const char *session;
    bp_ns_t from_ns, to_ns;    /* log time, both included; to_ns 0 = to the end */
    const char *const *topics; /* NULL-ended patterns; or NULL: any. A session that has none of them
                                  gives nothing; segments go whole */
};
struct bp_sync_fetched {
    unsigned segments; /* that overlap */
    uint64_t bytes;    /* of these */
};
/**
 * Somebody wants a part of a finished session: the segments that overlap go to every target of the
 * session, before everything else and outside of windows; those that are there already do not go
 * again.
 *
 * @return 0; -ENOENT when the session is not known, or has no manifest (it still runs)
 */
BP_MUST_CHECK int bp_sync_fetch(struct bp_sync *s, const struct bp_sync_fetch *f,
                                struct bp_sync_fetched *ret, struct bp_error *err);
/** Forgets a session and what is waiting of it; what is being sent of it is given up. @return 0 or
 *  -ENOENT */
BP_MUST_CHECK int bp_sync_forget(struct bp_sync *s, const char *session, struct bp_error *err);

/* ---- what to do; target and session NULL = all ---- */

/** Sends at once what fits: before everything else, outside of windows, parked or not. */
BP_MUST_CHECK int bp_sync_now(struct bp_sync *s, const char *target, const char *session,
                              struct bp_error *err);
/** Nothing more is sent; outlives a restart. @param target  NULL = all */
BP_MUST_CHECK int bp_sync_pause(struct bp_sync *s, const char *target, struct bp_error *err);
BP_MUST_CHECK int bp_sync_resume(struct bp_sync *s, const char *target, struct bp_error *err);
/** Tries again what was parked or has failed. @return how many, or a negative code */
BP_MUST_CHECK int64_t bp_sync_retry(struct bp_sync *s, const char *target, const char *session,
                                    struct bp_error *err);
/** The link may be back: probes now. */
void bp_sync_hint(struct bp_sync *s);
/** New limits, as in the options. @return 0 or BP_EUSAGE: they are as before then */
BP_MUST_CHECK int bp_sync_set_limits(struct bp_sync *s, const char *rates,
                                     const char *metered_rates, const char *windows,
                                     struct bp_error *err);
/** @param metered  1 yes, 0 no, -1 by the name of the interface */
void bp_sync_set_metered(struct bp_sync *s, int metered);

/* ---- how it goes ---- */

enum bp_sync_state {
    BP_SYNC_UNKNOWN, /* not probed yet */
    BP_SYNC_ONLINE,
    BP_SYNC_OFFLINE,
    BP_SYNC_WAITING, /* told to wait, or refused (credentials, quota): `text` says why */
    BP_SYNC_PAUSED,
    BP_SYNC_CLOSED_WINDOW, /* outside of the windows */
    BP_SYNC_STATES_N_
};

/** "unknown", "online" … */
const char *bp_sync_state_name(enum bp_sync_state s);

struct bp_sync_count {
    uint64_t files, bytes;
};

struct bp_sync_active {
    char session[27];
    char *file; /* owned by the status */
    uint64_t bytes, done;
    uint64_t flying; /* of `done`: sent, of parts that are not there yet */
    double rate;     /* bytes a second */
    bp_ns_t eta;     /* 0 = not known */
};

struct bp_sync_target_status {
    char *name, *url, *kind; /* owned by the status */
    enum bp_sync_state state;
    enum bp_sync_class class; /* of the last failure, BP_SYNC_OK when there is none */
    char text[400];           /* why it is in this state; "" = all is well */
    bool optional;
    bp_ns_t since_wall_ns, next_wall_ns; /* in this state since; next try, 0 = none planned */
    bp_ns_t clock_offset;                /* theirs less ours */
    struct bp_sync_count waiting, parked, failed, done; /* bytes of waiting: what is missing */
    uint64_t sent, resent, have; /* bytes since the start: payload sent, of it again; not sent
                                    because they were there */
    double rate;                 /* bytes a second, over some ten seconds */
    bp_ns_t eta;
    struct bp_sync_active *active; /* owned by the status */
    size_t nactive;
};

struct bp_sync_status {
    bool running, paused, metered;
    double limit; /* bytes a second now, 0 = none */
    struct bp_sync_target_status *targets;
    size_t ntargets;
};

/** @param ret  release with bp_sync_status_done() */
BP_MUST_CHECK int bp_sync_get_status(struct bp_sync *s, struct bp_sync_status *ret,
                                     struct bp_error *err);
void bp_sync_status_done(struct bp_sync_status *st);

/* A file on its way to a target, or there. */
enum bp_sync_row_state {
    BP_SYNC_ROW_WAITING,
    BP_SYNC_ROW_PARKED,
    BP_SYNC_ROW_FAILED,
    BP_SYNC_ROW_DONE,
    BP_SYNC_ROW_KEPT, /* a conflict left theirs in its place: never counts as uploaded */
    BP_SYNC_ROWS_N_
};

/** "waiting", "parked", "failed", "done", "kept". */
const char *bp_sync_row_name(enum bp_sync_row_state s);
/** @return the state or -EINVAL */
int bp_sync_row_from_name(const char *name);

struct bp_sync_row {
    int64_t number;                                              /* for paging */
    const char *session, *session_name, *target, *file, *sha256; /* sha256 "" = not known yet */
    enum bp_sync_kind kind;
    enum bp_sync_row_state state;
    enum bp_sync_class class;
    const char *error; /* "" = none */
    uint64_t bytes, done;
    unsigned tries;
    bp_ns_t confirmed_wall_ns;
};

struct bp_sync_query {
    const char *target, *session; /* NULL = any */
    int state;                    /* enum bp_sync_row_state, or -1 */
    int64_t after;                /* only rows with a greater number */
    uint32_t limit;               /* 0 = 100 */
};
/** @param fn  borrowed for the call, under the queue's lock: no bp_sync_* in it; nonzero stops and
 *             is returned */
int bp_sync_list(struct bp_sync *s, const struct bp_sync_query *q,
                 int (*fn)(void *ctx, const struct bp_sync_row *r), void *ctx,
                 struct bp_error *err);

/** Is every file of a closed session on every required target, by digest? @return 1, 0, -ENOENT */
BP_MUST_CHECK int bp_sync_is_safe(struct bp_sync *s, const char *session, struct bp_error *err);

/**
 * Waits until nothing is waiting any more that could go within two minutes: all is done, parked,
 * has failed, or the target refuses us.
 *
 * @param cancel  [atomic] or NULL
 * @return 0 when all is done; BP_EMISMATCH when something is left, with the target's sentence;
 *         -ETIMEDOUT, -ECANCELED
 */
BP_MUST_CHECK int bp_sync_wait(struct bp_sync *s, bp_ns_t timeout, const bool *cancel,
                               struct bp_error *err);

/* ---- what is left over ---- */

/**
 * Gives up unfinished uploads in buckets that nobody goes on with: of sessions of which nothing
 * waits any more. Asks the buckets; may take long.
 *
 * @param targets  those the engine was opened with; what is no bucket is passed over
 * @param min_age  younger ones stay: of the same bucket others may have some under way
 * @param dry      only counts
 * @param ret_n    how many
 * @return 0 or the first failure
 */
BP_MUST_CHECK int bp_sync_gc(struct bp_sync *s, const struct bp_sync_target_config *targets,
                             size_t ntargets, bp_ns_t min_age, bool dry, size_t *ret_n,
                             struct bp_error *err);

/* ---- conflicts ---- */

struct bp_sync_decision {
    int64_t number;
    bp_ns_t wall_ns;
    const char *target, *session, *file; /* file "" = the session itself */
    enum bp_sync_policy policy;
    const char *ours, *theirs, *result; /* JSON of a session, or digests and a name of a file */
    bool undone;
};
int bp_sync_decisions(struct bp_sync *s, int (*fn)(void *ctx, const struct bp_sync_decision *d),
                      void *ctx, struct bp_error *err);
/** Takes a decision back: what lost wins. @return 0, -ENOENT, -EALREADY */
BP_MUST_CHECK int bp_sync_undo(struct bp_sync *s, int64_t number, struct bp_error *err);

/* ---- a shuttle disk at the site ---- */

struct bp_sync_import {
    const char *root; /* where the disk is mounted */
    bool allow_unsigned;
    /* May this device bring something? key: 32 bytes. NULL = every one whose signature holds. */
    bool (*trust)(void *ctx, const char *device, const uint8_t *key);
    /* A session whose files are all there and as signed. @param json  what its device said of it,
     * for bp_sync_add_session(). @return < 0 ends the import */
    int (*session)(void *ctx, const char *device, const char *id, const char *dir,
                   const char *json);
    /* What was left out and why; or NULL. */
    void (*refused)(void *ctx, const char *what, const char *why);
    void *ctx;
};

/** Checks signatures and every digest of a shuttle disk, and tells of what is whole: the caller
 *  adds it to an engine (bp_sync_add_folder()) or copies it. @return sessions told, or a negative
 *  code: -ENOENT when this is no shuttle disk */
BP_MUST_CHECK int bp_sync_import_shuttle(const struct bp_sync_import *i, struct bp_error *err);

/* ---- metrics ---- */

struct bp_metric;
/** Rows of all engines of this process. */
extern const struct bp_metric *const bp_sync_metrics;
extern const size_t bp_sync_metrics_n;
