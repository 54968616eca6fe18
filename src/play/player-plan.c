/* What is published how: from channels of recordings to publications. Channels of one name and type
 * share a publication, whichever recording they are in. */
#include <errno.h>
#include <stdio.h>

#include "bag/bag-ledger.h"
#include "play/player-priv.h"
#include "wire/schema.h"

enum { PROFILES_MAX = 256 };
#define DEPTH_MAX 10000U

static void notice(const struct bp_player *p, const char *fmt, ...) BP_PRINTF(2, 3);

static void notice(const struct bp_player *p, const char *fmt, ...) {
    BP_AUTO_BUF b = { 0 };
    va_list ap;
    const char *text;

    va_start(ap, fmt);
    bp_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    text = bp_buf_cstr(&b);
    if (text && p->opts.notice)
        p->opts.notice(p->opts.ctx, text);
}

/* ---- QoS ---- */

static bp_ns_t shorter(bp_ns_t a, bp_ns_t b) { /* 0 = left to the middleware = infinite */
    a = a > 0 ? a : BP_QOS_INFINITE;
    b = b > 0 ? b : BP_QOS_INFINITE;
    return BP_MIN(a, b);
}

/* Makes `q` an offer that every reader takes which would take `q` or `other`. */
static void strengthen(struct bp_qos *q, const struct bp_qos *other) {
    if (q->reliability != BP_RELIABILITY_RELIABLE)
        q->reliability = other->reliability;
    if (q->durability != BP_DURABILITY_TRANSIENT_LOCAL)
        q->durability = other->durability;
    if (other->history == BP_HISTORY_KEEP_ALL)
        q->history = BP_HISTORY_KEEP_ALL;
    /* several writers' latched messages become one writer's */
    q->depth = BP_MIN(q->depth, DEPTH_MAX) + BP_MIN(other->depth, DEPTH_MAX);
    q->deadline = shorter(q->deadline, other->deadline);
    q->lifespan = q->lifespan > 0 && other->lifespan > 0 ? BP_MAX(q->lifespan, other->lifespan)
                                                         : BP_QOS_INFINITE;
    if (q->liveliness != BP_LIVELINESS_MANUAL)
        q->liveliness = other->liveliness;
    q->lease = shorter(q->lease, other->lease);
}

/* What is unknown or "whatever is best" becomes what ROS nodes use by default. */
static void settle(struct bp_qos *q) {
    if (q->reliability != BP_RELIABILITY_BEST_EFFORT)
        q->reliability = BP_RELIABILITY_RELIABLE;
    if (q->durability != BP_DURABILITY_TRANSIENT_LOCAL)
        q->durability = BP_DURABILITY_VOLATILE;
    if (q->history != BP_HISTORY_KEEP_ALL) {
        q->history = BP_HISTORY_KEEP_LAST;
        q->depth = q->depth ? BP_MIN(q->depth, DEPTH_MAX) : bp_qos_default.depth;
    }
    if (q->liveliness != BP_LIVELINESS_MANUAL)
        q->liveliness = BP_LIVELINESS_AUTOMATIC;
}

static int offered(const struct bp_player *p, const struct bp_bag_channel *c, struct bp_qos *ret) {
    struct bp_qos *v = calloc(PROFILES_MAX, sizeof *v);
    struct bp_error err = { 0 };
    int n;

    if (!v)
        return -ENOMEM;
    *ret = bp_qos_default;
    n = bp_qos_from_yaml(bp_str_of(c->qos_yaml), v, PROFILES_MAX, &err);
    if (n < 0)
        notice(p, "'%s': recorded QoS is not readable (%s), ROS 2's default is used", c->topic,
               err.text);
    if (n > 0)
        *ret = v[0];
    for (int i = 1; i < n; i++)
        strengthen(ret, &v[i]);
    free(v);
    return 0;
}

/* A recorder lists equal profiles once; how many writers there were is in the ledger. */
static uint32_t writers_of(const struct bp_ledger *l, const char *topic) {
    uint32_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += bp_streq(l->v[i]->topic, topic);
    return n ? n : 1;
}

/* A late reader of a keyed latched topic is owed the latest of every instance; our writer knows no
 * instances and keeps all there were, as far as that is sensible. */
static void keep_instances(struct bp_play_topic *t) {
    if (t->keyed && t->latched && !t->fixed)
        t->qos.depth = (uint32_t) BP_MIN(BP_MAX(t->messages, t->qos.depth), DEPTH_MAX);
}

/* A second's worth of messages is kept for readers that must ask for one again. */
static void deepen(struct bp_play_topic *t, bp_ns_t span) {
    double hz = span > 0 ? (double) t->messages * 1e9 / (double) span : 0;

    if (t->qos.history == BP_HISTORY_KEEP_ALL || t->latched || t->fixed ||
        t->qos.reliability != BP_RELIABILITY_RELIABLE)
        return;
    t->qos.depth = BP_MAX(t->qos.depth, (uint32_t) BP_MIN(hz, 1000));
}

/* ---- names ---- */

static const char *prefix_of(const struct bp_play_opts *o, size_t bag, const char *robot) {
    for (size_t i = 0; i < o->nrobot_prefixes; i++)
        if (bp_streq(o->robot_prefixes[i].from, robot))
            return o->robot_prefixes[i].to;
    return o->nprefixes == 0 ? "" : o->prefixes[o->nprefixes == 1 ? 0 : bag];
}

/* @return heap text, NULL when out of memory */
static char *name_of(const struct bp_play_opts *o, size_t bag, const struct bp_bag_channel *c) {
    const char *prefix = prefix_of(o, bag, c->robot), *recorded = c->topic;
    size_t n = strlen(prefix);
    struct bp_buf b = { 0 };

    for (size_t i = 0; i < o->nremaps; i++)
        if (bp_streq(o->remaps[i].from, recorded)) {
            recorded = o->remaps[i].to;
            break;
        }
    while (n > 0 && prefix[n - 1] == '/')
        n--;
    bp_buf_printf(&b, "%s%.*s%s%s", n && prefix[0] != '/' ? "/" : "", (int) n, prefix,
                  recorded[0] == '/' ? "" : "/", recorded);
    return bp_buf_take_cstr(&b);
}

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), k = strlen(tail);

    return n >= k && bp_streq(s + n - k, tail);
}

/* Why a channel is not played; NULL = it is; "" = because nobody asked for it. */
static const char *refusal(const struct bp_player *p, const struct bp_bag_channel *c) {
    if (p->opts.want && !p->opts.want(p->opts.ctx, c->topic, c->type))
        return "";
    if (!bp_streq(c->message_encoding, "cdr"))
        return "its messages are not CDR";
    if (!*c->type || !strchr(c->type, '/'))
        return "its type is not known";
    /* A service call that is played back would be carried out again. */
    if (ends_with(c->topic, "/_service_event") || strstr(c->type, "/srv/"))
        return "services are never played";
    if (bp_starts_with(c->topic, "rq/") || bp_starts_with(c->topic, "rr/"))
        return "services are never played";
    if (p->opts.clock_hz > 0 && bp_streq(c->topic, "/clock"))
        return "--clock makes its own";
    return NULL;
}

/* ---- publications ---- */

static struct bp_play_topic *find(struct bp_player *p, const char *topic, const char *type,
                                  bool keyed) {
    for (size_t i = 0; i < p->ntopics; i++)
        if (bp_streq(p->topics[i].topic, topic) && bp_streq(p->topics[i].type, type) &&
            p->topics[i].keyed == keyed)
            return &p->topics[i];
    return NULL;
}

/* "pkg/Type" is what other tools write. @return heap text */
static char *full_type(const char *type) {
    const char *slash = strchr(type, '/');
    struct bp_buf b = { 0 };

    if (strchr(slash + 1, '/'))
        return strdup(type);
    bp_buf_printf(&b, "%.*s/msg%s", (int) (slash - type), type, slash);
    return bp_buf_take_cstr(&b);
}

/* Takes over both texts. @return the new one, or NULL when out of memory */
static struct bp_play_topic *add(struct bp_player *p, char *topic, char *type) {
    struct bp_play_topic *t = NULL;

    if (topic && type && p->ntopics == p->topics_cap) {
        size_t cap = p->topics_cap ? 2 * p->topics_cap : 64;
        struct bp_play_topic *v = realloc(p->topics, cap * sizeof *v);

        if (v) {
            p->topics = v;
            p->topics_cap = cap;
        }
    }
    if (!topic || !type || p->ntopics == p->topics_cap) {
        free(topic);
        free(type);
        return NULL;
    }
    t = &p->topics[p->ntopics++];
    *t = (struct bp_play_topic){ .topic = topic, .type = type };
    return t;
}

static int set_hash(struct bp_play_topic *t, const struct bp_bag_channel *c) {
    char hash[72] = "";

    if (t->type_hash && *t->type_hash)
        return 0;
    free(t->type_hash);
    if (!*c->type_hash)
        (void) bp_typedb_hash(t->type, hash, NULL); /* without one it is played all the same */
    t->type_hash = strdup(*c->type_hash ? c->type_hash : hash);
    return t->type_hash ? 0 : -ENOMEM;
}

static int plan_channel(struct bp_player *p, size_t bag, const struct bp_bag_channel *c,
                        const struct bp_ledger *ledger) {
    char *topic = name_of(&p->opts, bag, c), *type = full_type(c->type);
    const struct bp_qos *override = p->opts.qos ? p->opts.qos(p->opts.ctx, c->topic) : NULL;
    struct bp_play_topic *t = topic && type ? find(p, topic, type, c->keyed) : NULL;
    struct bp_qos q;

    if (offered(p, c, &q) < 0) {
        free(topic);
        free(type);
        return -ENOMEM;
    }
    if (override)
        q = *override;
    settle(&q);
    if (!override && q.durability == BP_DURABILITY_TRANSIENT_LOCAL)
        q.depth = BP_MIN(q.depth * BP_MIN(writers_of(ledger, c->topic), 100U), DEPTH_MAX);
    if (t) {
        free(topic);
        free(type);
        strengthen(&t->qos, &q);
    } else {
        t = add(p, topic, type);
        if (!t)
            return -ENOMEM;
        t->qos = q;
        t->keyed = c->keyed;
    }
    t->messages += c->messages - c->repeated;
    t->fixed = t->fixed || override;
    t->latched = t->qos.durability == BP_DURABILITY_TRANSIENT_LOCAL;
    p->bags[bag].topic[c->index] = (size_t) (t - p->topics);
    p->bags[bag].wanted[c->index] = true;
    return set_hash(t, c);
}

static int plan_bag(struct bp_player *p, size_t i, struct bp_error *err) {
    struct bp_play_bag *b = &p->bags[i];
    size_t n = bp_bag_get_info(b->bag)->nchannels;
    struct bp_ledger ledger = { 0 };
    int r;

    b->wanted = calloc(n + 1, sizeof *b->wanted);
    b->topic = calloc(n + 1, sizeof *b->topic);
    if (!b->wanted || !b->topic)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_bag_ledger(b->bag, &ledger, err);
    for (size_t k = 0; r >= 0 && k < n; k++) {
        const struct bp_bag_channel *c = bp_bag_channel(b->bag, k);
        const char *why = refusal(p, c);

        if (why && *why)
            notice(p, "'%s' is not played: %s", c->topic, why);
        else if (!why && plan_channel(p, i, c, &ledger) < 0)
            r = bp_fail(err, -ENOMEM, "out of memory");
    }
    bp_ledger_done(&ledger);
    return r;
}

/* ---- the part that is played ---- */

static int set_range(struct bp_player *p, struct bp_error *err) {
    const struct bp_play_opts *o = &p->opts;
    bool any = false;
    bp_ns_t last = 0;

    for (size_t i = 0; i < p->nbags; i++) {
        const struct bp_bag_info *info = bp_bag_get_info(p->bags[i].bag);

        if (info->messages == 0)
            continue;
        if (o->align && any)
            p->bags[i].shift = p->first_ns - info->start_ns;
        p->first_ns = any ? BP_MIN(p->first_ns, info->start_ns + p->bags[i].shift) : info->start_ns;
        last = any ? BP_MAX(last, info->end_ns + p->bags[i].shift) : info->end_ns;
        any = true;
    }
    if (!any)
        return bp_fail(err, -ENOENT, "there are no messages to play");

    p->start_ns = p->first_ns + o->start_offset;
    p->end_ns = last + 1;
    if (o->until > 0)
        p->end_ns = BP_MIN(p->end_ns, p->first_ns + o->until);
    if (o->duration > 0)
        p->end_ns = BP_MIN(p->end_ns, p->start_ns + o->duration);
    if (p->start_ns >= p->end_ns)
        return bp_fail(err, BP_EUSAGE, "the part to be played is empty: the recording lasts %.3f s",
                       (double) (last - p->first_ns) / 1e9);
    return 0;
}

int bp_play_plan(struct bp_player *p, struct bp_error *err) {
    const struct bp_play_opts *o = &p->opts;
    int r = 0;

    if (o->nprefixes > 1 && o->nprefixes != o->npaths)
        return bp_fail(err, BP_EUSAGE, "--prefix: give one, or one per recording (%zu)", o->npaths);
    p->bags = calloc(o->npaths, sizeof *p->bags);
    if (!p->bags)
        return bp_fail(err, -ENOMEM, "out of memory");

    for (size_t i = 0; r >= 0 && i < o->npaths; i++, p->nbags++) {
        r = bp_bag_open(&o->paths[i], 1, &p->bags[i].bag, err);
        if (r < 0)
            return r;
    }
    r = set_range(p, err);
    for (size_t i = 0; r >= 0 && i < p->nbags; i++)
        r = plan_bag(p, i, err);
    if (r >= 0 && p->ntopics == 0)
        return bp_fail(err, -ENOENT, "no topic is left to be played");
    for (size_t i = 0; r >= 0 && i < p->ntopics; i++) {
        deepen(&p->topics[i], p->end_ns - p->start_ns);
        keep_instances(&p->topics[i]);
    }
    return r;
}

void bp_play_plan_done(struct bp_player *p) {
    for (size_t i = 0; i < p->nbags; i++) {
        bp_bag_iter_free(p->bags[i].it);
        bp_bag_close(p->bags[i].bag);
        free(p->bags[i].wanted);
        free(p->bags[i].topic);
    }
    free(p->bags);
    for (size_t i = 0; i < p->ntopics; i++) {
        free(p->topics[i].topic);
        free(p->topics[i].type);
        free(p->topics[i].type_hash);
    }
    free(p->topics);
}
