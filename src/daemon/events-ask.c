/* What clients of the events ask for: docs/api/events.md. */
#include "daemon/events-priv.h"

#include <errno.h>
#include <string.h>

void bp_events_ask_done(struct bp_events_ask *a) {
    for (size_t i = 0; i < a->nadd; i++)
        bp_channel_unref(a->add[i].channel);
    for (size_t i = 0; i < a->ndrop; i++)
        bp_channel_unref(a->drop[i]);
    for (size_t i = 0; i < a->ncredit; i++)
        bp_channel_unref(a->credit[i].channel);
    a->nadd = a->ndrop = a->ncredit = 0;
}

static int too_many(struct bp_error *err) {
    return bp_fail(err, BP_EUSAGE, "at most %d topics at once", BP_EVENTS_FEEDS);
}

/* A whole number from 0 to max. */
static int number_of(const json_t *v, const char *what, int64_t max, int64_t *ret,
                     struct bp_error *err) {
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
        return bp_fail(err, BP_EUSAGE, "%.100s: expected a whole number from 0 to %lld", what,
                       (long long) max);
    *ret = json_integer_value(v);
    return 0;
}

static struct bp_events_want *find(struct bp_events_ask *a, const struct bp_channel *ch) {
    for (size_t i = 0; i < a->nadd; i++)
        if (a->add[i].channel == ch)
            return &a->add[i];
    return NULL;
}

/* @param name  of a topic; @return its new place, or NULL */
static struct bp_events_want *add(struct bp_events *e, struct bp_events_ask *a, const char *name,
                                  struct bp_error *err) {
    struct bp_channel *ch = bp_events_channel(e, a->view, name, err);

    if (!ch)
        return NULL;
    if (a->nadd == BP_EVENTS_FEEDS || find(a, ch)) {
        bool twice = find(a, ch) != NULL;

        bp_channel_unref(ch);
        if (twice)
            (void) bp_fail(err, BP_EUSAGE, "'%.100s' is asked for twice", name);
        else
            (void) too_many(err);
        return NULL;
    }
    a->add[a->nadd] = (struct bp_events_want){ .channel = ch };
    return &a->add[a->nadd++];
}

static int read_policy(const json_t *v, struct bp_feed_options *o, struct bp_error *err) {
    const char *text = json_string_value(v);

    if (text && bp_streq(text, "bounded"))
        o->policy = BP_FEED_BOUNDED;
    else if (text && bp_streq(text, "latest"))
        o->policy = BP_FEED_LATEST;
    else
        return bp_fail(err, BP_EUSAGE, "policy: expected 'bounded' or 'latest'");
    return 0;
}

static int read_rate(const json_t *v, struct bp_feed_options *o, struct bp_error *err) {
    double hz = json_number_value(v);

    if (!json_is_number(v) || !(hz >= 0.001 && hz <= 10000))
        return bp_fail(err, BP_EUSAGE, "max_hz: expected a number from 0.001 to 10000");
    o->min_interval = (bp_ns_t) (1e9 / hz);
    return 0;
}

/* "status", or {"topic": "status", "policy": …, "credit": …, "max_hz": …}. */
static int read_wish(struct bp_events *e, struct bp_events_ask *a, const json_t *v,
                     struct bp_error *err) {
    const json_t *topic = json_is_object(v) ? json_object_get(v, "topic") : v;
    struct bp_events_want *w;
    const char *key;
    json_t *value;
    int64_t n = 0;
    int r = 0;

    if (!json_is_string(topic))
        return bp_fail(err, BP_EUSAGE,
                       "subscribe: expected the name of a topic, or an object with 'topic'");
    w = add(e, a, json_string_value(topic), err);
    if (!w)
        return BP_EUSAGE;
    json_object_foreach((json_t *) (uintptr_t) v, key, value) {
        if (bp_streq(key, "policy"))
            r = read_policy(value, &w->o, err);
        else if (bp_streq(key, "max_hz"))
            r = read_rate(value, &w->o, err);
        else if (bp_streq(key, "credit"))
            r = number_of(value, key, 1000, &n, err);
        else if (!bp_streq(key, "topic"))
            r = bp_fail(err, BP_EUSAGE, "subscribe: unknown key '%.60s'", key);
        if (r < 0)
            return r;
    }
    for (const struct bp_events_more *m = e->o.more; m; m = m->next)
        if (!w->o.min_interval && bp_starts_with(bp_channel_name(w->channel), m->prefix))
            w->o.min_interval = m->min_interval;
    w->o.credit = (unsigned) n;
    if (n > 0 && w->o.policy != BP_FEED_LATEST)
        return bp_fail(err, BP_EUSAGE, "credit is for policy 'latest'");
    return 0;
}

static int read_subscribe(struct bp_events *e, struct bp_events_ask *a, const json_t *v,
                          struct bp_error *err) {
    size_t i;
    json_t *wish;

    if (!json_is_array(v))
        return bp_fail(err, BP_EUSAGE, "subscribe: expected a list");
    json_array_foreach(v, i, wish) {
        int r = read_wish(e, a, wish, err);

        if (r < 0)
            return r;
    }
    return 0;
}

static int read_unsubscribe(struct bp_events *e, struct bp_events_ask *a, const json_t *v,
                            struct bp_error *err) {
    size_t i;
    json_t *name;

    if (!json_is_array(v))
        return bp_fail(err, BP_EUSAGE, "unsubscribe: expected a list");
    json_array_foreach(v, i, name) {
        if (!json_is_string(name))
            return bp_fail(err, BP_EUSAGE, "unsubscribe: expected names of topics");
        if (a->ndrop == BP_EVENTS_FEEDS)
            return too_many(err);
        a->drop[a->ndrop] = bp_events_channel(e, a->view, json_string_value(name), err);
        if (!a->drop[a->ndrop])
            return BP_EUSAGE;
        a->ndrop++;
    }
    return 0;
}

static int read_credit(struct bp_events *e, struct bp_events_ask *a, const json_t *v,
                       struct bp_error *err) {
    const char *name;
    json_t *value;

    if (!json_is_object(v))
        return bp_fail(err, BP_EUSAGE, "credit: expected an object of topics and numbers");
    json_object_foreach((json_t *) (uintptr_t) v, name, value) {
        int64_t n = 0;
        int r = number_of(value, name, 1000, &n, err);

        if (r < 0)
            return bp_prefix(err, r, "credit");
        if (a->ncredit == BP_EVENTS_FEEDS)
            return too_many(err);
        a->credit[a->ncredit].channel = bp_events_channel(e, a->view, name, err);
        if (!a->credit[a->ncredit].channel)
            return BP_EUSAGE;
        a->credit[a->ncredit++].n = (unsigned) n;
    }
    return 0;
}

/* {"boot": …, "last": {"status": 12}}: goes on behind these; of another life everything that is
 * remembered of this one is news. */
static int read_resume(struct bp_events *e, struct bp_events_ask *a, const json_t *v,
                       struct bp_error *err) {
    const char *boot = json_string_value(json_object_get(v, "boot")), *name;
    const json_t *last = json_object_get(v, "last");
    json_t *value;

    if (!boot || !json_is_object(last) || json_object_size(v) != 2)
        return bp_fail(err, BP_EUSAGE, "resume: expected an object with 'boot' and 'last'");
    a->restarted = !bp_streq(boot, a->view->boot);
    json_object_foreach((json_t *) (uintptr_t) last, name, value) {
        struct bp_channel *ch = bp_events_channel(e, a->view, name, err);
        struct bp_events_want *w = ch ? find(a, ch) : NULL;
        int64_t seq = 0;
        uint64_t newest = ch ? bp_channel_seq(ch) : 0;
        int r = ch ? number_of(value, name, INT64_MAX, &seq, err) : BP_EUSAGE;

        bp_channel_unref(ch);
        if (r == 0 && !a->restarted && (uint64_t) seq > newest)
            r = bp_fail(err, BP_EUSAGE, "the newest of '%s' is %llu", name,
                        (unsigned long long) newest);
        if (r < 0)
            return bp_prefix(err, r, "resume");
        w = w ? w : add(e, a, name, err);
        if (!w)
            return BP_EUSAGE;
        w->o.resume = true;
        w->o.after = a->restarted ? 0 : (uint64_t) seq;
    }
    return 0;
}

/* What says in binary messages that they are of a channel; 0: it has none. */
static uint32_t stream_of(const struct bp_events *e, const struct bp_channel *ch) {
    uint32_t stream = 0;
    size_t i = 0;

    for (const struct bp_events_more *m = e->o.more; m && !stream; m = m->next, i++)
        stream = m->stream ? m->stream(e->more[i], ch) : 0;
    return stream;
}

/* Binary messages are large: they come one by one, as the viewer asks for them. */
static int check_binary(const struct bp_events *e, const struct bp_events_ask *a,
                        struct bp_error *err) {
    for (size_t i = 0; i < a->nadd; i++)
        if (a->add[i].o.policy != BP_FEED_LATEST && stream_of(e, a->add[i].channel))
            return bp_fail(err, BP_EUSAGE,
                           "'%s' comes as binary messages: over a WebSocket, with policy 'latest' "
                           "and credit",
                           bp_channel_name(a->add[i].channel));
    return 0;
}

int bp_events_ask(struct bp_events *e, const struct bp_events_view *view, const json_t *json,
                  struct bp_events_ask *ret, struct bp_error *err) {
    static const char *const keys[] = { "id", "subscribe", "unsubscribe", "credit", "resume" };
    const json_t *v;
    const char *key;
    json_t *value;
    int r = 0;

    *ret = (struct bp_events_ask){ .view = view };
    if (!json_is_object(json))
        return bp_fail(err, BP_EUSAGE, "a message is a JSON object");
    json_object_foreach((json_t *) (uintptr_t) json, key, value) {
        size_t i = 0;

        while (i < BP_COUNT(keys) && !bp_streq(key, keys[i]))
            i++;
        if (i == BP_COUNT(keys))
            return bp_fail(err, BP_EUSAGE,
                           "unknown key '%.60s'; there are subscribe, unsubscribe, credit, resume "
                           "and id",
                           key);
    }
    if ((v = json_object_get(json, "subscribe")) != NULL)
        r = read_subscribe(e, ret, v, err);
    if (r == 0 && (v = json_object_get(json, "resume")) != NULL)
        r = read_resume(e, ret, v, err);
    if (r == 0 && (v = json_object_get(json, "unsubscribe")) != NULL)
        r = read_unsubscribe(e, ret, v, err);
    if (r == 0 && (v = json_object_get(json, "credit")) != NULL)
        r = read_credit(e, ret, v, err);
    return r == 0 ? check_binary(e, ret, err) : r;
}

/* Is it possible, given what the peer has? */
static int check(struct bp_peer *p, const struct bp_events_ask *a, struct bp_error *err) {
    struct bp_feed *f;
    size_t n = a->nadd;

    for (f = p->feeds; f; f = f->peer_next)
        n++;
    if (n > BP_EVENTS_FEEDS)
        return too_many(err);
    for (size_t i = 0; i < a->nadd; i++)
        if (bp_peer_feed(p, a->add[i].channel))
            return bp_fail(err, BP_EUSAGE, "'%s' is subscribed to already; unsubscribe first",
                           bp_channel_name(a->add[i].channel));
    for (size_t i = 0; i < a->ndrop; i++)
        if (!bp_peer_feed(p, a->drop[i]))
            return bp_fail(err, BP_EUSAGE, "'%s' is not subscribed to",
                           bp_channel_name(a->drop[i]));
    for (size_t i = 0; i < a->ncredit; i++) {
        f = bp_peer_feed(p, a->credit[i].channel);
        if (!f || f->o.policy != BP_FEED_LATEST)
            return bp_fail(err, BP_EUSAGE, "credit: '%s' is not subscribed to with policy 'latest'",
                           bp_channel_name(a->credit[i].channel));
    }
    return 0;
}

static int open_feed(struct bp_events *e, struct bp_peer *p, const struct bp_events_want *w,
                     json_t *list, struct bp_error *err) {
    uint64_t gap = 0;
    uint32_t stream = stream_of(e, w->channel);
    struct bp_feed *f;
    json_t *o;
    size_t i = 0;
    int r = bp_feed_open(p, w->channel, &w->o, &gap, &f);

    if (r < 0)
        return bp_fail(err, r, "out of memory");
    for (const struct bp_events_more *m = e->o.more; m && r == 0; m = m->next, i++)
        r = m->want(e->more[i], w->channel, w->o.min_interval);
    if (r < 0)
        return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    o = json_pack("{s:s, s:s, s:I}", "topic", bp_channel_name(w->channel), "policy",
                  bp_feed_policy_text(w->o.policy), "seq", (json_int_t) (f->first - 1));
    if (o && w->o.resume)
        (void) json_object_set_new(o, "gap", json_integer((json_int_t) gap));
    if (o && stream)
        (void) json_object_set_new(o, "stream", json_integer(stream));
    (void) json_array_append_new(list, o);
    return 0;
}

int bp_events_do(struct bp_events *e, struct bp_peer *p, const struct bp_events_ask *a,
                 json_t *answer, struct bp_error *err) {
    json_t *list = json_array(), *gone = json_array();
    int r = check(p, a, err);

    for (size_t i = 0; i < a->ncredit && r == 0; i++)
        bp_feed_credit(bp_peer_feed(p, a->credit[i].channel), a->credit[i].n);
    for (size_t i = 0; i < a->ndrop && r == 0; i++) {
        struct bp_feed *f = bp_peer_feed(p, a->drop[i]);

        if (f) /* asked for twice */
            bp_feed_close(f);
        (void) json_array_append_new(gone, json_string(bp_channel_name(a->drop[i])));
    }
    for (size_t i = 0; i < a->nadd && r == 0; i++)
        r = open_feed(e, p, &a->add[i], list, err);
    if (a->nadd > 0 && r == 0)
        (void) json_object_set(answer, "subscribed", list);
    if (a->ndrop > 0 && r == 0)
        (void) json_object_set(answer, "unsubscribed", gone);
    if (a->restarted && r == 0)
        (void) json_object_set_new(answer, "restarted", json_true());
    json_decref(list);
    json_decref(gone);
    return r;
}
