#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "agent/snapshot.h"
#include "bag/history.h"
#include "record/rules.h"
#include "record/save.h"

/* Inside of snapshots: snapshot.c takes them, snapshot-json.c tells of them.
 *
 * Locks: `turn` is held over starting and merging, which wait for disks; `lock` protects the list
 * and the counters and is held for a look. turn, lock; turn before that of sessions. */

enum {
    MOST_AT_ONCE = 4,
    MOST_STARTS = 1000, /* remembered, for the limit an hour */
};

struct snap { /* a snapshot being saved */
    char id[27];
    struct bp_snapshots *all; /* borrowed */
    struct bp_save *save;     /* owned */
    char *topics;             /* owned */
    bp_ns_t from_mono;
    unsigned merged; /* [lock] triggers besides the first */
    pthread_t thread;
    bool started;
    _Atomic bool done; /* its session is finished */
    struct snap *next; /* [lock] */
};

struct bp_snapshots {
    const struct bp_agent_config *config;
    struct bp_sessions *sessions;
    struct bp_alerts *alerts;
    struct bp_history_store *history; /* NULL: not enabled */
    struct bp_select *select;
    struct bp_rules max_rate, keep_every;
    struct bp_take *take;
    pthread_mutex_t turn, lock;
    struct snap *list;                 /* [lock]; changed with turn held */
    uint64_t started, merged, refused; /* [lock] since the start */
    bp_ns_t starts[MOST_STARTS];       /* [turn] mono, oldest first */
    size_t nstarts;                    /* [turn] */
};
