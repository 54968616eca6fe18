#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macro.h"

/* A thread that waits for descriptors and for calls from other threads. What belongs to a loop is
 * touched on its thread only; others reach it by bp_loop_post(). */
struct bp_loop;

/* A descriptor under watch; embedded in what it belongs to. */
struct bp_loop_fd {
    int fd;
    /** Loop thread. `events` as of epoll. May unwatch and free any watched descriptor. */
    void (*on)(struct bp_loop_fd *f, uint32_t events);
};

/* Something to be done once at the end of a round, however often it was asked for; embedded. */
struct bp_loop_task {
    struct bp_loop_task *prev, *next;
    bool queued;
    unsigned round; /* asked for in */
    void (*run)(struct bp_loop_task *t);
};

/* Called about once a second; embedded. */
struct bp_loop_tick {
    struct bp_loop_tick *prev, *next;
    void (*run)(struct bp_loop_tick *t);
};

/** @param name  of the thread
 *  @return 0, -EAGAIN, -EMFILE, -ENOMEM */
BP_MUST_CHECK int bp_loop_open(const char *name, struct bp_loop **ret);
/** Runs what was posted, then ends the thread. Takes NULL. */
void bp_loop_close(struct bp_loop *l);
BP_DEFINE_CLEANUP(struct bp_loop, bp_loop_close)

/**
 * Has fn(a, b) called on the loop's thread; calls run in the order they were posted. Any thread;
 * does not wait.
 *
 * @return 0, -ENOMEM: it will not be called
 */
BP_MUST_CHECK int bp_loop_post(struct bp_loop *l, void (*fn)(void *a, void *b), void *a, void *b);
/** The same; without memory it waits for some: what is posted is soon taken. */
void bp_loop_post_surely(struct bp_loop *l, void (*fn)(void *a, void *b), void *a, void *b);
/** As bp_loop_post(), and returns when it was called. On the loop's own thread it is called at
 *  once. */
void bp_loop_call(struct bp_loop *l, void (*fn)(void *a, void *b), void *a, void *b);
/** Is this the loop's thread? */
bool bp_loop_is_here(const struct bp_loop *l);

/* --- loop thread only --- */

/** @return 0, -errno */
BP_MUST_CHECK int bp_loop_watch(struct bp_loop *l, struct bp_loop_fd *f, uint32_t events);
void bp_loop_change(struct bp_loop *l, struct bp_loop_fd *f, uint32_t events);
/** It is not called again, not even in this round. Before the descriptor is closed. */
void bp_loop_unwatch(struct bp_loop *l, struct bp_loop_fd *f);
/** Runs at the end of this round; asked for while it runs: at the end of the next one. */
void bp_loop_soon(struct bp_loop *l, struct bp_loop_task *t);
/** Takes back what bp_loop_soon() asked for. */
void bp_loop_forget(struct bp_loop *l, struct bp_loop_task *t);
void bp_loop_tick_add(struct bp_loop *l, struct bp_loop_tick *t);
void bp_loop_tick_remove(struct bp_loop *l, struct bp_loop_tick *t);
