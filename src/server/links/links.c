#include "server/links/links-priv.h"

#include <errno.h>
#include <stdio.h>
#include <utlist.h>

#include "base/json-value.h"
#include "base/log.h"

/* The table of devices and their connections. All of it is the loop's: handlers ask by
 * bp_loop_call(), which costs them a turn of the loop and nobody a lock. */

enum { STOP_MS = 1000, HELLO_S = 10, TOPICS_S = 10 };

struct bp_links_stats bp_links_stats;

const struct bp_metric bp_links_metrics[] = {
    { "bagpipe_links_online", "Agents whose link is open.", BP_METRIC_GAUGE,
      .gauge = &bp_links_stats.online },
    { "bagpipe_links_devices", "Devices that are remembered.", BP_METRIC_GAUGE,
      .gauge = &bp_links_stats.devices },
    { "bagpipe_links_live_streams", "Live streams of robots that are watched.", BP_METRIC_GAUGE,
      .gauge = &bp_links_stats.live },
    { "bagpipe_links_live_frames_total", "Pictures, clouds and samples agents sent to be watched.",
      BP_METRIC_COUNTER, .counter = &bp_links_stats.live_frames },
    { "bagpipe_links_live_bytes_total", "Bytes agents sent of them.", BP_METRIC_COUNTER,
      .counter = &bp_links_stats.live_bytes },
    { "bagpipe_links_messages_total", "Messages of agents.", BP_METRIC_COUNTER,
      .counter = &bp_links_stats.messages },
    { "bagpipe_links_events_total", "Events of agents that were written down.", BP_METRIC_COUNTER,
      .counter = &bp_links_stats.events },
    { "bagpipe_links_refused_total", "Links ended because of what the agent sent.",
      BP_METRIC_COUNTER, .counter = &bp_links_stats.refused },
    { "bagpipe_links_commands_total", "Commands to agents by how they ended.", BP_METRIC_COUNTER,
      .label = "end", .label_value = "done", .counter = &bp_links_stats.commands },
    { "bagpipe_links_commands_total", "Commands to agents by how they ended.", BP_METRIC_COUNTER,
      .label = "end", .label_value = "expired", .counter = &bp_links_stats.expired },
};

const size_t bp_links_metrics_count = BP_COUNT(bp_links_metrics);

static const char *const view_names[BP_LINKS_VIEWS] = { "status", "topics", "sync" };

/* ---- devices ---- */

static bool is_id(const char *s) {
    static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:@";
    size_t n = strlen(s);

    return n > 0 && n <= BP_LINKS_DEVICE_MAX && strspn(s, ok) == n && *s != '.';
}

struct bp_links_dev *bp_links_find(struct bp_links *l, const char *id) {
    struct bp_links_dev *d = NULL;

    HASH_FIND_STR(l->devs, id, d);
    return d;
}

static void dev_free(struct bp_links_dev *d) {
    bp_links_cmd_drop_all(d);
    json_decref(d->hello);
    json_decref(d->status);
    json_decref(d->topics);
    json_decref(d->sync);
    json_decref(d->alerts);
    for (int i = 0; i < BP_LINKS_VIEWS; i++)
        bp_channel_unref(d->views[i]);
    free(d);
}

/* The one that was not heard for longest makes room; what it told stays in links.db. */
static bool make_room(struct bp_links *l) {
    struct bp_links_dev *d, *next, *oldest = NULL;

    if (HASH_COUNT(l->devs) < l->o.max_devices)
        return true;
    HASH_ITER(hh, l->devs, d, next) {
        if (!d->conn && (!oldest || d->wall_seen < oldest->wall_seen))
            oldest = d;
    }
    if (!oldest)
        return false;
    bp_mutex_lock(&l->lock);
    HASH_DEL(l->devs, oldest);
    bp_mutex_unlock(&l->lock);
    dev_free(oldest);
    return true;
}

struct bp_links_dev *bp_links_make(struct bp_links *l, const char *id) {
    struct bp_links_dev *d = bp_links_find(l, id);

    if (d || !is_id(id) || !make_room(l))
        return d;
    d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    (void) snprintf(d->id, sizeof d->id, "%s", id);
    bp_mutex_lock(&l->lock);
    HASH_ADD_STR(l->devs, id, d);
    bp_mutex_unlock(&l->lock);
    bp_gauge_set(&bp_links_stats.devices, HASH_COUNT(l->devs));
    return d;
}

const char *bp_links_state(const struct bp_links *l, const struct bp_links_dev *d) {
    if (!d->conn)
        return "offline";
    return bp_mono_ns() - d->mono_seen > l->o.stale_after ? "stale" : "online";
}

/* @param b  taken over */
static int put_batch(struct bp_links *l, struct bp_links_batch *b) {
    int r = b ? bp_links_store_put(l->store, b) : -ENOMEM;

    if (r < 0)
        bp_links_batch_free(b);
    return r;
}

/* @param wall_ns  when it is to have been seen last */
static int note(struct bp_links *l, const struct bp_links_dev *d, bp_ns_t wall_ns) {
    struct bp_links_batch *b = calloc(1, sizeof *b);
    json_t *about = json_pack("{s:O?, s:O?}", "hello", d->hello, "status", d->status);

    if (b && about) {
        (void) snprintf(b->device, sizeof b->device, "%s", d->id);
        (void) snprintf(b->log, sizeof b->log, "%s", d->log);
        b->last = d->acked;
        b->wall_ns = wall_ns;
        b->about = json_dumps(about, JSON_COMPACT);
        b->bytes = b->about ? strlen(b->about) : 0;
    }
    json_decref(about);
    return put_batch(l, b);
}

int bp_links_note(struct bp_links *l, struct bp_links_dev *d) {
    return note(l, d, d->wall_seen);
}

/* ---- news ---- */

void bp_links_send(struct bp_links_conn *c, json_t *message) {
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

    if (text && c && c->ws)
        bp_ws_send(c->ws, text, strlen(text));
    free(text);
    json_decref(message);
}

static bp_ns_t age_of(const struct bp_links_dev *d) {
    return d->mono_seen ? bp_mono_ns() - d->mono_seen : BP_MAX(bp_wall_ns() - d->wall_seen, 0);
}

/* What leaves the loop is a copy: only who owns a JSON value looks at its count of references. */
static json_t *copy_of(const json_t *o, const char *key) {
    return json_deep_copy(json_object_get(o, key));
}

static json_t *brief(const struct bp_links *l, const struct bp_links_dev *d) {
    const json_t *h = d->hello;

    return json_pack("{s:s, s:o?, s:s, s:f, s:o, s:o?, s:o?, s:o?, s:o?, s:o?}", "device", d->id,
                     "name", copy_of(h, "name"), "state", bp_links_state(l, d), "age_s",
                     (double) age_of(d) / 1e9, "seen_ns", bp_json_time(d->wall_seen), "version",
                     copy_of(h, "version"), "robots", copy_of(h, "robots"), "does",
                     copy_of(d->status, "state"), "clock_off_s", copy_of(h, "clock_off_s"),
                     "dropped", copy_of(h, "dropped"));
}

void bp_links_tell(struct bp_links *l, const struct bp_links_dev *d, const char *event) {
    json_t *o = brief(l, d);

    if (o && l->o.news) {
        (void) json_object_set_new(o, "event", json_string(event));
        l->o.news(l->o.ctx, "robots", BP_TAKE_PTR(o));
    }
    json_decref(o);
}

void bp_links_publish_to(struct bp_channel *ch, const json_t *data) {
    char *text =
        bp_channel_subscribers(ch) > 0 ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    size_t n = text ? strlen(text) : 0;
    struct bp_frame *f = text ? bp_frame_new(BP_WS_TEXT, BP_STAMP_MAX, n + 1) : NULL;

    if (f) {
        memcpy(bp_frame_payload(f), text, n);
        bp_frame_payload(f)[n] = '}';
        (void) bp_channel_publish(ch, f);
    }
    free(text);
}

void bp_links_publish(struct bp_links *l, struct bp_links_dev *d, enum bp_links_view v,
                      const json_t *data) {
    struct bp_channel *ch;

    bp_mutex_lock(&l->lock);
    ch = d->views[v] ? bp_channel_ref(d->views[v]) : NULL;
    bp_mutex_unlock(&l->lock);
    if (ch)
        bp_links_publish_to(ch, data);
    bp_channel_unref(ch);
}

/* ---- forgetting; loop thread ---- */

static void take_out(struct bp_links *l, struct bp_links_dev *d) {
    bp_mutex_lock(&l->lock);
    HASH_DEL(l->devs, d);
    bp_mutex_unlock(&l->lock);
    dev_free(d);
    bp_gauge_set(&bp_links_stats.devices, HASH_COUNT(l->devs));
}

/* It is out of the table before it is out of links.db: what was on its way goes with it. */
static void forget(struct bp_links *l, const char *id) {
    struct bp_links_batch *b = calloc(1, sizeof *b);
    struct bp_links_dev *d = bp_links_find(l, id);

    if (b) {
        (void) snprintf(b->device, sizeof b->device, "%s", id);
        b->forget = true;
    }
    if (d) /* last: `id` may be its */
        take_out(l, d);
    if (put_batch(l, b) < 0)
        bp_log(BP_LOG_WARNING, "a device that was removed stays in links.db until it is old");
}

struct forgetting {
    bp_ns_t before; /* wall */
    unsigned n;
    int r;
};

/* Rows of those that are connected are made young first, though they may have said nothing for
 * long: what is old in the database then is of nobody who is here. */
static void forget_silent(void *a, void *b) {
    struct bp_links *l = a;
    struct forgetting *f = b;
    struct bp_links_dev *d, *next;
    struct bp_links_batch *batch;

    HASH_ITER(hh, l->devs, d, next) {
        if (f->r == 0 && d->conn)
            f->r = note(l, d, BP_MAX(d->wall_seen, f->before));
    }
    if (f->r < 0)
        return;
    batch = calloc(1, sizeof *batch);
    if (!batch) {
        f->r = -ENOMEM;
        return;
    }
    batch->forget = true;
    batch->wall_ns = f->before;
    f->r = put_batch(l, batch);
    HASH_ITER(hh, l->devs, d, next) {
        if (f->r == 0 && !d->conn && d->wall_seen < f->before) {
            take_out(l, d);
            f->n++;
        }
    }
}

int bp_links_forget_silent(struct bp_links *l, bp_ns_t before) {
    struct forgetting f = { .before = before };

    bp_loop_call(l->loop, forget_silent, l, &f);
    return f.r < 0 ? f.r : (int) f.n;
}

/* ---- connections; loop thread ---- */

static void on_open(struct bp_ws *ws, void *data) {
    struct bp_links_conn *c = data;

    c->ws = ws;
    c->mono_opened = c->mono_filled = bp_mono_ns();
    c->messages = BP_LINK_PER_S * BP_LINK_BURST_S;
    c->bytes = (double) BP_LINK_BYTES_PER_S * BP_LINK_BURST_S;
    c->live_filled = c->mono_opened;
    c->live_bytes = 2.0 * BP_LINK_LIVE_BYTES_PER_S;
    c->unknown = true;
    DL_APPEND(c->links->unknown, c);
}

void bp_links_known(struct bp_links_conn *c) {
    if (BP_TAKE(c->unknown, false))
        DL_DELETE(c->links->unknown, c);
}

/* A bucket of messages and one of bytes: what an agent may send, so that one that floods costs the
 * others nothing. */
static bool may_send(struct bp_links_conn *c, size_t n) {
    bp_ns_t now = bp_mono_ns();
    double s = (double) (now - c->mono_filled) / 1e9;

    c->mono_filled = now;
    c->messages = BP_MIN(c->messages + s * BP_LINK_PER_S, (double) BP_LINK_PER_S * BP_LINK_BURST_S);
    c->bytes =
        BP_MIN(c->bytes + s * BP_LINK_BYTES_PER_S, (double) BP_LINK_BYTES_PER_S * BP_LINK_BURST_S);
    c->messages -= 1;
    c->bytes -= (double) n;
    return c->messages >= 0 && c->bytes >= 0;
}

static void on_message(struct bp_ws *ws, void *data, enum bp_ws_opcode opcode, struct bp_str body) {
    struct bp_links_conn *c = data;
    json_t *message;

    bp_counter_add(&bp_links_stats.messages, 1);
    if (opcode == BP_WS_BINARY && c->dev && c->watched) {
        bp_links_live_piece(c, body);
        return;
    }
    if (!may_send(c, body.n)) {
        bp_counter_add(&bp_links_stats.refused, 1);
        bp_ws_shut(ws, 1008, "too many messages");
        return;
    }
    message =
        opcode == BP_WS_TEXT ? json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!json_is_object(message)) {
        bp_counter_add(&bp_links_stats.refused, 1);
        bp_ws_shut(ws, 1007, "a message is a JSON object, as text");
    } else {
        bp_links_message(c, message);
    }
    json_decref(message);
}

static void on_end(void *data, unsigned code) {
    struct bp_links_conn *c = data;
    struct bp_links_dev *d = c->dev;

    bp_links_known(c);
    if (d && d->conn == c) {
        struct bp_links *l = c->links;

        d->conn = NULL;
        d->taken = d->acked; /* what is on its way yet comes again, and is known then */
        d->wants_topics = false;
        bp_gauge_add(&bp_links_stats.online, -1);
        bp_log(BP_LOG_INFO, "an agent's link has ended", BP_F_TEXT("device", d->id),
               BP_F_UINT("code", code));
        bp_links_tell(l, d, "offline");
        bp_links_live_turn(l, d);
        if (d->removed)
            forget(l, d->id);
        else
            (void) bp_links_note(l, d);
    }
    bp_pieces_done(&c->pieces);
    free(c);
}

static const struct bp_ws_ops ws_ops = { .open = on_open, .message = on_message, .end = on_end };

/* Does the list "a, b" hold our protocol? */
static bool offers(const char *list) {
    size_t n = strlen(BP_LINK_PROTOCOL);

    for (const char *p = list ? list : ""; *p; p += *p == ',') {
        p += strspn(p, " \t");
        if (strncmp(p, BP_LINK_PROTOCOL, n) == 0 && strchr(" \t,", p[n]))
            return true;
        p += strcspn(p, ",");
    }
    return false;
}

int bp_links_accept(struct bp_links *l, const char *device, struct bp_http_req *req,
                    struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_links_conn *c;
    int r;

    if (!bp_ws_is_asked(req) || !offers(bp_http_header(req, "Sec-WebSocket-Protocol")))
        return bp_fail(err, BP_EUSAGE,
                       "agents link here by a WebSocket that speaks " BP_LINK_PROTOCOL);
    if (device && !is_id(device))
        return bp_fail(err, BP_EUSAGE, "'%.80s' is no id of a device", device);
    c = calloc(1, sizeof *c);
    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");
    c->links = l;
    (void) snprintf(c->proved, sizeof c->proved, "%s", device ? device : "");
    (void) snprintf(c->peer, sizeof c->peer, "%s", bp_http_peer(req));
    r = bp_ws_accept(l->ws, req, reply, c);
    bp_http_reply_header(reply, "Sec-WebSocket-Protocol", BP_LINK_PROTOCOL);
    return r;
}

/* ---- once a second ---- */

/* Whether an agent is to tell its topics: somebody has subscribed, or asked lately. */
static void want_topics(struct bp_links *l, struct bp_links_dev *d, bp_ns_t now) {
    bool wants;

    bp_mutex_lock(&l->lock);
    wants = d->views[BP_LINKS_TOPICS] && bp_channel_subscribers(d->views[BP_LINKS_TOPICS]) > 0;
    bp_mutex_unlock(&l->lock);
    wants |= now < d->mono_topics_until;
    if (wants == d->wants_topics)
        return;
    d->wants_topics = wants;
    bp_links_send(d->conn, json_pack("{s:{s:b}}", "want", "topics", wants));
    if (!wants) {
        json_decref(d->topics);
        d->topics = NULL;
    }
}

/* A place is for who says hello. */
static void end_silent(struct bp_links *l, bp_ns_t now) {
    struct bp_links_conn *c, *next;

    DL_FOREACH_SAFE(l->unknown, c, next) {
        if (now - c->mono_opened < HELLO_S * BP_SEC)
            break;
        bp_counter_add(&bp_links_stats.refused, 1);
        bp_links_known(c);
        bp_ws_shut(c->ws, 1008, "no hello has come in time");
    }
}

static void on_tick(struct bp_loop_tick *t) {
    struct bp_links *l = BP_CONTAINER_OF(t, struct bp_links, tick);
    bp_ns_t now = bp_mono_ns();
    struct bp_links_dev *d, *next;

    end_silent(l, now);
    bp_links_live_tick(l);
    HASH_ITER(hh, l->devs, d, next) {
        bool stale = d->conn && now - d->mono_seen > l->o.stale_after;

        bp_links_cmd_tick(d, now);
        if (d->conn)
            want_topics(l, d, now);
        if (stale && !d->told_stale)
            bp_links_tell(l, d, "stale");
        d->told_stale = stale;
    }
}

/* ---- what handlers ask ---- */

struct ask {
    struct bp_links *links;
    const char *device;
    json_t *ret;
    int r;
};

static void list_devices(void *a, void *b) {
    struct ask *ask = a;
    struct bp_links_dev *d, *next;

    (void) b;
    ask->ret = json_array();
    HASH_ITER(hh, ask->links->devs, d, next) {
        (void) json_array_append_new(ask->ret, brief(ask->links, d));
    }
}

json_t *bp_links_devices(struct bp_links *l) {
    struct ask ask = { .links = l };

    bp_loop_call(l->loop, list_devices, &ask, NULL);
    return json_pack("{s:o}", "devices", ask.ret);
}

/* A device with one of its robots; NULL: it sees none. */
static json_t *robot_of(const json_t *device, json_t *robot) {
    json_t *o = json_copy((json_t *) (uintptr_t) device);

    (void) json_object_del(o, "robots");
    (void) json_object_set_new(o, "robot", robot ? json_incref(robot) : json_null());
    return o;
}

/* What the fleet looks like. */
json_t *bp_links_robots(struct bp_links *l) {
    struct ask ask = { .links = l };
    json_t *list = json_array(), *d, *robot;
    size_t i, k;

    bp_loop_call(l->loop, list_devices, &ask, NULL);
    json_array_foreach(ask.ret, i, d) {
        const json_t *robots = json_object_get(d, "robots");

        json_array_foreach(robots, k, robot) {
            (void) json_array_append_new(list, robot_of(d, robot));
        }
        if (json_array_size(robots) == 0)
            (void) json_array_append_new(list, robot_of(d, NULL));
    }
    json_decref(ask.ret);
    return json_pack("{s:o}", "robots", list);
}

static void get_device(void *a, void *b) {
    struct ask *ask = a;
    struct bp_links_dev *d = bp_links_find(ask->links, ask->device);

    (void) b;
    ask->ret = d ? brief(ask->links, d) : NULL;
    if (!ask->ret)
        return;
    /* copies: a later delta changes the loop's own */
    (void) json_object_set_new(ask->ret, "status",
                               d->status ? json_deep_copy(d->status) : json_null());
    (void) json_object_set_new(ask->ret, "alerts",
                               d->alerts ? json_deep_copy(d->alerts) : json_null());
    (void) json_object_set_new(ask->ret, "sync", d->sync ? json_deep_copy(d->sync) : json_null());
    (void) json_object_set_new(
        ask->ret, "link",
        json_pack("{s:s, s:I, s:s?, s:i}", "log", d->log, "acknowledged", (json_int_t) d->acked,
                  "peer", d->conn ? d->conn->peer : NULL, "commands_waiting", (int) d->ncommands));
}

json_t *bp_links_device(struct bp_links *l, const char *device) {
    struct ask ask = { .links = l, .device = device };

    bp_loop_call(l->loop, get_device, &ask, NULL);
    return ask.ret;
}

static void get_topics(void *a, void *b) {
    struct ask *ask = a;
    struct bp_links_dev *d = bp_links_find(ask->links, ask->device);

    (void) b;
    ask->r = !d ? -ENOENT : d->conn ? -EAGAIN : -ENOTCONN;
    if (!d || !d->conn)
        return;
    d->mono_topics_until = bp_mono_ns() + TOPICS_S * BP_SEC;
    want_topics(ask->links, d, bp_mono_ns());
    ask->ret = json_deep_copy(d->topics);
}

int bp_links_topics(struct bp_links *l, const char *device, json_t **ret, struct bp_error *err) {
    struct ask ask = { .links = l, .device = device };

    for (unsigned i = 0; i < 30; i++) { /* it is asked for, and comes within a second */
        bp_loop_call(l->loop, get_topics, &ask, NULL);
        if (ask.ret) {
            *ret = ask.ret;
            return 0;
        }
        if (ask.r != -EAGAIN)
            break;
        bp_sleep(100 * BP_MS);
    }
    return ask.r == -ENOENT
               ? bp_fail(err, ask.r, "there is no device '%.100s'", device)
               : bp_fail(err, -EAGAIN, "device '%.100s' %s", device,
                         ask.r == -EAGAIN ? "has not told its topics yet" : "is not connected");
}

int bp_links_events(struct bp_links *l, const char *device, uint64_t after, unsigned limit,
                    json_t **ret, struct bp_error *err) {
    return bp_links_store_events(l->store, device, after, limit, ret, err);
}

/* ---- topics of the events protocol ---- */

/* "device:ID/status". @return which view; -1: none of them, `id` is "" when it is of no device */
static int view_of(const char *name, char id[static BP_LINKS_DEVICE_MAX + 1]) {
    const char *p = bp_starts_with(name, "device:") ? name + 7 : "", *slash = strchr(p, '/');

    *id = '\0';
    if (!slash || (size_t) (slash - p) > BP_LINKS_DEVICE_MAX)
        return -1;
    (void) snprintf(id, BP_LINKS_DEVICE_MAX + 1, "%.*s", (int) (slash - p), p);
    for (int i = 0; i < BP_LINKS_VIEWS; i++)
        if (bp_streq(slash + 1, view_names[i]))
            return i;
    return -1;
}

struct bp_channel *bp_links_channel(struct bp_links *l, const struct bp_links_ask *ask,
                                    struct bp_error *err) {
    char id[BP_LINKS_DEVICE_MAX + 1];
    int view = view_of(ask->name, id);
    struct bp_channel *made, *ch = NULL;
    struct bp_links_dev *d = NULL;

    if (view < 0)
        return bp_links_live_channel(l, ask, id, err);
    made = bp_channel_new(ask->fanout,
                          &(struct bp_channel_options){ .name = ask->name, .stamp = ask->stamp });
    bp_mutex_lock(&l->lock);
    HASH_FIND_STR(l->devs, id, d);
    if (d && !d->views[view])
        d->views[view] = BP_TAKE_PTR(made);
    if (d && d->views[view])
        ch = bp_channel_ref(d->views[view]);
    bp_mutex_unlock(&l->lock);
    bp_channel_unref(made);
    if (!ch)
        (void) bp_fail(err, d ? -ENOMEM : -ENOENT, "there is no device '%s'", id);
    return ch;
}

/* ---- whom nobody lets in any more ---- */

static void drop(void *a, void *b) {
    struct bp_links_dev *d = bp_links_find(a, b);

    if (d && d->conn)
        bp_ws_shut(d->conn->ws, 4003, "the server does not let this device in any more");
    free(b);
}

void bp_links_drop(struct bp_links *l, const char *device) {
    char *id = strdup(device);

    if (id)
        bp_loop_post_surely(l->loop, drop, l, id);
}

static void remove_device(void *a, void *b) {
    struct bp_links_dev *d = bp_links_find(a, b);

    if (d && d->conn) {
        d->removed = true;
        bp_ws_shut(d->conn->ws, 4003, "the server does not let this device in any more");
    } else {
        forget(a, b);
    }
    free(b);
}

void bp_links_remove(struct bp_links *l, const char *device) {
    char *id = strdup(device);

    if (id)
        bp_loop_post_surely(l->loop, remove_device, l, id);
}

unsigned bp_links_online(const struct bp_links *l) {
    (void) l;
    return (unsigned) BP_MAX(bp_gauge_get(&bp_links_stats.online), 0);
}

/* ---- its life ---- */

static void take_up(void *ctx, const char *device, const char *log, uint64_t last,
                    bp_ns_t wall_seen, const char *about) {
    struct bp_links_dev *d = bp_links_make(ctx, device);
    json_t *o = d ? json_loads(about, 0, NULL) : NULL;

    if (!d)
        return;
    (void) snprintf(d->log, sizeof d->log, "%s", log);
    d->acked = d->taken = last;
    d->wall_seen = wall_seen;
    d->hello = json_incref(json_object_get(o, "hello"));
    d->status = json_incref(json_object_get(o, "status"));
    json_decref(o);
}

static void start_ticking(void *a, void *b) {
    struct bp_links *l = a;

    (void) b;
    l->tick.run = on_tick;
    bp_loop_tick_add(l->loop, &l->tick);
}

static void stop_ticking(void *a, void *b) {
    struct bp_links *l = a;

    (void) b;
    bp_loop_tick_remove(l->loop, &l->tick);
}

struct stored {
    struct bp_links *links;
    struct bp_links_batch *batch;
    int r;
};

static void stored_here(void *a, void *b) {
    struct stored *s = a;

    (void) b;
    bp_links_stored(s->links, s->batch, s->r);
    free(s);
}

/* Store's thread. */
static void on_stored(void *ctx, struct bp_links_batch *b, int r) {
    struct bp_links *l = ctx;
    struct stored *s;

    while (!(s = malloc(sizeof *s))) /* an acknowledgement must not be forgotten */
        bp_sleep(BP_MS);
    *s = (struct stored){ l, b, r };
    bp_loop_post_surely(l->loop, stored_here, s, NULL);
}

static int open_parts(struct bp_links *l, const char *dir, struct bp_error *err) {
    char path[1100];
    int r = bp_fanout_open(NULL, &l->fanout, err);

    if (r < 0)
        return r;
    l->loop = bp_fanout_loop_at(l->fanout, 0);
    (void) snprintf(path, sizeof path, "%s/links.db", dir);
    r = bp_links_store_open(&(struct bp_links_store_opts){ .path = path,
                                                           .max_events = l->o.max_events,
                                                           .max_bytes = BP_LINK_STORE,
                                                           .stored = on_stored,
                                                           .ctx = l },
                            &l->store, err);
    if (r == 0)
        r = bp_links_store_each(l->store, take_up, l, err);
    if (r == 0)
        r = bp_ws_server_open(&(struct bp_ws_options){ .fanout = l->fanout,
                                                       .ops = &ws_ops,
                                                       .max_message_bytes = BP_LINK_MESSAGE,
                                                       .max_connections = l->o.max_connections },
                              &l->ws, err);
    return r;
}

int bp_links_open(const struct bp_links_options *o, struct bp_links **ret, struct bp_error *err) {
    struct bp_links *l = calloc(1, sizeof *l);
    int r;

    if (!l)
        return bp_fail(err, -ENOMEM, "out of memory");
    l->o = *o;
    l->o.max_devices = o->max_devices ? o->max_devices : 10000;
    l->o.max_connections = o->max_connections ? o->max_connections : 4096;
    l->o.max_events = o->max_events ? o->max_events : 10000;
    l->o.status_interval = o->status_interval ? o->status_interval : BP_SEC;
    l->o.stale_after = o->stale_after ? o->stale_after : 10 * BP_SEC;
    bp_mutex_init(&l->lock);
    r = open_parts(l, o->dir, err);
    if (r < 0) {
        bp_links_close(l);
        return r;
    }
    bp_loop_call(l->loop, start_ticking, l, NULL);
    l->ticking = true;
    *ret = l;
    return 0;
}

/* Each agent gets a moment of its own, so that they do not all come back at once. */
static void ask_to_go(void *a, void *b) {
    struct bp_links *l = a;
    const bp_ns_t *spread = b;
    unsigned n = BP_MAX(HASH_COUNT(l->devs), 1U), i = 0;
    struct bp_links_dev *d, *next;

    HASH_ITER(hh, l->devs, d, next) {
        double s = (double) *spread / 1e9 * i++ / n;

        if (d->conn)
            bp_links_send(d->conn, json_pack("{s:{s:f, s:s}}", "away", "after_s", s, "why",
                                             "the server ends or starts again"));
    }
}

void bp_links_stop(struct bp_links *l, bp_ns_t spread) {
    if (!l)
        return;
    bp_loop_call(l->loop, ask_to_go, l, &spread);
    bp_sleep(100 * BP_MS); /* what is sent goes before the end does */
    bp_ws_server_stop(l->ws, STOP_MS * BP_MS);
}

void bp_links_close(struct bp_links *l) {
    struct bp_links_dev *d, *next;

    if (!l)
        return;
    if (l->ticking)
        bp_loop_call(l->loop, stop_ticking, l, NULL);
    bp_ws_server_close(l->ws);
    bp_links_store_close(l->store); /* what it posts runs before the loop ends */
    bp_fanout_close(l->fanout);
    bp_links_live_done(l);
    HASH_ITER(hh, l->devs, d, next) {
        HASH_DEL(l->devs, d);
        dev_free(d);
    }
    bp_mutex_done(&l->lock);
    free(l);
}
