#pragma once

#include <stddef.h>

#include "base/time.h"

/* A bounded queue of small items that are copied in and out, from any threads to any threads. What
 * a thread owns is reached by others through one of these. A full queue is the caller's matter:
 * wait, or drop and count. Closing it is how the taker learns of the end: what is queued is still
 * handed out, nothing more is taken in. */
struct bp_queue;

/** @param item_size  bytes of an item; @param cap  items, at least 1; @return NULL: out of memory
 */
struct bp_queue *bp_queue_new(size_t item_size, size_t cap);
/** Nobody may be inside a call. Items still queued are forgotten. Takes NULL. */
void bp_queue_free(struct bp_queue *q);
BP_DEFINE_CLEANUP(struct bp_queue, bp_queue_free)

enum { BP_QUEUE_NOW = 0, BP_QUEUE_FOREVER = -1 };

/**
 * @param item  copied
 * @param wait  how long to wait for room, or BP_QUEUE_NOW, BP_QUEUE_FOREVER
 * @return 0, -EAGAIN when there is no room (in time), -EPIPE when the queue is closed
 */
BP_MUST_CHECK int bp_queue_put(struct bp_queue *q, const void *item, bp_ns_t wait);
/**
 * @param ret   the oldest item
 * @param wait  as above
 * @return 0, -EAGAIN when nothing came (in time), -EPIPE when the queue is closed and empty
 */
BP_MUST_CHECK int bp_queue_take(struct bp_queue *q, void *ret, bp_ns_t wait);
/** Wakes everybody who waits. May be called again. */
void bp_queue_close(struct bp_queue *q);
/** Items queued now. */
size_t bp_queue_length(struct bp_queue *q);
