/* Messages and time in, firings out. */
#include "agent/triggers.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/triggers-priv.h"
#include "base/log.h"
#include "dds/dds.h"
#include "wire/cdr.h"

enum { LOOK = 1, FIRINGS = 256, HOOKS = 256, SLOTS = 128, CUT = 256 << 10, MARK_TEXT = 500 };

/* ---- conditions ---- */

static double ask_instance(const struct instance *i, const struct bp_expr_ask *ask) {
    const struct feed *f = i->feeds[ask->topic];
    int64_t last;

    switch (ask->source) {
    case BP_SOURCE_SILENT:
        last = f ? atomic_load(&f->last_mono) : 0;
        return last ? (double) (bp_mono_ns() - last) / 1e9 : NAN;
    case BP_SOURCE_RATE:
        return f ? bp_feed_rate(f, bp_mono_ns(), ask->number) : NAN;
    case BP_SOURCE_SEEN:
        return f && atomic_load(&f->count) > 0;
    case BP_SOURCE_EXTERNAL:
        return i->external;
    default:
        return NAN;
    }
}

/* With what the instance does not know itself. */
struct judge {
    struct bp_triggers *t;
    struct instance *i;
};

static double on_ask(void *ctx, const struct bp_expr_ask *ask) {
    const struct judge *j = ctx;

    if (ask->source == BP_SOURCE_NODE_GONE)
        return bp_recorder_node(j->t->o.recorder, ask->text) == BP_GONE;
    if (ask->source >= BP_SOURCE_DISK_FREE)
        return j->t->facts.v[ask->source];
    return ask_instance(j->i, ask);
}

/* ---- beginning and end ---- */

void bp_triggers_send(struct bp_triggers *t, struct firing *f) {
    if (bp_queue_put(t->firings, &f, BP_QUEUE_NOW) == 0)
        return;
    atomic_fetch_add(&t->lost_firings, 1);
    bp_firing_free(f);
}

/* "{robot}: {value}" of the rule's text; without one, name and values. */
static void put_text(struct bp_buf *out, const struct instance *i, const json_t *values) {
    const char *p = i->trigger->rule.text, *key, *first = "";
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) values, key, v) {
        first = json_string_value(v);
        break;
    }
    for (; *p; p++) {
        static const char *const words[] = { "{name}", "{robot}", "{match}", "{value}" };
        const char *const texts[] = { i->trigger->rule.name, i->robot, i->match, first };
        size_t k = 0;

        while (k < BP_COUNT(words) && !bp_starts_with(p, words[k]))
            k++;
        if (k == BP_COUNT(words)) {
            bp_buf_put_u8(out, (uint8_t) *p);
            continue;
        }
        bp_buf_put_str(out, texts[k]);
        p += strlen(words[k]) - 1;
    }
    if (out->n)
        return;
    bp_buf_put_str(out, i->trigger->rule.name);
    if (*i->match)
        bp_buf_printf(out, " (%s)", i->match);
    json_object_foreach((json_t *) (uintptr_t) values, key, v) {
        bp_buf_printf(out, "%s%s is %s",
                      key == json_object_iter_key(json_object_iter((json_t *) (uintptr_t) values))
                          ? ": "
                          : ", ",
                      key, json_string_value(v));
    }
}

static void tell(struct bp_triggers *t, struct instance *i, bool end, const json_t *more) {
    struct firing *f = calloc(1, sizeof *f);
    BP_AUTO_BUF text = { 0 };
    const char *p;

    if (!f)
        return;
    f->trigger = bp_trigger_ref(i->trigger);
    f->end = end;
    f->quiet = i->quiet;
    f->wall_ns = bp_wall_ns();
    f->values = bp_instance_values(i, true);
    (void) snprintf(f->robot, sizeof f->robot, "%s", i->fired_robot);
    (void) snprintf(f->match, sizeof f->match, "%s", i->match);
    put_text(&text, i, f->values);
    p = bp_buf_cstr(&text);
    (void) snprintf(f->text, sizeof f->text, "%s", p ? p : i->trigger->rule.name);
    (void) json_object_update(f->values, (json_t *) (uintptr_t) more);
    bp_triggers_send(t, f);
}

/* @return whether it fired, and was not held back by the cool-down */
static bool begin(struct bp_triggers *t, struct instance *i, bp_ns_t now, const json_t *more) {
    struct trigger *g = i->trigger;

    i->phase = PHASE_ACTIVE;
    (void) snprintf(i->fired_robot, sizeof i->fired_robot, "%s", i->robot);
    i->since_mono = now;
    i->over_mono = 0;
    i->quiet = i->fired_mono && now - i->fired_mono < g->rule.cooldown;
    if (i->quiet) {
        g->suppressed++;
    } else {
        g->fired++;
        g->fired_wall = bp_wall_ns();
        i->fired_mono = now;
    }
    tell(t, i, false, more);
    return !i->quiet;
}

static void finish(struct bp_triggers *t, struct instance *i) {
    i->phase = PHASE_IDLE;
    i->since_mono = 0;
    tell(t, i, true, NULL);
}

static bool step_idle(struct bp_triggers *t, struct instance *i, bp_ns_t now, const json_t *more) {
    if (i->truth != BP_TRUE) {
        i->phase = PHASE_IDLE;
        return false;
    }
    if (i->phase == PHASE_IDLE) {
        i->phase = PHASE_PENDING;
        i->since_mono = now;
    }
    return now - i->since_mono >= i->trigger->rule.hold && begin(t, i, now, more);
}

static void step_active(struct bp_triggers *t, struct instance *i, const struct bp_expr_env *env,
                        bp_ns_t now) {
    if (bp_program_until(i->program, i->state, env) != BP_TRUE) {
        i->over_mono = 0;
        return;
    }
    if (!i->over_mono)
        i->over_mono = now;
    if (now - i->over_mono >= i->trigger->rule.debounce)
        finish(t, i);
}

/* Judges an instance and moves it on. @return whether it fired */
static bool step(struct bp_triggers *t, struct instance *i, const json_t *more) {
    struct judge j = { t, i };
    struct bp_expr_env env = { on_ask, &j };
    bp_ns_t now = bp_mono_ns();

    if (!i->program || !i->trigger->enabled)
        return false;
    i->truth = bp_program_when(i->program, i->state, &env);
    if (i->trigger->probe)
        return false;
    if (i->phase == PHASE_ACTIVE) {
        step_active(t, i, &env, now);
        return false;
    }
    return step_idle(t, i, now, more);
}

/* ---- messages ---- */

/* A receive thread; counts see every message, however busy the judge is. */
void bp_feed_on_message(void *feed, const struct bp_watch_sample *s) {
    struct feed *f = feed;

    if (!s->latched || !atomic_load_explicit(&f->count, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&f->count, 1, memory_order_relaxed);
        atomic_store_explicit(&f->last_mono, bp_mono_ns(), memory_order_relaxed);
    }
    if (atomic_load_explicit(&f->payload, memory_order_relaxed))
        bp_watch_queue_put(f->all->queue, s, f);
}

void bp_triggers_on_mark(void *triggers, const struct bp_watch_sample *s) {
    struct bp_triggers *t = triggers;

    if (!s->latched) /* it was said before this life began */
        bp_watch_queue_put(t->queue, s, NULL);
}

static void take_mark(struct bp_triggers *t, const struct bp_watch_sample *s, const uint8_t *cdr) {
    struct bp_cdrr r = bp_cdrr_begin(cdr, s->size);
    struct bp_str text = bp_cdrr_str(&r);
    struct firing *f = r.bad || text.n == 0 ? NULL : calloc(1, sizeof *f);
    char writer[2 * BP_GUID_LEN + 1];

    if (!f)
        return;
    for (size_t i = 0; i < BP_GUID_LEN; i++)
        (void) snprintf(writer + 2 * i, 3, "%02x", s->guid[i]);
    (void) snprintf(f->text, sizeof f->text, "%.*s", (int) BP_MIN(text.n, (size_t) MARK_TEXT),
                    text.p);
    f->wall_ns = s->recv_ns;
    f->values = json_pack("{s:s, s:s, s:s, s:s}", "topic", s->topic, "robot", s->robot, "node",
                          s->node, "writer", writer);
    atomic_fetch_add(&t->marks_taken, 1);
    bp_triggers_send(t, f);
}

static void on_message(void *ctx, const struct bp_watch_sample *s, const uint8_t *cdr, void *tag) {
    struct bp_triggers *t = ctx;
    struct feed *f = tag;

    if (!f) {
        take_mark(t, s, cdr);
        return;
    }
    (void) pthread_mutex_lock(&t->lock);
    for (struct link *l = f->links; l; l = l->next) {
        struct instance *i = l->instance;

        if (!i->program || !bp_expr_needs_payload(i->trigger->rule.expr, l->ref))
            continue;
        if (bp_program_feed(i->program, i->state, l->ref, cdr, s->size, s->recv_ns, NULL) < 0)
            i->unreadable++;
        i->fed++;
        (void) step(t, i, NULL);
        if (i->trigger->probe)
            (void) pthread_cond_broadcast(&t->judged);
    }
    (void) pthread_mutex_unlock(&t->lock);
}

/* ---- time ---- */

static bool needs_time(const struct instance *i) {
    return i->phase == PHASE_PENDING || i->over_mono || bp_expr_needs_time(i->trigger->rule.expr);
}

static void look(struct bp_triggers *t, bp_ns_t now) {
    if (now < t->next_look)
        return;
    t->next_look = now + LOOK * BP_SEC;
    bp_facts_look(&t->facts, t->o.dir);
    bp_triggers_bind_locked(t);
}

static void on_tick(void *ctx) {
    struct bp_triggers *t = ctx;
    bp_ns_t now = bp_mono_ns();

    (void) pthread_mutex_lock(&t->lock);
    if (t->dirty || bp_recorder_topics(t->o.recorder, NULL, 0) != t->topics_seen)
        t->next_look = 0;
    t->dirty = false;
    look(t, now);
    for (struct feed *f = t->feeds; f; f = f->next)
        if (f->links && f->window)
            bp_feed_note(f, now);
    for (struct trigger *g = t->triggers; g; g = g->next)
        for (struct instance *i = g->instances; i; i = i->next)
            if (needs_time(i))
                (void) step(t, i, NULL);
    (void) pthread_cond_broadcast(&t->judged);
    (void) pthread_mutex_unlock(&t->lock);
}

/* ---- by hand ---- */

static struct trigger *find_locked(struct bp_triggers *t, const char *name) {
    struct trigger *g = t->triggers;

    while (g && (g->probe || !bp_streq(g->rule.name, name)))
        g = g->next;
    return g;
}

struct search {
    const char *name;
    bool found, any;
};

static void on_source(void *ctx, const struct bp_expr_ask *ask) {
    struct search *s = ctx;

    if (ask->source != BP_SOURCE_EXTERNAL)
        return;
    s->any = true;
    s->found |= bp_streq(ask->text, s->name);
}

/* @return how many instances fired */
static unsigned fire_one(struct bp_triggers *t, struct trigger *g, bool external,
                         const json_t *values) {
    unsigned n = 0;

    for (struct instance *i = g->instances; i; i = i->next) {
        if (!external) {
            n += begin(t, i, bp_mono_ns(), values);
            continue;
        }
        i->external = true;
        n += step(t, i, values);
        i->external = false;
        (void) step(t, i, NULL); /* it was for a moment */
    }
    return n;
}

int bp_triggers_fire(struct bp_triggers *t, const char *name, const json_t *values,
                     unsigned *ret_fired, struct bp_error *err) {
    bool known = false;

    *ret_fired = 0;
    (void) pthread_mutex_lock(&t->lock);
    for (struct trigger *g = t->triggers; g; g = g->next) {
        struct search s = { .name = name };
        bool named = !g->probe && bp_streq(g->rule.name, name);

        bp_expr_each_source(g->rule.expr, on_source, &s);
        if (!named && !s.found)
            continue;
        known = true;
        if (g->enabled)
            *ret_fired += fire_one(t, g, s.any, values);
    }
    (void) pthread_mutex_unlock(&t->lock);
    return known ? 0
                 : bp_fail(err, -ENOENT,
                           "there is no trigger '%s', and none that waits for "
                           "external(\"%s\")",
                           name, name);
}

void bp_trigger_quit_locked(struct bp_triggers *t, struct trigger *g) {
    for (struct instance *i = g->instances; i; i = i->next) {
        if (i->phase == PHASE_ACTIVE)
            finish(t, i);
        if (*i->error)
            bp_instance_complain_locked(t, i, "");
    }
    bp_instances_drop_locked(g);
}

int bp_triggers_enable(struct bp_triggers *t, const char *name, bool enabled,
                       struct bp_error *err) {
    struct trigger *g;

    (void) pthread_mutex_lock(&t->lock);
    g = find_locked(t, name);
    if (g && g->enabled != enabled) {
        g->enabled = enabled;
        if (!enabled)
            bp_trigger_quit_locked(t, g);
        t->dirty = true;
    }
    (void) pthread_mutex_unlock(&t->lock);
    return g ? 0 : bp_fail(err, -ENOENT, "there is no trigger '%s'", name);
}

/* ---- trying an expression ---- */

static void remove_probe_locked(struct bp_triggers *t, struct trigger *g) {
    for (struct trigger **at = &t->triggers; *at; at = &(*at)->next)
        if (*at == g) {
            *at = g->next;
            break;
        }
    bp_instances_drop_locked(g);
    t->dirty = true;
}

/* Every topic has spoken, and what is watched over time is known. */
static bool is_settled(const struct trigger *g) {
    bool any = false;

    for (const struct instance *i = g->instances; i; i = i->next) {
        any = true;
        if (*i->error)
            return true;
        if (!i->program || i->truth == BP_UNKNOWN)
            return false;
    }
    return any;
}

static int probe_result(struct bp_triggers *t, const struct trigger *g, json_t **ret,
                        struct bp_error *err) {
    static const enum bp_truth order[] = { BP_TRUE, BP_FALSE };
    json_t *list = json_array(), *value = json_null();
    char near[256] = "";

    for (size_t k = 0; k < BP_COUNT(order) && json_is_null(value); k++)
        for (const struct instance *i = g->instances; i; i = i->next)
            if (i->truth == order[k])
                value = json_boolean(order[k] == BP_TRUE);
    for (const struct instance *i = g->instances; i; i = i->next) {
        if (*i->error) {
            json_decref(list);
            return bp_fail(err, BP_EUSAGE, "%s", i->error);
        }
        (void) json_array_append_new(list, bp_instance_json(i));
    }
    for (size_t ref = 0; ref < bp_expr_topics(g->rule.expr) && !g->instances; ref++) {
        const char *text = bp_expr_topic_text(g->rule.expr, ref);

        bp_triggers_nearest(t, text, near, sizeof near);
        json_decref(list);
        return bp_fail(err, BP_EUSAGE, "no topic in the graph is '%s'%s%s%s", text,
                       *near ? "; is '" : "", near, *near ? "' meant?" : "");
    }
    *ret = json_pack("{s:o, s:o}", "value", value, "instances", list);
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static struct timespec after(bp_ns_t wait) {
    bp_ns_t until = bp_mono_ns() + wait;

    return (struct timespec){ .tv_sec = until / BP_SEC, .tv_nsec = until % BP_SEC };
}

static int try_probe_locked(struct bp_triggers *t, struct trigger *g, bp_ns_t wait, json_t **ret,
                            struct bp_error *err) {
    struct timespec until = after(wait);
    int r = bp_triggers_engine_locked(t, err);

    if (r < 0)
        return r;
    t->testing = t->dirty = true;
    bp_expr_each_source(g->rule.expr, bp_facts_want, &t->facts);
    g->next = t->triggers;
    t->triggers = g;
    while (!is_settled(g) && pthread_cond_timedwait(&t->judged, &t->lock, &until) != ETIMEDOUT)
        ;
    for (struct instance *i = g->instances; i; i = i->next)
        (void) step(t, i, NULL);
    r = probe_result(t, g, ret, err);
    remove_probe_locked(t, g);
    t->testing = false;
    return r;
}

int bp_triggers_test(struct bp_triggers *t, const char *text, bp_ns_t wait, json_t **ret,
                     struct bp_error *err) {
    struct trigger *g = calloc(1, sizeof *g);
    int r;

    if (!g)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_trigger_rule_of("test", text, &g->rule, err);
    if (r < 0) {
        bp_trigger_rule_done(&g->rule);
        free(g);
        return r;
    }
    g->probe = g->enabled = true;
    (void) pthread_mutex_lock(&t->lock);
    r = t->testing ? bp_fail(err, -EAGAIN, "another condition is being tried")
                   : try_probe_locked(t, g, wait, ret, err);
    (void) pthread_mutex_unlock(&t->lock);
    bp_trigger_rule_done(&g->rule);
    free(g);
    return r;
}

/* ---- opening and closing ---- */

int bp_triggers_engine_locked(struct bp_triggers *t, struct bp_error *err) {
    struct bp_watch_queue_opts o = { .name = "triggers",
                                     .slots = SLOTS,
                                     .cut = CUT,
                                     .fn = on_message,
                                     .idle = on_tick,
                                     .tick = TICK,
                                     .ctx = t };

    return t->queue ? 0 : bp_watch_queue_open(&o, &t->queue, err);
}

int bp_triggers_open(const struct bp_triggers_opts *o, struct bp_triggers **ret,
                     struct bp_error *err) {
    BP_CLEANUP(bp_triggers_closep) struct bp_triggers *t = calloc(1, sizeof *t);
    pthread_condattr_t a;
    int r;

    if (!t)
        return bp_fail(err, -ENOMEM, "out of memory");
    t->o = *o;
    for (size_t i = 0; i < BP_COUNT(t->facts.v); i++)
        t->facts.v[i] = NAN;
    (void) pthread_mutex_init(&t->lock, NULL);
    (void) pthread_condattr_init(&a);
    (void) pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&t->judged, &a);
    (void) pthread_condattr_destroy(&a);
    t->firings = bp_queue_new(sizeof(struct firing *), FIRINGS);
    t->hooks = bp_queue_new(sizeof(struct hook *), HOOKS);
    if (!t->firings || !t->hooks)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_trigger_actions_start(t, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(t);
    return 0;
}

void bp_triggers_close(struct bp_triggers *t) {
    if (!t)
        return;
    atomic_store(&t->ending, true);
    bp_watch_close(t->marks);
    (void) pthread_mutex_lock(&t->lock);
    for (struct trigger *g = t->triggers; g; g = g->next) {
        g->enabled = false;
        bp_instances_drop_locked(g);
    }
    bp_feeds_sweep_locked(t);
    (void) pthread_mutex_unlock(&t->lock);
    bp_watch_queue_close(t->queue);
    bp_trigger_actions_stop(t);
    while (t->triggers) {
        struct trigger *g = t->triggers;

        t->triggers = g->next;
        bp_trigger_unref(g);
    }
    while (t->feeds) {
        struct feed *f = t->feeds;

        t->feeds = f->next;
        bp_feed_free(f);
    }
    free(t->mark_topic);
    bp_queue_free(t->firings);
    bp_queue_free(t->hooks);
    (void) pthread_cond_destroy(&t->judged);
    (void) pthread_mutex_destroy(&t->lock);
    free(t);
}
