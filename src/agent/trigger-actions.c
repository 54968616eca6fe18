/* What a trigger does. `actions` may wait for disks; webhooks have a thread of their own, so that a
 * server that does not answer delays no mark. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/triggers-priv.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/client.h"

enum { HOOK_TRIES = 4 };
#define HOOK_TIMEOUT (5 * BP_SEC)

void bp_firing_free(struct firing *f) {
    if (!f)
        return;
    json_decref(f->values);
    bp_trigger_unref(f->trigger);
    bp_trigger_unref(f->heir);
    free(f);
}

static void hook_free(struct hook *h) {
    json_decref(h->body);
    bp_trigger_unref(h->trigger);
    free(h);
}

static void alert_key(const struct firing *f, char *ret, size_t cap) {
    const char *of = *f->match ? f->match : f->robot;

    (void) snprintf(ret, cap, "%s.%s%s%s", f->broken ? "trigger-broken" : "trigger",
                    f->trigger->rule.name, *of ? "/" : "", of);
}

static json_t *news(const struct firing *f) {
    char wall[32];

    (void) snprintf(wall, sizeof wall, "%lld", (long long) f->wall_ns);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:O?, s:s}", "event", f->end ? "cleared" : "fired",
                     "trigger", f->trigger->rule.name, "robot", f->robot, "match", f->match, "text",
                     f->text, "values", f->values, "time_ns", wall);
}

/* ---- one function an action ---- */

static int do_mark(struct bp_triggers *t, const struct firing *f, const struct bp_trigger_action *a,
                   struct bp_error *err) {
    json_t *values = json_copy(f->values);
    int r;

    if (f->trigger) {
        (void) json_object_set_new(values, "trigger", json_string(f->trigger->rule.name));
        if (*f->robot)
            (void) json_object_set_new(values, "robot", json_string(f->robot));
    }
    r = bp_sessions_mark_all(t->o.sessions, a && *a->arg ? a->arg : f->text, values, err);
    json_decref(values);
    return r < 0 ? r : 0;
}

static int do_snapshot(struct bp_triggers *t, const struct firing *f,
                       const struct bp_trigger_action *a, struct bp_error *err) {
    char tag[BP_TRIGGER_NAME + 10], id[27];
    json_t *request;
    int r;

    (void) a;
    if (!t->o.snapshot)
        return bp_fail(err, BP_EUNSUPPORTED, "snapshots are not switched on");
    (void) snprintf(tag, sizeof tag, "trigger:%s", f->trigger->rule.name);
    request = json_pack("{s:s, s:O, s:[s]}", "reason", f->text, "values", f->values, "tags", tag);
    r = request ? t->o.snapshot(t->o.ctx, request, id, err)
                : bp_fail(err, -ENOMEM, "out of memory");
    json_decref(request);
    return r;
}

static bool runs(struct bp_triggers *t, const char *id) {
    json_t *o = *id ? bp_sessions_get(t->o.sessions, id) : NULL;
    const char *status = json_string_value(json_object_get(o, "status"));
    bool yes = status && (bp_streq(status, "recording") || bp_streq(status, "paused"));

    json_decref(o);
    return yes;
}

static int do_start(struct bp_triggers *t, const struct firing *f,
                    const struct bp_trigger_action *a, struct bp_error *err) {
    char tag[BP_TRIGGER_NAME + 10];
    json_t *request;
    int r;

    if (runs(t, f->trigger->session))
        return 0;
    (void) snprintf(tag, sizeof tag, "trigger:%s", f->trigger->rule.name);
    request = json_pack("{s:[s], s:s}", "tags", tag, "notes", f->text);
    if (*a->arg)
        (void) json_object_set_new(request, "name", json_string(a->arg));
    r = bp_sessions_start(t->o.sessions, request, f->trigger->session, err);
    json_decref(request);
    return r;
}

/* Nothing that runs is nothing to stop. */
static int do_stop(struct bp_triggers *t, const struct firing *f, const struct bp_trigger_action *a,
                   struct bp_error *err) {
    const char *key = *a->arg ? a->arg : *f->trigger->session ? f->trigger->session : NULL;
    char id[27];
    int r;

    if (key && !runs(t, key))
        return 0;
    r = bp_sessions_act(t->o.sessions, key, BP_SESSION_STOP, id, err);
    f->trigger->session[0] = 0;
    return r;
}

static int do_alert(struct bp_triggers *t, const struct firing *f,
                    const struct bp_trigger_action *a, struct bp_error *err) {
    char key[320];

    (void) a, (void) err;
    alert_key(f, key, sizeof key);
    bp_alerts_raise(t->o.alerts, key, f->trigger->rule.severity, f->text);
    return 0;
}

static int do_webhook(struct bp_triggers *t, const struct firing *f,
                      const struct bp_trigger_action *a, struct bp_error *err) {
    struct hook *h = calloc(1, sizeof *h);

    if (!h)
        return bp_fail(err, -ENOMEM, "out of memory");
    *h = (struct hook){ bp_trigger_ref(f->trigger), a, news(f) };
    if (h->body && bp_queue_put(t->hooks, &h, BP_QUEUE_NOW) == 0)
        return 0;
    hook_free(h);
    return bp_fail(err, BP_ELIMIT, "too many webhooks wait for an answer");
}

static int (*const actions[])(struct bp_triggers *t, const struct firing *f,
                              const struct bp_trigger_action *a, struct bp_error *err) = {
    [BP_ACTION_MARK] = do_mark,           [BP_ACTION_SNAPSHOT] = do_snapshot,
    [BP_ACTION_START_SESSION] = do_start, [BP_ACTION_STOP_SESSION] = do_stop,
    [BP_ACTION_ALERT] = do_alert,         [BP_ACTION_WEBHOOK] = do_webhook,
};
_Static_assert(BP_COUNT(actions) == BP_ACTION_N_, "every action has a function");

static void failed(struct bp_triggers *t, const struct firing *f, const char *action,
                   const struct bp_error *err) {
    bp_log(BP_LOG_WARNING, "a trigger's action failed, going on",
           BP_F_TEXT("trigger", f->trigger->rule.name), BP_F_TEXT("action", action),
           BP_F_TEXT("reason", err->text));
    (void) t;
}

static void do_list(struct bp_triggers *t, const struct firing *f,
                    const struct bp_trigger_action *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct bp_error err = { 0 };

        if (f->quiet && v[i].kind != BP_ACTION_ALERT)
            continue; /* held back by the cool-down; what is wrong is shown all the same */
        if (actions[v[i].kind](t, f, &v[i], &err) < 0) {
            atomic_fetch_add(&t->failed[v[i].kind], 1);
            failed(t, f, bp_trigger_action_text(v[i].kind), &err);
        }
    }
}

static bool raises_alert(const struct bp_trigger_rule *r) {
    for (size_t i = 0; i < r->nactions; i++)
        if (r->actions[i].kind == BP_ACTION_ALERT)
            return true;
    return false;
}

static void do_broken(struct bp_triggers *t, const struct firing *f) {
    char key[320];

    alert_key(f, key, sizeof key);
    if (f->end) {
        bp_alerts_clear(t->o.alerts, key);
        return;
    }
    bp_alerts_raise(t->o.alerts, key, BP_SEVERITY_WARNING, f->text);
    bp_log(BP_LOG_WARNING, "a trigger will never fire", BP_F_TEXT("trigger", f->trigger->rule.name),
           BP_F_TEXT("reason", f->text));
}

/* A condition that flutters must not fill the log. */
static void log_it(const struct firing *f) {
    uint64_t held = 0;

    if (!f->quiet && bp_log_allowed(&f->trigger->limit, BP_SEC, &held))
        bp_log(BP_LOG_NOTICE, f->end ? "trigger is over" : "trigger fired",
               BP_F_TEXT("trigger", f->trigger->rule.name), BP_F_TEXT("robot", f->robot),
               BP_F_TEXT("text", f->text), BP_F_UINT("suppressed", held));
}

void bp_triggers_do(struct bp_triggers *t, struct firing *f) {
    const struct bp_trigger_rule *r;
    struct bp_error err = { 0 };
    char key[320];

    if (!f->trigger) {
        if (do_mark(t, f, NULL, &err) < 0)
            bp_log(BP_LOG_WARNING, "a mark from a topic could not be written, skipping",
                   BP_F_TEXT("reason", err.text));
        bp_firing_free(f);
        return;
    }
    if (f->heir) {
        (void) snprintf(f->heir->session, sizeof f->heir->session, "%s", f->trigger->session);
        bp_firing_free(f);
        return;
    }
    if (f->broken) {
        do_broken(t, f);
        bp_firing_free(f);
        return;
    }
    r = &f->trigger->rule;
    log_it(f);
    if (f->end && raises_alert(r)) {
        alert_key(f, key, sizeof key);
        bp_alerts_clear(t->o.alerts, key);
    }
    if (!f->quiet)
        bp_bus_publish(t->o.bus, "triggers", news(f));
    if (f->end)
        do_list(t, f, r->end, r->nend);
    else
        do_list(t, f, r->actions, r->nactions);
    bp_firing_free(f);
}

static void *run_actions(void *arg) {
    struct bp_triggers *t = arg;
    struct firing *f;

    while (bp_queue_take(t->firings, &f, BP_QUEUE_FOREVER) == 0)
        bp_triggers_do(t, f);
    return NULL;
}

/* ---- webhooks ---- */

/* Address and headers, as they go out; looked up anew for each try, since a secret may change. */
struct letter {
    struct bp_secret url, headers[BP_TRIGGER_HEADERS];
    const char *lines[BP_TRIGGER_HEADERS + 1];
};

static void letter_done(struct letter *l) {
    bp_secret_done(&l->url);
    for (size_t i = 0; i < BP_TRIGGER_HEADERS; i++)
        bp_secret_done(&l->headers[i]);
}

static int write_header(const struct bp_triggers *t, const struct bp_trigger_header *h,
                        struct bp_secret *ret, struct bp_error *err) {
    BP_AUTO_SECRET value = { 0 };
    const char *scheme = h->bearer ? "Bearer " : "";
    int r = bp_vault_resolve(t->o.vault, h->value, &value, err);

    if (r == 0 && bp_secret_alloc(strlen(h->name) + 2 + strlen(scheme) + value.n, ret) < 0)
        r = bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0)
        (void) snprintf((char *) ret->p, ret->n + 1, "%s: %s%s", h->name, scheme,
                        (const char *) value.p);
    return r;
}

static int write_letter(const struct bp_triggers *t, const struct bp_trigger_action *a,
                        struct letter *ret, struct bp_error *err) {
    int r = bp_vault_resolve(t->o.vault, a->arg, &ret->url, err);

    if (r == 0 && !bp_starts_with((const char *) ret->url.p, "http://") &&
        !bp_starts_with((const char *) ret->url.p, "https://"))
        r = bp_fail(err, BP_ECONFIG, "what '%s' stands for is no http://… or https://…", a->arg);
    for (size_t i = 0; r == 0 && i < a->nheaders; i++) {
        r = write_header(t, &a->headers[i], &ret->headers[i], err);
        ret->lines[i] = (const char *) ret->headers[i].p;
    }
    return r;
}

/* @return 0 when it was taken, 1 when it makes no sense to try again, else why it failed */
static int post(const struct bp_triggers *t, const struct hook *h, struct bp_error *err) {
    BP_CLEANUP(letter_done) struct letter letter = { 0 };
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    struct bp_client_reply reply = { 0 };
    int status, r = write_letter(t, h->action, &letter, err);

    if (r < 0)
        return 1;
    r = bp_client_open(&(struct bp_client_options){ .url = (const char *) letter.url.p,
                                                    .who = "webhook",
                                                    .headers = letter.lines,
                                                    .timeout = HOOK_TIMEOUT,
                                                    .max_body_bytes = 1 << 20 },
                       &c, NULL);
    if (r == 0)
        r = bp_client_call(c, "POST", "", h->body, &reply, NULL);
    status = reply.status;
    bp_client_reply_done(&reply);
    if (r < 0)
        return bp_fail(err, r, "%s", bp_strerror(r));
    if (status < 300)
        return 0;
    (void) bp_fail(err, -EIO, "it was refused with %d", status);
    return status >= 500 || status == 408 || status == 429 ? -EAGAIN : 1;
}

/* 1, 4, 16 s, unless it ends meanwhile. */
static void back_off(const struct bp_triggers *t, unsigned tries) {
    bp_ns_t until = bp_mono_ns() + (BP_SEC << (2 * tries));

    while (bp_mono_ns() < until && !atomic_load(&t->ending))
        bp_sleep(50 * BP_MS);
}

static void deliver(struct bp_triggers *t, const struct hook *h) {
    struct bp_error err = { 0 };
    char shown[200];
    int r = -EAGAIN;

    for (unsigned i = 0; i < HOOK_TRIES && r < 0 && !atomic_load(&t->ending); i++) {
        if (i > 0)
            back_off(t, i - 1);
        r = post(t, h, &err);
    }
    if (r == 0) {
        atomic_fetch_add(&t->hooks_sent, 1);
        return;
    }
    atomic_fetch_add(&t->hooks_failed, 1);
    bp_log(BP_LOG_WARNING, "a webhook was not taken, giving up on this one", /* no path: secrets */
           BP_F_TEXT("to", bp_trigger_webhook_shown(h->action->arg, shown, sizeof shown)),
           BP_F_TEXT("reason", err.text));
}

static void *run_webhooks(void *arg) {
    struct bp_triggers *t = arg;
    struct hook *h;

    while (bp_queue_take(t->hooks, &h, BP_QUEUE_FOREVER) == 0) {
        if (!atomic_load(&t->ending))
            deliver(t, h);
        hook_free(h);
    }
    return NULL;
}

int bp_trigger_actions_start(struct bp_triggers *t, struct bp_error *err) {
    int r = bp_thread_start("actions", run_actions, t, &t->actions);

    t->has_actions = r == 0;
    if (r == 0)
        r = bp_thread_start("webhooks", run_webhooks, t, &t->webhooks);
    t->has_webhooks = r == 0;
    return r < 0 ? bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r)) : 0;
}

void bp_trigger_actions_stop(struct bp_triggers *t) {
    if (t->firings)
        bp_queue_close(t->firings);
    if (t->has_actions)
        (void) pthread_join(t->actions, NULL);
    if (t->hooks)
        bp_queue_close(t->hooks);
    if (t->has_webhooks)
        (void) pthread_join(t->webhooks, NULL);
}
