#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/triggers-priv.h"
#include "base/json-value.h"
#include "base/metrics.h"

json_t *bp_instance_values(const struct instance *i, bool as_text) {
    json_t *o = json_object();
    struct bp_expr_value v;
    char key[200], text[40];

    for (size_t k = 0; i->program && bp_program_value(i->program, i->state, k, &v); k++) {
        bool known = isfinite(v.value);
        json_t *value;

        (void) snprintf(key, sizeof key, "%.*s", (int) BP_MIN(v.text.n, (size_t) 190), v.text.p);
        (void) snprintf(text, sizeof text, "%.6g", v.value);
        if (!known)
            value = as_text ? json_string("unknown") : json_null();
        else if (v.is_bool)
            value =
                as_text ? json_string(v.value != 0 ? "true" : "false") : json_boolean(v.value != 0);
        else
            value = as_text ? json_string(text) : json_real(v.value);
        (void) json_object_set_new(o, key, value);
    }
    return o;
}

static json_t *topics_json(const struct instance *i) {
    const struct bp_expr *e = i->trigger->rule.expr;
    json_t *list = json_array();

    for (size_t ref = 0; ref < bp_expr_topics(e); ref++) {
        const struct feed *f = i->feeds[ref];
        const char *text = bp_expr_topic_text(e, ref);

        if (f)
            (void) json_array_append_new(
                list, json_pack("{s:s, s:s, s:s, s:I, s:b}", "as", text, "topic", f->topic, "type",
                                f->type, "messages", (json_int_t) atomic_load(&f->count),
                                "has_definition", (int) (f->schema != NULL)));
        else
            (void) json_array_append_new(list, json_pack("{s:s, s:n}", "as", text, "topic"));
    }
    return list;
}

json_t *bp_instance_json(const struct instance *i) {
    static const char *const phases[] = { "idle", "pending", "active" };
    static const char *const truths[] = { "false", "true", "unknown" };
    json_t *o = json_pack(
        "{s:s, s:s, s:i, s:s, s:s, s:o, s:o, s:I, s:I}", "robot", i->robot, "match", i->match,
        "domain", (int) i->domain, "state", *i->error ? "error" : phases[i->phase], "condition",
        truths[i->truth], "values", bp_instance_values(i, false), "topics", topics_json(i),
        "messages", (json_int_t) i->fed, "unreadable", (json_int_t) i->unreadable);

    if (*i->error)
        (void) json_object_set_new(o, "error", json_string(i->error));
    return o;
}

static json_t *actions_json(const struct bp_trigger_action *v, size_t n) {
    json_t *list = json_array();
    char text[300], shown[200];

    for (size_t i = 0; i < n; i++) {
        const char *arg = v[i].kind == BP_ACTION_WEBHOOK
                              ? bp_trigger_webhook_shown(v[i].arg, shown, sizeof shown)
                              : v[i].arg;

        (void) snprintf(text, sizeof text, "%s%s%s", bp_trigger_action_text(v[i].kind),
                        *arg ? " " : "", arg);
        (void) json_array_append_new(list, json_string(text));
    }
    return list;
}

static const char *state_of(const struct trigger *g) {
    const char *state = g->instances ? "idle" : "waiting"; /* for topics */
    bool pending = false;

    if (!g->enabled)
        return "disabled";
    for (const struct instance *i = g->instances; i; i = i->next) {
        if (i->phase == PHASE_ACTIVE)
            return "active";
        pending |= i->phase == PHASE_PENDING;
        if (*i->error)
            state = "error";
    }
    return pending ? "pending" : state;
}

/* Topics that nobody publishes, with what may be meant instead. */
static json_t *missing_json(struct bp_triggers *t, const struct trigger *g) {
    json_t *list = json_array();
    char near[256];

    for (size_t ref = 0; ref < bp_expr_topics(g->rule.expr) && !g->instances; ref++) {
        const char *text = bp_expr_topic_text(g->rule.expr, ref);

        bp_triggers_nearest(t, text, near, sizeof near);
        (void) json_array_append_new(list, json_pack("{s:s, s:s}", "topic", text, "nearest", near));
    }
    return list;
}

static json_t *trigger_json(struct bp_triggers *t, const struct trigger *g) {
    json_t *instances = json_array();
    json_t *o;

    for (const struct instance *i = g->instances; i; i = i->next)
        (void) json_array_append_new(instances, bp_instance_json(i));
    o = json_pack("{s:s, s:s, s:b, s:s, s:o, s:o, s:f, s:f, s:f, s:I, s:I, s:o, s:o}", "name",
                  g->rule.name, "when", g->rule.when, "enabled", (int) g->enabled, "state",
                  state_of(g), "do", actions_json(g->rule.actions, g->rule.nactions), "on_clear",
                  actions_json(g->rule.end, g->rule.nend), "for_s", (double) g->rule.hold / 1e9,
                  "debounce_s", (double) g->rule.debounce / 1e9, "cooldown_s",
                  (double) g->rule.cooldown / 1e9, "fired", (json_int_t) g->fired, "suppressed",
                  (json_int_t) g->suppressed, "last_fired_ns", bp_json_time(g->fired_wall),
                  "instances", instances);
    if (g->enabled && !g->instances)
        (void) json_object_set_new(o, "waiting_for", missing_json(t, g));
    return o;
}

json_t *bp_triggers_list(struct bp_triggers *t) {
    json_t *list = json_array();

    (void) pthread_mutex_lock(&t->lock);
    for (const struct trigger *g = t->triggers; g; g = g->next)
        if (!g->probe)
            (void) json_array_append_new(list, trigger_json(t, g));
    (void) pthread_mutex_unlock(&t->lock);
    return json_pack("{s:o}", "triggers", list);
}

json_t *bp_triggers_get(struct bp_triggers *t, const char *name) {
    json_t *o = NULL;

    (void) pthread_mutex_lock(&t->lock);
    for (const struct trigger *g = t->triggers; g && !o; g = g->next)
        if (!g->probe && bp_streq(g->rule.name, name))
            o = trigger_json(t, g);
    (void) pthread_mutex_unlock(&t->lock);
    return o;
}

/* ---- metrics ---- */

static void per_trigger(struct bp_triggers *t, struct bp_buf *out, const char *family,
                        double (*value)(const struct trigger *g)) {
    (void) pthread_mutex_lock(&t->lock);
    for (const struct trigger *g = t->triggers; g; g = g->next) {
        struct bp_label label = { "trigger", g->rule.name };

        if (!g->probe)
            bp_metrics_sample(out, family, &label, 1, value(g));
    }
    (void) pthread_mutex_unlock(&t->lock);
}

static double fired_of(const struct trigger *g) {
    return (double) g->fired;
}

static double suppressed_of(const struct trigger *g) {
    return (double) g->suppressed;
}

static double active_of(const struct trigger *g) {
    double n = 0;

    for (const struct instance *i = g->instances; i; i = i->next)
        n += i->phase == PHASE_ACTIVE;
    return n;
}

static double unreadable_of(const struct trigger *g) {
    double n = 0;

    for (const struct instance *i = g->instances; i; i = i->next)
        n += (double) i->unreadable;
    return n;
}

static void one(struct bp_buf *out, const char *name, const char *help, double value) {
    bp_metrics_family(out, name, BP_METRIC_COUNTER, help);
    bp_metrics_sample(out, name, NULL, 0, value);
}

void bp_triggers_metrics(struct bp_triggers *t, struct bp_buf *out) {
    static const struct {
        const char *name, *help;
        enum bp_metric_type type;
        double (*value)(const struct trigger *g);
    } rows[] = {
        { "bagpipe_trigger_fired_total", "How often a trigger fired.", BP_METRIC_COUNTER,
          fired_of },
        { "bagpipe_trigger_suppressed_total", "Held back by a cool-down: is it too long?",
          BP_METRIC_COUNTER, suppressed_of },
        { "bagpipe_trigger_active", "Robots for which the condition holds now.", BP_METRIC_GAUGE,
          active_of },
        { "bagpipe_trigger_unreadable_total",
          "Messages that do not fit their type: is a sender's definition another one?",
          BP_METRIC_COUNTER, unreadable_of },
    };
    bool any = false;

    (void) pthread_mutex_lock(&t->lock);
    any = t->triggers != NULL;
    (void) pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < BP_COUNT(rows) && any; i++) {
        bp_metrics_family(out, rows[i].name, rows[i].type, rows[i].help);
        per_trigger(t, out, rows[i].name, rows[i].value);
    }
    bp_metrics_family(out, "bagpipe_trigger_action_failures_total", BP_METRIC_COUNTER,
                      "Actions that could not be carried out; the log says why.");
    for (int k = 0; k < BP_ACTION_N_; k++) {
        struct bp_label label = { "action",
                                  bp_trigger_action_text((enum bp_trigger_action_kind) k) };

        bp_metrics_sample(out, "bagpipe_trigger_action_failures_total", &label, 1,
                          (double) atomic_load(&t->failed[k]));
    }
    one(out, "bagpipe_trigger_messages_dropped_total",
        "Messages not judged because they came faster than conditions can be judged.",
        t->queue ? (double) bp_watch_queue_dropped(t->queue) : 0);
    one(out, "bagpipe_trigger_firings_dropped_total",
        "Firings not acted upon because actions were too slow: is a disk stuck?",
        (double) atomic_load(&t->lost_firings));
    one(out, "bagpipe_trigger_webhooks_sent_total", "Webhooks that were taken.",
        (double) atomic_load(&t->hooks_sent));
    one(out, "bagpipe_trigger_webhooks_failed_total",
        "Webhooks given up on: is their receiver down?", (double) atomic_load(&t->hooks_failed));
    one(out, "bagpipe_topic_marks_total", "Marks taken from session.mark_topic.",
        (double) atomic_load(&t->marks_taken));
}
