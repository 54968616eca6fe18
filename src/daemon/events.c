#include "daemon/events-priv.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "net/sse.h"

/* What is published on the bus is made into one frame on the publisher's thread and goes to the
 * fan-out, which does not wait. Each topic is a channel with numbers of its own, counted from 1
 * since the daemon began; `boot` names that life, so that a client that comes back knows whether
 * its numbers still mean something. */

enum { STOP_MS = 500 };

static size_t stamp(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]) {
    char time[BP_TIME_TEXT];
    int n =
        snprintf(out, BP_STAMP_MAX,
                 "{\"topic\":\"%s\",\"seq\":%llu,\"time\":\"%s\",\"data\":", bp_channel_name(ch),
                 (unsigned long long) seq, bp_time_format(bp_wall_ns(), time));

    return (size_t) n;
}

static int index_of(const struct bp_events *e, const char *name) {
    for (size_t i = 0; i < e->o.ntopics; i++)
        if (bp_streq(e->o.topics[i].name, name))
            return (int) i;
    return -1;
}

/* Is any of a topic for those? */
static bool is_for(const struct bp_events *e, const struct bp_events_view *v, const char *topic) {
    return !*v->scope || (e->o.sees && e->o.sees(e->o.ctx, v->scope, topic, NULL));
}

struct bp_channel *bp_events_channel(struct bp_events *e, const struct bp_events_view *v,
                                     const char *name, struct bp_error *err) {
    int i = index_of(e, name);
    BP_AUTO_BUF names = { 0 };

    if (i >= 0 && v->channels[i])
        return bp_channel_ref(v->channels[i]);
    i = 0;
    for (const struct bp_events_more *m = e->o.more; m; m = m->next, i++)
        if (bp_starts_with(name, m->prefix) && is_for(e, v, name))
            return m->channel(e->more[i], name, err);
    for (size_t k = 0; k < e->o.ntopics; k++)
        if (v->channels[k])
            bp_buf_printf(&names, names.n ? ", %s" : "%s", e->o.topics[k].name);
    for (const struct bp_events_more *m = e->o.more; m; m = m->next)
        bp_buf_printf(&names, m->next ? ", %s" : " and %s", m->form);
    (void) bp_fail(err, BP_EUSAGE, "there is no topic '%.100s'; there are %s", name,
                   bp_buf_cstr(&names));
    return NULL;
}

static void publish(struct bp_channel *ch, const char *text, size_t n) {
    struct bp_frame *f = bp_frame_new(BP_WS_TEXT, BP_STAMP_MAX, n + 1);

    if (!f)
        return;
    memcpy(bp_frame_payload(f), text, n);
    bp_frame_payload(f)[n] = '}';
    (void) bp_channel_publish(ch, f);
}

/* --- views --- */

static int open_channels(const struct bp_events *e, struct bp_events_view *v) {
    for (size_t i = 0; i < e->o.ntopics; i++) {
        const struct bp_events_topic *t = &e->o.topics[i];
        unsigned most = *v->scope ? BP_EVENTS_VIEW_REPLAY : UINT_MAX;

        if (!is_for(e, v, t->name))
            continue;
        v->channels[i] = bp_channel_new(
            e->fanout,
            &(struct bp_channel_options){ .name = t->name,
                                          .stamp = stamp,
                                          .replay_frames = t->replay_frames,
                                          .replay_bytes = BP_MIN(t->replay_bytes, most) });
        if (!v->channels[i])
            return -ENOMEM;
    }
    return 0;
}

static void close_channels(struct bp_events_view *v) {
    for (size_t i = 0; i < BP_EVENTS_TOPICS_MAX; i++)
        bp_channel_unref(BP_TAKE_PTR(v->channels[i]));
}

static struct bp_events_view *find_view(struct bp_events *e, const char *scope, unsigned *ret_n) {
    struct bp_events_view *v = __atomic_load_n(&e->views, __ATOMIC_ACQUIRE);

    for (*ret_n = 0; v && !bp_streq(v->scope, scope); v = v->next)
        ++*ret_n;
    return v;
}

/* Puts one into the list, unless another thread was quicker or there are too many.
 *  @return the one that is there, or NULL */
static const struct bp_events_view *add_view(struct bp_events *e, struct bp_events_view *mine) {
    struct bp_events_view *v;
    unsigned n;

    bp_mutex_lock(&e->view_lock);
    v = find_view(e, mine->scope, &n);
    if (!v && n < BP_EVENTS_VIEWS) {
        v = mine;
        v->next = e->views;
        __atomic_store_n(&e->views, v, __ATOMIC_RELEASE);
    }
    bp_mutex_unlock(&e->view_lock);
    return v;
}

/* That of a scope, made for the first who has it. */
static int view_of(struct bp_events *e, const char *scope, const struct bp_events_view **ret,
                   struct bp_error *err) {
    struct bp_events_view *mine;
    unsigned n;

    *ret = *scope ? find_view(e, scope, &n) : &e->all;
    if (*ret)
        return 0;
    mine = calloc(1, sizeof *mine);
    if (mine) {
        (void) snprintf(mine->scope, sizeof mine->scope, "%s", scope);
        (void) bp_ulid_new(mine->boot);
    }
    if (!mine || open_channels(e, mine) < 0) {
        if (mine)
            close_channels(mine);
        free(mine);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    *ret = add_view(e, mine);
    if (*ret != mine) {
        close_channels(mine);
        free(mine);
    }
    return *ret ? 0
                : bp_fail(err, -EAGAIN,
                          "events were told to %d different scopes: those that are not used any "
                          "more go when it starts again",
                          BP_EVENTS_VIEWS);
}

/* Publisher's thread. */
static void on_news(void *ctx, const char *topic, const json_t *payload) {
    struct bp_events *e = ctx;
    int i = index_of(e, topic);
    char *text = i >= 0 ? json_dumps(payload, JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0;
    const struct bp_events_view *v;

    if (!text)
        return;
    publish(e->all.channels[i], text, n);
    for (v = __atomic_load_n(&e->views, __ATOMIC_ACQUIRE); v; v = v->next)
        if (v->channels[i] && e->o.sees(e->o.ctx, v->scope, topic, payload))
            publish(v->channels[i], text, n);
    free(text);
}

void bp_events_tick(struct bp_events *e) {
    for (size_t i = 0; i < e->o.ntopics; i++)
        if (e->o.topics[i].tick && bp_channel_subscribers(e->all.channels[i]) > 0)
            bp_bus_publish(e->o.bus, e->o.topics[i].name, e->o.topics[i].tick(e->o.ctx));
}

struct bp_frame *bp_events_frame(json_t *json) {
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    struct bp_frame *f = text ? bp_frame_of(BP_WS_TEXT, text, strlen(text)) : NULL;

    json_decref(json);
    free(text);
    return f;
}

static json_t *hello_json(const struct bp_events *e, const struct bp_events_view *v) {
    json_t *topics = json_array();
    char time[BP_TIME_TEXT];

    for (size_t i = 0; i < e->o.ntopics; i++)
        if (v->channels[i])
            (void) json_array_append_new(topics,
                                         json_pack("{s:s, s:s}", "topic", e->o.topics[i].name,
                                                   "about", e->o.topics[i].about));
    for (const struct bp_events_more *m = e->o.more; m; m = m->next)
        (void) json_array_append_new(topics,
                                     json_pack("{s:s, s:s}", "topic", m->form, "about", m->about));
    return json_pack("{s:{s:s, s:s, s:s, s:o, s:i}}", "hello", "version", BP_VERSION, "boot",
                     v->boot, "time", bp_time_format(bp_wall_ns(), time), "topics", topics,
                     "max_subscriptions", BP_EVENTS_FEEDS);
}

struct bp_frame *bp_events_lost(const struct bp_channel *ch, uint64_t n) {
    return bp_events_frame(json_pack("{s:{s:s, s:I}}", "dropped", "topic", bp_channel_name(ch),
                                     "count", (json_int_t) n));
}

/* --- WebSocket; its loop --- */

enum {
    NOT_WELCOME = 4401
}; /* of the codes for applications (RFC 6455 §7.4.2), as 401 is in HTTP */

struct guest {
    struct bp_events *events;
    const struct bp_events_view *view;
    struct bp_pass pass; /* [loop] */
};

static void ws_open(struct bp_ws *ws, void *data) {
    const struct guest *g = data;

    bp_peer_put(bp_ws_peer(ws), bp_events_frame(hello_json(g->events, g->view)));
}

/* Is all that a peer has subscribed to still for those with its scope? What a device is of may have
 * changed. Loop thread. */
static bool may_keep(const struct bp_events *e, const struct bp_events_view *v,
                     const struct bp_peer *p) {
    for (const struct bp_feed *f = *v->scope ? p->feeds : NULL; f; f = f->peer_next)
        if (!is_for(e, v, bp_channel_name(f->channel)))
            return false;
    return true;
}

static unsigned ws_look(struct bp_ws *ws, void *data, const char **ret_reason) {
    struct guest *g = data;

    *ret_reason = "what let you in is no longer valid";
    return bp_access_still(g->events->o.access, &g->pass) &&
                   may_keep(g->events, g->view, bp_ws_peer(ws))
               ? 0
               : NOT_WELCOME;
}

void bp_events_hear(struct bp_events *e, const struct bp_events_view *v, struct bp_peer *p,
                    const json_t *json, const char *why) {
    json_t *answer = json_object(), *id = json_object_get(json, "id");
    struct bp_error err = { 0 };
    struct bp_events_ask ask;
    bool quiet = false;
    int r = BP_EUSAGE;

    if (id)
        (void) json_object_set(answer, "id", id);
    if (json) {
        r = bp_events_ask(e, v, json, &ask, &err);
        if (r == 0)
            r = bp_events_do(e, p, &ask, answer, &err);
        /* credit comes with every frame a viewer has shown: an answer to each would be noise */
        quiet = r == 0 && ask.ncredit > 0 && json_object_size(json) == 1;
        bp_events_ask_done(&ask);
    }
    if (r < 0)
        (void) json_object_set_new(answer, "error", json_string(json ? err.text : why));
    else
        (void) json_object_set_new(answer, "ok", json_true());
    if (quiet)
        json_decref(answer);
    else
        bp_peer_put(p, bp_events_frame(answer));
}

static void ws_message(struct bp_ws *ws, void *data, enum bp_ws_opcode opcode, struct bp_str body) {
    const struct guest *g = data;
    char why[256] = "a message is a JSON object, as text";
    json_error_t at;
    json_t *json =
        opcode == BP_WS_TEXT ? json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &at) : NULL;

    if (!json && opcode == BP_WS_TEXT)
        (void) snprintf(why, sizeof why, "this is no JSON: %s (line %d, column %d)", at.text,
                        at.line, at.column);
    bp_events_hear(g->events, g->view, bp_ws_peer(ws), json, why);
    json_decref(json);
}

static void ws_end(void *data, unsigned code) {
    (void) code;
    free(data);
}

static struct bp_frame *ws_lost(struct bp_ws *ws, void *data, struct bp_channel *ch, uint64_t n) {
    (void) ws;
    (void) data;
    return bp_events_lost(ch, n);
}

/* --- server-sent events --- */

struct sse {
    struct bp_events *events;
    const struct bp_events_view *view;
    struct bp_events_ask ask;
    uint64_t last[BP_EVENTS_TOPICS_MAX]; /* number of the last event sent, for the id of the next */
    struct bp_pass pass;                 /* [loop] */
    const struct bp_peer *peer;          /* [loop] from its beginning on */
};

static int sse_begin(struct bp_peer *p, void *data) {
    struct sse *s = data;
    json_t *hello = hello_json(s->events, s->view);
    json_t *answer = json_object_get(hello, "hello");
    struct bp_feed *f;
    int r = answer ? bp_events_do(s->events, p, &s->ask, answer, NULL) : -ENOMEM;

    for (f = r == 0 ? p->feeds : NULL; f; f = f->peer_next) {
        int i = index_of(s->events, bp_channel_name(f->channel));

        if (i >= 0)
            s->last[i] = f->first - 1;
    }
    bp_events_ask_done(&s->ask);
    s->peer = p;
    bp_peer_put(p, bp_events_frame(hello));
    return r;
}

/* The name of an event is its topic, else the one key of its document. */
static struct bp_str name_of(struct bp_str body) {
    static const char topic[] = "{\"topic\":\"";
    size_t from = body.n > sizeof topic && memcmp(body.p, topic, sizeof topic - 1) == 0
                      ? sizeof topic - 1
                      : 2;
    size_t n = 0;

    while (from + n < body.n && body.p[from + n] != '"')
        n++;
    return (struct bp_str){ body.p + BP_MIN(from, body.n), n };
}

/* What EventSource sends back as Last-Event-ID when it connects again: "BOOT;status=12;log=7". */
static void put_id(struct bp_buf *out, const struct sse *s) {
    bp_buf_printf(out, "id: %s", s->view->boot);
    for (size_t i = 0; i < s->events->o.ntopics; i++)
        if (s->last[i] != UINT64_MAX)
            bp_buf_printf(out, ";%s=%llu", s->events->o.topics[i].name,
                          (unsigned long long) s->last[i]);
    bp_buf_put_str(out, "\n");
}

static void sse_put(struct bp_buf *out, const struct bp_frame *f, void *data) {
    struct sse *s = data;
    struct bp_str body = bp_frame_body(f), name = name_of(body);

    bp_buf_printf(out, "event: %.*s\n", (int) name.n, name.p);
    for (size_t i = 0; f->seq > 0 && i < s->events->o.ntopics; i++)
        if (bp_str_eq(name, bp_str_of(s->events->o.topics[i].name)))
            s->last[i] = f->seq;
    put_id(out, s);
    bp_buf_put_str(out, "data: ");
    bp_buf_put(out, body.p, body.n); /* one line: compact JSON */
    bp_buf_put_str(out, "\n\n");
}

static bool sse_look(void *data) {
    struct sse *s = data;

    return bp_access_still(s->events->o.access, &s->pass) &&
           (!s->peer || may_keep(s->events, s->view, s->peer));
}

static void sse_end(void *data) {
    struct sse *s = data;

    bp_events_ask_done(&s->ask);
    free(s);
}

static struct bp_frame *sse_lost(struct bp_peer *p, struct bp_channel *ch, uint64_t n) {
    (void) p;
    return bp_events_lost(ch, n);
}

/* "BOOT;status=12" as the object of a `resume`; NULL when it is something else. */
static json_t *resume_of(const char *id) {
    const char *p = strchr(id, ';');
    json_t *last = p ? json_object() : NULL;

    while (last && p) {
        const char *name = p + 1, *is = strchr(name, '=');
        char *end;
        unsigned long long seq = is ? strtoull(is + 1, &end, 10) : 0;

        p = strchr(name, ';');
        if (!is || (p && is > p) || *end != (p ? ';' : '\0') || seq > INT64_MAX)
            break;
        (void) json_object_setn_new(last, name, (size_t) (is - name),
                                    json_integer((json_int_t) seq));
    }
    return last
               ? json_pack("{s:s%, s:o}", "boot", id, (size_t) (strchr(id, ';') - id), "last", last)
               : NULL;
}

/* The query as the message it would be over a WebSocket. */
static int ask_of(const struct bp_events *e, const struct bp_events_view *v,
                  const struct bp_http_req *req, json_t **ret, struct bp_error *err) {
    const char *topics = bp_http_query(req, "topics"), *hz = bp_http_query(req, "max_hz");
    const char *id = bp_http_header(req, "Last-Event-ID");
    json_t *list = json_array();
    char *end = NULL;
    double rate = hz ? strtod(hz, &end) : 0;

    if (hz && (end == hz || *end)) {
        json_decref(list);
        return bp_fail(err, BP_EUSAGE, "max_hz=%.60s: expected a number", hz);
    }
    for (size_t i = 0; !topics && i < e->o.nusual; i++)
        if (v->channels[i])
            (void) json_array_append_new(list, json_pack("{s:s}", "topic", e->o.topics[i].name));
    for (const char *p = topics; p && *p;) {
        size_t n = strcspn(p, ",");

        (void) json_array_append_new(list, json_pack("{s:s%}", "topic", p, n));
        p += n + (p[n] == ',');
    }
    for (size_t i = 0; hz && i < json_array_size(list); i++)
        (void) json_object_set_new(json_array_get(list, i), "max_hz", json_real(rate));
    *ret = json_pack("{s:o, s:o*}", "subscribe", list, "resume", id ? resume_of(id) : NULL);
    return *ret ? 0 : bp_fail(err, BP_EUSAGE, "topics: expected names with commas between");
}

static int get_stream(struct bp_events *e, struct bp_http_req *req, struct bp_http_reply *reply,
                      struct bp_error *err) {
    static const struct bp_sse_ops ops = {
        .begin = sse_begin, .put = sse_put, .end = sse_end, .lost = sse_lost, .look = sse_look
    };
    struct sse *s = calloc(1, sizeof *s);
    json_t *json = NULL;
    int r = s ? bp_access_pass(e->o.access, req, &s->pass, err)
              : bp_fail(err, -ENOMEM, "out of memory");

    if (r == 0)
        r = view_of(e, s->pass.who.scope, &s->view, err);
    if (r == 0)
        r = ask_of(e, s->view, req, &json, err);
    if (r == 0)
        r = bp_events_ask(e, s->view, json, &s->ask, err);
    json_decref(json);
    if (r < 0) {
        if (s)
            sse_end(s);
        return r;
    }
    s->events = e;
    memset(s->last, 0xff, sizeof s->last); /* not subscribed to */
    return bp_sse_reply(e->fanout, &ops, reply, s, err);
}

static int get_socket(struct bp_events *e, struct bp_http_req *req, struct bp_http_reply *reply,
                      struct bp_error *err) {
    struct guest *g = calloc(1, sizeof *g);
    int r = g ? bp_access_pass(e->o.access, req, &g->pass, err)
              : bp_fail(err, -ENOMEM, "out of memory");

    if (r == 0)
        r = view_of(e, g->pass.who.scope, &g->view, err);
    if (r < 0) {
        free(g);
        return r;
    }
    g->events = e;
    return bp_ws_accept(e->ws, req, reply, g);
}

int bp_events_reply(struct bp_events *e, struct bp_http_req *req, struct bp_http_reply *reply,
                    struct bp_error *err) {
    return bp_ws_is_asked(req) ? get_socket(e, req, reply, err) : get_stream(e, req, reply, err);
}

/* --- its life --- */

/* @return false: out of memory */
static bool open_more(struct bp_events *e) {
    size_t i = 0;

    for (const struct bp_events_more *m = e->o.more; m; m = m->next, i++) {
        assert(i < BP_EVENTS_MORE_MAX);
        e->more[i] = m->open(e->o.ctx, e->fanout, stamp);
        if (!e->more[i])
            return false;
    }
    return true;
}

static void close_more(struct bp_events *e) {
    size_t i = 0;

    for (const struct bp_events_more *m = e->o.more; m; m = m->next, i++)
        m->close(e->more[i]);
}

int bp_events_open(const struct bp_events_opts *o, struct bp_events **ret, struct bp_error *err) {
    static const struct bp_ws_ops ops = {
        .open = ws_open, .message = ws_message, .end = ws_end, .lost = ws_lost, .look = ws_look
    };
    struct bp_events *e = calloc(1, sizeof *e);
    int r;

    if (!e)
        return bp_fail(err, -ENOMEM, "out of memory");
    assert(o->ntopics <= BP_EVENTS_TOPICS_MAX && o->nusual <= o->ntopics);
    e->o = *o;
    (void) bp_ulid_new(e->all.boot);
    bp_mutex_init(&e->view_lock);
    r = bp_fanout_open(NULL, &e->fanout, err);
    if (r == 0)
        r = bp_ws_server_open(
            &(struct bp_ws_options){
                .fanout = e->fanout,
                .ops = &ops,
                .max_message_bytes = BP_EVENTS_MESSAGE,
                .max_own_bytes = BP_EVENTS_ANSWERS,
                .max_connections = o->max_connections,
            },
            &e->ws, err);
    if (r == 0 && (!open_more(e) || open_channels(e, &e->all) < 0))
        r = bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0) {
        r = bp_bus_listen(o->bus, on_news, e);
        e->listening = r == 0;
        if (r < 0)
            (void) bp_fail(err, r, "too many listen to the news");
    }
    if (r < 0) {
        bp_events_close(e);
        return r;
    }
    *ret = e;
    return 0;
}

void bp_events_stop(struct bp_events *e) {
    if (e)
        bp_ws_server_stop(e->ws, STOP_MS * BP_MS);
}

void bp_events_close(struct bp_events *e) {
    if (!e)
        return;
    if (e->listening)
        bp_bus_unlisten(e->o.bus, on_news, e);
    bp_ws_server_close(e->ws);
    close_more(e);
    bp_fanout_close(e->fanout); /* what the loops still hold of channels goes here */
    close_channels(&e->all);
    for (struct bp_events_view *v = e->views, *next; v; v = next) {
        next = v->next;
        close_channels(v);
        free(v);
    }
    bp_mutex_done(&e->view_lock);
    free(e);
}
