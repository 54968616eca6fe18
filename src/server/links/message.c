/* What agents say. Nothing of it is believed about anything but the device it came in as; whatever
 * is not as docs/api/link.md has it ends the link. Loop thread. */
#include <errno.h>
#include <stdio.h>

#include "base/json-value.h"
#include "base/log.h"
#include "server/links/links-priv.h"

enum {
    NAME_MAX_BYTES = 128,
    ROBOTS_MAX = 256,
    TOPIC_MAX = 32,
    HELLO_KEYS = 16,
    STATUS_KEYS = 64,
    KEPT_MAX = 65536, /* bytes of what is kept of a device, each */
};

void bp_links_refuse(struct bp_links_conn *c, unsigned code, const char *why) {
    bp_counter_add(&bp_links_stats.refused, 1);
    bp_log(BP_LOG_WARNING, "an agent's link is ended", BP_F_TEXT("peer", c->peer),
           BP_F_TEXT("device", c->dev ? c->dev->id : c->proved), BP_F_TEXT("why", why));
    bp_ws_shut(c->ws, code, why);
}

/* ---- hello ---- */

static bool is_text(const json_t *o, size_t max) {
    return json_is_string(o) && json_string_length(o) <= max;
}

static bool is_log(const char *log) {
    return log && strlen(log) == BP_ULID_TEXT - 1 && bp_ulid_parse(log, strlen(log), NULL) == 0;
}

static bool is_large(const json_t *v) {
    return json_dumpb(v, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > KEPT_MAX;
}

/* What there is to say against a hello; NULL: nothing. */
static const char *check_hello(const struct bp_links_conn *c, const json_t *h) {
    const char *device = json_string_value(json_object_get(h, "device"));
    const json_t *robots = json_object_get(h, "robots"), *robot;
    size_t i;

    if (is_large(h))
        return "a hello has at most 64 KiB";
    if (!device || !is_log(json_string_value(json_object_get(h, "log"))))
        return "a hello has 'device' and 'log'";
    if (*c->proved && !bp_streq(device, c->proved))
        return "it is another device than it proved to be";
    if (!is_text(json_object_get(h, "name"), NAME_MAX_BYTES) ||
        !is_text(json_object_get(h, "version"), NAME_MAX_BYTES))
        return "a hello has 'name' and 'version', at most 128 bytes each";
    if (!json_is_array(robots) || json_array_size(robots) > ROBOTS_MAX ||
        json_object_size(h) > HELLO_KEYS)
        return "'robots' is a list of at most 256 names";
    json_array_foreach(robots, i, robot) {
        if (!is_text(robot, NAME_MAX_BYTES))
            return "a robot's name has at most 128 bytes";
    }
    return json_integer_value(json_object_get(h, "resume")) < 0 ? "'resume' is below 0" : NULL;
}

/* The same device twice: what was there is most likely dead and does not know it yet. */
static void replace(struct bp_links_dev *d) {
    struct bp_links_conn *old = d->conn;

    if (!old)
        return;
    d->conn = NULL;
    old->dev = NULL;
    bp_gauge_add(&bp_links_stats.online, -1);
    bp_log(BP_LOG_WARNING, "a device has linked again while its link was open",
           BP_F_TEXT("device", d->id), BP_F_TEXT("was", old->peer));
    bp_ws_shut(old->ws, 4001, "the device has linked again");
}

/* How far its clock is from ours. */
static void note_clock(json_t *hello) {
    const char *time = json_string_value(json_object_get(hello, "time_ns"));

    if (time)
        (void) json_object_set_new(
            hello, "clock_off_s",
            json_real(((double) strtoll(time, NULL, 10) - (double) bp_wall_ns()) / 1e9));
}

/* Events go on behind what is on our disk, or, for a log we do not know, behind what the agent
 * knows to be on somebody's. */
static void take_log(struct bp_links_dev *d, const json_t *h) {
    const char *log = json_string_value(json_object_get(h, "log"));

    if (!bp_streq(log, d->log)) {
        (void) snprintf(d->log, sizeof d->log, "%s", log);
        d->acked = (uint64_t) json_integer_value(json_object_get(h, "resume"));
    }
    d->taken = d->acked;
}

static void on_hello(struct bp_links_conn *c, json_t *h) {
    struct bp_links *l = c->links;
    const char *why = c->dev ? "a second hello" : check_hello(c, h);
    struct bp_links_dev *d;
    char time[BP_TIME_TEXT];

    if (why) {
        bp_links_refuse(c, 1008, why);
        return;
    }
    d = bp_links_make(l, json_string_value(json_object_get(h, "device")));
    if (!d) {
        bp_links_refuse(c, 1013, "no room for another device, or its id is none");
        return;
    }
    replace(d);
    note_clock(h);
    json_decref(d->hello);
    d->hello = json_incref(h);
    json_decref(d->status);
    d->status = NULL;
    take_log(d, h);
    d->generation++;
    d->removed = false;
    d->conn = c;
    c->dev = d;
    bp_links_known(c);
    d->mono_seen = bp_mono_ns();
    d->wall_seen = bp_wall_ns();
    c->sends = json_is_true(json_object_get(h, "live"));
    bp_gauge_add(&bp_links_stats.online, 1);
    bp_links_send(c, json_pack("{s:{s:s, s:s, s:I, s:f, s:i, s:i, s:{s:i, s:i, s:i}}}", "welcome",
                               "version", BP_VERSION, "time", bp_time_format(bp_wall_ns(), time),
                               "acknowledged", (json_int_t) d->acked, "interval_s",
                               (double) l->o.status_interval / 1e9, "window", BP_LINK_WINDOW,
                               "max_message", BP_LINK_MESSAGE, "live", "max_message",
                               BP_LINK_LIVE_MESSAGE, "max_text", BP_LINK_LIVE_TEXT, "bytes_s",
                               BP_LINK_LIVE_BYTES_PER_S));
    (void) bp_links_note(l, d);
    bp_links_tell(l, d, "online");
    bp_links_cmd_send_all(d);
    bp_links_live_turn(l, d);
}

/* ---- what it tells ---- */

static void on_status(struct bp_links_conn *c, const json_t *message) {
    json_t *status = json_object_get(message, "status");
    struct bp_links_dev *d = c->dev;

    if (!json_is_object(status) || is_large(status) ||
        json_object_size(status) + json_object_size(d->status) > (size_t) 2 * STATUS_KEYS) {
        bp_links_refuse(c, 1008, "'status' is an object of at most 64 keys and 64 KiB");
        return;
    }
    if (json_is_true(json_object_get(message, "full")) || !d->status) {
        json_decref(d->status);
        d->status = json_incref(status);
    } else { /* keys that are told stand for what was told before */
        (void) json_object_update(d->status, status);
    }
    if (json_object_size(d->status) > STATUS_KEYS || is_large(d->status)) {
        bp_links_refuse(c, 1008, "'status' is an object of at most 64 keys and 64 KiB");
        return;
    }
    bp_links_publish(c->links, d, BP_LINKS_STATUS, d->status);
}

/* Replaces what was told before. */
static void keep(struct bp_links_conn *c, json_t **place, json_t *value, int view) {
    if (view != BP_LINKS_TOPICS && is_large(value)) {
        bp_links_refuse(c, 1009, "alerts and progress have at most 64 KiB each");
        return;
    }
    json_decref(*place);
    *place = json_incref(value);
    if (view >= 0)
        bp_links_publish(c->links, c->dev, (enum bp_links_view) view, value);
}

/* What is not asked for any more is not kept. */
static void keep_topics(struct bp_links_conn *c, json_t *topics) {
    if (c->dev->wants_topics)
        keep(c, &c->dev->topics, topics, BP_LINKS_TOPICS);
}

static void on_robots(struct bp_links_conn *c, json_t *robots) {
    json_t *hello = json_copy(c->dev->hello); /* others may hold the former one */

    (void) json_object_set(hello, "robots", robots);
    if (check_hello(c, hello)) {
        json_decref(hello);
        bp_links_refuse(c, 1008, "'robots' is a list of at most 256 names");
        return;
    }
    json_decref(c->dev->hello);
    c->dev->hello = hello;
    bp_links_tell(c->links, c->dev, "robots");
}

/* ---- events ---- */

/* Checks the numbers: each above the one before. @return the last, 0 when something is wrong */
static uint64_t check_events(const json_t *events) {
    json_int_t last = 0;
    const json_t *e;
    size_t i;

    if (!json_is_array(events) || json_array_size(events) == 0 ||
        json_array_size(events) > BP_LINK_BATCH)
        return 0;
    json_array_foreach(events, i, e) {
        json_int_t seq = json_integer_value(json_object_get(e, "seq"));

        if (seq <= last || !is_text(json_object_get(e, "topic"), TOPIC_MAX) ||
            !is_text(json_object_get(e, "time_ns"), TOPIC_MAX) || !json_object_get(e, "data"))
            return 0;
        last = seq;
    }
    return (uint64_t) last;
}

/* Without those we have. */
static json_t *new_of(const json_t *events, uint64_t taken) {
    json_t *list = json_array(), *e;
    size_t i;

    json_array_foreach(events, i, e) {
        if ((uint64_t) json_integer_value(json_object_get(e, "seq")) > taken)
            (void) json_array_append(list, e);
    }
    return list;
}

static void on_events(struct bp_links_conn *c, const json_t *events, size_t bytes) {
    struct bp_links_dev *d = c->dev;
    uint64_t last = check_events(events);
    struct bp_links_batch *b;

    if (last == 0) {
        bp_links_refuse(
            c, 1008, "events have rising numbers, a topic, time_ns and data, at most 256 at once");
        return;
    }
    if (last <= d->taken) {
        bp_links_send(c, json_pack("{s:I}", "ack", (json_int_t) d->acked));
        return;
    }
    b = calloc(1, sizeof *b);
    if (b) {
        (void) snprintf(b->device, sizeof b->device, "%s", d->id);
        (void) snprintf(b->log, sizeof b->log, "%s", d->log);
        b->after = d->taken;
        b->last = last;
        b->events = new_of(events, d->taken);
        b->wall_ns = d->wall_seen;
        b->bytes = sizeof *b + 4 * bytes;
        b->generation = d->generation;
    }
    if (b && bp_links_store_put(c->links->store, b) == 0) {
        d->taken = last;
        return;
    }
    bp_links_batch_free(b);
    c->away = true; /* it keeps them and comes back */
    bp_links_send(c, json_pack("{s:{s:f, s:s}}", "away", "after_s", 5.0, "why",
                               "too much waits for the server's disk"));
}

/* An event as news: what the agent said, and who it was. */
static void tell_event(struct bp_links *l, const struct bp_links_dev *d, const json_t *e) {
    const char *topic = json_string_value(json_object_get(e, "topic"));
    json_t *data = json_object_get(e, "data"), *o;

    if (!l->o.news ||
        !(bp_streq(topic, "sessions") || bp_streq(topic, "alerts") || bp_streq(topic, "log")))
        return;
    o = json_is_object(data) ? json_copy(data) : json_pack("{s:O}", "value", data);
    (void) json_object_set_new(o, "device", json_string(d->id));
    (void) json_object_set(o, "time_ns", json_object_get(e, "time_ns"));
    l->o.news(l->o.ctx, topic, o);
}

static int64_t time_of(const json_t *o) {
    const char *ns = json_string_value(json_object_get(o, "time_ns"));

    return ns ? strtoll(ns, NULL, 10) : 0;
}

/* The list of what is active came once, behind the hello; from there on events change it. Older
 * ones, of times without a link, are in it already. */
static void note_alert(struct bp_links_dev *d, const json_t *e) {
    json_t *alert = json_object_get(json_object_get(e, "data"), "alert"), *x;
    const char *key = json_string_value(json_object_get(alert, "key")), *one;
    const char *state = json_string_value(json_object_get(alert, "state"));
    size_t i;

    if (!key || !state || !json_is_array(d->alerts) || time_of(e) < time_of(d->hello))
        return;
    json_array_foreach(d->alerts, i, x) {
        one = json_string_value(json_object_get(x, "key"));
        if (one && bp_streq(one, key)) {
            (void) json_array_remove(d->alerts, i);
            break;
        }
    }
    if (!bp_streq(state, "active"))
        return;
    (void) json_array_insert(d->alerts, 0, alert);
    while (is_large(d->alerts) && json_array_size(d->alerts) > 0)
        (void) json_array_remove(d->alerts, json_array_size(d->alerts) - 1);
}

void bp_links_stored(struct bp_links *l, struct bp_links_batch *b, int r) {
    struct bp_links_dev *d = bp_links_find(l, b->device);
    static struct bp_log_limit limit;
    uint64_t held;
    const json_t *e;
    size_t i;

    if (r < 0 && bp_log_allowed(&limit, 10 * BP_SEC, &held))
        bp_log(BP_LOG_ERROR, "what agents tell cannot be written to links.db",
               BP_F_TEXT("why", bp_strerror(r)), BP_F_UINT("suppressed", held));
    if (d && b->events && bp_streq(d->log, b->log)) {
        if (r < 0 && d->conn && b->generation == d->generation) {
            bp_links_send(d->conn, json_pack("{s:{s:f, s:s}}", "away", "after_s", 10.0, "why",
                                             "the server cannot write events down"));
        } else if (r == 0 && b->last > d->acked) {
            d->acked = b->last;
            d->taken = BP_MAX(d->taken, d->acked);
            bp_counter_add(&bp_links_stats.events, json_array_size(b->events));
            json_array_foreach(b->events, i, e) {
                tell_event(l, d, e);
                if (bp_streq(json_string_value(json_object_get(e, "topic")), "alerts"))
                    note_alert(d, e);
            }
            bp_links_send(d->conn, json_pack("{s:I}", "ack", (json_int_t) d->acked));
        }
    }
    bp_links_batch_free(b);
}

/* ---- */

void bp_links_message(struct bp_links_conn *c, json_t *message) {
    struct bp_links_dev *d = c->dev;
    json_t *v;

    v = json_object_get(message, "hello");
    if (v || !d) {
        if (json_is_object(v))
            on_hello(c, v);
        else
            bp_links_refuse(c, 1008, "the first message is a hello");
        return;
    }
    d->mono_seen = bp_mono_ns();
    d->wall_seen = bp_wall_ns();
    if (json_object_get(message, "status"))
        on_status(c, message);
    else if ((v = json_object_get(message, "events")) != NULL)
        on_events(c, v, json_dumpb(v, NULL, 0, JSON_COMPACT));
    else if ((v = json_object_get(message, "result")) != NULL)
        bp_links_cmd_result(d, v);
    else if ((v = json_object_get(message, "topics")) != NULL)
        keep_topics(c, v);
    else if ((v = json_object_get(message, "sync")) != NULL)
        keep(c, &d->sync, v, BP_LINKS_SYNC);
    else if ((v = json_object_get(message, "alerts")) != NULL)
        keep(c, &d->alerts, v, -1);
    else if ((v = json_object_get(message, "robots")) != NULL)
        on_robots(c, v);
    /* others are of a later version: not for us */
}
