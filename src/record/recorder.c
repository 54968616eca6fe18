#include "record/recorder-priv.h"

#include <errno.h>

#include "record/robots.h"

static void on_notice(void *domain, const char *text) {
    const struct domain *d = domain;

    bp_recorder_notice(d->rec, text);
}

static int open_domains(struct bp_recorder *r, struct bp_error *err) {
    for (size_t i = 0; i < r->o.ndomains; i++) {
        struct domain *d = &r->domains[i];
        struct bp_dds_events ev = { bp_recorder_on_endpoint, on_notice, d };
        struct bp_dds_opts o = { 0 };
        int k = bp_dds_opts_from_env(&o, err);

        if (k < 0)
            return k;

        o.domain = r->o.domains[i];
        /* straight into its place: the graph thread calls back before bp_dds_open() returns */
        k = bp_dds_open(&o, &ev, &d->dds, err);
        if (k < 0) {
            d->dds = NULL;
            return bp_prefix(err, k, "domain %u", o.domain);
        }
    }
    return 0;
}

int bp_recorder_open(const struct bp_recorder_opts *o, struct bp_recorder **ret,
                     struct bp_error *err) {
    BP_CLEANUP(bp_recorder_closep) struct bp_recorder *r = calloc(1, sizeof *r);
    int k;

    if (!r)
        return bp_fail(err, -ENOMEM, "no memory for the recorder");

    r->o = *o;
    (void) pthread_mutex_init(&r->lock, NULL);
    (void) pthread_cond_init(&r->wanted, NULL);
    atomic_init(&r->paused, o->start_paused);
    r->robots = bp_robots_new(o->ndomains > 1);
    r->domains = calloc(o->ndomains, sizeof *r->domains);
    if (!r->robots || !r->domains)
        return bp_fail(err, -ENOMEM, "no memory for the recorder");
    for (size_t i = 0; i < o->ndomains; i++)
        r->domains[i] = (struct domain){ .rec = r, .id = o->domains[i] };

    k = bp_recorder_resolver_start(r);
    if (k < 0)
        return bp_fail(err, k, "cannot start a thread: %s", bp_strerror(k));

    k = open_domains(r, err);
    if (k < 0)
        return k;

    *ret = BP_TAKE_PTR(r);
    return 0;
}

static void free_tables(struct bp_recorder *r) {
    struct topic *t, *next_t;
    struct source *s, *next_s;

    HASH_ITER(hh, r->sources, s, next_s) {
        HASH_DEL(r->sources, s);
        free(s);
    }
    HASH_ITER(hh, r->topics, t, next_t) {
        HASH_DEL(r->topics, t);
        bp_recorder_topic_free(t);
    }
}

/* What was sent before the stop may still be on its way: half a picture, or a packet to be sent
 * again. A stop must be over within 2 s, so all domains together wait for it no longer than this.
 */
#define ON_ITS_WAY (250 * BP_MS)

static void settle(struct bp_recorder *r) {
    bp_ns_t end = bp_mono_ns() + ON_ITS_WAY;

    for (size_t i = 0; r->domains && i < r->o.ndomains; i++)
        if (r->domains[i].dds)
            bp_dds_settle(r->domains[i].dds, BP_MAX(end - bp_mono_ns(), 0));
}

void bp_recorder_stop(struct bp_recorder *r) {
    (void) pthread_mutex_lock(&r->lock);
    r->closing = true;
    (void) pthread_mutex_unlock(&r->lock);

    settle(r);
    bp_recorder_resolver_stop(r);
    for (size_t i = 0; r->domains && i < r->o.ndomains; i++) {
        struct domain *d = &r->domains[i];

        if (d->dds)
            bp_dds_stats(d->dds, &d->last);
        /* ends its subscriptions: no callback runs afterwards */
        bp_dds_close(BP_TAKE_PTR(d->dds));
    }
}

void bp_recorder_close(struct bp_recorder *r) {
    if (!r)
        return;

    bp_recorder_stop(r);
    free_tables(r);
    bp_robots_free(r->robots);
    free(r->domains);
    (void) pthread_cond_destroy(&r->wanted);
    (void) pthread_mutex_destroy(&r->lock);
    free(r);
}

void bp_recorder_pause(struct bp_recorder *r, bool paused) {
    atomic_store(&r->paused, paused);
}

bool bp_recorder_paused(const struct bp_recorder *r) {
    return atomic_load(&r->paused);
}

void bp_recorder_stats(struct bp_recorder *r, struct bp_recorder_stats *ret) {
    struct bp_recorder_stats st = { 0 };

    (void) pthread_mutex_lock(&r->lock);
    for (struct topic *t = r->topics; t; t = t->hh.next) {
        st.topics += t->recorded;
        st.writers += t->writers;
    }
    st.topics_refused = r->refused;
    (void) pthread_mutex_unlock(&r->lock);

    st.received = atomic_load(&r->received);
    st.bytes = atomic_load(&r->bytes);
    for (size_t i = 0; i < r->o.ndomains; i++) {
        struct domain *d = &r->domains[i];

        if (d->dds)
            bp_dds_stats(d->dds, &d->last);
        st.udp_drops = BP_MAX(st.udp_drops, d->last.udp_drops); /* the counter is the host's */
    }
    *ret = st;
}

size_t bp_recorder_topics(struct bp_recorder *r, struct bp_recorder_topic *ret, size_t cap) {
    size_t n = 0;

    (void) pthread_mutex_lock(&r->lock);
    for (struct topic *t = r->topics; t; t = t->hh.next)
        for (struct chan *c = t->chans; c; c = c->next, n++)
            if (n < cap)
                ret[n] = (struct bp_recorder_topic){
                    .topic = t->name,
                    .type = t->type,
                    .robot = t->robot,
                    .channel = c->id,
                    .writers = t->writers,
                    .has_definition = c->has_definition,
                };
    (void) pthread_mutex_unlock(&r->lock);
    return n;
}
