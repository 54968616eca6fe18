/* Decompression is what reading a compressed recording costs, so the units that come next are
 * loaded on other cores while the caller looks at this one. The order is a plan made beforehand;
 * slot i % SLOTS holds unit i of it. A caller that is faster than the threads loads the next unit
 * itself instead of waiting. Stored chunks are not read ahead: handing their bytes from core to
 * core costs what the copy saves. */
#include "bag/mcap-priv.h"

#include <errno.h>
#include <sched.h>

#include "base/mutex.h"
#include "base/thread.h"

enum {
    MAX_THREADS = 3,
    SLOTS = MAX_THREADS + 2,
    ENOUGH = 4,        /* units */
    BUDGET = 64 << 20, /* bytes of records loaded ahead */
};

enum slot_state {
    SLOT_EMPTY,   /* -> LOADING by whoever takes the plan's next index */
    SLOT_LOADING, /* -> READY by the same thread */
    SLOT_READY,   /* -> EMPTY by the caller, who takes the unit */
};

struct slot {
    enum slot_state state;    /* [lock] */
    struct mcap_open_unit *u; /* owned; by the loading thread while LOADING, else [lock] */
    int result;               /* likewise */
};

struct mcap_ahead {
    const struct mcap_source *m;
    const struct bp_source_filter *f;
    const uint32_t *plan;
    size_t n;
    struct bp_mutex lock; /* leaf */
    pthread_cond_t work;  /* a slot became empty, or the end */
    pthread_cond_t ready; /* a unit was loaded */
    struct slot slots[SLOTS];
    size_t nslots; /* constant */
    size_t next;   /* [lock] the plan's next index that nobody loads yet */
    size_t taken;  /* [lock] the next one the caller takes */
    bool closing;  /* [lock] */
    pthread_t threads[MAX_THREADS];
    unsigned nthreads;
};

static int load(const struct mcap_ahead *a, size_t i, struct mcap_open_unit **u) {
    if (!*u)
        *u = calloc(1, sizeof **u);
    return *u ? mcap_unit_load(a->m, a->f, &a->m->units[a->plan[i]], *u) : -ENOMEM;
}

static void *work(void *arg) {
    struct mcap_ahead *a = arg;

    bp_mutex_lock(&a->lock);
    while (!a->closing) {
        struct slot *s;
        size_t i = a->next;

        if (i == a->n)
            break;
        if (i >= a->taken + a->nslots) {
            bp_mutex_wait(&a->lock, &a->work);
            continue;
        }
        a->next++;
        s = &a->slots[i % a->nslots];
        s->state = SLOT_LOADING;
        bp_mutex_unlock(&a->lock);

        s->result = load(a, i, &s->u);

        bp_mutex_lock(&a->lock);
        s->state = SLOT_READY;
        (void) pthread_cond_signal(&a->ready);
    }
    bp_mutex_unlock(&a->lock);
    return NULL;
}

/* The caller's spare buffers go where the unit was. */
int mcap_ahead_take(struct mcap_ahead *a, struct mcap_open_unit **u) {
    struct mcap_open_unit *spare = *u;
    struct slot *s;
    size_t i;
    int r;

    bp_mutex_lock(&a->lock);
    i = a->taken;
    if (i == a->next) { /* the threads are behind */
        a->next++;
        a->taken++;
        (void) pthread_cond_signal(&a->work);
        bp_mutex_unlock(&a->lock);
        return load(a, i, u);
    }

    s = &a->slots[i % a->nslots];
    while (s->state != SLOT_READY)
        bp_mutex_wait(&a->lock, &a->ready);
    *u = s->u;
    r = s->result;
    s->u = spare;
    s->state = SLOT_EMPTY;
    a->taken++;
    (void) pthread_cond_signal(&a->work);
    bp_mutex_unlock(&a->lock);
    return r;
}

void mcap_ahead_free(struct mcap_ahead *a) {
    if (!a)
        return;

    bp_mutex_lock(&a->lock);
    a->closing = true;
    (void) pthread_cond_broadcast(&a->work);
    bp_mutex_unlock(&a->lock);
    for (unsigned i = 0; i < a->nthreads; i++)
        (void) pthread_join(a->threads[i], NULL);
    for (size_t i = 0; i < a->nslots; i++)
        mcap_unit_free(a->slots[i].u);
    (void) pthread_cond_destroy(&a->work);
    (void) pthread_cond_destroy(&a->ready);
    bp_mutex_done(&a->lock);
    free(a);
}

/* Slots that fit the budget, by the largest unit; 0 = too large to hold any ahead. */
static size_t slots_for(const struct mcap_source *m, const uint32_t *plan, size_t n) {
    uint64_t largest = 1;

    for (size_t i = 0; i < n; i++)
        largest = BP_MAX(largest, m->units[plan[i]].raw);
    return (size_t) BP_MIN((uint64_t) SLOTS, (uint64_t) BUDGET / largest);
}

struct mcap_ahead *mcap_ahead_new(const struct mcap_source *m, const struct bp_source_filter *f,
                                  const uint32_t *plan, size_t n) {
    size_t slots = slots_for(m, plan, n);
    struct mcap_ahead *a;
    cpu_set_t cpus;
    int cores;

    cores = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    if (!(m->codecs_seen & ~(1u << BP_CODEC_NONE)) || n < ENOUGH || slots < 2 || cores < 2)
        return NULL;

    a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->m = m;
    a->f = f;
    a->plan = plan;
    a->n = n;
    a->nslots = slots;
    bp_mutex_init(&a->lock);
    (void) pthread_cond_init(&a->work, NULL);
    (void) pthread_cond_init(&a->ready, NULL);
    while (a->nthreads < MAX_THREADS && a->nthreads + 1 < (unsigned) cores &&
           a->nthreads + 1 < slots &&
           bp_thread_start("mcap-read", work, a, &a->threads[a->nthreads]) >= 0)
        a->nthreads++;
    if (a->nthreads > 0)
        return a;

    mcap_ahead_free(a);
    return NULL;
}
