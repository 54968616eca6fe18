/* A bounded queue from receive threads to one that decodes. Slots wander between three places: the
 * free list, somebody's hands (a copy is being made, or a message handled), and the queue. Only the
 * pointers move under the lock; payloads are copied outside it. When no slot is free the oldest
 * message waiting gives its place up. */
#include "record/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/mutex.h"
#include "base/thread.h"
#include "dds/dds.h"

enum { SLOTS = 64, MAX_MESSAGE = 4 << 20 };

struct slot {
    struct bp_watch_sample s;
    void *tag;
    uint8_t guid[BP_GUID_LEN];
    char node[256];
    uint8_t *cdr; /* owned, `cap` bytes */
    uint32_t cap;
    struct slot *next;
};

struct bp_watch_queue {
    struct bp_watch_queue_opts o;
    struct slot *slots;
    struct bp_mutex lock; /* leaf */
    pthread_cond_t news;  /* with lock; monotonic clock */
    pthread_cond_t done;  /* with lock */
    struct slot *unused;  /* [lock] */
    struct slot *first;   /* [lock] oldest waiting */
    struct slot **last;   /* [lock] where the next one goes */
    unsigned busy;        /* [lock] slots being filled or handled */
    bool ending;          /* [lock] */
    pthread_t thread;
    _Atomic uint64_t dropped;
};

static void append_locked(struct bp_watch_queue *q, struct slot *s) {
    s->next = NULL;
    *q->last = s;
    q->last = &s->next;
}

static struct slot *pop_locked(struct bp_watch_queue *q) {
    struct slot *s = q->first;

    if (!s)
        return NULL;
    q->first = s->next;
    if (!q->first)
        q->last = &q->first;
    return s;
}

static void give_back_locked(struct bp_watch_queue *q, struct slot *s) {
    s->next = q->unused;
    q->unused = s;
    q->busy--;
    if (q->busy == 0)
        (void) pthread_cond_broadcast(&q->done);
}

static void dropped(struct bp_watch_queue *q) {
    atomic_fetch_add_explicit(&q->dropped, 1, memory_order_relaxed);
}

static struct slot *take_slot(struct bp_watch_queue *q) {
    struct slot *s;

    bp_mutex_lock(&q->lock);
    s = q->unused;
    if (s) {
        q->unused = s->next;
    } else {
        s = pop_locked(q);
        dropped(q); /* that message, or this one when all slots are in hands */
    }
    q->busy += s != NULL;
    bp_mutex_unlock(&q->lock);
    return s;
}

static bool fill(struct slot *s, const struct bp_watch_sample *sample, uint32_t n, void *tag) {
    if (s->cap < n) {
        uint32_t cap = BP_ALIGN(n, 256u);
        uint8_t *p = realloc(s->cdr, cap);

        if (!p)
            return false;
        s->cdr = p;
        s->cap = cap;
    }
    bp_watch_copy_part(sample, s->cdr, n);
    s->s = *sample;
    s->s.size = n;
    if (sample->guid) /* the writer may be gone when this is looked at */
        memcpy(s->guid, sample->guid, sizeof s->guid);
    (void) snprintf(s->node, sizeof s->node, "%s", sample->node ? sample->node : "");
    s->s.guid = s->guid;
    s->s.node = s->node;
    s->s.copy = NULL;
    s->s.from = NULL;
    s->tag = tag;
    return true;
}

void bp_watch_queue_put(struct bp_watch_queue *q, const struct bp_watch_sample *sample, void *tag) {
    uint32_t n = q->o.cut ? BP_MIN(sample->size, q->o.cut) : sample->size;
    struct slot *s;
    bool filled;

    if (n > q->o.max_message) {
        dropped(q);
        return;
    }
    s = take_slot(q);
    if (!s)
        return;
    filled = fill(s, sample, n, tag);
    if (!filled)
        dropped(q);

    bp_mutex_lock(&q->lock);
    if (filled) {
        append_locked(q, s);
        q->busy--; /* it waits now */
        (void) pthread_cond_signal(&q->news);
    } else {
        give_back_locked(q, s);
    }
    bp_mutex_unlock(&q->lock);
}

static struct timespec timespec_of(bp_ns_t mono_ns) {
    return (struct timespec){ .tv_sec = mono_ns / BP_SEC, .tv_nsec = mono_ns % BP_SEC };
}

/* The oldest message, or NULL: the tick is due, or it is over. */
static struct slot *wait_locked(struct bp_watch_queue *q, bp_ns_t due) {
    while (!q->ending && !q->first) {
        struct timespec until = timespec_of(due);

        if (!due)
            (void) pthread_cond_wait(&q->news, &q->lock.m);
        else if (pthread_cond_timedwait(&q->news, &q->lock.m, &until) == ETIMEDOUT)
            return NULL;
    }
    return q->ending ? NULL : pop_locked(q);
}

static bool drain_one(struct bp_watch_queue *q, bp_ns_t due) {
    struct slot *s;
    bool ending;

    bp_mutex_lock(&q->lock);
    s = wait_locked(q, due);
    q->busy += s != NULL;
    ending = q->ending;
    bp_mutex_unlock(&q->lock);
    if (!s)
        return !ending;

    q->o.fn(q->o.ctx, &s->s, s->cdr, s->tag);
    bp_mutex_lock(&q->lock);
    give_back_locked(q, s);
    bp_mutex_unlock(&q->lock);
    return true;
}

static void *run(void *arg) {
    struct bp_watch_queue *q = arg;
    bp_ns_t due = q->o.idle ? bp_mono_ns() + q->o.tick : 0;

    while (drain_one(q, due)) {
        if (!due || bp_mono_ns() < due)
            continue;
        q->o.idle(q->o.ctx);
        due = bp_mono_ns() + q->o.tick;
    }
    return NULL;
}

static void queue_free(struct bp_watch_queue *q) {
    for (unsigned i = 0; q->slots && i < q->o.slots; i++)
        free(q->slots[i].cdr);
    free(q->slots);
    bp_mutex_done(&q->lock);
    (void) pthread_cond_destroy(&q->news);
    (void) pthread_cond_destroy(&q->done);
    free(q);
}

int bp_watch_queue_open(const struct bp_watch_queue_opts *o, struct bp_watch_queue **ret,
                        struct bp_error *err) {
    struct bp_watch_queue *q = calloc(1, sizeof *q);
    pthread_condattr_t a;
    int r;

    if (!q)
        return bp_fail(err, -ENOMEM, "out of memory");
    q->o = *o;
    q->o.slots = o->slots ? o->slots : SLOTS;
    q->o.max_message = o->max_message ? o->max_message : MAX_MESSAGE;
    q->last = &q->first;
    bp_mutex_init(&q->lock);
    (void) pthread_condattr_init(&a);
    (void) pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&q->news, &a);
    (void) pthread_condattr_destroy(&a);
    (void) pthread_cond_init(&q->done, NULL);
    q->slots = calloc(q->o.slots, sizeof *q->slots);
    if (!q->slots) {
        queue_free(q);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    for (unsigned i = 0; i < q->o.slots; i++) {
        q->slots[i].next = q->unused;
        q->unused = &q->slots[i];
    }
    r = bp_thread_start(o->name ? o->name : "watch", run, q, &q->thread);
    if (r < 0) {
        queue_free(q);
        return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    }
    *ret = q;
    return 0;
}

void bp_watch_queue_flush(struct bp_watch_queue *q) {
    bp_mutex_lock(&q->lock);
    while (!q->ending && (q->first || q->busy))
        bp_mutex_wait(&q->lock, &q->done);
    bp_mutex_unlock(&q->lock);
}

uint64_t bp_watch_queue_dropped(const struct bp_watch_queue *q) {
    return atomic_load_explicit(&q->dropped, memory_order_relaxed);
}

void bp_watch_queue_close(struct bp_watch_queue *q) {
    if (!q)
        return;
    bp_mutex_lock(&q->lock);
    q->ending = true;
    (void) pthread_cond_signal(&q->news);
    (void) pthread_cond_broadcast(&q->done);
    bp_mutex_unlock(&q->lock);
    (void) pthread_join(q->thread, NULL);
    queue_free(q);
}
