/* Latched messages (transient local: /tf_static, maps, robot descriptions) reach us once, when
 * their topic is subscribed to. A take that begins later must have them, too, so the last ones of
 * each writer are kept while anybody records the topic. */
#include "record/recorder-priv.h"

#include <utlist.h>

/* Of one topic; what is beyond it is not repeated: a recording is no archive of maps. */
enum { MOST_BYTES = 64 << 20 };

struct message {
    struct source *src; /* borrowed, stays until close */
    uint64_t seq;
    bp_ns_t source_ns, recv_ns;
    struct message *prev, *next;
    uint32_t size;
    uint8_t cdr[];
};

struct latched {
    struct message *oldest; /* utlist, oldest first */
    size_t bytes;
};

static void drop(struct latched *l, struct message *m) {
    DL_DELETE(l->oldest, m);
    l->bytes -= m->size;
    free(m);
}

/* The writer's own history is `depth` long, ours is no longer. */
static void make_room(struct latched *l, const struct source *src, uint32_t depth, uint32_t size) {
    struct message *m, *next, *oldest = NULL;
    uint32_t n = 0;

    DL_FOREACH_SAFE(l->oldest, m, next)
    if (m->src == src) {
        oldest = oldest ? oldest : m;
        n++;
    }
    if (n >= depth && oldest)
        drop(l, oldest);
    while (l->oldest && l->bytes + size > MOST_BYTES)
        drop(l, l->oldest);
}

void bp_latched_put(struct topic *t, struct source *src, const struct bp_sample *s) {
    struct message *m;

    if (!s->seq || s->size > MOST_BYTES)
        return;
    m = malloc(sizeof *m + s->size);
    if (!m)
        return;
    m->src = src;
    m->seq = s->seq;
    m->source_ns = s->source_ns;
    m->recv_ns = s->recv_ns;
    m->size = s->size;
    bp_sample_copy(s, m->cdr);

    (void) pthread_mutex_lock(&t->latched_lock);
    if (!t->latched)
        t->latched = calloc(1, sizeof *t->latched);
    if (t->latched) {
        make_room(t->latched, src, atomic_load(&t->latched_depth), s->size);
        DL_APPEND(t->latched->oldest, m);
        t->latched->bytes += m->size;
        m = NULL;
    }
    (void) pthread_mutex_unlock(&t->latched_lock);
    free(m);
}

static void copy_message(const void *ctx, uint8_t *dst) {
    const struct message *m = ctx;

    memcpy(dst, m->cdr, m->size);
}

void bp_latched_replay(struct topic *t, unsigned slot, bp_ns_t log_ns) {
    struct message *m;

    (void) pthread_mutex_lock(&t->latched_lock);
    if (t->latched)
        DL_FOREACH(t->latched->oldest, m) {
            struct bp_accept a = {
                .source = (uint32_t) m->src->ids[slot],
                .seq = m->seq,
                .log_ns = log_ns,
                .publish_ns = m->source_ns > 0 ? m->source_ns : log_ns,
                .size = m->size,
                .copy = copy_message,
                .ctx = m,
            };

            if (m->src->alive && m->src->ids[slot] >= 0)
                bp_take_accept(t->taps[slot]->take, &a);
        }
    (void) pthread_mutex_unlock(&t->latched_lock);
}

static void copy_part(const void *from, uint8_t *dst, size_t n) {
    const struct message *m = from;

    memcpy(dst, m->cdr, n);
}

void bp_latched_show(struct topic *t, struct bp_watch *w) {
    struct message *m;

    (void) pthread_mutex_lock(&t->latched_lock);
    if (t->latched)
        DL_FOREACH(t->latched->oldest, m) {
            struct bp_watch_sample part = {
                .seq = m->seq,
                .source_ns = m->source_ns,
                .recv_ns = m->recv_ns,
                .size = m->size,
                .copy = copy_part,
                .from = m,
            };

            if (m->src->alive)
                bp_watch_show_latched(w, t, m->src, &part);
        }
    (void) pthread_mutex_unlock(&t->latched_lock);
}

void bp_latched_clear(struct topic *t) {
    (void) pthread_mutex_lock(&t->latched_lock);
    while (t->latched && t->latched->oldest)
        drop(t->latched, t->latched->oldest);
    free(BP_TAKE_PTR(t->latched));
    (void) pthread_mutex_unlock(&t->latched_lock);
}
