#pragma once

#include <pthread.h>

#include "base/macro.h"

/**
 * Sets the allocator up for a process that runs for years with some twenty threads, none of which
 * allocates in its hot path: an arena for each thread, and large buffers inside of arenas, would
 * keep memory that others need. Before other threads start.
 */
void bp_memory_for_years(void);

/**
 * Unmaps what only starting has used: pages of code and constants, the program's and its
 * libraries', come back from the page cache when they are used again, and free memory of the heap
 * goes. Once, when a daemon is ready: a third of what it has mapped by then. Any thread.
 */
void bp_memory_settle(void);

/**
 * Starts a named thread with every signal blocked, so that signals arrive at the main thread.
 *
 * @param name  at most 15 characters, cut if longer
 * @param ret   to be joined by the caller
 * @return 0, -EAGAIN when the system has no thread to give
 */
BP_MUST_CHECK int bp_thread_start(const char *name, void *(*fn)(void *arg), void *arg,
                                  pthread_t *ret);
