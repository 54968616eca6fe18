/* Parts of recordings by HTTP (bag/slice.h): what agent and server do alike. */
#include "daemon/data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "daemon/api.h"
#include "media/media.h"

enum { TOPICS_MAX = 256, FRAMES_BYTES = 4 << 20, FRAMES_BYTES_MAX = 64 << 20 };

static struct bp_counter slices, slice_messages, slice_bytes, slice_read_bytes;

static const struct bp_metric metrics[] = {
    { .name = "bagpipe_slices_total",
      .type = BP_METRIC_COUNTER,
      .help = "Slices that were cut, to their end or not: is the archive looked at?",
      .counter = &slices },
    { .name = "bagpipe_slice_messages_total",
      .type = BP_METRIC_COUNTER,
      .help = "Messages in them: how large are they?",
      .counter = &slice_messages },
    { .name = "bagpipe_slice_bytes_total",
      .type = BP_METRIC_COUNTER,
      .help = "Bytes of them: what do they cost the line?",
      .counter = &slice_bytes },
    { .name = "bagpipe_slice_read_bytes_total",
      .type = BP_METRIC_COUNTER,
      .help = "Bytes that were read for them: is much read for little?",
      .counter = &slice_read_bytes },
};

/* ---- what is cut ---- */

struct bp_data {
    struct bp_slice slice;
    struct bp_slice_segment *v; /* owned */
    char **names;               /* owned, as the names: theirs */
    size_t n, cap;
    const char *topics[TOPICS_MAX + 1];
    char *topic_text; /* owned: what they point into */
    struct bp_data_source src;
    struct bp_media_want want; /* of pictures and clouds in frames */
};

void bp_data_free(struct bp_data *d) {
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++)
        free(d->names[i]);
    free(d->names);
    free(d->v);
    free(d->topic_text);
    if (d->src.done)
        d->src.done(d->src.ctx);
    free(d);
}

bool bp_data_wants(const struct bp_data *d, bp_ns_t first_ns, bp_ns_t last_ns) {
    const struct bp_slice *s = &d->slice;

    return (!first_ns && !last_ns) ||
           (last_ns >= s->from_ns && (s->to_ns <= 0 || first_ns < s->to_ns));
}

bool bp_data_reads(const struct bp_data *d, bp_ns_t first_ns, bp_ns_t last_ns) {
    return bp_data_wants(d, first_ns, last_ns) || (d->slice.prior && first_ns < d->slice.from_ns);
}

int bp_data_add(struct bp_data *d, const char *name, bp_ns_t first_ns, bp_ns_t last_ns,
                struct bp_error *err) {
    char *copy = strdup(name);

    if (copy && d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 64;
        struct bp_slice_segment *v = realloc(d->v, cap * sizeof *v);
        char **names = realloc(d->names, cap * sizeof(char *));

        if (v)
            d->v = v;
        if (names)
            d->names = names;
        if (v && names)
            d->cap = cap;
    }
    if (!copy || d->n == d->cap) {
        free(copy);
        return bp_fail(err, -ENOMEM, "no memory for a slice");
    }
    d->names[d->n] = copy;
    d->v[d->n++] = (struct bp_slice_segment){ copy, first_ns, last_ns };
    return 0;
}

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

static int read_topics(const struct bp_http_req *req, struct bp_data *d, struct bp_error *err) {
    const char *text = bp_http_query(req, "topics");
    char *save = NULL;
    size_t n = 0;

    if (!text || !*text)
        return 0;
    d->topic_text = strdup(text);
    if (!d->topic_text)
        return bp_fail(err, -ENOMEM, "no memory for a slice");
    for (char *t = strtok_r(d->topic_text, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
        if (n == TOPICS_MAX)
            return bp_fail(err, BP_EUSAGE, "at most %d topics", TOPICS_MAX);
        d->topics[n++] = t;
    }
    d->slice.topics = d->topics;
    return 0;
}

/* Pictures and clouds: how they are made. A stream is told by its topic's place, so each has one.
 */
static int read_media(const struct bp_http_req *req, struct bp_data *d, struct bp_error *err) {
    int64_t width, quality, points;
    int r;

    bp_media_want_init(&d->want);
    if (d->slice.format != BP_SLICE_FRAMES)
        return 0;
    r = bp_api_number(req, "width", d->want.width, 16, BP_MEDIA_WIDTH, &width, err);
    if (r == 0)
        r = bp_api_number(req, "quality", d->want.quality, 1, 100, &quality, err);
    if (r == 0)
        r = bp_api_number(req, "max_points", d->want.max_points, 1, BP_MEDIA_POINTS, &points, err);
    if (r < 0)
        return r;
    d->want.width = (unsigned) width;
    d->want.quality = (int) quality;
    d->want.max_points = (unsigned) points;
    return 0;
}

/* Format, `prior` and the limit, which means another thing for frames. */
static int read_format(const struct bp_http_req *req, struct bp_slice *s, struct bp_error *err) {
    const char *format = bp_http_query(req, "format"), *prior = bp_http_query(req, "prior");
    int f = format ? bp_slice_format_from_name(format) : BP_SLICE_MCAP;
    bool frames = f == BP_SLICE_FRAMES;
    int64_t max = 0;
    int r;

    if (f < 0)
        return bp_fail(err, BP_EUSAGE, "format=%s: expected mcap, json, csv or frames", format);
    s->format = (enum bp_slice_format) f;
    if (prior && !bp_streq(prior, "true") && !bp_streq(prior, "1") && !bp_streq(prior, "false") &&
        !bp_streq(prior, "0"))
        return bp_fail(err, BP_EUSAGE, "prior=%s: expected true or false", prior);
    s->prior = prior && (*prior == 't' || *prior == '1');
    if (s->prior && !frames && f != BP_SLICE_JSON)
        return bp_fail(err, BP_EUSAGE, "prior goes with format=json or frames");
    r = bp_api_number(req, "max_bytes", frames ? FRAMES_BYTES : 0, 0,
                      frames ? FRAMES_BYTES_MAX : INT64_MAX, &max, err);
    s->max_bytes = (uint64_t) max;
    if (r == 0 && frames && max == 0)
        s->max_bytes = FRAMES_BYTES_MAX;
    return r;
}

static int read_request(const struct bp_http_req *req, bp_ns_t started, struct bp_data *d,
                        struct bp_error *err) {
    struct bp_slice *s = &d->slice;
    int r = read_format(req, s, err);

    if (r == 0)
        r = read_time(req, "from", started, &s->from_ns, err);
    if (r == 0)
        r = read_time(req, "to", started, &s->to_ns, err);
    if (r == 0 && s->to_ns > 0 && s->to_ns <= s->from_ns)
        r = bp_fail(err, BP_EUSAGE, "'to' must be later than 'from'");
    if (r == 0 && s->prior && s->from_ns == 0)
        r = bp_fail(err, BP_EUSAGE, "prior needs 'from'");
    if (r == 0)
        r = read_media(req, d, err);
    return r < 0 ? r : read_topics(req, d, err);
}

int bp_data_new(const struct bp_http_req *req, bp_ns_t started_ns, struct bp_data **ret,
                struct bp_error *err) {
    BP_CLEANUP(bp_data_freep) struct bp_data *d = calloc(1, sizeof *d);
    int r =
        d ? read_request(req, started_ns, d, err) : bp_fail(err, -ENOMEM, "no memory for a slice");

    if (r == 0)
        *ret = BP_TAKE_PTR(d);
    return r;
}

/* ---- the reply ---- */

static int make_frame(void *ctx, uint32_t topic, const char *type, const uint8_t *cdr, size_t n,
                      bp_ns_t log_ns, struct bp_buf *out, struct bp_error *err) {
    const struct bp_data *d = ctx;
    struct bp_media_want want = d->want;
    size_t at = out->n;
    int r;

    want.points = bp_media_shows(type, true);
    /* by a pattern nobody could tell of which topic it is */
    if ((!want.points && !bp_media_shows(type, false)) || strchr(d->topics[topic], '*'))
        return 0;
    r = bp_media_make(&want, type, cdr, n, log_ns, out, err);
    if (r < 0)
        return r;
    bp_media_number(out->p + at, topic, 0);
    return 1;
}

static int write_slice(void *ctx, const void *p, size_t n) {
    return bp_pump_write(ctx, p, n);
}

static int produce(void *ctx, struct bp_pump *p, struct bp_error *err) {
    struct bp_data *d = ctx;
    struct bp_slice_stats stats = { 0 };
    int r;

    d->slice.cancel = bp_pump_gone(p);
    r = bp_slice_run(&d->slice, write_slice, p, &stats, err);
    bp_counter_add(&slices, 1);
    bp_counter_add(&slice_messages, stats.messages);
    bp_counter_add(&slice_bytes, stats.bytes);
    bp_counter_add(&slice_read_bytes, stats.read_bytes);
    return r;
}

static void free_data(void *ctx) {
    bp_data_free(ctx);
}

static const struct bp_pump_ops ops = { .produce = produce, .done = free_data };

static void put_headers(struct bp_http_reply *reply, const char *name, const struct bp_data *d) {
    static const char *const endings[] = { "mcap", "ndjson", "csv", "frames" };
    char text[400], number[16], *at = text;

    at += snprintf(text, sizeof text, "attachment; filename=\"");
    for (const char *p = name; *p && at < text + 300; p++) /* what every file system takes */
        *at++ = (char) (strchr("\"\\/:*?<>|", *p) || (unsigned char) *p < ' ' ||
                                (unsigned char) *p > '~'
                            ? '_'
                            : *p);
    (void) snprintf(at, sizeof text - (size_t) (at - text), ".%s\"", endings[d->slice.format]);
    bp_http_reply_header(reply, "Content-Disposition", text);
    (void) snprintf(number, sizeof number, "%u", d->src.missing);
    bp_http_reply_header(reply, "Bagpipe-Missing-Segments", number);
    if (d->src.settled && d->src.missing == 0)
        bp_http_reply_header(reply, "Cache-Control", "private, max-age=86400, immutable");
}

int bp_data_reply(struct bp_pumps *pumps, struct bp_http_reply *reply, const char *name,
                  struct bp_data *d, const struct bp_data_source *src, struct bp_error *err) {
    d->src = *src;
    d->slice.segments = d->v;
    d->slice.nsegments = d->n;
    d->slice.open = src->open;
    d->slice.close = src->close;
    d->slice.ctx = src->ctx;
    d->slice.frame = d->slice.topics ? make_frame : NULL;
    d->slice.frame_ctx = d;
    put_headers(reply, name, d);
    return bp_pump_reply(pumps, reply, bp_slice_media_type(d->slice.format), &ops, d, err);
}

void bp_data_put_metrics(struct bp_pumps *pumps, struct bp_buf *out) {
    bp_metrics_render(out, metrics, BP_COUNT(metrics));
    bp_metrics_family(out, "bagpipe_slices_active", BP_METRIC_GAUGE,
                      "Slices and downloads that are being written: are viewers waiting?");
    bp_metrics_sample(out, "bagpipe_slices_active", NULL, 0, bp_pumps_active(pumps));
}
