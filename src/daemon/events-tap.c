/* Who listens from within: a peer of the events that no socket belongs to. */
#include "daemon/events-priv.h"

#include <stdlib.h>

enum { WAITING = 256 }; /* messages that are not heard yet */

struct bp_events_tap {
    struct bp_events *events;
    struct bp_peer peer;
    void (*ready)(void *ctx);
    void *ctx;
    unsigned waiting; /* [atomic] */
};

static void on_ready(struct bp_peer *p) {
    struct bp_events_tap *t = BP_CONTAINER_OF(p, struct bp_events_tap, peer);

    t->ready(t->ctx);
}

static struct bp_frame *on_lost(struct bp_peer *p, struct bp_channel *ch, uint64_t n) {
    (void) p;
    return bp_events_lost(ch, n);
}

struct bp_events_tap *bp_events_tap_open(struct bp_events *e, void (*ready)(void *ctx), void *ctx) {
    static const struct bp_peer_ops ops = { .ready = on_ready, .lost = on_lost };
    struct bp_events_tap *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->events = e;
    t->ready = ready;
    t->ctx = ctx;
    bp_peer_init(&t->peer, e->fanout, &ops, BP_EVENTS_ANSWERS);
    return t;
}

/* Loop thread. */
static void hear(void *a, void *b) {
    struct bp_events_tap *t = a;
    json_t *message = b;

    (void) __atomic_sub_fetch(&t->waiting, 1, __ATOMIC_RELAXED);
    bp_events_hear(t->events, &t->events->all, &t->peer, message, "");
    json_decref(message);
}

bool bp_events_tap_say(struct bp_events_tap *t, json_t *message) {
    if (__atomic_add_fetch(&t->waiting, 1, __ATOMIC_RELAXED) <= WAITING &&
        bp_loop_post(t->peer.loop, hear, t, message) == 0)
        return true;
    (void) __atomic_sub_fetch(&t->waiting, 1, __ATOMIC_RELAXED);
    json_decref(message);
    return false;
}

size_t bp_events_tap_take(struct bp_events_tap *t, struct bp_frame **ret, size_t max,
                          size_t max_bytes) {
    return bp_peer_take(&t->peer, ret, max, max_bytes);
}

/* Loop thread. */
static void end(void *a, void *b) {
    struct bp_events_tap *t = a;

    (void) b;
    bp_peer_done(&t->peer);
    free(t);
}

void bp_events_tap_close(struct bp_events_tap *t, bool wait) {
    if (t && wait)
        bp_loop_call(t->peer.loop, end, t, NULL);
    else if (t)
        bp_loop_post_surely(t->peer.loop, end, t, NULL);
}
