/* Topics of the graph as channels and sources of each take's writer. */
#include "record/recorder-priv.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "wire/schema.h"

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
static struct bp_channel_def describe_locked(const struct topic *t, struct chan *c, unsigned slot,
                                             char *ns, size_t cap, struct bp_buf *schema) {
    namespace_of(t->graph, ns, cap);
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
        .original_topic = t->renamed ? t->graph : NULL,
        .keyed = t->keyed,
        .priority = t->taps[slot]->priority,
        .budget_bytes = t->taps[slot]->budget_bytes,
        .latched_depth = atomic_load(&t->latched_depth),
    };
}

void bp_recorder_changed_locked(struct bp_recorder *r, struct topic *t, struct chan *c) {
    for (unsigned i = 0; i < BP_TAKES; i++) {
        BP_AUTO_BUF schema = { 0 };
        struct bp_channel_def def;
        char ns[256];

        if (!c->ids[i] || r->takes[i]->stopped)
            continue;
        def = describe_locked(t, c, i, ns, sizeof ns, &schema);
        (void) bp_take_channel_update(r->takes[i], c->ids[i], &def);
    }
}

struct chan *bp_recorder_chan_locked(struct topic *t, const char *hash) {
    BP_AUTO_BUF schema = { 0 };
    struct chan *c;

    /* a writer that tells no hash belongs to whatever is there already */
    for (c = t->chans; c; c = c->next)
        if (!*hash || bp_streq(c->hash, hash))
            return c;

    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    (void) snprintf(c->hash, sizeof c->hash, "%s", hash);
    c->has_definition = known_definition(t, c, &schema);
    c->next = t->chans;
    t->chans = c;
    return c;
}

static uint16_t channel_locked(struct bp_recorder *r, struct topic *t, struct chan *c,
                               const char *node, unsigned slot) {
    BP_AUTO_BUF schema = { 0 };
    struct bp_channel_def def;
    struct bp_error err = { 0 };
    char ns[256];
    int id;

    if (c->ids[slot])
        return c->ids[slot];
    def = describe_locked(t, c, slot, ns, sizeof ns, &schema);
    id = bp_take_channel(r->takes[slot], &def, &err);
    if (id < 0)
        bp_recorder_notice(r, err.text);
    else
        c->ids[slot] = (uint16_t) id;
    if (!c->has_definition && !c->asked && !r->o.no_definitions) {
        c->asked = true;
        bp_recorder_want_locked(r, t, c, node);
    }
    return c->ids[slot];
}

void bp_recorder_share_locked(struct bp_recorder *r, struct source *s, unsigned slot) {
    struct bp_source_def def = { .vendor = s->vendor, .node = s->node };
    const struct bp_take *k = r->takes[slot];
    struct bp_error err = { 0 };

    if (!k || k->stopped)
        return;
    def.channel = channel_locked(r, s->topic, s->chan, s->node, slot);
    if (!def.channel)
        return;
    memcpy(def.guid, s->guid, BP_GUID_LEN);
    s->ids[slot] = bp_take_source(k, &def, &err);
    if (s->ids[slot] < 0)
        bp_recorder_notice(r, err.text);
}

int bp_recorder_definition(struct bp_recorder *r, uint32_t domain, const char *topic,
                           const char *type, struct bp_buf *out) {
    int rc = -ENOENT;

    (void) pthread_mutex_lock(&r->lock);
    for (struct topic *t = r->topics; t && rc < 0; t = t->hh.next) {
        if (t->domain->id != domain || !bp_streq(t->graph, topic) || !bp_streq(t->type, type))
            continue;
        for (const struct chan *c = t->chans; c && rc < 0; c = c->next)
            rc = known_definition(t, c, out) ? 0 : -ENOENT;
    }
    (void) pthread_mutex_unlock(&r->lock);
    return rc;
}
