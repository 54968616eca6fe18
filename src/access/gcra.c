#include "access/gcra.h"

#include <stdlib.h>
#include <string.h>

#include "base/mutex.h"
#include "crypt/secret.h"

/* Keys are hashed into sets of WAYS entries. The hash is seeded: who chooses keys must not be able
 * to choose whom they push out. */
enum { WAYS = 8 };

struct entry {
    uint64_t hash;
    bp_ns_t due; /* mono: the theoretical arrival time; in the past = owes nothing */
};

struct bp_gcra {
    struct bp_mutex lock; /* leaf */
    uint64_t seed[2];     /* constant */
    size_t sets;          /* constant, a power of two */
    struct entry v[];     /* [lock] */
};

struct bp_gcra *bp_gcra_new(size_t keys) {
    size_t sets = 16;
    struct bp_gcra *g;

    while (sets * WAYS < 2 * keys)
        sets *= 2;
    g = calloc(1, sizeof *g + sets * WAYS * sizeof g->v[0]);
    if (!g || bp_random(g->seed, sizeof g->seed) < 0) {
        free(g);
        return NULL;
    }
    bp_mutex_init(&g->lock);
    g->sets = sets;
    return g;
}

void bp_gcra_free(struct bp_gcra *g) {
    if (!g)
        return;
    bp_mutex_done(&g->lock);
    free(g);
}

static uint64_t mix(uint64_t h) {
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static uint64_t hash_of(const struct bp_gcra *g, const char *key) {
    uint64_t h = g->seed[0];

    for (; *key; key++)
        h = mix(h ^ (uint8_t) *key ^ g->seed[1]);
    return h ? h : 1;
}

/* Its entry, else the one in its set that owes least. */
static struct entry *find_locked(struct bp_gcra *g, uint64_t hash) BP_REQUIRES(g->lock) {
    struct entry *set = &g->v[(hash & (g->sets - 1)) * WAYS], *best = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].hash == hash)
            return &set[i];
        if (set[i].due < best->due)
            best = &set[i];
    }
    return best;
}

static bp_ns_t look(struct bp_gcra *g, const struct bp_gcra_rule *rule, const char *key,
                    bp_ns_t now, bool count) {
    bp_ns_t step, room, due, wait;
    uint64_t hash;
    struct entry *e;

    if (rule->rate <= 0)
        return 0;
    step = (bp_ns_t) (1e9 / rule->rate);
    room = (bp_ns_t) ((double) step * (rule->burst - 1));
    hash = hash_of(g, key);
    bp_mutex_lock(&g->lock);
    e = find_locked(g, hash);
    due = e->hash == hash && e->due > now ? e->due : now;
    wait = due - room - now;
    if (wait <= 0 && count)
        *e = (struct entry){ hash, due + step };
    bp_mutex_unlock(&g->lock);
    return wait > 0 ? wait : 0;
}

bp_ns_t bp_gcra_take(struct bp_gcra *g, const struct bp_gcra_rule *rule, const char *key,
                     bp_ns_t mono_now) {
    return look(g, rule, key, mono_now, true);
}

bp_ns_t bp_gcra_wait(struct bp_gcra *g, const struct bp_gcra_rule *rule, const char *key,
                     bp_ns_t mono_now) {
    return look(g, rule, key, mono_now, false);
}
