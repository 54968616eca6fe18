#include "agent/link-priv.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <utlist.h>

#include "agent/care.h"
#include "base/json-value.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "crypt/digest.h"
#include "crypt/secret.h"

/* One connection after the other, and what is told by it:
 *
 *   events   numbered, from link.db, kept until the server has them; at most a window of them on
 *            their way
 *   the rest as it is at the moment: status once a second (what has changed of it), topics when
 *            they are wanted, progress of sync
 *
 * Without a link a status is kept once a minute, too, as the least of what is kept. */

enum {
    BATCH = 128,
    BATCH_BYTES = 256 * 1024,
    GATHER = 64, /* news written in one transaction */
    TRY_MIN_S = 1,
    TRY_MAX_S = 60,
    HINT_GAP_S = 2,
    SAMPLE_S = 60,
    ROBOTS_S = 10,
    REPLACED_S = 30,
    CLOSE_MS = 1000,
    TOPICS_MAX = 900 * 1024,
};

/* ---- sending ---- */

static void show(struct bp_link *l, const char *state, const char *error) {
    uint64_t n, bytes;

    bp_link_log_size(l->log, &n, &bytes);
    bp_mutex_lock(&l->lock);
    if (state) {
        l->shown.state = state;
        l->shown.wall_since = bp_wall_ns();
    }
    if (error)
        (void) snprintf(l->shown.error, sizeof l->shown.error, "%s", error);
    l->shown.waiting = n;
    l->nkeeping = 0;
    l->shown.waiting_bytes = bytes;
    l->shown.acked = bp_link_log_acked(l->log);
    bp_mutex_unlock(&l->lock);
}

bool bp_link_send(struct bp_link *l, json_t *o) {
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    int r = text && l->ws && l->open ? bp_ws_client_send(l->ws, BP_WS_TEXT, text, strlen(text))
                                     : -ENOTCONN;

    free(text);
    json_decref(o);
    return r == 0;
}

static json_t *robots_of(struct bp_link *l) {
    json_t *view = bp_care_robots_json(l->agent->care, NULL), *names = json_array(), *robot;
    size_t i;

    json_array_foreach(json_object_get(view, "robots"), i, robot) {
        json_t *name = json_object_get(robot, "robot");

        name = name ? name : json_object_get(robot, "name");
        if (json_is_string(name) && *json_string_value(name))
            (void) json_array_append(names, name);
    }
    json_decref(view);
    return names;
}

static void say_hello(struct bp_link *l) {
    json_decref(l->robots);
    l->robots = robots_of(l);
    (void) bp_link_send(l, json_pack("{s:{s:s, s:s, s:s, s:s, s:I, s:O, s:o, s:o, s:b}}", "hello",
                                     "version", BP_VERSION, "device", l->device, "name", l->name,
                                     "log", bp_link_log_id(l->log), "resume",
                                     (json_int_t) bp_link_log_acked(l->log), "robots", l->robots,
                                     "dropped", bp_link_log_dropped(l->log), "time_ns",
                                     bp_json_time(bp_wall_ns()), "live", bp_link_live_is_on(l)));
}

static void send_events(struct bp_link *l) {
    struct bp_error err = { 0 };

    while (l->welcome && l->sent - bp_link_log_acked(l->log) < l->window) {
        uint64_t last, room = l->window - (l->sent - bp_link_log_acked(l->log));
        json_t *list = NULL;
        int n = bp_link_log_read(l->log, l->sent, (unsigned) BP_MIN(room, (uint64_t) BATCH),
                                 BATCH_BYTES, &list, &last, &err);

        if (n <= 0) {
            json_decref(list);
            return;
        }
        if (!bp_link_send(l, json_pack("{s:o}", "events", list)))
            return;
        l->sent = last;
    }
}

/* What of the status is not as the server has it. */
static json_t *delta_of(json_t *status, const json_t *told) {
    json_t *delta = json_object(), *v;
    const char *key;

    json_object_foreach(status, key, v) {
        if (!json_equal(v, json_object_get(told, key)))
            (void) json_object_set(delta, key, v);
    }
    return delta;
}

static void send_status(struct bp_link *l) {
    json_t *status = bp_agent_status_json(l->agent), *o;

    if (!status)
        return;
    o = l->told ? json_pack("{s:o}", "status", delta_of(status, l->told))
                : json_pack("{s:O, s:b}", "status", status, "full", 1);
    if (bp_link_send(l, o)) {
        json_decref(l->told);
        l->told = BP_TAKE_PTR(status);
    }
    json_decref(status);
}

static void send_topics(struct bp_link *l) {
    json_t *o = json_pack("{s:o}", "topics", bp_agent_topics_json(l->agent));

    if (o && json_dumpb(o, NULL, 0, JSON_COMPACT) > TOPICS_MAX) {
        json_decref(o);
        o = json_pack("{s:{s:[], s:s}}", "topics", "topics", "why", "there are too many to tell");
    }
    (void) bp_link_send(l, o);
}

static void send_robots(struct bp_link *l) {
    json_t *robots = robots_of(l);

    if (json_equal(robots, l->robots)) {
        json_decref(robots);
        return;
    }
    json_decref(l->robots);
    l->robots = robots;
    (void) bp_link_send(l, json_pack("{s:O}", "robots", robots));
}

/* Looks at what the log says; it does without the disk as well as it can. */
static void note(int r, const struct bp_error *err) {
    static struct bp_log_limit limit;
    uint64_t held;

    if (r < 0 && bp_log_allowed(&limit, 600 * BP_SEC, &held))
        bp_log(BP_LOG_WARNING, "what the server has cannot be noted: it will be told again",
               BP_F_TEXT("why", err->text), BP_F_UINT("suppressed", held));
}

static void note_ack(struct bp_link *l, json_int_t seq) {
    struct bp_error err = { 0 };

    note(bp_link_log_ack(l->log, (uint64_t) seq, &err), &err);
}

/* ---- events: into the log ---- */

static void keep(struct bp_link *l, const struct bp_link_event *v, size_t n) {
    static struct bp_log_limit limit;
    struct bp_error err = { 0 };
    uint64_t held;

    if (n == 0 || bp_link_log_add(l->log, v, n, &err) == 0)
        return;
    for (size_t i = 0; i < n; i++)
        bp_link_log_count(l->log, v[i].class, 1);
    if (bp_log_allowed(&limit, 600 * BP_SEC, &held))
        bp_log(BP_LOG_WARNING, "news for the server cannot be kept", BP_F_TEXT("why", err.text),
               BP_F_UINT("suppressed", held));
}

static void keep_sample(struct bp_link *l) {
    json_t *status = bp_agent_status_json(l->agent);
    BP_AUTO_FREE char *text = status ? json_dumps(status, JSON_COMPACT) : NULL;

    if (text)
        keep(l, &(struct bp_link_event){ BP_LINK_STATUS, bp_wall_ns(), text }, 1);
    json_decref(status);
}

/* ---- what comes ---- */

/* A random time in [0, 1). */
static double dice(void) {
    uint32_t v = 0;

    return bp_random(&v, sizeof v) < 0 ? 0.5 : (double) v / 4294967296.0;
}

/* When to try again: 1 s to a bound that doubles up to 60 s, so that a thousand agents whose server
 * was away do not come back at the same moment. */
static void plan(struct bp_link *l) {
    double bound = l->tries < 6 ? (double) (2 << l->tries) : TRY_MAX_S;
    bp_ns_t wait = (bp_ns_t) ((TRY_MIN_S + dice() * (BP_MIN(bound, TRY_MAX_S) - TRY_MIN_S)) * 1e9);

    l->mono_try = bp_mono_ns() + wait + l->pause;
    l->pause = 0;
    l->tries++;
}

static void on_welcome(struct bp_link *l, const json_t *w) {
    double interval = json_number_value(json_object_get(w, "interval_s"));
    json_int_t window = json_integer_value(json_object_get(w, "window"));
    json_int_t acked = json_integer_value(json_object_get(w, "acknowledged"));
    struct bp_error err = { 0 };
    json_t *alerts;
    int r;

    if (l->welcome || acked < 0)
        return;
    r = bp_link_log_meet(l->log, (uint64_t) acked, &err);
    note(r, &err);
    if (r > 0) {
        bp_log(BP_LOG_WARNING, "the server has more news than link.db ever had, which is told anew "
                               "under another id: was it put back from a copy?");
        bp_ws_client_shut(l->ws, 1000, "a new log");
        return;
    }
    alerts = bp_alerts_json(l->agent->alerts, false);
    l->welcome = true;
    l->interval = (bp_ns_t) (BP_MIN(BP_MAX(interval, 0.1), 3600.0) * 1e9);
    l->window = (uint64_t) BP_MIN(BP_MAX(window, 1), 4096);
    l->sent = bp_link_log_acked(l->log);
    l->tries = 0;
    l->mono_down = 0;
    json_decref(l->told);
    l->told = NULL;
    l->mono_status = l->mono_topics = l->mono_robots = 0;
    (void) bp_link_send(l, json_pack("{s:O?}", "alerts", json_object_get(alerts, "alerts")));
    json_decref(alerts);
    if (l->alerted)
        bp_alerts_clear(l->agent->alerts, "link.down");
    l->alerted = false;
    show(l, "connected", "");
    bp_log(BP_LOG_INFO, "linked to the server", BP_F_TEXT("url", l->url));
}

static void send_result(void *ctx, const char *id, const char *result) {
    json_t *o = json_loads(result, 0, NULL);

    (void) id;
    if (o)
        (void) bp_link_send(ctx, json_pack("{s:o}", "result", o));
}

static void on_away(struct bp_link *l, const json_t *away) {
    double after = json_number_value(json_object_get(away, "after_s"));

    l->pause = (bp_ns_t) (BP_MIN(BP_MAX(after, 0), 3600.0) * 1e9);
    l->tries = 0;
    bp_ws_client_shut(l->ws, 1000, "as asked");
}

static void on_message(struct bp_link *l, json_t *m) {
    struct bp_error err = { 0 };
    json_t *v;

    if ((v = json_object_get(m, "welcome")) != NULL) {
        on_welcome(l, v);
        if (l->welcome)
            note(bp_link_log_each_result(l->log, send_result, l, &err), &err);
    } else if (!l->welcome) {
        return;
    } else if ((v = json_object_get(m, "ack")) != NULL) {
        if (json_integer_value(v) > 0 && (uint64_t) json_integer_value(v) <= l->sent)
            note_ack(l, json_integer_value(v));
        show(l, NULL, NULL);
    } else if ((v = json_object_get(m, "command")) != NULL) {
        bp_link_command(l, v);
    } else if ((v = json_object_get(m, "got")) != NULL) {
        if (json_is_string(v))
            note(bp_link_log_got(l->log, json_string_value(v), &err), &err);
    } else if ((v = json_object_get(m, "want")) != NULL) {
        l->wants_topics = json_is_true(json_object_get(v, "topics"));
        l->mono_topics = 0;
    } else if ((v = json_object_get(m, "away")) != NULL) {
        on_away(l, v);
    } /* others are of a later version: not for us */
}

/* The server does not take the token any more: it was made anew, or we were refused and let in. */
static void forget_token(struct bp_link *l) {
    char token[BP_DEVICE_TOKEN_MAX];

    bp_mutex_lock(&l->lock);
    memcpy(token, l->token, sizeof token);
    bp_mutex_unlock(&l->lock);
    if (*token)
        bp_device_token_forget(l->tokens, token);
    bp_wipe(token, sizeof token);
}

static void on_ended(struct bp_link *l, const struct bp_link_item *i) {
    bp_ws_client_close(BP_TAKE_PTR(l->ws));
    if (l->mono_down == 0)
        l->mono_down = bp_mono_ns();
    if (l->welcome)
        bp_log(BP_LOG_NOTICE, "the link to the server has ended", BP_F_TEXT("why", i->text));
    else
        bp_log(BP_LOG_INFO, "no link to the server", BP_F_TEXT("why", i->text));
    l->open = l->welcome = l->wants_topics = false;
    l->pause = BP_MAX(l->pause, i->retry_after);
    if (i->code ==
        4001) /* another agent with our identity, or a connection that was thought dead */
        l->pause = BP_MAX(l->pause, REPLACED_S * BP_SEC);
    plan(l);
    if (i->status == 401 && l->tokens && !l->proves)
        l->mono_try = bp_mono_ns();
    if (i->status == 401 && l->tokens && l->proves)
        forget_token(l);
    l->proves |= i->status == 401 && l->tokens;
    show(l, "waiting", i->text);
}

static void on_result(struct bp_link *l, const struct bp_link_item *i) {
    struct bp_error err = { 0 };
    json_t *o = json_loads(i->text, 0, NULL);

    if (bp_link_log_result(l->log, i->id, i->text, &err) < 0)
        bp_log(BP_LOG_WARNING, "a command's result cannot be kept", BP_F_TEXT("why", err.text));
    (void) bp_link_send(l, json_pack("{s:o}", "result", o));
}

static void on_item(struct bp_link *l, struct bp_link_item *i) {
    switch (i->kind) {
    case BP_LINK_OPENED:
        l->open = true;
        say_hello(l);
        break;
    case BP_LINK_MESSAGE:
        on_message(l, i->json);
        break;
    case BP_LINK_ENDED:
        on_ended(l, i);
        break;
    case BP_LINK_RESULT:
        on_result(l, i);
        break;
    case BP_LINK_SYNC:
        json_decref(l->sync);
        l->sync = BP_TAKE_PTR(i->json);
        break;
    case BP_LINK_NEWS:
        break;
    }
}

/* ---- the connection: loop thread ---- */

static struct bp_link_item *item(int kind) {
    struct bp_link_item *i;

    while (!(i = calloc(1, sizeof *i))) /* what becomes of a connection must not be missed */
        bp_sleep(BP_MS);
    i->kind = kind;
    return i;
}

static void ws_open(void *ctx, struct bp_ws_client *c) {
    bp_link_live_begin(ctx, c);
    bp_link_put(ctx, item(BP_LINK_OPENED));
}

static void ws_message(void *ctx, struct bp_ws_client *c, enum bp_ws_opcode opcode,
                       struct bp_str body) {
    struct bp_link *l = ctx;
    struct bp_link_item *i;
    bool flooded;

    bp_mutex_lock(&l->lock);
    flooded = l->nmessages >= BP_LINK_MESSAGES;
    bp_mutex_unlock(&l->lock);
    if (flooded || opcode != BP_WS_TEXT) {
        bp_ws_client_shut(c, 1008, "too many messages");
        return;
    }
    i = item(BP_LINK_MESSAGE);
    i->json = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(i->json))
        bp_ws_client_shut(c, 1007, "a message is a JSON object");
    else if (!bp_link_live_message(l, i->json))
        bp_link_put(l, BP_TAKE_PTR(i));
    bp_link_item_free(i);
}

static void ws_end(void *ctx, const struct bp_ws_client_end *why) {
    struct bp_link_item *i = item(BP_LINK_ENDED);

    bp_link_live_end(ctx);
    i->code = why->code;
    i->retry_after = why->retry_after;
    i->status = why->status;
    i->text = strdup(why->text);
    bp_link_put(ctx, i);
}

/* ---- the thread ---- */

/* "secret:NAME" or "file:/PATH", looked up each time, so that it can be renewed. */
static int put_token(struct bp_link *l, const char *token, struct bp_buf *out,
                     struct bp_error *err) {
    BP_AUTO_SECRET secret = { 0 };
    int r = bp_link_secret(l->agent, token, &secret, err);

    if (r == 0 && secret.n > 0)
        bp_buf_printf(out, "Authorization: Bearer %s", (const char *) secret.p);
    return r < 0 ? bp_prefix(err, r, "link.token") : out->failed ? -ENOMEM : 0;
}

/* The connector's thread: a token of the device's own. */
static int prove(void *ctx, const bool *cancel, struct bp_buf *headers, struct bp_error *err) {
    struct bp_link *l = ctx;
    char token[BP_DEVICE_TOKEN_MAX];
    int r = bp_device_token(l->tokens, cancel, token, err);

    if (r == 0) {
        bp_buf_printf(headers, "Authorization: Bearer %s\r\n", token);
        bp_mutex_lock(&l->lock);
        memcpy(l->token, token, sizeof token);
        bp_mutex_unlock(&l->lock);
    }
    bp_wipe(token, sizeof token);
    return r;
}

static void try(struct bp_link *l) {
    static const struct bp_ws_client_ops ops = { .open = ws_open,
                                                 .message = ws_message,
                                                 .end = ws_end };
    const struct bp_agent_config *c = l->agent->config;
    const char *headers[2] = { NULL, NULL };
    struct bp_error err = { 0 };
    BP_AUTO_BUF auth = { 0 };
    int r = *c->link.token ? put_token(l, c->link.token, &auth, &err) : 0;

    l->mono_tried = bp_mono_ns();
    headers[0] = auth.n > 0 ? bp_buf_cstr(&auth) : NULL;
    if (r == 0)
        r = bp_ws_client_open(
            &(struct bp_ws_client_options){
                .loop = l->loop,
                .ops = &ops,
                .ctx = l,
                .url = l->url,
                .protocol = BP_LINK_PROTOCOL,
                .headers = headers,
                .prepare = l->proves && auth.n == 0 ? prove : NULL,
                .ca_file = l->ca_file,
                .proxy = *l->proxy ? l->proxy : NULL,
                .max_message_bytes = (size_t) 256 * 1024,
            },
            &l->ws, &err);
    if (auth.n > 0)
        bp_wipe(auth.p, auth.n);
    bp_mutex_lock(&l->lock);
    l->shown.connects++;
    bp_mutex_unlock(&l->lock);
    if (r < 0) {
        plan(l);
        show(l, "waiting", err.text);
    } else {
        show(l, "connecting", NULL);
    }
}

static void look_down(struct bp_link *l, bp_ns_t now) {
    bp_ns_t after = l->agent->config->link.alert_after;
    char text[256], error[160];

    if (now >= l->mono_sample) {
        if (l->mono_sample > 0)
            keep_sample(l);
        l->mono_sample = now + SAMPLE_S * BP_SEC;
    }
    if (l->alerted || after == 0 || l->mono_down == 0 || now - l->mono_down < after)
        return;
    bp_mutex_lock(&l->lock);
    (void) snprintf(error, sizeof error, "%.150s", l->shown.error);
    bp_mutex_unlock(&l->lock);
    (void) snprintf(text, sizeof text, "no link to the server for %lld s: %s",
                    (long long) ((now - l->mono_down) / BP_SEC), error);
    bp_alerts_raise(l->agent->alerts, "link.down", BP_SEVERITY_WARNING, text);
    l->alerted = true;
}

/* Tells what is due. */
static void tell(struct bp_link *l, bp_ns_t now) {
    send_events(l);
    if (bp_ws_client_queued(l->ws) > BATCH_BYTES) /* it is slow: what is newer then is better */
        return;
    if (now >= l->mono_status) {
        send_status(l);
        l->mono_status = now + l->interval;
    }
    if (l->wants_topics && now >= l->mono_topics) {
        send_topics(l);
        l->mono_topics = now + BP_MAX(l->interval, BP_SEC);
    }
    if (now >= l->mono_robots) {
        send_robots(l);
        l->mono_robots = now + ROBOTS_S * BP_SEC;
    }
    if (l->sync && now >= l->mono_sync) {
        (void) bp_link_send(l, json_pack("{s:o}", "sync", BP_TAKE_PTR(l->sync)));
        l->mono_sync = now + l->interval;
    }
}

static struct bp_link_item *pop_locked(struct bp_link *l) BP_REQUIRES(l->lock);
static struct bp_link_item *pop_locked(struct bp_link *l) {
    struct bp_link_item *i = l->items;

    if (!i)
        return NULL;
    DL_DELETE(l->items, i);
    l->nnews -= i->kind == BP_LINK_NEWS;
    l->news_bytes -= i->kind == BP_LINK_NEWS ? i->bytes : 0;
    l->nmessages -= i->kind == BP_LINK_MESSAGE;
    return i;
}

/* Does all that has come; news that stand together are written together. */
void bp_link_do_items(struct bp_link *l) {
    struct bp_link_item *news[GATHER];
    struct bp_link_event v[GATHER];
    struct bp_link_item *i;
    uint64_t lost[BP_LINK_CLASSES];
    bool more;

    do {
        size_t n = 0;

        bp_mutex_lock(&l->lock);
        memcpy(lost, l->lost, sizeof lost);
        memset(l->lost, 0, sizeof l->lost);
        while (n < GATHER && l->items && l->items->kind == BP_LINK_NEWS)
            news[n++] = pop_locked(l);
        l->nkeeping = n;
        i = n > 0 ? NULL : pop_locked(l);
        bp_mutex_unlock(&l->lock);
        for (int c = 0; c < BP_LINK_CLASSES; c++)
            if (lost[c] > 0)
                bp_link_log_count(l->log, (enum bp_link_class) c, lost[c]);
        for (size_t k = 0; k < n; k++)
            v[k] = (struct bp_link_event){ news[k]->class, news[k]->wall_ns, news[k]->text };
        keep(l, v, n);
        for (size_t k = 0; k < n; k++)
            bp_link_item_free(news[k]);
        more = n > 0 || i != NULL;
        if (i)
            on_item(l, i);
        bp_link_item_free(i);
        if (n > 0)
            show(l, NULL, NULL);
    } while (more);
}

/* When there is something to do though nothing comes. */
static bp_ns_t next_mono(const struct bp_link *l, bp_ns_t now) {
    if (l->welcome)
        return BP_MAX(BP_MIN(l->mono_status, l->sync ? l->mono_sync : l->mono_status),
                      now + 50 * BP_MS);
    return BP_MIN(now + BP_SEC, l->ws ? now + BP_SEC : BP_MAX(l->mono_try, now));
}

/* @return false: the end */
static bool wait_for_work(struct bp_link *l, bp_ns_t mono_until) {
    struct timespec t = { .tv_sec = mono_until / BP_SEC, .tv_nsec = mono_until % BP_SEC };
    bool stop, hint;

    bp_mutex_lock(&l->lock);
    while (!l->items && !l->stop && !l->hint && bp_mono_ns() < mono_until)
        (void) pthread_cond_clockwait(&l->work, &l->lock.m, CLOCK_MONOTONIC, &t);
    stop = l->stop;
    hint = BP_TAKE(l->hint, false);
    bp_mutex_unlock(&l->lock);
    if (hint && !l->ws && l->tries > 0) { /* the way may be free again: at once */
        l->tries = 0;
        l->mono_try =
            BP_MIN(l->mono_try, BP_MAX(bp_mono_ns(), l->mono_tried + HINT_GAP_S * BP_SEC));
    }
    return !stop;
}

/* What is told already is acknowledged yet, when the server is there; the rest waits in link.db. */
static void say_goodbye(struct bp_link *l) {
    bp_ns_t until = bp_mono_ns() + CLOSE_MS * BP_MS;

    bp_link_do_items(l);
    if (l->welcome)
        send_events(l);
    if (l->ws && l->open)
        bp_ws_client_shut(l->ws, 1001, "the agent ends");
    while (l->ws && l->open && bp_mono_ns() < until) {
        bp_sleep(10 * BP_MS);
        bp_link_do_items(l);
    }
    bp_link_live_stop(l);
    bp_ws_client_close(BP_TAKE_PTR(l->ws));
}

void *bp_link_run(void *link) {
    struct bp_link *l = link;

    l->mono_down = bp_mono_ns();
    l->mono_try = bp_mono_ns() + (bp_ns_t) (dice() * 1e9);
    while (wait_for_work(l, next_mono(l, bp_mono_ns()))) {
        bp_ns_t now;

        bp_link_do_items(l);
        now = bp_mono_ns();
        if (l->welcome)
            tell(l, now);
        else
            look_down(l, now);
        if (!l->ws && now >= l->mono_try)
            try(l);
    }
    say_goodbye(l);
    return NULL;
}
