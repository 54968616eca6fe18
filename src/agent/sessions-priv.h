#pragma once

#include <pthread.h>

#include "agent/sessions.h"
#include "bag/ledger.h"
#include "bag/writer.h"
#include "record/rules.h"
#include "record/select.h"

/* Inside of sessions: sessions.c starts and stops, sessions-load.c takes up what an earlier life
 * left, sessions-json.c tells.
 *
 * Locks: `turn` is held over starting, stopping and acting, which wait for disks; `lock` protects
 * the list of running sessions and is held for a look at it and at their counters: what tells about
 * sessions never waits for one that is started or ended. turn before lock. */

struct running {
    char id[27];
    char name[256], dir[1300];
    char *request;                            /* owned: the request as text */
    char *mission, *operator_, *notes, *tags; /* owned */
    bp_ns_t started_ns;
    bp_ns_t ends_mono; /* 0 = no limit */
    uint64_t max_size; /* 0 = no limit */
    uint32_t outages;
    enum bp_session_class class;
    uint64_t ring_bytes;   /* of the writer; 0 = as configured */
    char *words[4];        /* owned; what custom points at */
    const char *custom[5]; /* "key=value" for metadata.yaml, ending with NULL */
    struct bp_writer *writer;
    struct bp_take *take; /* NULL for a snapshot */
    struct bp_save *save; /* borrowed: of a snapshot, what fills its writer */
    struct bp_select *select;
    struct bp_rules rules[4]; /* by enum bp_rule_kind */
    char trouble[300];        /* [lock] last I/O error, "" when none */
    struct bp_sessions *all;  /* borrowed */
    struct running *next;     /* [lock] */
};

/* What sessions of this life have done; of those that ended in bp_sessions.over. */
struct totals {
    uint64_t started, messages, bytes, file_bytes, segments, journal_bytes, forced, rewrites;
    uint64_t lost[BP_LOSS_N_];
};

struct bp_sessions {
    const struct bp_agent_config *config; /* [turn] a snapshot, with a reference */
    struct bp_recorder *recorder;
    struct bp_catalog *catalog;
    struct bp_bus *bus;
    char dir[1024];
    struct bp_sign_key *device; /* owned; NULL = recordings are not signed */
    unsigned domain;            /* the first one, for names */
    pthread_mutex_t turn, lock;
    struct running *running;        /* [lock] oldest first */
    struct bp_sessions_limit limit; /* [lock] */
    struct totals over;             /* [turn] */
};

/* sessions.c; with `turn` held */
/** Starts recording into `dir`. @param resume  the folder of an interrupted session that goes on
 */
int bp_running_begin(struct bp_sessions *s, const json_t *request, const char *dir, bool resume,
                     uint32_t outages, struct running **ret, struct bp_error *err);
/** The same for a session without a take; `custom` is copied. */
int bp_running_begin_snapshot(struct bp_sessions *s, const json_t *request, const char *dir,
                              const char *const *custom, uint64_t ring_bytes, struct running **ret,
                              struct bp_error *err);
struct running *bp_running_find_locked(struct bp_sessions *s, const char *key);
/** Says why bp_running_find_locked() found none. @return -ENOENT, or BP_EUSAGE: say which */
int bp_running_not_found_locked(const struct bp_sessions *s, const char *key, struct bp_error *err);
/** Waits for the disk and frees; the catalogue knows the outcome. */
int bp_running_end(struct bp_sessions *s, struct running *r, struct bp_error *err);
/** The row of a session that runs. Texts are borrowed from it. */
struct bp_catalog_session bp_running_row(struct running *r);

/** The folder of a new session. */
int bp_sessions_choose_dir(const struct bp_sessions *s, const json_t *request, char *ret,
                           size_t cap, struct bp_error *err);

/* sessions-mark.c */
/** What happened to a session, to those who listen. Without a lock: they may ask us. */
void bp_sessions_tell(struct bp_sessions *s, const char *event, const char *id);

/* sessions-limit.c; with `lock` held */
/** The limit that is in force is put on a session that begins. */
void bp_running_limit_locked(struct bp_sessions *s, struct running *r);

/* sessions-load.c */
int bp_sessions_load(struct bp_sessions *s, struct bp_error *err);
/** Sums of a finished folder into a row: counts, losses, end. @return 0 or a negative code */
int bp_sessions_sum_up(const char *dir, struct bp_catalog_session *row, struct bp_error *err);

/* sessions-json.c */
/** {cause: count, …} of every cause. Owned by the caller. */
json_t *bp_sessions_lost_json(const uint64_t lost[static BP_LOSS_N_]);

/* sessions-metrics.c */
/** Adds what a session has done so far. */
void bp_running_add(struct running *r, struct totals *to);
