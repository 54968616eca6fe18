/* Watches: who looks at which topic. A watch is one link per topic it fits; links are changed with
 * the gate held for writing, or before anybody is handed samples of the topic. */
#include "record/watch.h"

#include <errno.h>

#include "record/recorder-priv.h"
#include "record/select.h"

static void copy_sample(const void *from, uint8_t *dst, size_t n) {
    bp_sample_copy_part(from, dst, n);
}

void bp_watch_copy(const struct bp_watch_sample *s, uint8_t *dst) {
    s->copy(s->from, dst, s->size);
}

void bp_watch_copy_part(const struct bp_watch_sample *s, uint8_t *dst, size_t n) {
    s->copy(s->from, dst, n);
}

static bool fits(const struct bp_watch *w, const struct topic *t) {
    return (bp_topic_match(w->topic, t->graph) || bp_topic_match(w->topic, t->name)) &&
           (!w->type || bp_topic_match(w->type, t->type));
}

void bp_watch_consider_locked(struct bp_watch *w, struct topic *t) {
    struct look *l;

    if (!fits(w, t))
        return;
    l = calloc(1, sizeof *l);
    if (!l)
        return;
    l->watch = w;
    l->next = t->looks;
    t->looks = l;
    w->topics++;
}

/* The gate is held. */
static void show(struct look *l, const struct bp_watch_sample *s, bp_ns_t now) {
    struct bp_watch *w = l->watch;

    if (w->min_gap > 0 && !bp_recorder_within_rate(&l->next_ns, w->min_gap, now)) {
        atomic_fetch_add_explicit(&w->skipped, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&w->messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&w->bytes, s->size, memory_order_relaxed);
    w->fn(w->ctx, s);
}

static struct bp_watch_sample about(struct topic *t, const struct source *src) {
    return (struct bp_watch_sample){
        .topic = t->name,
        .graph = t->graph,
        .type = t->type,
        .robot = t->robot,
        .node = src->node,
        .hash = src->chan->hash,
        .domain = t->domain->id,
        .guid = src->guid,
    };
}

void bp_watch_show(struct topic *t, const struct source *src, const struct bp_sample *s) {
    struct bp_watch_sample m = about(t, src);

    m.seq = s->seq;
    m.source_ns = s->source_ns;
    m.recv_ns = s->recv_ns;
    m.latched = s->history;
    m.size = s->size;
    m.copy = copy_sample;
    m.from = s;
    for (struct look *l = t->looks; l; l = l->next)
        show(l, &m, s->recv_ns);
}

/* What a latched topic that others hear has said so far. */
static void repeat(struct topic *t, struct bp_watch *w) {
    struct look *l = t->looks;

    while (l && l->watch != w)
        l = l->next;
    if (l)
        bp_latched_show(t, w);
}

void bp_watch_show_latched(struct bp_watch *w, struct topic *t, const struct source *src,
                           struct bp_watch_sample *part) {
    struct bp_watch_sample m = about(t, src);

    m.seq = part->seq;
    m.source_ns = part->source_ns;
    m.recv_ns = part->recv_ns;
    m.latched = true;
    m.size = part->size;
    m.copy = part->copy;
    m.from = part->from;
    atomic_fetch_add_explicit(&w->messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&w->bytes, m.size, memory_order_relaxed);
    w->fn(w->ctx, &m);
}

static void watch_free(struct bp_watch *w) {
    free(w->topic);
    free(w->type);
    free(w);
}

static int join_locked(struct bp_recorder *r, struct bp_watch *w, struct topics *list) {
    int rc = bp_recorder_list_locked(r, list);

    if (rc < 0)
        return rc;
    w->next = r->watches;
    r->watches = w;
    for (struct topic *t = r->topics; t; t = t->hh.next)
        bp_watch_consider_locked(w, t);
    for (struct topic *t = r->topics; t; t = t->hh.next)
        if (t->sub)
            repeat(t, w);
    return 0;
}

int bp_watch_open(struct bp_recorder *r, const struct bp_watch_opts *o, struct bp_watch **ret,
                  struct bp_error *err) {
    struct bp_watch *w = calloc(1, sizeof *w);
    struct topics list = { 0 };
    int rc = -ENOMEM;

    if (!w)
        return bp_fail(err, -ENOMEM, "out of memory");
    w->rec = r;
    w->fn = o->fn;
    w->ctx = o->ctx;
    w->min_gap = o->max_hz > 0 ? (bp_ns_t) (1e9 / o->max_hz) : 0;
    w->topic = strdup(o->topic);
    w->type = o->type ? strdup(o->type) : NULL;
    if (w->topic && (w->type || !o->type)) {
        (void) pthread_rwlock_wrlock(&r->gate);
        (void) pthread_mutex_lock(&r->lock);
        rc = join_locked(r, w, &list);
        (void) pthread_mutex_unlock(&r->lock);
        (void) pthread_rwlock_unlock(&r->gate);
    }
    if (rc < 0) {
        watch_free(w);
        return bp_fail(err, rc, "out of memory");
    }
    bp_recorder_tune_all(&list);
    *ret = w;
    return 0;
}

static void leave_locked(struct bp_watch *w) {
    for (struct topic *t = w->rec->topics; t; t = t->hh.next)
        for (struct look **at = &t->looks; *at; at = &(*at)->next)
            if ((*at)->watch == w) {
                struct look *l = *at;

                *at = l->next;
                free(l);
                break;
            }
    for (struct bp_watch **at = &w->rec->watches; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
}

void bp_watch_close(struct bp_watch *w) {
    struct topics list = { 0 };
    struct bp_recorder *r;

    if (!w)
        return;
    r = w->rec;
    (void) pthread_rwlock_wrlock(&r->gate);
    (void) pthread_mutex_lock(&r->lock);
    leave_locked(w);
    (void) bp_recorder_list_locked(r, &list); /* without memory for it they stay subscribed to */
    (void) pthread_mutex_unlock(&r->lock);
    (void) pthread_rwlock_unlock(&r->gate);
    bp_recorder_tune_all(&list);
    watch_free(w);
}

void bp_watch_stats(struct bp_watch *w, struct bp_watch_stats *ret) {
    *ret = (struct bp_watch_stats){
        .messages = atomic_load(&w->messages),
        .bytes = atomic_load(&w->bytes),
        .skipped = atomic_load(&w->skipped),
    };
    (void) pthread_mutex_lock(&w->rec->lock);
    ret->topics = w->topics;
    (void) pthread_mutex_unlock(&w->rec->lock);
}
