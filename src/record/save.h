#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

struct bp_history_store;
struct bp_select;
struct bp_writer;

/* A snapshot being saved: a reader of the history that copies what lies in a window of time into a
 * session's writer, and goes on until the window is over. Before and after the trigger come the
 * same way, so there is no seam: each message once, none between. What the writer cannot take yet
 * waits in the history. */
struct bp_save;

struct bp_save_opts {
    struct bp_history_store *history; /* borrowed, outlives it */
    struct bp_writer *writer;         /* borrowed, outlives it */
    const struct bp_select *select;   /* borrowed, outlives it; NULL = every topic */
    bp_ns_t from_mono, until_mono;    /* the window; log times, see bp_history_mono() */
};

/** Nothing that is in the history now and in the window can be missed from here on, unless memory
 *  runs short while the disk is slow. @return 0, -ENOMEM */
BP_MUST_CHECK int bp_save_open(const struct bp_save_opts *o, struct bp_save **ret,
                               struct bp_error *err);
/** Copies until the window is over or bp_save_halt() is called. One thread, once.
 *  @return 0 or what kept topics from the writer */
BP_MUST_CHECK int bp_save_run(struct bp_save *s, struct bp_error *err);
/** Makes the window longer. @return false when it is over already */
bool bp_save_extend(struct bp_save *s, bp_ns_t until_mono);
/** Ends it now; returns when the writer is no longer used. Any thread. */
void bp_save_halt(struct bp_save *s);
/** After bp_save_run() has returned, or when it never ran. Takes NULL. */
void bp_save_close(struct bp_save *s);
BP_DEFINE_CLEANUP(struct bp_save, bp_save_close)

struct bp_save_stats {
    uint64_t messages, latched; /* handed to the writer */
    uint64_t missed;            /* entries that were let go before they could be copied */
    bp_ns_t until_mono;
    bp_ns_t first_mono, last_mono; /* of messages in the window; 0 = none */
    bool over;
};
void bp_save_stats(struct bp_save *s, struct bp_save_stats *ret);
