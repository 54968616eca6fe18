/* Takes: which topics a session records, and when it begins and ends to. */
#include "record/recorder-priv.h"

#include <errno.h>

#include "record/robots.h"
#include "record/select.h"

/* What was sent before the stop may still be on its way: half a picture, or a packet to be sent
 * again. A stop must be over within 2 s, so all domains together wait for it no longer than this.
 */
#define ON_ITS_WAY (250 * BP_MS)

/* The last rule that fits wins, as in a config file read from top to bottom. */
static double rule(const struct bp_topic_rule *v, size_t n, const char *topic, double otherwise) {
    for (size_t i = n; i-- > 0;)
        if (bp_topic_match(v[i].pattern, topic))
            return v[i].value;

    return otherwise;
}

/* Without a rule: what control needs outlives what cameras send. */
static enum bp_priority default_priority(const char *type) {
    static const char *const high[] = { "tf2_msgs/msg/TFMessage", "rosgraph_msgs/msg/Clock",
                                        "diagnostic_msgs/msg/DiagnosticArray",
                                        "rcl_interfaces/msg/ParameterEvent",
                                        "rcl_interfaces/msg/Log" };
    static const char *const low[] = { "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage",
                                       "sensor_msgs/msg/PointCloud2" };

    for (size_t i = 0; i < BP_COUNT(high); i++)
        if (bp_streq(type, high[i]))
            return BP_PRIORITY_HIGH;
    for (size_t i = 0; i < BP_COUNT(low); i++)
        if (bp_streq(type, low[i]))
            return BP_PRIORITY_LOW;

    return BP_PRIORITY_NORMAL;
}

static struct tap *tap_new(struct bp_take *k, const struct topic *t) {
    const struct bp_take_opts *o = &k->o;
    struct tap *p = calloc(1, sizeof *p);
    double hz, every;

    if (!p)
        return NULL;
    hz = rule(o->max_rate, o->nmax_rate, t->graph, 0);
    every = rule(o->keep_every, o->nkeep_every, t->graph, 1);
    p->take = k;
    p->min_gap = hz > 0 ? (bp_ns_t) (1e9 / hz) : 0;
    p->keep_every = every >= 1 ? (uint32_t) every : 1;
    p->priority = (enum bp_priority)(int) rule(o->priority, o->npriority, t->graph,
                                               default_priority(t->type));
    p->budget_bytes = (uint64_t) rule(o->budget, o->nbudget, t->graph, 0);
    return p;
}

void bp_take_consider_locked(struct bp_take *k, struct topic *t) {
    if (!bp_select_topic(k->o.select, t->graph, t->type))
        return;
    if (k->o.max_topics && k->topics >= k->o.max_topics) {
        k->refused++;
        return;
    }
    t->taps[k->slot] = tap_new(k, t);
    if (!t->taps[k->slot])
        return;
    t->mask |= 1u << k->slot;
    k->topics++;
}

int bp_recorder_list_locked(struct bp_recorder *r, struct topics *ret) {
    ret->v = calloc(HASH_COUNT(r->topics) + 1, sizeof(struct topic *));
    if (!ret->v)
        return -ENOMEM;
    for (struct topic *t = r->topics; t; t = t->hh.next)
        ret->v[ret->n++] = t;
    return 0;
}

void bp_recorder_tune_all(struct topics *list) {
    for (size_t i = 0; i < list->n; i++)
        bp_recorder_tune(list->v[i]);
    free(list->v);
}

/* All that is in the graph by now; samples wait meanwhile, so that the take has each from here on.
 */
static int join_locked(struct bp_recorder *r, struct bp_take *k, struct topics *list) {
    bp_ns_t now = bp_wall_ns();
    unsigned slot = k->o.history ? BP_TAKES_OF_SESSIONS : 0;
    unsigned end = k->o.history ? BP_TAKES : BP_TAKES_OF_SESSIONS;
    int rc;

    while (slot < end && r->takes[slot])
        slot++;
    if (slot == end)
        return -EBUSY;
    rc = bp_recorder_list_locked(r, list);
    if (rc < 0)
        return rc;
    k->slot = slot;
    r->takes[slot] = k;
    r->histories |= k->o.history ? 1u << slot : 0;
    for (struct topic *t = r->topics; t; t = t->hh.next)
        bp_take_consider_locked(k, t);
    for (struct source *s = r->sources; s; s = s->hh.next)
        if (s->topic->taps[slot])
            bp_recorder_share_locked(r, s, slot);
    for (struct topic *t = r->topics; t; t = t->hh.next)
        if (t->taps[slot] && t->sub)
            bp_latched_replay(t, slot, now);
    return 0;
}

void bp_take_set_limit(struct bp_take *k, enum bp_take_limit limit, bp_ns_t gap) {
    atomic_store(&k->thin_gap, gap);
    atomic_store(&k->limit, limit);
}

int bp_take_open(struct bp_recorder *r, const struct bp_take_opts *o, struct bp_take **ret,
                 struct bp_error *err) {
    struct bp_take *k = calloc(1, sizeof *k);
    struct topics list = { 0 };
    int rc;

    if (!k)
        return bp_fail(err, -ENOMEM, "no memory to record");
    k->o = *o;
    k->rec = r;
    atomic_init(&k->paused, o->start_paused);
    bp_take_set_limit(k, o->limit, o->thin_gap);

    (void) pthread_rwlock_wrlock(&r->gate);
    (void) pthread_mutex_lock(&r->lock);
    rc = join_locked(r, k, &list);
    (void) pthread_mutex_unlock(&r->lock);
    (void) pthread_rwlock_unlock(&r->gate);
    if (rc < 0) {
        free(k);
        return rc == -EBUSY ? bp_fail(err, rc, "%d sessions are being recorded, that is the most",
                                      BP_TAKES_OF_SESSIONS)
                            : bp_fail(err, rc, "no memory to record");
    }
    *ret = k;
    bp_recorder_tune_all(&list);
    return 0;
}

static void settle(struct bp_recorder *r) {
    bp_ns_t end = bp_mono_ns() + ON_ITS_WAY;

    for (size_t i = 0; i < r->o.ndomains; i++)
        if (r->domains[i].dds)
            bp_dds_settle(r->domains[i].dds, BP_MAX(end - bp_mono_ns(), 0));
}

void bp_take_stop(struct bp_take *k) {
    struct bp_recorder *r = k->rec;
    struct topics list = { 0 };

    if (k->stopped)
        return;
    settle(r);
    (void) pthread_rwlock_wrlock(&r->gate);
    (void) pthread_mutex_lock(&r->lock);
    k->stopped = true;
    for (struct topic *t = r->topics; t; t = t->hh.next)
        t->mask &= ~(1u << k->slot);
    (void) bp_recorder_list_locked(r, &list); /* without memory for it they stay subscribed to */
    (void) pthread_mutex_unlock(&r->lock);
    (void) pthread_rwlock_unlock(&r->gate);
    bp_recorder_tune_all(&list);
}

void bp_take_close(struct bp_take *k) {
    struct bp_recorder *r;

    if (!k)
        return;
    r = k->rec;
    bp_take_stop(k);
    (void) pthread_rwlock_wrlock(&r->gate);
    (void) pthread_mutex_lock(&r->lock);
    for (struct topic *t = r->topics; t; t = t->hh.next) {
        free(BP_TAKE_PTR(t->taps[k->slot]));
        for (struct chan *c = t->chans; c; c = c->next)
            c->ids[k->slot] = 0;
    }
    for (struct source *s = r->sources; s; s = s->hh.next) {
        s->ids[k->slot] = -1;
        atomic_store(&s->seen[k->slot], 0);
    }
    r->takes[k->slot] = NULL;
    r->histories &= ~(1u << k->slot);
    (void) pthread_mutex_unlock(&r->lock);
    (void) pthread_rwlock_unlock(&r->gate);
    free(k);
}

void bp_take_pause(struct bp_take *k, bool paused) {
    atomic_store(&k->paused, paused);
}

bool bp_take_paused(const struct bp_take *k) {
    return atomic_load(&k->paused);
}

void bp_take_stats(struct bp_take *k, struct bp_take_stats *ret) {
    struct bp_recorder *r = k->rec;
    struct bp_take_stats st = { .received = atomic_load(&k->received),
                                .bytes = atomic_load(&k->bytes) };

    (void) pthread_mutex_lock(&r->lock);
    st.topics = k->topics;
    st.topics_refused = k->refused;
    for (struct topic *t = r->topics; t; t = t->hh.next)
        st.writers += t->taps[k->slot] ? t->writers : 0;
    (void) pthread_mutex_unlock(&r->lock);
    *ret = st;
}

size_t bp_take_topics(struct bp_take *k, struct bp_take_topic *ret, size_t cap) {
    struct bp_recorder *r = k->rec;
    size_t n = 0;

    (void) pthread_mutex_lock(&r->lock);
    for (struct topic *t = r->topics; t; t = t->hh.next)
        for (struct chan *c = t->chans; c; c = c->next) {
            if (!c->ids[k->slot])
                continue;
            if (n < cap)
                ret[n] = (struct bp_take_topic){
                    .topic = t->name,
                    .type = t->type,
                    .robot = t->robot,
                    .channel = c->ids[k->slot],
                    .writers = t->writers,
                    .has_definition = c->has_definition,
                };
            n++;
        }
    (void) pthread_mutex_unlock(&r->lock);
    return n;
}
