/* Graph events become topics, channels and sources. */
#include "record/recorder-priv.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "record/overrides.h"
#include "record/robots.h"
#include "record/select.h"
#include "wire/schema.h"

enum { MAX_LATCHED = 1000, LATCHED_UNKNOWN = 10 };

static const char CLOCK_TYPE[] = "rosgraph_msgs/msg/Clock";

void bp_recorder_notice(const struct bp_recorder *r, const char *text) {
    if (r->o.notice)
        r->o.notice(r->o.ctx, text);
}

/* The last rule that fits wins, as in a config file read from top to bottom. */
static double rule(const struct bp_topic_rule *v, size_t n, const char *topic, double otherwise) {
    for (size_t i = n; i-- > 0;)
        if (bp_topic_match(v[i].pattern, topic))
            return v[i].value;

    return otherwise;
}

/* Without a rule: what control needs outlives what cameras send. */
static enum bp_priority default_priority(const char *topic, const char *type) {
    static const char *const high[] = { "tf2_msgs/msg/TFMessage", "rosgraph_msgs/msg/Clock",
                                        "diagnostic_msgs/msg/DiagnosticArray",
                                        "rcl_interfaces/msg/ParameterEvent",
                                        "rcl_interfaces/msg/Log" };
    static const char *const low[] = { "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage",
                                       "sensor_msgs/msg/PointCloud2" };

    (void) topic;
    for (size_t i = 0; i < BP_COUNT(high); i++)
        if (bp_streq(type, high[i]))
            return BP_PRIORITY_HIGH;
    for (size_t i = 0; i < BP_COUNT(low); i++)
        if (bp_streq(type, low[i]))
            return BP_PRIORITY_LOW;

    return BP_PRIORITY_NORMAL;
}

static bool name_taken_locked(const struct bp_recorder *r, const char *name,
                              const struct domain *other_than) {
    const struct topic *t;

    for (t = r->topics; t; t = t->hh.next)
        if (t->recorded && t->domain != other_than && bp_streq(t->name, name))
            return true;

    return false;
}

/* With one domain names never change. With several, the later robot's topic gets a prefix. */
static int name_topic_locked(struct bp_recorder *r, struct topic *t, const char *name) {
    BP_AUTO_BUF renamed = { 0 };

    t->robot = bp_robots_of(r->robots, t->domain->id, name);
    if (r->o.ndomains < 2 || !name_taken_locked(r, name, t->domain)) {
        t->name = strdup(name);
        return t->name ? 0 : -ENOMEM;
    }

    bp_buf_printf(&renamed, "/%s%s", t->robot, name);
    t->name = bp_buf_take_cstr(&renamed);
    t->original = strdup(name);
    return t->name && t->original ? 0 : -ENOMEM;
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
    free(t->key);
    free(t->name);
    free(t->type);
    free(t->original);
    free(t->qos_yaml);
    free(t);
}

static struct topic *topic_new_locked(struct domain *d, const struct bp_endpoint *e,
                                      const char *key, bool recorded) {
    struct bp_recorder *r = d->rec;
    struct topic *t = calloc(1, sizeof *t);
    double hz, every;

    if (!t)
        return NULL;

    t->rec = r;
    t->domain = d;
    t->recorded = recorded;
    t->keyed = e->keyed;
    t->is_clock =
        r->o.use_sim_time && bp_streq(e->topic, "/clock") && bp_streq(e->type, CLOCK_TYPE);
    t->key = strdup(key);
    t->type = strdup(e->type);
    if (!t->key || !t->type || name_topic_locked(r, t, e->topic) < 0) {
        bp_recorder_topic_free(t);
        return NULL;
    }

    hz = rule(r->o.max_rate, r->o.nmax_rate, e->topic, 0);
    t->min_gap = hz > 0 ? (bp_ns_t) (1e9 / hz) : 0;
    every = rule(r->o.keep_every, r->o.nkeep_every, e->topic, 1);
    t->keep_every = every >= 1 ? (uint32_t) every : 1;
    t->priority = (enum bp_priority)(int) rule(r->o.priority, r->o.npriority, e->topic,
                                               default_priority(e->topic, e->type));
    t->budget_bytes = (uint64_t) rule(r->o.budget, r->o.nbudget, e->topic, 0);
    HASH_ADD_KEYPTR(hh, r->topics, t->key, strlen(t->key), t);
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

        t->latched_depth = BP_MIN(BP_MAX(t->latched_depth, depth), (uint32_t) MAX_LATCHED);
    }
    return true;
}

static void namespace_of(const char *topic, char *ns, size_t cap) {
    const char *slash = strrchr(topic, '/');
    size_t n = slash ? (size_t) (slash - topic) : 0;

    (void) snprintf(ns, cap, "%.*s", (int) BP_MIN(n, cap - 1), topic);
    if (!ns[0])
        (void) snprintf(ns, cap, "/");
}

/* The definition we have is right when its hash is what the writer announced; a writer without a
 * hash (before Iron) is believed to mean the common one. */
static bool known_definition(const struct topic *t, const struct chan *c, struct bp_buf *ret) {
    char hash[72];

    if (c->told.n) {
        bp_buf_put(ret, c->told.p, c->told.n);
        return true;
    }
    if (*c->hash && bp_typedb_hash(t->type, hash, NULL) == 0 && !bp_streq(hash, c->hash))
        return false;
    return bp_typedb_text(t->type, ret, NULL) == 0;
}

/* The channel as it is known now; `schema` keeps the text the definition points into. */
static struct bp_channel_def describe_locked(struct topic *t, struct chan *c, char *ns, size_t cap,
                                             struct bp_buf *schema) {
    namespace_of(t->original ? t->original : t->name, ns, cap);
    c->has_definition = known_definition(t, c, schema);
    return (struct bp_channel_def){
        .topic = t->name,
        .type = t->type,
        .schema_encoding = c->has_definition ? "ros2msg" : "",
        .schema = { (const char *) schema->p, schema->n },
        .type_hash = c->hash,
        .qos_yaml = t->qos_yaml ? t->qos_yaml : "",
        .robot = t->robot,
        .ns = ns,
        .domain = t->domain->id,
        .original_topic = t->original,
        .keyed = t->keyed,
        .priority = t->priority,
        .budget_bytes = t->budget_bytes,
        .latched_depth = t->latched_depth,
    };
}

void bp_recorder_channel_changed_locked(struct bp_recorder *r, struct topic *t, struct chan *c) {
    BP_AUTO_BUF schema = { 0 };
    struct bp_channel_def def;
    char ns[256];

    def = describe_locked(t, c, ns, sizeof ns, &schema);
    (void) bp_writer_channel_update(r->o.writer, c->id, &def);
}

static struct chan *channel_locked(struct bp_recorder *r, struct topic *t, const char *hash,
                                   const char *node) {
    BP_AUTO_BUF schema = { 0 };
    struct bp_channel_def def;
    struct bp_error err = { 0 };
    struct chan *c;
    char ns[256];
    int id;

    /* a writer that tells no hash belongs to whatever is there already */
    for (c = t->chans; c; c = c->next)
        if (!*hash || bp_streq(c->hash, hash))
            return c;

    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    (void) snprintf(c->hash, sizeof c->hash, "%s", hash);
    def = describe_locked(t, c, ns, sizeof ns, &schema);
    id = bp_writer_channel(r->o.writer, &def, &err);
    if (id < 0) {
        bp_recorder_notice(r, err.text);
        free(c);
        return NULL;
    }

    c->id = (uint16_t) id;
    c->next = t->chans;
    t->chans = c;
    if (!c->has_definition && !r->o.no_definitions)
        bp_recorder_want_locked(r, t, c, node);
    return c;
}

struct source *bp_recorder_source_locked(struct bp_recorder *r, struct topic *t,
                                         const uint8_t guid[static BP_GUID_LEN], uint16_t vendor,
                                         const char *node, const char *hash) {
    struct bp_source_def def = { .vendor = vendor, .node = node };
    struct source *s;
    struct chan *c;
    int id;

    HASH_FIND(hh, r->sources, guid, BP_GUID_LEN, s);
    if (s)
        return s;

    c = channel_locked(r, t, hash, node);
    s = c ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NULL;

    def.channel = c->id;
    memcpy(def.guid, guid, BP_GUID_LEN);
    id = bp_writer_source(r->o.writer, &def, NULL);
    if (id < 0) {
        free(s);
        return NULL;
    }
    memcpy(s->guid, guid, BP_GUID_LEN);
    s->topic = t;
    s->id = (uint32_t) id;
    HASH_ADD(hh, r->sources, guid, BP_GUID_LEN, s);
    return s;
}

static void writer_gone_locked(struct bp_recorder *r, const uint8_t guid[static BP_GUID_LEN]) {
    struct source *s;

    HASH_FIND(hh, r->sources, guid, BP_GUID_LEN, s);
    if (s && s->alive) {
        s->alive = false;
        s->topic->writers--;
    }
}

/* A namespace became a robot: its topics seen before it did belong to it too. */
static void rename_robots_locked(struct bp_recorder *r) {
    for (struct topic *t = r->topics; t; t = t->hh.next) {
        const char *robot = bp_robots_of(r->robots, t->domain->id, t->name);

        if (t->original || !t->recorded || bp_streq(robot, t->robot))
            continue;
        t->robot = robot;
        for (struct chan *c = t->chans; c; c = c->next)
            bp_recorder_channel_changed_locked(r, t, c);
    }
}

static bool wanted_locked(struct bp_recorder *r, const struct bp_endpoint *e, bool *ret_recorded) {
    *ret_recorded = bp_select_topic(r->o.select, e->topic, e->type);
    if (*ret_recorded && r->o.max_topics && HASH_COUNT(r->topics) >= r->o.max_topics) {
        r->refused++;
        *ret_recorded = false;
    }
    return *ret_recorded ||
           (r->o.use_sim_time && bp_streq(e->topic, "/clock") && bp_streq(e->type, CLOCK_TYPE));
}

/* Returns the topic to subscribe to when this endpoint is its first writer. */
static struct topic *writer_here_locked(struct domain *d, const struct bp_endpoint *e) {
    struct bp_recorder *r = d->rec;
    struct topic *t, *fresh = NULL;
    struct source *s;
    bool recorded, changed;
    char key[1200];

    (void) snprintf(key, sizeof key, "%u %d %s %s", d->id, e->keyed, e->dds_topic, e->dds_type);
    HASH_FIND_STR(r->topics, key, t);
    if (!t) {
        if (!wanted_locked(r, e, &recorded))
            return NULL;
        fresh = t = topic_new_locked(d, e, key, recorded);
        if (!t)
            return NULL;
    }
    if (!t->recorded)
        return fresh;

    changed = add_qos_locked(t, &e->qos);
    s = bp_recorder_source_locked(r, t, e->guid, e->vendor, e->node, e->type_hash);
    if (s && !s->alive) {
        s->alive = true;
        t->writers++;
    }
    for (struct chan *c = t->chans; changed && c; c = c->next)
        bp_recorder_channel_changed_locked(r, t, c);
    return fresh;
}

static void subscribe(struct topic *t, const struct bp_endpoint *e) {
    struct bp_recorder *r = t->rec;
    struct bp_sub_opts o = {
        .dds_topic = e->dds_topic,
        .dds_type = e->dds_type,
        .keyed = e->keyed,
        .force = bp_qos_override(r->o.qos_overrides, e->topic),
        .fn = bp_recorder_on_sample,
        .control = bp_recorder_on_control,
        .missed = bp_recorder_on_missed,
        .ctx = t,
    };
    struct bp_error err = { 0 };
    struct bp_sub *sub = NULL;
    int k = bp_dds_subscribe(t->domain->dds, &o, &sub, &err);

    if (k < 0) {
        bp_recorder_notice(r, err.text);
        return;
    }
    (void) pthread_mutex_lock(&r->lock);
    t->sub = sub;
    (void) pthread_mutex_unlock(&r->lock);
}

void bp_recorder_on_endpoint(void *domain, const struct bp_endpoint *e) {
    struct domain *d = domain;
    struct bp_recorder *r = d->rec;
    struct topic *fresh = NULL;
    bool named = false;

    if (e->kind != BP_ENDPOINT_TOPIC)
        return;

    (void) pthread_mutex_lock(&r->lock);
    if (r->closing) {
        (void) pthread_mutex_unlock(&r->lock);
        return;
    }
    if (e->alive) {
        named = bp_robots_see_topic(r->robots, e->topic);
        if (e->node && *e->node)
            named |= bp_robots_see_node(r->robots, e->node);
    }
    if (e->writer && e->alive)
        fresh = writer_here_locked(d, e);
    else if (e->writer)
        writer_gone_locked(r, e->guid);
    if (named)
        rename_robots_locked(r);
    (void) pthread_mutex_unlock(&r->lock);

    if (fresh)
        subscribe(fresh, e);
}
