/* Which topics a trigger is about. '*' in a topic stands for the same text in all of the condition:
 * each text, in each domain, is an instance with a state of its own, so that robots are told apart.
 * A topic without '*' is the one of the instance's domain, else of any. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/triggers-priv.h"
#include "base/units.h"
#include "wire/schema.h"

struct graph {
    struct bp_recorder_topic *v;
    size_t n;
};

/* ---- feeds ---- */

static struct feed *feed_get(struct bp_triggers *t, const struct bp_recorder_topic *topic) {
    struct feed *f = t->feeds;

    while (f && !(f->domain == topic->domain && bp_streq(f->topic, topic->graph) &&
                  bp_streq(f->type, topic->type)))
        f = f->next;
    if (f)
        return f;
    f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->all = t;
    f->domain = topic->domain;
    f->topic = strdup(topic->graph);
    f->type = strdup(topic->type);
    if (!f->topic || !f->type) {
        bp_feed_free(f);
        return NULL;
    }
    f->next = t->feeds;
    t->feeds = f;
    return f;
}

void bp_feed_free(struct feed *f) {
    while (f->links) {
        struct link *l = f->links;

        f->links = l->next;
        free(l);
    }
    bp_schema_free(f->schema);
    free(f->topic);
    free(f->type);
    free(f);
}

static void find_schema(struct bp_triggers *t, struct feed *f) {
    BP_AUTO_BUF text = { 0 };

    if (f->schema || bp_recorder_definition(t->o.recorder, f->domain, f->topic, f->type, &text) < 0)
        return;
    if (bp_schema_parse(f->type, "ros2msg", (struct bp_str){ (char *) text.p, text.n }, &f->schema,
                        NULL) < 0)
        f->schema = NULL;
}

static void link_feed(struct feed *f, struct instance *i, size_t ref) {
    const struct bp_expr *e = i->trigger->rule.expr;
    struct link *l = calloc(1, sizeof *l);

    if (!l)
        return;
    *l = (struct link){ i, ref, f->links };
    f->links = l;
    f->fresh = true;
    f->window = BP_MAX(f->window, bp_expr_rate_window(e, ref));
    if (bp_expr_needs_payload(e, ref))
        atomic_store(&f->payload, true);
    i->feeds[ref] = f;
}

/* A watch that opens is shown what is latched; so whoever is linked later gets a new one, opened
 * before the old one is closed, which keeps the subscription. */
static void open_watch(struct bp_triggers *t, struct feed *f) {
    struct bp_watch_opts o = {
        .topic = f->topic, .type = f->type, .fn = bp_feed_on_message, .ctx = f
    };
    struct bp_watch *old = f->watch, *fresh = NULL;

    f->fresh = false;
    if (old && !atomic_load(&f->payload))
        return;
    if (!old) {
        f->nhistory = 0;
        bp_feed_note(f, bp_mono_ns());
    }
    if (bp_watch_open(t->o.recorder, &o, &fresh, NULL) < 0)
        return;
    f->watch = fresh;
    bp_watch_close(old);
}

void bp_feeds_sweep_locked(struct bp_triggers *t) {
    for (struct feed *f = t->feeds; f; f = f->next) {
        if (f->links && f->fresh)
            open_watch(t, f);
        if (f->links || !f->watch)
            continue;
        bp_watch_close(BP_TAKE_PTR(f->watch));
        f->window = 0;
        atomic_store(&f->payload, false);
    }
}

/* The window is looked back upon in steps of a 64th. */
void bp_feed_note(struct feed *f, bp_ns_t now) {
    bp_ns_t step = f->window / 64;

    if (f->nhistory && now - f->history[(f->nhistory - 1) % HISTORY].mono < step)
        return;
    f->history[f->nhistory % HISTORY].mono = now;
    f->history[f->nhistory % HISTORY].count = atomic_load(&f->count);
    f->nhistory++;
}

double bp_feed_rate(const struct feed *f, bp_ns_t now, double seconds) {
    bp_ns_t from = now - (bp_ns_t) (seconds * 1e9);
    size_t oldest = f->nhistory > HISTORY ? f->nhistory - HISTORY : 0;

    for (size_t i = f->nhistory; i-- > oldest;) {
        bp_ns_t mono = f->history[i % HISTORY].mono;

        if (mono <= from)
            return (double) (atomic_load(&f->count) - f->history[i % HISTORY].count) * 1e9 /
                   (double) (now - mono);
    }
    return NAN; /* we have not listened long enough */
}

/* ---- instances ---- */

static void unlink_ref(struct feed *f, const struct instance *i, size_t ref) {
    for (struct link **at = &f->links; *at; at = &(*at)->next)
        if ((*at)->instance == i && (*at)->ref == ref) {
            struct link *l = *at;

            *at = l->next;
            free(l);
            return;
        }
}

static void instance_free(struct instance *i) {
    bp_program_free(i->program);
    bp_state_free(i->state);
    free(i);
}

void bp_instances_drop_locked(struct trigger *g) {
    while (g->instances) {
        struct instance *i = g->instances;

        g->instances = i->next;
        for (size_t k = 0; k < BP_EXPR_MAX_TOPICS; k++)
            if (i->feeds[k])
                unlink_ref(i->feeds[k], i, k);
        instance_free(i);
    }
}

static struct instance *instance_get(struct trigger *g, uint32_t domain, const char *match) {
    struct instance **at = &g->instances, *i;

    for (; *at; at = &(*at)->next)
        if ((*at)->domain == domain && bp_streq((*at)->match, match))
            return *at;
    i = calloc(1, sizeof *i);
    if (!i)
        return NULL;
    i->trigger = g;
    i->domain = domain;
    i->truth = BP_UNKNOWN;
    (void) snprintf(i->match, sizeof i->match, "%s", match);
    i->state = bp_state_new(g->rule.expr);
    if (!i->state) {
        instance_free(i);
        return NULL;
    }
    *at = i;
    return i;
}

static bool has_star(const struct bp_expr *e, size_t ref) {
    return strchr(bp_expr_topic_text(e, ref), '*') != NULL;
}

/* The topic of the graph that is meant: the longest that fits. */
static const struct bp_recorder_topic *best_topic(const struct graph *g, const struct instance *i,
                                                  size_t ref, bool any_domain) {
    const struct bp_expr *e = i->trigger->rule.expr;
    const struct bp_recorder_topic *best = NULL;
    size_t most = 0;

    for (size_t k = 0; k < g->n; k++) {
        char match[MATCH];
        size_t n = any_domain || g->v[k].domain == i->domain
                       ? bp_expr_fits(e, ref, g->v[k].graph, match, sizeof match)
                       : 0;

        if (n > most && (!has_star(e, ref) || bp_streq(match, i->match))) {
            most = n;
            best = &g->v[k];
        }
    }
    return best;
}

/* @return true when a topic was found that was not there before */
static bool bind_topics(struct bp_triggers *t, const struct graph *g, struct instance *i) {
    const struct bp_expr *e = i->trigger->rule.expr;
    bool news = false;

    for (size_t ref = 0; ref < bp_expr_topics(e); ref++) {
        const struct bp_recorder_topic *topic = best_topic(g, i, ref, false);
        struct feed *f = i->feeds[ref];

        if (!topic && !has_star(e, ref))
            topic = best_topic(g, i, ref, true);
        if (topic)
            (void) snprintf(i->robot, sizeof i->robot, "%s", topic->robot);
        if (!topic || (f && f->domain == topic->domain && bp_streq(f->topic, topic->graph)))
            continue;
        if (f) /* a longer name has turned up */
            unlink_ref(f, i, ref);
        f = feed_get(t, topic);
        if (!f)
            continue;
        link_feed(f, i, ref);
        news = true;
    }
    return news;
}

void bp_instance_complain_locked(struct bp_triggers *t, struct instance *i, const char *error) {
    struct firing *f = i->trigger->probe ? NULL : calloc(1, sizeof *f);

    (void) snprintf(i->error, sizeof i->error, "%s", error);
    if (!f)
        return;
    f->trigger = bp_trigger_ref(i->trigger);
    f->broken = true;
    f->end = !*error;
    (void) snprintf(f->match, sizeof f->match, "%s", i->match);
    (void) snprintf(f->text, sizeof f->text, "the condition does not fit: %.*s",
                    (int) strcspn(error, "\n"), error);
    bp_triggers_send(t, f);
}

static void compile(struct bp_triggers *t, struct instance *i, bool news) {
    const struct bp_expr *e = i->trigger->rule.expr;
    struct bp_expr_bound bound[BP_EXPR_MAX_TOPICS] = { 0 };
    struct bp_program *fresh = NULL;
    struct bp_error err = { 0 };

    for (size_t ref = 0; ref < bp_expr_topics(e); ref++) {
        struct feed *f = i->feeds[ref];

        if (!f)
            continue;
        if (!f->schema && bp_expr_needs_payload(e, ref)) {
            find_schema(t, f);
            news |= f->schema != NULL;
        }
        bound[ref] = (struct bp_expr_bound){ f->topic, f->schema };
    }
    if (i->program && !news)
        return;
    if (*i->error && !news)
        return;
    if (bp_program_new(e, bound, &fresh, &err) < 0) {
        bp_instance_complain_locked(t, i, err.text);
        return;
    }
    bp_program_free(i->program);
    i->program = fresh;
    if (*i->error)
        bp_instance_complain_locked(t, i, "");
}

static bool any_star(const struct bp_expr *e) {
    for (size_t ref = 0; ref < bp_expr_topics(e); ref++)
        if (has_star(e, ref))
            return true;
    return false;
}

static void find_instances(const struct graph *g, struct trigger *tr) {
    const struct bp_expr *e = tr->rule.expr;
    bool star = any_star(e);

    if (bp_expr_topics(e) == 0)
        (void) instance_get(tr, 0, "");
    for (size_t ref = 0; ref < bp_expr_topics(e); ref++) {
        if (star && !has_star(e, ref))
            continue;
        for (size_t k = 0; k < g->n; k++) {
            char match[MATCH];

            if (bp_expr_fits(e, ref, g->v[k].graph, match, sizeof match))
                (void) instance_get(tr, g->v[k].domain, match);
        }
    }
}

static int list_graph(struct bp_triggers *t, struct graph *g) {
    size_t n = bp_recorder_topics(t->o.recorder, NULL, 0);

    g->v = calloc(n + 1, sizeof *g->v);
    if (!g->v)
        return -1;
    g->n = BP_MIN(n, bp_recorder_topics(t->o.recorder, g->v, n));
    return 0;
}

void bp_triggers_bind_locked(struct bp_triggers *t) {
    struct graph g = { 0 };

    if (list_graph(t, &g) < 0)
        return;
    t->topics_seen = g.n;
    for (struct trigger *tr = t->triggers; tr; tr = tr->next) {
        if (!tr->enabled)
            continue;
        find_instances(&g, tr);
        for (struct instance *i = tr->instances; i; i = i->next)
            compile(t, i, bind_topics(t, &g, i) || !i->program);
    }
    free(g.v);
    bp_feeds_sweep_locked(t);
}

void bp_triggers_nearest(struct bp_triggers *t, const char *topic, char *ret, size_t cap) {
    struct graph g = { 0 };
    unsigned least = 8; /* changes: a name part too many is near, too */

    *ret = 0;
    if (list_graph(t, &g) < 0)
        return;
    for (size_t k = 0; k < g.n; k++) {
        unsigned d = bp_edit_distance(topic, g.v[k].graph);

        if (d < least && d < strlen(topic) / 2 + 1) {
            least = d;
            (void) snprintf(ret, cap, "%s", g.v[k].graph);
        }
    }
    free(g.v);
}
