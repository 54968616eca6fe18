/* Graph events become topics and sources; topics are subscribed to while a take or a watch wants
 * them. */
#include "record/recorder-priv.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "record/overrides.h"
#include "record/robots.h"
#include "record/select.h"

enum { MAX_LATCHED = 1000, LATCHED_UNKNOWN = 10 };

static const char CLOCK_TYPE[] = "rosgraph_msgs/msg/Clock";

void bp_recorder_notice(const struct bp_recorder *r, const char *text) {
    if (r->o.notice)
        r->o.notice(r->o.ctx, text);
}

static bool name_taken_locked(const struct bp_recorder *r, const char *name,
                              const struct domain *other_than) {
    const struct topic *t;

    for (t = r->topics; t; t = t->hh.next)
        if (t->domain != other_than && bp_streq(t->name, name))
            return true;

    return false;
}

/* With one domain names never change. With several, the later robot's topic gets a prefix. */
static int name_topic_locked(struct bp_recorder *r, struct topic *t, const char *name) {
    BP_AUTO_BUF renamed = { 0 };

    t->robot = bp_robots_of(r->robots, t->domain->id, name);
    t->graph = strdup(name);
    if (r->o.ndomains < 2 || !name_taken_locked(r, name, t->domain)) {
        t->name = strdup(name);
        return t->name && t->graph ? 0 : -ENOMEM;
    }

    bp_buf_printf(&renamed, "/%s%s", t->robot, name);
    t->name = bp_buf_take_cstr(&renamed);
    t->renamed = true;
    return t->name && t->graph ? 0 : -ENOMEM;
}

void bp_recorder_topic_free(struct topic *t) {
    if (!t)
        return;

    while (t->chans) {
        struct chan *c = t->chans;

        t->chans = c->next;
        bp_buf_done(&c->told);
        free(c);
    }
    for (size_t i = 0; i < BP_TAKES; i++)
        free(t->taps[i]);
    while (t->looks) {
        struct look *l = t->looks;

        t->looks = l->next;
        free(l);
    }
    bp_latched_clear(t);
    (void) pthread_mutex_destroy(&t->latched_lock);
    free(t->key);
    free(t->dds_topic);
    free(t->dds_type);
    free(t->graph);
    free(t->name);
    free(t->type);
    free(t->qos_yaml);
    free(t);
}

static struct topic *topic_new_locked(struct domain *d, const struct bp_endpoint *e,
                                      const char *key) {
    struct bp_recorder *r = d->rec;
    struct topic *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;

    t->rec = r;
    t->domain = d;
    t->keyed = e->keyed;
    t->is_clock =
        r->o.use_sim_time && bp_streq(e->topic, "/clock") && bp_streq(e->type, CLOCK_TYPE);
    (void) pthread_mutex_init(&t->latched_lock, NULL);
    t->key = strdup(key);
    t->type = strdup(e->type);
    t->dds_topic = strdup(e->dds_topic);
    t->dds_type = strdup(e->dds_type);
    if (!t->key || !t->type || !t->dds_topic || !t->dds_type ||
        name_topic_locked(r, t, e->topic) < 0) {
        bp_recorder_topic_free(t);
        return NULL;
    }
    HASH_ADD_KEYPTR(hh, r->topics, t->key, strlen(t->key), t);
    for (size_t i = 0; i < BP_TAKES; i++)
        if (r->takes[i] && !r->takes[i]->stopped)
            bp_take_consider_locked(r->takes[i], t); /* nobody is handed its samples yet */
    for (struct bp_watch *w = r->watches; w; w = w->next)
        bp_watch_consider_locked(w, t);
    return t;
}

/* Distinct offered profiles of the topic's writers; true when the text changed. */
static bool add_qos_locked(struct topic *t, const struct bp_qos *q) {
    BP_AUTO_BUF yaml = { 0 };

    for (size_t i = 0; i < t->nqos; i++)
        if (bp_qos_equal(&t->qos[i], q))
            return false;
    if (t->nqos == BP_COUNT(t->qos))
        return false;

    t->qos[t->nqos++] = *q;
    bp_qos_to_yaml(t->qos, t->nqos, 0, &yaml);
    free(t->qos_yaml);
    t->qos_yaml = bp_buf_take_cstr(&yaml);

    /* /rosout is transient local too, but with a lifespan: its old lines are no state to repeat */
    if (q->durability == BP_DURABILITY_TRANSIENT_LOCAL && q->lifespan == BP_QOS_INFINITE) {
        /* the depth of a keyed topic counts per instance, and instances are not ours to tell */
        bool all = t->keyed || q->history == BP_HISTORY_KEEP_ALL;
        uint32_t depth = all                                  ? MAX_LATCHED
                         : q->history == BP_HISTORY_KEEP_LAST ? q->depth
                                                              : LATCHED_UNKNOWN;

        depth = BP_MAX(atomic_load(&t->latched_depth), depth);
        atomic_store(&t->latched_depth, BP_MIN(depth, (uint32_t) MAX_LATCHED));
    }
    return true;
}

struct source *bp_recorder_source_locked(struct bp_recorder *r, struct topic *t,
                                         const uint8_t guid[static BP_GUID_LEN], uint16_t vendor,
                                         const char *node, const char *hash) {
    struct source *s;

    HASH_FIND(hh, r->sources, guid, BP_GUID_LEN, s);
    if (s)
        return s;

    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    memcpy(s->guid, guid, BP_GUID_LEN);
    s->topic = t;
    s->vendor = vendor;
    s->node = strdup(node ? node : "");
    s->chan = bp_recorder_chan_locked(t, hash);
    if (!s->chan || !s->node) {
        free(s->node);
        free(s);
        return NULL;
    }
    for (unsigned i = 0; i < BP_TAKES; i++) {
        s->ids[i] = -1;
        if (t->taps[i])
            bp_recorder_share_locked(r, s, i);
    }
    HASH_ADD(hh, r->sources, guid, BP_GUID_LEN, s);
    return s;
}

void bp_recorder_forget_locked(struct bp_recorder *r, struct source *s) {
    /* latched messages outlive their writer and lead to it */
    if (s->alive || s->heard || atomic_load(&s->topic->latched_depth))
        return;
    for (unsigned i = 0; i < BP_TAKES; i++)
        if (s->ids[i] >= 0 && r->takes[i] &&
            !r->takes[i]->stopped) /* else its writer may be, too */
            bp_take_source_gone(r->takes[i], (uint32_t) s->ids[i]);
    HASH_DEL(r->sources, s);
    free(s->node);
    free(s);
}

static void writer_gone_locked(struct bp_recorder *r, const uint8_t guid[static BP_GUID_LEN]) {
    struct source *s;

    HASH_FIND(hh, r->sources, guid, BP_GUID_LEN, s);
    if (s && s->alive) {
        s->alive = false;
        s->topic->writers--;
        bp_recorder_forget_locked(r, s);
    }
}

/* A namespace became a robot: its topics seen before it did belong to it too. */
static void rename_robots_locked(struct bp_recorder *r) {
    for (struct topic *t = r->topics; t; t = t->hh.next) {
        const char *robot = bp_robots_of(r->robots, t->domain->id, t->graph);

        if (t->renamed || bp_streq(robot, t->robot))
            continue;
        t->robot = robot;
        for (struct chan *c = t->chans; c; c = c->next)
            bp_recorder_changed_locked(r, t, c);
    }
}

/* @return the topic of this writer, or NULL: no memory */
static struct topic *writer_here_locked(struct domain *d, const struct bp_endpoint *e) {
    struct bp_recorder *r = d->rec;
    struct topic *t;
    struct source *s;
    char key[1200];

    (void) snprintf(key, sizeof key, "%u %d %s %s", d->id, e->keyed, e->dds_topic, e->dds_type);
    HASH_FIND_STR(r->topics, key, t);
    if (!t)
        t = topic_new_locked(d, e, key);
    if (!t)
        return NULL;

    if (add_qos_locked(t, &e->qos))
        for (struct chan *c = t->chans; c; c = c->next)
            bp_recorder_changed_locked(r, t, c);
    s = bp_recorder_source_locked(r, t, e->guid, e->vendor, e->node, e->type_hash);
    if (s && !s->alive) {
        s->alive = true;
        t->writers++;
    }
    return t;
}

/* ---- subscriptions ---- */

static struct bp_sub *subscribe(struct topic *t) {
    struct bp_recorder *r = t->rec;
    struct bp_sub_opts o = {
        .dds_topic = t->dds_topic,
        .dds_type = t->dds_type,
        .keyed = t->keyed,
        .force = bp_qos_override(r->o.qos_overrides, t->graph),
        .fn = bp_recorder_on_sample,
        .control = bp_recorder_on_control,
        .missed = bp_recorder_on_missed,
        .parted = bp_recorder_on_parted,
        .ctx = t,
    };
    struct bp_error err = { 0 };
    struct bp_sub *sub = NULL;

    if (bp_dds_subscribe(t->domain->dds, &o, &sub, &err) >= 0)
        return sub;
    bp_recorder_notice(r, err.text);
    return NULL;
}

static bool is_wanted_locked(const struct topic *t) {
    return !t->rec->closing && (t->is_clock || t->mask || t->looks);
}

/* Whoever is at it already looks again before it leaves, so that the last wish counts. */
void bp_recorder_tune(struct topic *t) {
    struct bp_recorder *r = t->rec;

    (void) pthread_mutex_lock(&r->lock);
    while (!t->tuning && !t->deaf && is_wanted_locked(t) == !t->sub) {
        struct bp_sub *sub = BP_TAKE_PTR(t->sub);

        t->tuning = true;
        (void) pthread_mutex_unlock(&r->lock);
        if (sub) {
            bp_sub_close(BP_TAKE_PTR(sub));
            bp_latched_clear(t);
        } else {
            sub = subscribe(t);
        }
        (void) pthread_mutex_lock(&r->lock);
        t->tuning = false;
        t->deaf = !sub && is_wanted_locked(t) && !t->sub;
        t->sub = sub;
    }
    (void) pthread_mutex_unlock(&r->lock);
}

void bp_recorder_on_endpoint(void *domain, const struct bp_endpoint *e) {
    struct domain *d = domain;
    struct bp_recorder *r = d->rec;
    struct topic *t = NULL;
    bool named = false;

    (void) pthread_mutex_lock(&r->lock);
    bp_nodes_see_locked(r, e);
    if (r->closing || e->kind != BP_ENDPOINT_TOPIC) {
        (void) pthread_mutex_unlock(&r->lock);
        return;
    }
    if (e->alive) {
        named = bp_robots_see_topic(r->robots, e->topic);
        if (e->node && *e->node)
            named |= bp_robots_see_node(r->robots, e->node);
    }
    if (e->writer && e->alive && (!r->o.seen || bp_select_topic(r->o.seen, e->topic, e->type)))
        t = writer_here_locked(d, e);
    else if (e->writer)
        writer_gone_locked(r, e->guid);
    if (named)
        rename_robots_locked(r);
    (void) pthread_mutex_unlock(&r->lock);

    if (t)
        bp_recorder_tune(t);
}
