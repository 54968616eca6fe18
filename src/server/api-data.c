/* Slices of sessions by HTTP (bag/slice.h), out of the objects of the store. */
#include "server/api-data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bag/slice.h"
#include "base/metrics.h"
#include "base/units.h"
#include "catalog/archive.h"
#include "server/pump.h"
#include "server/scope.h"
#include "store/store.h"

enum { PUMPS_MAX = 16, TOPICS_MAX = 256 };

static struct bp_counter slices, slice_messages, slice_bytes, slice_read_bytes;

static const struct bp_metric metrics[] = {
    { .name = "bagpipe_slices_total",
      .type = BP_METRIC_COUNTER,
      .help = "Slices that were cut, to their end or not.",
      .counter = &slices },
    { .name = "bagpipe_slice_messages_total",
      .type = BP_METRIC_COUNTER,
      .help = "Messages in them.",
      .counter = &slice_messages },
    { .name = "bagpipe_slice_bytes_total",
      .type = BP_METRIC_COUNTER,
      .help = "Bytes of them.",
      .counter = &slice_bytes },
    { .name = "bagpipe_slice_read_bytes_total",
      .type = BP_METRIC_COUNTER,
      .help = "Bytes that were read for them: is much read for little?",
      .counter = &slice_read_bytes },
};

/* ---- what is cut ---- */

struct segment {
    uint8_t sha256[BP_ARCHIVE_DIGEST];
    char *name; /* owned */
    bp_ns_t first_ns, last_ns;
};

struct cut {
    struct bp_store *store;
    struct segment *v; /* owned */
    size_t n, cap;
    unsigned missing;                  /* in the time that is asked for, not here yet */
    struct bp_slice_segment *segments; /* owned */
    const char *topics[TOPICS_MAX + 1];
    char *topic_text; /* owned: what they point into */
    struct bp_store_object *object;
    struct bp_slice slice;
};

static void cut_free(void *ctx) {
    struct cut *c = ctx;

    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        free(c->v[i].name);
    free(c->v);
    free(c->segments);
    free(c->topic_text);
    free(c);
}

static void cut_freep(struct cut **c) {
    cut_free(*c);
}

static int add_segment(void *ctx, const struct bp_archive_file *f) {
    struct cut *c = ctx;
    const struct bp_slice *s = &c->slice;
    bool known = f->first_ns || f->last_ns;

    if (f->kind != BP_ARCHIVE_SEGMENT ||
        (known && (f->last_ns < s->from_ns || (s->to_ns > 0 && f->first_ns >= s->to_ns))))
        return 0;
    if (f->state == BP_ARCHIVE_FILE_EXPECTED) {
        c->missing++;
        return 0;
    }
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        struct segment *v = realloc(c->v, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n] =
        (struct segment){ .name = strdup(f->file), .first_ns = f->first_ns, .last_ns = f->last_ns };
    memcpy(c->v[c->n].sha256, f->sha256, sizeof f->sha256);
    return c->v[c->n++].name ? 0 : -ENOMEM;
}

static int by_time(const void *a, const void *b) {
    const struct segment *x = a, *y = b;

    return x->first_ns != y->first_ns ? x->first_ns < y->first_ns ? -1 : 1
                                      : strcmp(x->name, y->name);
}

static int choose(struct cut *c, struct bp_archive *a, const char *id, struct bp_error *err) {
    int r = bp_archive_each_file(a, id, add_segment, c, err);

    if (r == -ENOMEM)
        return bp_fail(err, r, "no memory for a slice");
    if (r < 0)
        return r;
    if (c->n > 1)
        qsort(c->v, c->n, sizeof *c->v, by_time);
    c->segments = calloc(c->n + 1, sizeof *c->segments);
    if (!c->segments)
        return bp_fail(err, -ENOMEM, "no memory for a slice");
    for (size_t i = 0; i < c->n; i++)
        c->segments[i] =
            (struct bp_slice_segment){ c->v[i].name, c->v[i].first_ns, c->v[i].last_ns };
    c->slice.segments = c->segments;
    c->slice.nsegments = c->n;
    return 0;
}

/* ---- reading ---- */

static ssize_t read_object(void *ctx, void *p, size_t n, uint64_t off, struct bp_error *err) {
    struct cut *c = ctx;

    return bp_store_object_read(c->object, p, n, off, err);
}

static int open_segment(void *ctx, size_t i, struct bp_reads *ret, struct bp_error *err) {
    struct cut *c = ctx;
    int r = bp_store_get(c->store, c->v[i].sha256, &c->object, err);

    if (r == 0)
        *ret = (struct bp_reads){ .size = c->object->bytes, .read = read_object, .ctx = c };
    return r;
}

static void close_segment(void *ctx, struct bp_reads *r) {
    struct cut *c = ctx;

    (void) r;
    bp_store_object_close(BP_TAKE_PTR(c->object));
}

static int write_slice(void *ctx, const void *p, size_t n) {
    return bp_pump_write(ctx, p, n);
}

static int produce(void *ctx, struct bp_pump *p, struct bp_error *err) {
    struct cut *c = ctx;
    struct bp_slice_stats stats = { 0 };
    int r;

    c->slice.cancel = bp_pump_gone(p);
    r = bp_slice_run(&c->slice, write_slice, p, &stats, err);
    bp_counter_add(&slices, 1);
    bp_counter_add(&slice_messages, stats.messages);
    bp_counter_add(&slice_bytes, stats.bytes);
    bp_counter_add(&slice_read_bytes, stats.read_bytes);
    return r;
}

static const struct bp_pump_ops ops = { .produce = produce, .done = cut_free };

/* ---- what is asked for ---- */

/* Nanoseconds since 1970, or "+90s": so long after the session began. */
static int read_time(const struct bp_http_req *req, const char *name, bp_ns_t started, bp_ns_t *ret,
                     struct bp_error *err) {
    const char *text = bp_http_query(req, name);
    bp_ns_t after = 0;

    *ret = 0;
    if (!text || !*text)
        return 0;
    if ((*text == '+' || *text == ' ') && bp_parse_duration(text + 1, &after) == 0 && after >= 0 &&
        after < INT64_MAX - started) { /* a plus in a query is a blank */
        *ret = started + after;
        return 0;
    }
    return bp_parse_int(text, ret) < 0 || *ret < 0
               ? bp_fail(err, BP_EUSAGE,
                         "%s=%s: expected nanoseconds since 1970, or +90s after the session began",
                         name, text)
               : 0;
}

static int read_topics(const struct bp_http_req *req, struct cut *c, struct bp_error *err) {
    const char *text = bp_http_query(req, "topics");
    char *save = NULL;
    size_t n = 0;

    if (!text || !*text)
        return 0;
    c->topic_text = strdup(text);
    if (!c->topic_text)
        return bp_fail(err, -ENOMEM, "no memory for a slice");
    for (char *t = strtok_r(c->topic_text, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
        if (n == TOPICS_MAX)
            return bp_fail(err, BP_EUSAGE, "at most %d topics", TOPICS_MAX);
        c->topics[n++] = t;
    }
    c->slice.topics = c->topics;
    return 0;
}

static int read_request(struct bp_http_req *req, const struct bp_archive_session *row,
                        struct cut *c, struct bp_error *err) {
    const char *format = bp_http_query(req, "format");
    int64_t max = 0;
    int f = format ? bp_slice_format_from_name(format) : BP_SLICE_MCAP;
    int r = f < 0 ? bp_fail(err, BP_EUSAGE, "format=%s: expected mcap, json or csv", format) : 0;

    if (r == 0)
        r = bp_api_number(req, "max_bytes", 0, 0, INT64_MAX, &max, err);
    if (r == 0)
        r = read_time(req, "from", row->started_ns, &c->slice.from_ns, err);
    if (r == 0)
        r = read_time(req, "to", row->started_ns, &c->slice.to_ns, err);
    if (r == 0 && c->slice.to_ns > 0 && c->slice.to_ns <= c->slice.from_ns)
        r = bp_fail(err, BP_EUSAGE, "'to' must be later than 'from'");
    if (r == 0)
        r = read_topics(req, c, err);
    if (r < 0)
        return r;
    c->slice.format = (enum bp_slice_format) f;
    c->slice.max_bytes = (uint64_t) max;
    return 0;
}

static void put_headers(struct bp_http_reply *reply, const struct bp_archive_session *row,
                        const struct cut *c) {
    static const char *const endings[] = { "mcap", "ndjson", "csv" };
    char text[400], number[16], *at = text;

    at += snprintf(text, sizeof text, "attachment; filename=\"");
    for (const char *p = row->name; *p && at < text + 300; p++) /* what every file system takes */
        *at++ = (char) (strchr("\"\\/:*?<>|", *p) || (unsigned char) *p < ' ' ||
                                (unsigned char) *p > '~'
                            ? '_'
                            : *p);
    (void) snprintf(at, sizeof text - (size_t) (at - text), ".%s\"", endings[c->slice.format]);
    bp_http_reply_header(reply, "Content-Disposition", text);
    (void) snprintf(number, sizeof number, "%u", c->missing);
    bp_http_reply_header(reply, "Bagpipe-Missing-Segments", number);
}

static int get_data(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_CLEANUP(cut_freep) struct cut *c = calloc(1, sizeof *c);
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    const char *type;
    int r = c ? bp_server_find_session(s, req, &row, err)
              : bp_fail(err, -ENOMEM, "no memory for a slice");

    if (r == 0 && !s->store)
        r = bp_fail(err, BP_EUNSUPPORTED, "this server has no store");
    if (r == 0)
        r = read_request(req, &row, c, err);
    if (r == 0)
        r = choose(c, s->archive, row.id, err);
    if (r < 0)
        return r;
    c->store = s->store;
    c->slice.open = open_segment;
    c->slice.close = close_segment;
    c->slice.ctx = c;
    type = bp_slice_media_type(c->slice.format);
    put_headers(reply, &row, c);
    return bp_pump_reply(s->pumps, reply, type, &ops, BP_TAKE_PTR(c), err);
}

/* ---- the part ---- */

static int open_data(struct bp_server *s, struct bp_error *err) {
    s->pumps = bp_pumps_new(PUMPS_MAX);
    return s->pumps ? 0 : bp_fail(err, -ENOMEM, "no memory for slices");
}

static void close_data(struct bp_server *s) {
    bp_pumps_free(s->pumps);
    s->pumps = NULL;
}

static void put_metrics(struct bp_server *s, struct bp_buf *out) {
    bp_metrics_render(out, metrics, BP_COUNT(metrics));
    bp_metrics_family(out, "bagpipe_slices_active", BP_METRIC_GAUGE,
                      "Slices and downloads that are being written.");
    bp_metrics_sample(out, "bagpipe_slices_active", NULL, 0, bp_pumps_active(s->pumps));
}

static const struct bp_http_route routes[] = {
    { "GET", "/api/v1/sessions/:id/data", get_data, BP_HTTP_VIEWER,
      "Messages of a session, by topics and time, as MCAP, JSON lines or CSV." },
};
static const size_t nroutes = BP_COUNT(routes);

static const struct bp_api_param params[] = {
    { "topics", "{\"type\": \"string\"}", "names with commas between them; * is anything" },
    { "from", "{\"type\": \"string\"}",
      "log time in nanoseconds since 1970, or +90s after the session began" },
    { "to", "{\"type\": \"string\"}", "before this time, said the same way" },
    { "format", "{\"enum\": [\"mcap\", \"json\", \"csv\"]}", "of the reply [mcap]" },
    { "max_bytes", "{\"type\": \"integer\", \"minimum\": 0}",
      "cut the connection when the slice gets larger" },
};
static const struct bp_api_doc docs[] = {
    { "GET", "/api/v1/sessions/:id/data", "topics from to format max_bytes", NULL, 200,
      "application/x-mcap", "404 503" },
};
static const struct bp_api_part data_docs = { docs, BP_COUNT(docs), params, BP_COUNT(params), NULL,
                                              0 };

const struct bp_server_part bp_server_part_data = {
    .name = "data",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &data_docs,
    .open = open_data,
    .close = close_data,
    .metrics = put_metrics,
};
