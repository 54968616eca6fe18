/* Which triggers there are. A changed configuration keeps those that say what they said before,
 * with all they have seen; the others begin anew. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/triggers-priv.h"

struct trigger *bp_trigger_ref(struct trigger *g) {
    atomic_fetch_add(&g->refs, 1);
    return g;
}

void bp_trigger_unref(struct trigger *g) {
    if (!g || atomic_fetch_sub(&g->refs, 1) > 1)
        return;
    bp_trigger_rule_done(&g->rule);
    free(g->source);
    free(g);
}

static void list_free(struct trigger **list) {
    while (*list) {
        struct trigger *g = *list;

        *list = g->next;
        bp_trigger_unref(g);
    }
}

/* Where it stands in the file is no difference. */
static char *source_of(const char *text) {
    json_t *o = json_loads(text, 0, NULL);
    char *source;

    (void) json_object_del(o, "_at");
    source = json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(o);
    return source;
}

static int read_rules(const struct bp_config_list *list, struct trigger **ret,
                      struct bp_error *err) {
    struct bp_trigger_rules rules = { 0 };
    struct trigger **end = ret;
    int r = bp_trigger_rules_parse(list, &rules, err);

    for (size_t i = 0; r == 0 && i < rules.n; i++) {
        struct trigger *g = calloc(1, sizeof *g);

        if (!g) {
            r = bp_fail(err, -ENOMEM, "out of memory");
            break;
        }
        atomic_init(&g->refs, 1);
        g->rule = BP_TAKE(rules.v[i], ((struct bp_trigger_rule){ 0 }));
        g->enabled = g->rule.enabled;
        g->source = source_of(list->v[i]);
        *end = g;
        end = &g->next;
        if (!g->source)
            r = bp_fail(err, -ENOMEM, "out of memory");
    }
    bp_trigger_rules_done(&rules);
    return r;
}

static struct trigger **find(struct trigger **list, const char *name) {
    while (*list && ((*list)->probe || !bp_streq((*list)->rule.name, name)))
        list = &(*list)->next;
    return list;
}

/* Counts go on, as those of a trigger of that name; the session it started is known to the action
 * thread alone. */
static void inherit(struct bp_triggers *t, struct trigger *from, struct trigger *to) {
    struct firing *f = calloc(1, sizeof *f);

    to->fired = from->fired;
    to->suppressed = from->suppressed;
    to->fired_wall = from->fired_wall;
    if (!f)
        return;
    f->trigger = bp_trigger_ref(from);
    f->heir = bp_trigger_ref(to);
    bp_triggers_send(t, f);
}

/* What a new trigger is from now on: itself, or the one that says the same and was there before. */
static struct trigger *settle_locked(struct bp_triggers *t, struct trigger *fresh) {
    struct trigger **at = find(&t->triggers, fresh->rule.name), *old = *at;

    if (!old)
        return fresh;
    *at = old->next;
    if (bp_streq(old->source, fresh->source)) {
        bp_trigger_unref(fresh);
        return old;
    }
    bp_trigger_quit_locked(t, old);
    inherit(t, old, fresh);
    bp_trigger_unref(old);
    return fresh;
}

/* What is left of the old list goes; conditions that are being tried stay. */
static struct trigger *retire_locked(struct bp_triggers *t) {
    struct trigger *probes = NULL;

    while (t->triggers) {
        struct trigger *g = t->triggers;

        t->triggers = g->next;
        if (g->probe) {
            g->next = probes;
            probes = g;
            continue;
        }
        bp_trigger_quit_locked(t, g);
        bp_trigger_unref(g);
    }
    return probes;
}

static void replace_locked(struct bp_triggers *t, struct trigger *fresh) {
    struct trigger *list = NULL, **end = &list, *probes;

    while (fresh) {
        struct trigger *next = fresh->next;

        *end = settle_locked(t, fresh);
        end = &(*end)->next;
        *end = NULL;
        fresh = next;
    }
    probes = retire_locked(t);
    *end = probes;
    t->triggers = list;
    t->facts.wanted = 0;
    for (struct trigger *g = t->triggers; g; g = g->next)
        bp_expr_each_source(g->rule.expr, bp_facts_want, &t->facts);
    t->dirty = true;
}

static int watch_marks(struct bp_triggers *t, const char *topic, struct bp_error *err) {
    struct bp_watch_opts o = {
        .topic = topic, .type = "std_msgs/msg/String", .fn = bp_triggers_on_mark, .ctx = t
    };
    char *copy;

    if (t->mark_topic && bp_streq(t->mark_topic, topic))
        return 0;
    copy = strdup(topic);
    if (!copy)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_watch_close(BP_TAKE_PTR(t->marks));
    free(t->mark_topic);
    t->mark_topic = copy;
    return *copy ? bp_watch_open(t->o.recorder, &o, &t->marks, err) : 0;
}

int bp_triggers_configure(struct bp_triggers *t, const struct bp_config_list *rules,
                          const char *mark_topic, struct bp_error *err) {
    struct trigger *fresh = NULL;
    int r = read_rules(rules, &fresh, err);

    if (r < 0) {
        list_free(&fresh);
        return r;
    }
    (void) pthread_mutex_lock(&t->lock);
    replace_locked(t, fresh);
    if (t->triggers || *mark_topic) /* else nothing wakes up for nothing */
        r = bp_triggers_engine_locked(t, err);
    (void) pthread_mutex_unlock(&t->lock);
    return r < 0 ? r : watch_marks(t, mark_topic, err);
}
