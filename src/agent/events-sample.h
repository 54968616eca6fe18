#pragma once

#include "base/error.h"
#include "base/time.h"
#include "net/fanout.h"

struct bp_recorder;

/* Samples of topics as JSON: the events "sample:/topic". A topic is watched while somebody has
 * subscribed to it; it shares its DDS reader with the recording. */
struct bp_samples;

enum { BP_SAMPLES_TOPICS = 64, BP_SAMPLES_NAME = 280, BP_SAMPLES_MAX_BYTES = 256 * 1024 };

/** Rate when none was asked for. */
#define BP_SAMPLES_INTERVAL (BP_SEC / 10)

/** @param recorder, fanout  borrowed, outlive it; @return NULL when out of memory */
struct bp_samples *bp_samples_new(struct bp_recorder *recorder, struct bp_fanout *fanout,
                                  size_t (*stamp)(const struct bp_channel *ch, uint64_t seq,
                                                  char out[BP_STAMP_MAX]));
/** Nobody is subscribed any more. Takes NULL. */
void bp_samples_free(struct bp_samples *s);

/**
 * The channel of "sample:/topic". Any thread; does not wait.
 *
 * @return a reference; NULL: `err` says why
 */
struct bp_channel *bp_samples_channel(struct bp_samples *s, const char *name, struct bp_error *err);
/** Somebody subscribes to it who wants so many: it is decoded as often as the fastest wants.
 *  Channels that are none of ours are left alone. One thread (the loop); does not wait.
 *  @return 0, -EAGAIN when the thread that decodes cannot be started */
BP_MUST_CHECK int bp_samples_want(struct bp_samples *s, const struct bp_channel *ch,
                                  bp_ns_t interval);
