#include "agent/events-priv.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "net/sse.h"

/* What is published on the bus is made into one frame on the publisher's thread and goes to the
 * fan-out, which does not wait. Each topic is a channel with numbers of its own, counted from 1
 * since the agent began; `boot` names that life, so that a client that comes back knows whether its
 * numbers still mean something. */

enum { STOP_MS = 500, DEFAULT_TOPICS = 4 };

const struct bp_events_topic bp_events_topics[BP_EVENTS_TOPICS] = {
    { "status", "once a second: what GET /api/v1/status answers", 60, 128 * 1024 },
    { "sessions", "sessions as they start, stop, pause, resume, split, get marks", 1000,
      512 * 1024 },
    { "alerts", "alerts as they are raised, change and clear", 1000, 512 * 1024 },
    { "log", "lines of the agent's log", 1000, 256 * 1024 },
    { "topics", "once a second: what GET /api/v1/topics answers", 2, 512 * 1024 },
};

static size_t stamp(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]) {
    char time[BP_TIME_TEXT];
    int n =
        snprintf(out, BP_STAMP_MAX,
                 "{\"topic\":\"%s\",\"seq\":%llu,\"time\":\"%s\",\"data\":", bp_channel_name(ch),
                 (unsigned long long) seq, bp_time_format(bp_wall_ns(), time));

    return (size_t) n;
}

static int index_of(const char *name) {
    for (int i = 0; i < BP_EVENTS_TOPICS; i++)
        if (bp_streq(bp_events_topics[i].name, name))
            return i;
    return -1;
}

struct bp_channel *bp_events_channel(struct bp_events *e, const char *name, struct bp_error *err) {
    int i = index_of(name);

    if (i >= 0)
        return bp_channel_ref(e->channels[i]);
    if (bp_starts_with(name, "sample:"))
        return bp_samples_channel(e->samples, name, err);
    (void) bp_fail(err, BP_EUSAGE,
                   "there is no topic '%.100s'; there are status, sessions, alerts, log, topics "
                   "and sample:/TOPIC",
                   name);
    return NULL;
}

/* Publisher's thread. */
static void on_news(void *ctx, const char *topic, const json_t *payload) {
    struct bp_events *e = ctx;
    int i = index_of(topic);
    char *text = i >= 0 ? json_dumps(payload, JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0;
    struct bp_frame *f = text ? bp_frame_new(BP_WS_TEXT, BP_STAMP_MAX, n + 1) : NULL;

    if (f) {
        memcpy(bp_frame_payload(f), text, n);
        bp_frame_payload(f)[n] = '}';
        (void) bp_channel_publish(e->channels[i], f);
    }
    free(text);
}

void bp_events_tick(struct bp_events *e) {
    if (bp_channel_subscribers(e->channels[index_of("status")]) > 0)
        bp_bus_publish(e->agent->bus, "status", bp_agent_status_json(e->agent));
    if (bp_channel_subscribers(e->channels[index_of("topics")]) > 0)
        bp_bus_publish(e->agent->bus, "topics", bp_agent_topics_json(e->agent));
}

/* A JSON document as a frame; NULL when out of memory. @param json  taken over */
static struct bp_frame *frame_of(json_t *json) {
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    struct bp_frame *f = text ? bp_frame_of(BP_WS_TEXT, text, strlen(text)) : NULL;

    json_decref(json);
    free(text);
    return f;
}

static json_t *hello_json(const struct bp_events *e) {
    json_t *topics = json_array();
    char time[BP_TIME_TEXT];

    for (size_t i = 0; i < BP_EVENTS_TOPICS; i++)
        (void) json_array_append_new(topics,
                                     json_pack("{s:s, s:s}", "topic", bp_events_topics[i].name,
                                               "about", bp_events_topics[i].about));
    (void) json_array_append_new(topics, json_pack("{s:s, s:s}", "topic", "sample:/TOPIC", "about",
                                                   "messages of a ROS topic, decoded"));
    return json_pack("{s:{s:s, s:s, s:s, s:o, s:i}}", "hello", "version", BP_VERSION, "boot",
                     e->boot, "time", bp_time_format(bp_wall_ns(), time), "topics", topics,
                     "max_subscriptions", BP_EVENTS_FEEDS);
}

static struct bp_frame *lost_frame(const struct bp_channel *ch, uint64_t n) {
    return frame_of(json_pack("{s:{s:s, s:I}}", "dropped", "topic", bp_channel_name(ch), "count",
                              (json_int_t) n));
}

/* --- WebSocket; its loop --- */

enum {
    NOT_WELCOME = 4401
}; /* of the codes for applications (RFC 6455 §7.4.2), as 401 is in HTTP */

struct guest {
    struct bp_events *events;
    struct bp_pass pass; /* [loop] */
};

static void ws_open(struct bp_ws *ws, void *data) {
    const struct guest *g = data;

    bp_peer_put(bp_ws_peer(ws), frame_of(hello_json(g->events)));
}

static unsigned ws_look(struct bp_ws *ws, void *data, const char **ret_reason) {
    struct guest *g = data;

    (void) ws;
    *ret_reason = "what let you in is no longer valid";
    return bp_access_still(g->events->agent->access, &g->pass) ? 0 : NOT_WELCOME;
}

/* Does what a message asks for. @return whether it is to be answered; an answer is begun */
static int obey(struct bp_events *e, struct bp_ws *ws, const json_t *json, json_t *answer,
                bool *ret_quiet, struct bp_error *err) {
    struct bp_events_ask ask;
    int r = bp_events_ask(e, json, &ask, err);

    if (r == 0)
        r = bp_events_do(e, bp_ws_peer(ws), &ask, answer, err);
    /* credit comes with every frame a viewer has shown: an answer to each would be noise */
    *ret_quiet = r == 0 && ask.ncredit > 0 && json_object_size(json) == 1;
    bp_events_ask_done(&ask);
    return r;
}

static void ws_message(struct bp_ws *ws, void *data, enum bp_ws_opcode opcode, struct bp_str body) {
    const struct guest *g = data;
    json_t *answer = json_object(), *json, *id;
    struct bp_error err = { 0 };
    json_error_t at;
    bool quiet = false;
    int r;

    json = opcode == BP_WS_TEXT ? json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &at) : NULL;
    id = json_object_get(json, "id");
    if (id)
        (void) json_object_set(answer, "id", id);
    if (json)
        r = obey(g->events, ws, json, answer, &quiet, &err);
    else if (opcode == BP_WS_TEXT)
        r = bp_fail(&err, BP_EUSAGE, "this is no JSON: %s (line %d, column %d)", at.text, at.line,
                    at.column);
    else
        r = bp_fail(&err, BP_EUSAGE, "a message is a JSON object, as text");
    if (r < 0)
        (void) json_object_set_new(answer, "error", json_string(err.text));
    else
        (void) json_object_set_new(answer, "ok", json_true());
    if (quiet)
        json_decref(answer);
    else
        bp_peer_put(bp_ws_peer(ws), frame_of(answer));
    json_decref(json);
}

static void ws_end(void *data, unsigned code) {
    (void) code;
    free(data);
}

static struct bp_frame *ws_lost(struct bp_ws *ws, void *data, struct bp_channel *ch, uint64_t n) {
    (void) ws;
    (void) data;
    return lost_frame(ch, n);
}

/* --- server-sent events --- */

struct sse {
    struct bp_events *events;
    struct bp_events_ask ask;
    uint64_t last[BP_EVENTS_TOPICS]; /* number of the last event sent, for the id of the next */
    struct bp_pass pass;             /* [loop] */
};

static int sse_begin(struct bp_peer *p, void *data) {
    struct sse *s = data;
    json_t *hello = hello_json(s->events);
    json_t *answer = json_object_get(hello, "hello");
    struct bp_feed *f;
    int r = answer ? bp_events_do(s->events, p, &s->ask, answer, NULL) : -ENOMEM;

    for (f = r == 0 ? p->feeds : NULL; f; f = f->peer_next) {
        int i = index_of(bp_channel_name(f->channel));

        if (i >= 0)
            s->last[i] = f->first - 1;
    }
    bp_events_ask_done(&s->ask);
    bp_peer_put(p, frame_of(hello));
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
    bp_buf_printf(out, "id: %s", s->events->boot);
    for (size_t i = 0; i < BP_EVENTS_TOPICS; i++)
        if (s->last[i] != UINT64_MAX)
            bp_buf_printf(out, ";%s=%llu", bp_events_topics[i].name,
                          (unsigned long long) s->last[i]);
    bp_buf_put_str(out, "\n");
}

static void sse_put(struct bp_buf *out, const struct bp_frame *f, void *data) {
    struct sse *s = data;
    struct bp_str body = bp_frame_body(f), name = name_of(body);

    bp_buf_printf(out, "event: %.*s\n", (int) name.n, name.p);
    for (size_t i = 0; f->seq > 0 && i < BP_EVENTS_TOPICS; i++)
        if (bp_str_eq(name, bp_str_of(bp_events_topics[i].name)))
            s->last[i] = f->seq;
    put_id(out, s);
    bp_buf_put_str(out, "data: ");
    bp_buf_put(out, body.p, body.n); /* one line: compact JSON */
    bp_buf_put_str(out, "\n\n");
}

static bool sse_look(void *data) {
    struct sse *s = data;

    return bp_access_still(s->events->agent->access, &s->pass);
}

static void sse_end(void *data) {
    struct sse *s = data;

    bp_events_ask_done(&s->ask);
    free(s);
}

static struct bp_frame *sse_lost(struct bp_peer *p, struct bp_channel *ch, uint64_t n) {
    (void) p;
    return lost_frame(ch, n);
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
static int ask_of(const struct bp_http_req *req, json_t **ret, struct bp_error *err) {
    const char *topics = bp_http_query(req, "topics"), *hz = bp_http_query(req, "max_hz");
    const char *id = bp_http_header(req, "Last-Event-ID");
    json_t *list = json_array();
    char *end = NULL;
    double rate = hz ? strtod(hz, &end) : 0;

    if (hz && (end == hz || *end)) {
        json_decref(list);
        return bp_fail(err, BP_EUSAGE, "max_hz=%.60s: expected a number", hz);
    }
    for (size_t i = 0; !topics && i < DEFAULT_TOPICS; i++)
        (void) json_array_append_new(list, json_pack("{s:s}", "topic", bp_events_topics[i].name));
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
    int r = s ? ask_of(req, &json, err) : bp_fail(err, -ENOMEM, "out of memory");

    if (r == 0)
        r = bp_access_pass(e->agent->access, req, &s->pass, err);
    if (r == 0)
        r = bp_events_ask(e, json, &s->ask, err);
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
    int r = g ? bp_access_pass(e->agent->access, req, &g->pass, err)
              : bp_fail(err, -ENOMEM, "out of memory");

    if (r < 0) {
        free(g);
        return r;
    }
    g->events = e;
    return bp_ws_accept(e->ws, req, reply, g);
}

int bp_events_get(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_agent *a = bp_http_ctx(req);

    return bp_ws_is_asked(req) ? get_socket(a->events, req, reply, err)
                               : get_stream(a->events, req, reply, err);
}

/* --- its life --- */

static int open_channels(struct bp_events *e) {
    for (size_t i = 0; i < BP_EVENTS_TOPICS; i++) {
        const struct bp_events_topic *t = &bp_events_topics[i];

        e->channels[i] = bp_channel_new(
            e->fanout, &(struct bp_channel_options){ .name = t->name,
                                                     .stamp = stamp,
                                                     .replay_frames = t->replay_frames,
                                                     .replay_bytes = t->replay_bytes });
        if (!e->channels[i])
            return -ENOMEM;
    }
    return 0;
}

int bp_events_open(struct bp_agent *agent, struct bp_events **ret, struct bp_error *err) {
    static const struct bp_ws_ops ops = {
        .open = ws_open, .message = ws_message, .end = ws_end, .lost = ws_lost, .look = ws_look
    };
    struct bp_events *e = calloc(1, sizeof *e);
    int r;

    if (!e)
        return bp_fail(err, -ENOMEM, "out of memory");
    e->agent = agent;
    (void) bp_ulid_new(e->boot);
    r = bp_fanout_open(NULL, &e->fanout, err);
    if (r == 0)
        r = bp_ws_server_open(
            &(struct bp_ws_options){
                .fanout = e->fanout,
                .ops = &ops,
                .max_message_bytes = BP_EVENTS_MESSAGE,
                .max_own_bytes = BP_EVENTS_ANSWERS,
                .max_connections = (unsigned) agent->config->http.max_connections,
            },
            &e->ws, err);
    if (r == 0)
        e->samples = bp_samples_new(agent->recorder, e->fanout, stamp);
    if (r == 0 && (!e->samples || open_channels(e) < 0))
        r = bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0) {
        r = bp_bus_listen(agent->bus, on_news, e);
        e->listening = r == 0;
        if (r < 0)
            (void) bp_fail(err, r, "too many listen to the agent's news");
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
        bp_bus_unlisten(e->agent->bus, on_news, e);
    bp_ws_server_close(e->ws);
    bp_samples_free(e->samples);
    bp_fanout_close(e->fanout); /* what the loops still hold of channels goes here */
    for (size_t i = 0; i < BP_EVENTS_TOPICS; i++)
        bp_channel_unref(e->channels[i]);
    free(e);
}
