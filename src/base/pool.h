#pragma once

#include "base/macro.h"

/* A fixed set of named threads that run jobs in the order they were handed in. */
struct bp_pool;

/** @param name  thread name, at most 12 characters; @return NULL when threads cannot be made */
struct bp_pool *bp_pool_new(const char *name, unsigned threads, unsigned max_queued);
/** Hands in a job; waits while max_queued are waiting. Any thread but the pool's own. */
void bp_pool_run(struct bp_pool *p, void (*fn)(void *arg), void *arg);
/** Waits until every job handed in before has ended. */
void bp_pool_wait(struct bp_pool *p);
/** Runs what is queued, then joins. Takes NULL. */
void bp_pool_free(struct bp_pool *p);
BP_DEFINE_CLEANUP(struct bp_pool, bp_pool_free)
