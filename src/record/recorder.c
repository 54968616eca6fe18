#include "record/recorder-priv.h"

#include <errno.h>

#include "record/overrides.h"
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

/* A take that begins must not wait for ever while samples stream in; no thread reads twice. */
static void init_gate(pthread_rwlock_t *gate) {
    pthread_rwlockattr_t a;

    (void) pthread_rwlockattr_init(&a);
    (void) pthread_rwlockattr_setkind_np(&a, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void) pthread_rwlock_init(gate, &a);
    (void) pthread_rwlockattr_destroy(&a);
}

int bp_recorder_open(const struct bp_recorder_opts *o, struct bp_recorder **ret,
                     struct bp_error *err) {
    BP_CLEANUP(bp_recorder_closep) struct bp_recorder *r = calloc(1, sizeof *r);
    int k;

    if (!r)
        return bp_fail(err, -ENOMEM, "no memory for the recorder");

    r->o = *o;
    init_gate(&r->gate);
    (void) pthread_mutex_init(&r->lock, NULL);
    (void) pthread_cond_init(&r->wanted, NULL);
    r->robots = bp_robots_new(o->ndomains > 1);
    r->domains = calloc(o->ndomains, sizeof *r->domains);
    if (!r->robots || !r->domains)
        return bp_fail(err, -ENOMEM, "no memory for the recorder");
    for (size_t i = 0; i < o->nrobot_rules; i++) {
        k = bp_robots_add_rule(r->robots, o->robot_rules[i], err);
        if (k < 0)
            return k;
    }
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
        free(s->node);
        free(s);
    }
    HASH_ITER(hh, r->topics, t, next_t) {
        HASH_DEL(r->topics, t);
        bp_recorder_topic_free(t);
    }
}

void bp_recorder_close(struct bp_recorder *r) {
    if (!r)
        return;

    (void) pthread_mutex_lock(&r->lock);
    r->closing = true;
    (void) pthread_mutex_unlock(&r->lock);
    bp_recorder_resolver_stop(r);
    /* ends the subscriptions: no callback runs afterwards */
    for (size_t i = 0; r->domains && i < r->o.ndomains; i++)
        bp_dds_close(BP_TAKE_PTR(r->domains[i].dds));
    free_tables(r);
    bp_nodes_free(r);
    bp_robots_free(r->robots);
    free(r->domains);
    (void) pthread_cond_destroy(&r->wanted);
    (void) pthread_mutex_destroy(&r->lock);
    (void) pthread_rwlock_destroy(&r->gate);
    free(r);
}

void bp_recorder_stats(struct bp_recorder *r, struct bp_recorder_stats *ret) {
    struct bp_recorder_stats st = { .received = atomic_load(&r->received),
                                    .bytes = atomic_load(&r->bytes) };

    (void) pthread_mutex_lock(&r->lock);
    for (struct topic *t = r->topics; t; t = t->hh.next) {
        st.topics += t->writers > 0;
        st.writers += t->writers;
        st.readers += t->sub != NULL;
    }
    (void) pthread_mutex_unlock(&r->lock);

    for (size_t i = 0; i < r->o.ndomains; i++) {
        struct domain *d = &r->domains[i];

        if (d->dds)
            bp_dds_stats(d->dds, &d->last);
        st.endpoints += d->last.endpoints;
        st.udp_drops = BP_MAX(st.udp_drops, d->last.udp_drops); /* the counter is the host's */
    }
    *ret = st;
}

size_t bp_recorder_topics(struct bp_recorder *r, struct bp_recorder_topic *ret, size_t cap) {
    size_t n = 0;

    (void) pthread_mutex_lock(&r->lock);
    for (struct topic *t = r->topics; t; t = t->hh.next, n++)
        if (n < cap) {
            const struct bp_qos *forced = bp_qos_override(r->o.qos_overrides, t->graph);

            ret[n] = (struct bp_recorder_topic){
                .topic = t->name,
                .type = t->type,
                .robot = t->robot,
                .graph = t->graph,
                .domain = t->domain->id,
                .writers = t->writers,
                .takes = (uint32_t) __builtin_popcount(t->mask & ~r->histories),
                .messages = atomic_load(&t->messages),
                .bytes = atomic_load(&t->bytes),
                .last_ns = atomic_load(&t->last_ns),
                .has_definition = t->chans && t->chans->has_definition,
                .subscribed = t->sub != NULL,
                .deaf = t->deaf,
                .nqos = (uint32_t) t->nqos,
                .forced = forced != NULL,
                .requested = forced ? *forced : (struct bp_qos){ 0 },
            };
            memcpy(ret[n].qos, t->qos, sizeof ret[n].qos);
        }
    (void) pthread_mutex_unlock(&r->lock);
    return n;
}
