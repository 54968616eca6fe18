#include "access/throttle.h"

#include <stdbool.h>
#include <stdio.h>

struct entry {
    char key[BP_THROTTLE_KEY];
    unsigned attempts; /* 0 = unused */
    bp_ns_t last;      /* mono */
};

struct bp_throttle {
    size_t max, n;
    struct entry v[];
};

struct bp_throttle *bp_throttle_new(size_t max) {
    struct bp_throttle *t = calloc(1, sizeof *t + max * sizeof t->v[0]);

    if (t)
        t->max = max;
    return t;
}

void bp_throttle_free(struct bp_throttle *t) {
    free(t);
}

static size_t find(const struct bp_throttle *t, const char *key) {
    for (size_t i = 0; i < t->n; i++)
        if (strncmp(t->v[i].key, key, BP_THROTTLE_KEY - 1) == 0)
            return i;
    return t->n;
}

static bp_ns_t pause_after(const struct bp_throttle_rule *rule, unsigned attempts) {
    bp_ns_t wait = rule->first;

    if (attempts < rule->free)
        return 0;
    for (unsigned i = rule->free; i < attempts && wait < rule->most; i++)
        wait *= 2;
    return BP_MIN(wait, rule->most);
}

bp_ns_t bp_throttle_wait(const struct bp_throttle *t, const struct bp_throttle_rule *rule,
                         const char *key, bp_ns_t mono_now) {
    size_t i = find(t, key);
    bp_ns_t wait;

    if (i == t->n || mono_now - t->v[i].last >= rule->forgive)
        return 0;
    wait = t->v[i].last + pause_after(rule, t->v[i].attempts) - mono_now;
    return BP_MAX(wait, 0);
}

void bp_throttle_count(struct bp_throttle *t, const struct bp_throttle_rule *rule, const char *key,
                       bp_ns_t mono_now) {
    size_t i = find(t, key), oldest = 0;

    if (i == t->n && t->n == t->max) {
        for (size_t k = 1; k < t->n; k++)
            if (t->v[k].last < t->v[oldest].last)
                oldest = k;
        t->v[oldest] = t->v[--t->n];
        i = t->n;
    }
    if (i == t->n) {
        t->v[i] = (struct entry){ .last = mono_now };
        (void) snprintf(t->v[i].key, sizeof t->v[i].key, "%s", key);
        t->n++;
    }
    if (mono_now - t->v[i].last >= rule->forgive)
        t->v[i].attempts = 0;
    t->v[i].attempts += t->v[i].attempts < 1000000;
    t->v[i].last = mono_now;
}

void bp_throttle_forgive(struct bp_throttle *t, const char *key, bool all) {
    size_t i = find(t, key);

    if (i == t->n)
        return;
    t->v[i].attempts = all || t->v[i].attempts == 0 ? 0 : t->v[i].attempts - 1;
    if (t->v[i].attempts == 0)
        t->v[i] = t->v[--t->n];
}
