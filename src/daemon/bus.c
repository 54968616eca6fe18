#include "daemon/bus.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct bp_bus {
    pthread_rwlock_t lock; /* read over a call of the listeners: unlisten() waits for them */
    struct {
        bp_bus_fn fn;
        void *ctx;
    } listeners[BP_BUS_LISTENERS]; /* [lock] fn NULL = free */
};

struct bp_bus *bp_bus_new(void) {
    struct bp_bus *b = calloc(1, sizeof *b);

    if (b)
        /* glibc's default lets a reader in again while a writer waits: a listener may publish */
        (void) pthread_rwlock_init(&b->lock, NULL);
    return b;
}

void bp_bus_free(struct bp_bus *b) {
    if (!b)
        return;
    (void) pthread_rwlock_destroy(&b->lock);
    free(b);
}

void bp_bus_publish(struct bp_bus *b, const char *topic, json_t *payload) {
    if (!payload)
        return;
    (void) pthread_rwlock_rdlock(&b->lock);
    for (size_t i = 0; i < BP_BUS_LISTENERS; i++)
        if (b->listeners[i].fn)
            b->listeners[i].fn(b->listeners[i].ctx, topic, payload);
    (void) pthread_rwlock_unlock(&b->lock);
    json_decref(payload);
}

/* Puts (fn, ctx) where (was, was_ctx) stands. */
static int exchange(struct bp_bus *b, bp_bus_fn was, const void *was_ctx, bp_bus_fn fn, void *ctx) {
    int r = -EBUSY;

    (void) pthread_rwlock_wrlock(&b->lock);
    for (size_t i = 0; r < 0 && i < BP_BUS_LISTENERS; i++)
        if (b->listeners[i].fn == was && b->listeners[i].ctx == was_ctx) {
            b->listeners[i].fn = fn;
            b->listeners[i].ctx = ctx;
            r = 0;
        }
    (void) pthread_rwlock_unlock(&b->lock);
    return r;
}

int bp_bus_listen(struct bp_bus *b, bp_bus_fn fn, void *ctx) {
    return exchange(b, NULL, NULL, fn, ctx);
}

void bp_bus_unlisten(struct bp_bus *b, bp_bus_fn fn, void *ctx) {
    (void) exchange(b, fn, ctx, NULL, NULL);
}
