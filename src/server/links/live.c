/* What is watched of devices as it happens: samples, pictures, points, lines of the log. An agent
 * speaks the protocol of its own events (docs/api/events.md) inside of the link (docs/api/link.md):
 * we are one viewer of it, whoever watches here. A frame is asked for when one of those who watch
 * would be sent it at once, so a slow one, or a slow link, gets fewer, not later ones.
 *
 * The table is entered by whoever subscribes; all the rest is the loop's. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "media/media.h"
#include "server/links/links-priv.h"

enum { REASON_MAX = 300 };

static const bp_ns_t KEEP = 3 * BP_SEC;  /* without subscribers, in case one comes back */
static const bp_ns_t AGAIN = 5 * BP_SEC; /* after the agent has refused */
static const bp_ns_t PAUSE = BP_SEC;     /* after a frame that was too long */

/* As the agent's own, of those who name no rate. */
static const bp_ns_t usual[] = {
    [BP_LIVE_MEDIA] = BP_SEC / 30,
    [BP_LIVE_SAMPLE] = BP_SEC / 10,
    [BP_LIVE_NEWS] = 0,
};

/* ---- the table ---- */

static struct bp_links_live *at(struct bp_links *l, size_t i) {
    struct bp_links_live *v;

    bp_mutex_lock(&l->lock);
    v = l->lives[i];
    bp_mutex_unlock(&l->lock);
    return v;
}

static struct bp_links_live *find_locked(struct bp_links *l, const struct bp_channel *ch)
    BP_REQUIRES(l->lock);
static struct bp_links_live *find_locked(struct bp_links *l, const struct bp_channel *ch) {
    for (size_t i = 0; i < BP_LINK_LIVE; i++)
        if (l->lives[i] && l->lives[i]->channel == ch)
            return l->lives[i];
    return NULL;
}

static void live_free(struct bp_links_live *v) {
    if (!v)
        return;
    bp_channel_unref(v->channel);
    free(v);
}

/* ---- to those who watch ---- */

/* Why nothing comes. */
static void tell_why(struct bp_links_live *v, const char *why) {
    json_t *o = json_pack("{s:s%}", "why", why, BP_MIN(strlen(why), (size_t) REASON_MAX));

    v->told = true;
    if (o)
        bp_links_publish_to(v->channel, o);
    json_decref(o);
}

static void tell_offline(struct bp_links_live *v) {
    char why[BP_LINKS_DEVICE_MAX + 80];

    (void) snprintf(why, sizeof why, "device '%s' is not connected", v->device);
    tell_why(v, why);
}

/* ---- to the agent ---- */

/* @param message  taken over */
static void say(struct bp_links_conn *c, json_t *message) {
    bp_links_send(c, json_pack("{s:{s:o}}", "live", "ask", message));
}

static void ask_end(struct bp_links_conn *c, const struct bp_links_live *v) {
    say(c, json_pack("{s:[s]}", "unsubscribe", v->topic));
}

static void ask(struct bp_links *l, struct bp_links_conn *c, struct bp_links_live *v) {
    json_t *wish = json_pack("{s:s}", "topic", v->topic);

    bp_mutex_lock(&l->lock);
    v->asked_interval = v->interval;
    bp_mutex_unlock(&l->lock);
    v->asked = c->watched = true;
    v->open = false;
    v->credit = v->kind != BP_LIVE_NEWS && bp_channel_wanting(v->channel) > 0;
    if (v->kind != BP_LIVE_NEWS) {
        (void) json_object_set_new(wish, "policy", json_string("latest"));
        (void) json_object_set_new(wish, "credit", json_integer(v->credit));
        (void) json_object_set_new(
            wish, "max_hz",
            json_real(BP_MIN(BP_MAX(1e9 / (double) v->asked_interval, 0.001), 1000.0)));
    }
    say(c, json_pack("{s:I, s:[o]}", "id", (json_int_t) v->id, "subscribe", wish));
}

static bool is_quicker(struct bp_links *l, const struct bp_links_live *v) {
    bool is;

    bp_mutex_lock(&l->lock);
    is = v->interval < v->asked_interval;
    bp_mutex_unlock(&l->lock);
    return is;
}

/* Does what is to be done for those who watch it now. */
static void look(struct bp_links *l, struct bp_links_live *v) {
    const struct bp_links_dev *d = bp_links_find(l, v->device);
    struct bp_links_conn *c = d ? d->conn : NULL;

    if (bp_channel_subscribers(v->channel) == 0)
        return;
    if (!c || !c->sends) {
        if (!v->told && !c)
            tell_offline(v);
        else if (!v->told)
            tell_why(v, "this agent sends no live data: it is of an earlier version, or "
                        "link.live_rate is 0");
        return;
    }
    if (bp_mono_ns() < v->mono_next)
        return;
    if (!v->asked) {
        ask(l, c, v);
    } else if (v->open && is_quicker(l, v)) {
        ask_end(c, v);
        ask(l, c, v);
    } else if (v->open && v->kind != BP_LIVE_NEWS && !v->credit &&
               bp_channel_wanting(v->channel) > 0) {
        v->credit = true;
        say(c, json_pack("{s:{s:i}}", "credit", v->topic, 1));
    }
}

/* Loop thread. @param b  compared only: it may be gone */
static void on_wanted(void *a, void *b) {
    struct bp_links *l = a;
    struct bp_links_live *v;

    bp_mutex_lock(&l->lock);
    v = find_locked(l, b);
    bp_mutex_unlock(&l->lock);
    if (v)
        look(l, v);
}

static void wanted(void *ctx, const struct bp_channel *ch) {
    struct bp_links *l = ctx;

    /* without memory: on_tick() finds it */
    (void) !bp_loop_post(l->loop, on_wanted, l, (void *) (uintptr_t) ch);
}

/* The events' loop. */
static void on_handed_out(void *a, void *b) {
    wanted(a, b);
}

/* What was published counts as wanted until the events' loop has handed it out. Only then it shows
 * who would take another one: else each would get one that he has no credit for, and that is old
 * when he has. */
static void look_later(struct bp_links *l, const struct bp_links_live *v) {
    if (bp_channel_subscribers(v->channel) > 0)
        (void) !bp_loop_post(bp_fanout_loop_at(v->fanout, 0), on_handed_out, l, v->channel);
}

void bp_links_live_turn(struct bp_links *l, const struct bp_links_dev *d) {
    for (size_t i = 0; i < BP_LINK_LIVE; i++) {
        struct bp_links_live *v = at(l, i);

        if (!v || !bp_streq(v->device, d->id))
            continue;
        v->asked = v->open = v->credit = v->told = false;
        v->stream = 0;
        v->mono_next = 0;
        look(l, v);
    }
}

/* Nobody watches: the agent need not send it any more. */
static void let_go(struct bp_links *l, struct bp_links_live *v) {
    const struct bp_links_dev *d = bp_links_find(l, v->device);

    if (d && d->conn && v->asked)
        ask_end(d->conn, v);
    bp_gauge_add(&bp_links_stats.live, -1);
    live_free(v);
}

void bp_links_live_tick(struct bp_links *l) {
    bp_ns_t now = bp_mono_ns();

    for (size_t i = 0; i < BP_LINK_LIVE; i++) {
        struct bp_links_live *v, *old = NULL;

        bp_mutex_lock(&l->lock);
        v = l->lives[i];
        if (v && bp_channel_subscribers(v->channel) > 0)
            v->touched = now;
        else if (v && now - v->touched > KEEP)
            old = BP_TAKE_PTR(l->lives[i]);
        bp_mutex_unlock(&l->lock);
        if (old)
            let_go(l, old);
        else if (v)
            look(l, v);
    }
}

void bp_links_live_done(struct bp_links *l) {
    for (size_t i = 0; i < BP_LINK_LIVE; i++) {
        bp_gauge_add(&bp_links_stats.live, l->lives[i] ? -1 : 0);
        live_free(BP_TAKE_PTR(l->lives[i]));
    }
}

/* ---- from the agent ---- */

static struct bp_links_live *find_topic(struct bp_links *l, const char *device, const char *topic) {
    for (size_t i = 0; i < BP_LINK_LIVE && topic; i++) {
        struct bp_links_live *v = at(l, i);

        if (v && v->asked && bp_streq(v->device, device) && bp_streq(v->topic, topic))
            return v;
    }
    return NULL;
}

static struct bp_links_live *find_stream(struct bp_links *l, const char *device, uint32_t stream) {
    for (size_t i = 0; i < BP_LINK_LIVE && stream; i++) {
        struct bp_links_live *v = at(l, i);

        if (v && v->asked && v->stream == stream && bp_streq(v->device, device))
            return v;
    }
    return NULL;
}

/* What it answers to ask(). */
static void on_answer(struct bp_links *l, const struct bp_links_dev *d, const json_t *answer) {
    json_int_t id = json_integer_value(json_object_get(answer, "id"));
    const json_t *list = json_object_get(answer, "subscribed");
    const char *error = json_string_value(json_object_get(answer, "error"));
    struct bp_links_live *v = NULL;

    for (size_t i = 0; i < BP_LINK_LIVE && !v; i++) {
        v = at(l, i);
        if (v && !(v->id == id && v->asked && bp_streq(v->device, d->id)))
            v = NULL;
    }
    if (!v)
        return;
    if (error) {
        v->asked = v->open = false;
        v->mono_next = bp_mono_ns() + AGAIN;
        tell_why(v, error);
        return;
    }
    v->open = true;
    v->stream = (uint32_t) json_integer_value(json_object_get(json_array_get(list, 0), "stream"));
    look(l, v);
}

/* One that is longer than may go over a link. */
static void on_too_long(struct bp_links *l, const struct bp_links_dev *d, const json_t *o) {
    const char *topic = json_string_value(json_object_get(o, "topic"));
    json_int_t stream = json_integer_value(json_object_get(o, "stream"));
    struct bp_links_live *v =
        topic ? find_topic(l, d->id, topic) : find_stream(l, d->id, (uint32_t) stream);
    char why[120];

    if (!v)
        return;
    (void) snprintf(why, sizeof why, "%lld bytes are too many to be sent through the server",
                    (long long) json_integer_value(json_object_get(o, "bytes")));
    v->credit = false;
    v->mono_next = bp_mono_ns() + PAUSE;
    tell_why(v, why);
}

static void on_event(struct bp_links *l, struct bp_links_live *v, const json_t *data) {
    bp_counter_add(&bp_links_stats.live_frames, 1);
    v->credit = false;
    bp_links_publish_to(v->channel, data);
    look_later(l, v);
}

static void on_text(struct bp_links_conn *c, const struct bp_buf *b) {
    struct bp_links *l = c->links;
    json_t *o = json_loadb((const char *) b->p, b->n, JSON_REJECT_DUPLICATES, NULL), *v;
    struct bp_links_live *live;

    if (!json_is_object(o)) {
        bp_links_refuse(c, 1007, "live data as text is a JSON object");
    } else if (json_object_get(o, "id")) {
        on_answer(l, c->dev, o);
    } else if ((v = json_object_get(o, "data")) != NULL) {
        live = find_topic(l, c->dev->id, json_string_value(json_object_get(o, "topic")));
        if (live)
            on_event(l, live, v);
    } else if ((v = json_object_get(o, "dropped")) != NULL) {
        json_int_t n = json_integer_value(json_object_get(v, "count"));

        live = find_topic(l, c->dev->id, json_string_value(json_object_get(v, "topic")));
        if (live && n > 0)
            bp_channel_skip(live->channel, (uint64_t) BP_MIN(n, INT32_MAX));
    } else if ((v = json_object_get(o, "too_long")) != NULL) {
        on_too_long(l, c->dev, v);
    } /* others are of a later version, or need no answer */
    json_decref(o);
}

/* A picture or a cloud: goes on as it is, under our numbers. */
static void on_frame(struct bp_links_conn *c, const struct bp_buf *b) {
    uint32_t stream = bp_media_stream(b->p, b->n);
    struct bp_links_live *v = find_stream(c->links, c->dev->id, stream);
    struct bp_frame *f;

    if (stream == 0) {
        bp_links_refuse(c, 1008, "a frame is not as it has to be");
        return;
    }
    if (!v)
        return;
    v->credit = false;
    f = bp_channel_subscribers(v->channel) > 0 ? bp_frame_new(BP_WS_BINARY, 0, b->n) : NULL;
    if (f) {
        memcpy(bp_frame_payload(f), b->p, b->n);
        /* nobody else publishes to it */
        bp_media_number(bp_frame_payload(f), v->id, bp_channel_seq(v->channel) + 1);
        (void) bp_channel_publish(v->channel, f);
        bp_counter_add(&bp_links_stats.live_frames, 1);
    }
    look_later(c->links, v);
}

static bool may_send(struct bp_links_conn *c, size_t n) {
    bp_ns_t now = bp_mono_ns();
    double s = (double) (now - c->live_filled) / 1e9;

    c->live_filled = now;
    c->live_bytes =
        BP_MIN(c->live_bytes + s * BP_LINK_LIVE_BYTES_PER_S, 2.0 * BP_LINK_LIVE_BYTES_PER_S);
    c->live_bytes -= (double) n;
    return c->live_bytes >= 0;
}

void bp_links_live_piece(struct bp_links_conn *c, struct bp_str piece) {
    unsigned whole = 0;
    const char *why = may_send(c, piece.n) ? bp_pieces_take(&c->pieces, (const uint8_t *) piece.p,
                                                            piece.n, BP_LINK_LIVE_MESSAGE, &whole)
                                           : "too much live data";

    if (!why && c->pieces.kind == BP_PIECE_TEXT && c->pieces.total > BP_LINK_LIVE_TEXT)
        why = "live data as text is too long";
    if (why) {
        bp_links_refuse(c, 1008, why);
        return;
    }
    bp_counter_add(&bp_links_stats.live_bytes, piece.n);
    c->dev->mono_seen = bp_mono_ns();
    c->dev->wall_seen = bp_wall_ns();
    c->live_got += piece.n;
    bp_links_send(c, json_pack("{s:{s:I}}", "live", "ack", (json_int_t) c->live_got));
    if (whole == BP_PIECE_TEXT)
        on_text(c, &c->pieces.got);
    else if (whole == BP_PIECE_BINARY)
        on_frame(c, &c->pieces.got);
}

/* ---- those who subscribe: any thread ---- */

/* Loop thread: who has just come does not know yet why nothing does. */
static void on_subscribed(void *a, void *b) {
    struct bp_links *l = a;
    struct bp_links_live *v;

    bp_mutex_lock(&l->lock);
    v = find_locked(l, b);
    bp_mutex_unlock(&l->lock);
    if (!v)
        return;
    v->told = false;
    look(l, v);
}

void bp_links_want(struct bp_links *l, const struct bp_channel *ch, bp_ns_t interval) {
    struct bp_links_live *v;

    bp_mutex_lock(&l->lock);
    v = find_locked(l, ch);
    if (v) {
        interval = interval > 0 ? interval : usual[v->kind];
        /* the first one's rate counts anew */
        if (bp_channel_subscribers(ch) <= 1 || interval < v->interval)
            v->interval = interval;
    }
    bp_mutex_unlock(&l->lock);
    if (v)
        bp_loop_post_surely(l->loop, on_subscribed, l, (void *) (uintptr_t) ch);
}

uint32_t bp_links_stream(struct bp_links *l, const struct bp_channel *ch) {
    const struct bp_links_live *v;
    uint32_t id;

    bp_mutex_lock(&l->lock);
    v = find_locked(l, ch);
    id = v && v->kind == BP_LIVE_MEDIA ? v->id : 0;
    bp_mutex_unlock(&l->lock);
    return id;
}

/* A ROS name: what it is made of needs no escape in JSON. */
static bool is_topic(const char *s) {
    return *s == '/' && s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789_/")] == '\0';
}

/* @return its kind, or BP_EUSAGE: there is none of that name */
static int kind_of(const char *topic, struct bp_error *err) {
    struct bp_media_want want;

    if (bp_streq(topic, "log") || bp_streq(topic, "sessions") || bp_streq(topic, "alerts"))
        return BP_LIVE_NEWS;
    if (bp_starts_with(topic, "sample:"))
        return is_topic(topic + 7)
                   ? BP_LIVE_SAMPLE
                   : bp_fail(err, BP_EUSAGE, "'%.100s' is no name of a topic", topic + 7);
    if (bp_starts_with(topic, "image:") || bp_starts_with(topic, "points:"))
        return bp_media_want_parse(topic, &want, err) < 0 ? BP_EUSAGE : BP_LIVE_MEDIA;
    return bp_fail(err, BP_EUSAGE,
                   "there is no topic '%.100s' of a device; there are status, topics, sync, log, "
                   "sessions, alerts, sample:/TOPIC, image:/TOPIC and points:/TOPIC",
                   topic);
}

static struct bp_links_live *make(struct bp_links *l, const struct bp_links_ask *ask,
                                  const char *id, int kind) {
    struct bp_links_live *v = calloc(1, sizeof *v);

    if (!v)
        return NULL;
    v->kind = (unsigned) kind;
    v->interval = v->asked_interval = usual[kind];
    (void) snprintf(v->device, sizeof v->device, "%s", id);
    (void) snprintf(v->name, sizeof v->name, "%s", ask->name);
    v->topic = strchr(v->name, '/') + 1;
    v->fanout = ask->fanout;
    v->channel = bp_channel_new(
        ask->fanout, &(struct bp_channel_options){
                         .name = ask->name, .stamp = ask->stamp, .wanted = wanted, .ctx = l });
    if (v->channel)
        return v;
    free(v);
    return NULL;
}

/* Finds it or puts `fresh` into the table. @return a reference; NULL: there are too many, or no
 * such device */
static struct bp_channel *enter(struct bp_links *l, const char *name, struct bp_links_live **fresh,
                                struct bp_error *err) {
    struct bp_links_live *v = NULL;
    struct bp_links_dev *d = NULL;
    struct bp_channel *ch = NULL;
    size_t room = BP_LINK_LIVE, n = 0;

    bp_mutex_lock(&l->lock);
    HASH_FIND_STR(l->devs, (*fresh)->device, d);
    for (size_t i = 0; i < BP_LINK_LIVE && !v; i++) {
        room = l->lives[i] ? room : i;
        n += l->lives[i] && bp_streq(l->lives[i]->device, (*fresh)->device);
        v = l->lives[i] && bp_streq(l->lives[i]->name, name) ? l->lives[i] : NULL;
    }
    if (!v && d && room < BP_LINK_LIVE && n < BP_LINK_LIVE_DEVICE) {
        v = l->lives[room] = BP_TAKE_PTR(*fresh);
        v->id = ++l->next_live ? l->next_live : ++l->next_live;
        bp_gauge_add(&bp_links_stats.live, 1);
    }
    if (v) {
        v->touched = bp_mono_ns();
        ch = bp_channel_ref(v->channel);
    }
    bp_mutex_unlock(&l->lock);
    if (!ch && !d)
        (void) bp_fail(err, -ENOENT, "there is no device '%s'", (*fresh)->device);
    else if (!ch)
        (void) bp_fail(err, BP_ELIMIT, "at most %d streams of a device are watched, and %d of all",
                       BP_LINK_LIVE_DEVICE, BP_LINK_LIVE);
    return ch;
}

struct bp_channel *bp_links_live_channel(struct bp_links *l, const struct bp_links_ask *ask,
                                         const char *id, struct bp_error *err) {
    const char *slash = *id ? strchr(ask->name, '/') : NULL;
    struct bp_links_live *fresh;
    struct bp_channel *ch;
    int kind;

    if (!slash || strlen(ask->name) >= BP_LINK_LIVE_NAME) {
        (void) bp_fail(err, BP_EUSAGE,
                       "there is no topic '%.100s'; write device:ID/status, /image:/TOPIC …",
                       ask->name);
        return NULL;
    }
    kind = kind_of(slash + 1, err);
    if (kind < 0)
        return NULL;
    fresh = make(l, ask, id, kind);
    if (!fresh) {
        (void) bp_fail(err, -ENOMEM, "out of memory");
        return NULL;
    }
    ch = enter(l, ask->name, &fresh, err);
    live_free(fresh);
    return ch;
}
