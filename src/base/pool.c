#include "base/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mutex.h"
#include "base/thread.h"

/* Jobs are numbered from 1 in the order they came. The queue is a ring of `cap` jobs; its oldest
 * has the number taken + 1. Each worker shows the number it works on, so that bp_pool_wait() knows
 * the oldest job that has not ended. */
struct job {
    void (*fn)(void *arg);
    void *arg;
};

struct worker {
    struct bp_pool *pool;
    pthread_t thread;
    uint64_t busy; /* [lock] number of the job at work, 0 = none */
};

struct bp_pool {
    struct bp_mutex lock; /* leaf; jobs run without it */
    pthread_cond_t work;  /* a job came, or the end */
    pthread_cond_t room;  /* a job was taken */
    pthread_cond_t ended; /* a job ended */
    struct job *jobs;     /* [lock] ring */
    uint64_t given;       /* [lock] number of the newest job */
    uint64_t taken;       /* [lock] number of the newest job a worker took */
    bool closing;         /* [lock] */
    size_t cap;           /* constant */
    unsigned count;       /* constant after start */
    struct worker workers[];
};

static void *work(void *arg) {
    struct worker *w = arg;
    struct bp_pool *p = w->pool;

    bp_mutex_lock(&p->lock);
    for (;;) {
        struct job job;

        while (p->given == p->taken && !p->closing)
            bp_mutex_wait(&p->lock, &p->work);
        if (p->given == p->taken)
            break;
        job = p->jobs[p->taken % p->cap];
        w->busy = ++p->taken;
        (void) pthread_cond_signal(&p->room);
        bp_mutex_unlock(&p->lock);

        job.fn(job.arg);

        bp_mutex_lock(&p->lock);
        w->busy = 0;
        (void) pthread_cond_broadcast(&p->ended);
    }
    bp_mutex_unlock(&p->lock);
    return NULL;
}

struct bp_pool *bp_pool_new(const char *name, unsigned threads, unsigned max_queued) {
    BP_CLEANUP(bp_pool_freep)
    struct bp_pool *p = calloc(1, sizeof *p + threads * sizeof p->workers[0]);

    if (!p)
        return NULL;
    bp_mutex_init(&p->lock);
    (void) pthread_cond_init(&p->work, NULL);
    (void) pthread_cond_init(&p->room, NULL);
    (void) pthread_cond_init(&p->ended, NULL);
    p->cap = max_queued ? max_queued : 1;
    p->jobs = calloc(p->cap, sizeof *p->jobs);
    if (!p->jobs)
        return NULL;

    for (; p->count < threads; p->count++) {
        char full[16];

        (void) snprintf(full, sizeof full, "%.12s/%u", name, p->count % 100);
        p->workers[p->count].pool = p;
        if (bp_thread_start(full, work, &p->workers[p->count], &p->workers[p->count].thread) < 0)
            return NULL;
    }
    return BP_TAKE_PTR(p);
}

void bp_pool_run(struct bp_pool *p, void (*fn)(void *arg), void *arg) {
    bp_mutex_lock(&p->lock);
    while (p->given - p->taken == p->cap)
        bp_mutex_wait(&p->lock, &p->room);
    p->jobs[p->given++ % p->cap] = (struct job){ .fn = fn, .arg = arg };
    (void) pthread_cond_signal(&p->work);
    bp_mutex_unlock(&p->lock);
}

static bool has_ended_locked(struct bp_pool *p, uint64_t number) BP_REQUIRES(p->lock);
static bool has_ended_locked(struct bp_pool *p, uint64_t number) {
    if (p->taken < number)
        return false;
    for (unsigned i = 0; i < p->count; i++)
        if (p->workers[i].busy != 0 && p->workers[i].busy <= number)
            return false;
    return true;
}

void bp_pool_wait(struct bp_pool *p) {
    uint64_t until;

    bp_mutex_lock(&p->lock);
    until = p->given;
    while (!has_ended_locked(p, until))
        bp_mutex_wait(&p->lock, &p->ended);
    bp_mutex_unlock(&p->lock);
}

void bp_pool_free(struct bp_pool *p) {
    if (!p)
        return;
    bp_mutex_lock(&p->lock);
    p->closing = true;
    (void) pthread_cond_broadcast(&p->work);
    bp_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        (void) pthread_join(p->workers[i].thread, NULL);
    free(p->jobs);
    (void) pthread_cond_destroy(&p->ended);
    (void) pthread_cond_destroy(&p->room);
    (void) pthread_cond_destroy(&p->work);
    bp_mutex_done(&p->lock);
    free(p);
}
