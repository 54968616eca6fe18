#pragma once

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "net/fanout.h"

struct bp_recorder;

/* Pictures or clouds of points as binary frames: the events "image:/topic" and "points:/topic".
 * A topic is watched while somebody has subscribed to it; a frame is made of a message when a
 * viewer has credit, once for all who ask for it by the same name. */
struct bp_streams;

enum {
    BP_STREAMS_MAX = 16,                   /* of different names at once */
    BP_STREAMS_NAME = 300,                 /* bytes of one with its NUL */
    BP_STREAMS_MESSAGE = 32 * 1024 * 1024, /* bytes of a message that is shown */
};

/** Rate when none was asked for. */
#define BP_STREAMS_INTERVAL (BP_SEC / 30)

/** @param recorder, fanout  borrowed, outlive it; @param thread  its name, kept
 *  @return NULL when out of memory */
struct bp_streams *
bp_streams_new(struct bp_recorder *recorder, struct bp_fanout *fanout, const char *thread,
               size_t (*stamp)(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]));
/** Nobody is subscribed any more. Takes NULL. */
void bp_streams_free(struct bp_streams *s);

/**
 * The channel of "image:/topic?width=640". Any thread; does not wait.
 *
 * @return a reference; NULL: `err` says why
 */
struct bp_channel *bp_streams_channel(struct bp_streams *s, const char *name, struct bp_error *err);
/** Somebody subscribes to it who wants so many: the fastest counts. Channels that are none of ours
 *  are left alone. One thread (the loop); does not wait.
 *  @return 0, -EAGAIN when the thread that makes frames cannot be started */
BP_MUST_CHECK int bp_streams_want(struct bp_streams *s, const struct bp_channel *ch,
                                  bp_ns_t interval);
/** What the frames of a channel name as their stream; 0: none of ours. Any thread. */
uint32_t bp_streams_id(struct bp_streams *s, const struct bp_channel *ch);

extern const struct bp_metric bp_streams_metrics[];
extern const size_t bp_streams_metrics_count;
