#pragma once

#include <pthread.h>

#include "agent/retention-plan.h"
#include "agent/retention.h"
#include "base/mutex.h"
#include "catalog/keep.h"

/* Inside of retention: retention.c decides and deletes, retention-json.c tells. */

enum { BP_RETENTION_CLASSES = 2 };

struct bp_retention {
    struct bp_retention_opts o; /* constant */
    const struct bp_io *io;     /* constant */
    pthread_t thread;
    bool started;
    struct bp_clock_watch clock; /* [thread] */
    bool was_idle;               /* [thread] */
    struct bp_mutex lock;        /* leaf */
    pthread_cond_t wake;         /* with lock; monotonic */
    bool stop, kick;             /* [lock] */
    bp_ns_t clock_ok_mono;       /* [lock] from then on ages are believed again */
    bp_ns_t space_ok_mono;       /* [lock] from then on deleting is believed to give space */
    uint64_t deleted[BP_RETENTION_VERDICTS_N_]; /* [lock] sessions; [BP_RETAIN]: by hand */
    uint64_t deleted_bytes, erased_bytes;       /* [lock] */
};

/* What is known of the sessions, and what became of it in a plan. */
struct bp_retention_view {
    struct bp_retention_class classes[BP_RETENTION_CLASSES];
    struct bp_retention_policy policy; /* points to them */
    struct bp_retention_now now;
    bool is_idle;                  /* limits are set, but without an upstream and without
                                      delete_not_uploaded nothing can ever go */
    uint64_t size;                 /* of the disk */
    struct bp_catalog_keep *keep;  /* owned texts, n */
    struct bp_retention_row *rows; /* owned; texts are those of `keep` */
    size_t *order;                 /* owned */
    size_t n, cap;
    struct bp_retention_sums sums;
};

/** Reads the catalogue and plans. Any thread. @param ret  zeroed; release also after a failure */
BP_MUST_CHECK int bp_retention_look(struct bp_retention *r, struct bp_retention_view *ret,
                                    struct bp_error *err);
void bp_retention_view_done(struct bp_retention_view *v);
#define BP_AUTO_VIEW BP_CLEANUP(bp_retention_view_done) struct bp_retention_view
