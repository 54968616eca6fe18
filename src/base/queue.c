#include "base/queue.h"

#include <errno.h>
#include <stdbool.h>
#include <time.h>

#include "base/mutex.h"

struct bp_queue {
    struct bp_mutex lock;     /* leaf */
    pthread_cond_t change[2]; /* [SIDE_ROOM] an item left, [SIDE_ITEM] an item came; both: closed */
    size_t head;              /* [lock] index of the oldest */
    size_t count;             /* [lock] */
    bool closed;              /* [lock] */
    size_t item_size;         /* constant */
    size_t cap;               /* constant */
    unsigned char items[];
};

enum side { SIDE_ROOM, SIDE_ITEM };

struct bp_queue *bp_queue_new(size_t item_size, size_t cap) {
    struct bp_queue *q;
    pthread_condattr_t attr;

    if (cap == 0 || item_size > (SIZE_MAX - sizeof *q) / cap)
        return NULL;
    q = calloc(1, sizeof *q + item_size * cap);
    if (!q)
        return NULL;

    q->item_size = item_size;
    q->cap = cap;
    bp_mutex_init(&q->lock);
    (void) pthread_condattr_init(&attr);
    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&q->change[SIDE_ROOM], &attr);
    (void) pthread_cond_init(&q->change[SIDE_ITEM], &attr);
    (void) pthread_condattr_destroy(&attr);
    return q;
}

void bp_queue_free(struct bp_queue *q) {
    if (!q)
        return;
    (void) pthread_cond_destroy(&q->change[SIDE_ROOM]);
    (void) pthread_cond_destroy(&q->change[SIDE_ITEM]);
    bp_mutex_done(&q->lock);
    free(q);
}

static bool is_ready_locked(struct bp_queue *q, enum side side) BP_REQUIRES(q->lock);
static bool is_ready_locked(struct bp_queue *q, enum side side) {
    return side == SIDE_ROOM ? q->count < q->cap : q->count > 0;
}

/* Waits for room or for an item. A closed queue still gives items, but has no room. */
static int wait_locked(struct bp_queue *q, enum side side, bp_ns_t wait) BP_REQUIRES(q->lock);
static int wait_locked(struct bp_queue *q, enum side side, bp_ns_t wait) {
    bp_ns_t until = wait > 0 ? bp_mono_ns() + wait : 0;
    struct timespec ts = { .tv_sec = (time_t) (until / BP_SEC),
                           .tv_nsec = (long) (until % BP_SEC) };

    for (;;) {
        if (q->closed && (side == SIDE_ROOM || q->count == 0))
            return -EPIPE;
        if (is_ready_locked(q, side))
            return 0;
        if (wait == BP_QUEUE_NOW)
            return -EAGAIN;
        if (wait < 0)
            bp_mutex_wait(&q->lock, &q->change[side]);
        else if (pthread_cond_timedwait(&q->change[side], &q->lock.m, &ts) == ETIMEDOUT)
            wait = BP_QUEUE_NOW; /* one more look */
    }
}

int bp_queue_put(struct bp_queue *q, const void *item, bp_ns_t wait) {
    int r;

    bp_mutex_lock(&q->lock);
    r = wait_locked(q, SIDE_ROOM, wait);
    if (r == 0) {
        memcpy(q->items + (q->head + q->count) % q->cap * q->item_size, item, q->item_size);
        q->count++;
        (void) pthread_cond_signal(&q->change[SIDE_ITEM]);
    }
    bp_mutex_unlock(&q->lock);
    return r;
}

int bp_queue_take(struct bp_queue *q, void *ret, bp_ns_t wait) {
    int r;

    bp_mutex_lock(&q->lock);
    r = wait_locked(q, SIDE_ITEM, wait);
    if (r == 0) {
        memcpy(ret, q->items + q->head * q->item_size, q->item_size);
        q->head = (q->head + 1) % q->cap;
        q->count--;
        (void) pthread_cond_signal(&q->change[SIDE_ROOM]);
    }
    bp_mutex_unlock(&q->lock);
    return r;
}

void bp_queue_close(struct bp_queue *q) {
    bp_mutex_lock(&q->lock);
    q->closed = true;
    (void) pthread_cond_broadcast(&q->change[SIDE_ROOM]);
    (void) pthread_cond_broadcast(&q->change[SIDE_ITEM]);
    bp_mutex_unlock(&q->lock);
}

size_t bp_queue_length(struct bp_queue *q) {
    size_t n;

    bp_mutex_lock(&q->lock);
    n = q->count;
    bp_mutex_unlock(&q->lock);
    return n;
}
