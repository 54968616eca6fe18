#pragma once

#include "net/http.h"

/* Replies that somebody writes from beginning to end, waiting as it likes (for disks, for a
 * network, for the client), on a thread of its own: a bounded buffer stands between it and the loop
 * thread that sends. */
struct bp_pumps; /* all of a server */
struct bp_pump;  /* one reply */

/** @param max  at once, then -EAGAIN (503); @return NULL when out of memory */
struct bp_pumps *bp_pumps_new(unsigned max);
/** The server that sends must be closed: ends what runs, waits for it. Takes NULL. */
void bp_pumps_free(struct bp_pumps *p);
unsigned bp_pumps_active(struct bp_pumps *p);

struct bp_pump_ops {
    /** Writes the reply by bp_pump_write(). @return 0, or a negative code: the connection is cut,
     * so that nobody takes what came for the whole */
    int (*produce)(void *ctx, struct bp_pump *p, struct bp_error *err);
    /** Called once, whatever becomes of it. */
    void (*done)(void *ctx);
};

/**
 * Answers with what `produce` writes. Waits a moment for it to begin, so that what fails at once is
 * told by a status.
 *
 * @param ctx  the ops'; taken over, also on failure
 * @return 0; -EAGAIN when too many run; what `produce` returned when it wrote little or nothing
 */
BP_MUST_CHECK int bp_pump_reply(struct bp_pumps *all, struct bp_http_reply *reply, const char *type,
                                const struct bp_pump_ops *ops, void *ctx, struct bp_error *err);
/** Next bytes; waits for room. @return 0, -ECANCELED when nobody wants them any more */
int bp_pump_write(struct bp_pump *p, const void *data, size_t n);
/** [atomic] true when nobody wants them any more; lives as long as `produce` runs. */
const bool *bp_pump_gone(const struct bp_pump *p);
