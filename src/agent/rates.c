#include "agent/rates.h"

#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = BP_RATES_WINDOW + 1 };

struct count {
    uint64_t messages, bytes;
};

struct bp_rates {
    pthread_mutex_t lock; /* leaf */
    struct slot {
        bp_ns_t mono;    /* [lock] 0 = not used */
        struct count *v; /* [lock] owned, n of them */
        size_t n, cap;   /* [lock] */
    } slots[SLOTS];
    size_t newest; /* [lock] */
};

struct bp_rates *bp_rates_new(void) {
    struct bp_rates *r = calloc(1, sizeof *r);

    if (r)
        (void) pthread_mutex_init(&r->lock, NULL);
    return r;
}

void bp_rates_free(struct bp_rates *r) {
    if (!r)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        free(r->slots[i].v);
    (void) pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Room for n topics; allocates rarely, and nothing that matters waits for the lock. */
static bool reserve(struct slot *s, size_t n) {
    struct count *grown;

    if (n <= s->cap)
        return true;
    grown = realloc(s->v, (n + 64) * sizeof *grown);
    if (!grown)
        return false;
    s->v = grown;
    s->cap = n + 64;
    return true;
}

void bp_rates_tick(struct bp_rates *r, const struct bp_recorder_topic *topics, size_t n,
                   bp_ns_t mono) {
    const struct slot *last;
    struct slot *s;

    (void) pthread_mutex_lock(&r->lock);
    last = &r->slots[r->newest];
    s = &r->slots[(r->newest + 1) % SLOTS];
    if ((!last->mono || mono - last->mono >= 900 * BP_MS) && reserve(s, n)) {
        for (size_t i = 0; i < n; i++)
            s->v[i] = (struct count){ topics[i].messages, topics[i].bytes };
        s->n = n;
        s->mono = mono;
        r->newest = (r->newest + 1) % SLOTS;
    }
    (void) pthread_mutex_unlock(&r->lock);
}

bool bp_rates_get(struct bp_rates *r, size_t i, double *ret_hz, double *ret_bytes) {
    const struct slot *now, *then = NULL;
    bool ok = false;

    (void) pthread_mutex_lock(&r->lock);
    now = &r->slots[r->newest];
    for (size_t k = 1; k < SLOTS && !then; k++) { /* the oldest that knows the topic */
        const struct slot *s = &r->slots[(r->newest + k) % SLOTS];

        then = s->mono && i < s->n ? s : NULL;
    }
    if (then && i < now->n && now->mono > then->mono) {
        double s = (double) (now->mono - then->mono) / 1e9;

        *ret_hz = (double) (now->v[i].messages - then->v[i].messages) / s;
        *ret_bytes = (double) (now->v[i].bytes - then->v[i].bytes) / s;
        ok = true;
    }
    (void) pthread_mutex_unlock(&r->lock);
    return ok;
}
