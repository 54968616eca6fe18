/* Cutting slices: which segments, which of their channels and units. */
#include "bag/slice-priv.h"

#include <assert.h>
#include <errno.h>

static const char *const names[] = { "mcap", "json", "csv", "frames" };
static const char *const types[] = { "application/x-mcap", "application/x-ndjson",
                                     "text/csv; charset=utf-8", "application/x-bagpipe-frames" };

const char *bp_slice_format_name(enum bp_slice_format f) {
    return names[f];
}

const char *bp_slice_media_type(enum bp_slice_format f) {
    return types[f];
}

int bp_slice_format_from_name(const char *name) {
    for (size_t i = 0; i < BP_COUNT(names); i++)
        if (bp_streq(names[i], name))
            return (int) i;
    return -EINVAL;
}

int slice_cancelled(const struct slicing *x) {
    return x->s->cancel && __atomic_load_n(x->s->cancel, __ATOMIC_RELAXED) ? -ECANCELED : 0;
}

int slice_put(struct slicing *x, const void *p, size_t n) {
    int r;

    if (x->s->max_bytes && x->s->format != BP_SLICE_FRAMES && x->stats.bytes + n > x->s->max_bytes)
        return bp_fail(x->err, BP_ELIMIT, "the slice is larger than %llu bytes: ask for less",
                       (unsigned long long) x->s->max_bytes);
    r = n > 0 ? x->sink(x->ctx, p, n) : 0;
    if (r < 0)
        return bp_fail(x->err, r, "the slice cannot be written: %s", bp_strerror(r));
    x->stats.bytes += n;
    return 0;
}

bool slice_unit_wanted(const struct slicing *x, const struct mcap_unit *u) {
    const struct mcap_source *m = x->m;

    if ((u->repeated && !x->first) || u->end < x->f.from || u->start >= x->f.to)
        return false;
    for (uint32_t i = 0; i < u->nids; i++)
        if (x->wanted[mcap_channel(m, m->ids[u->ids + i])])
            return true;
    return u->nids == 0 && u->end > 0;
}

/* ---- topics ---- */

/* "*" is anything. Linear but for stars, of which the last one is gone back to. */
static bool matches(const char *pattern, const char *text) {
    const char *star = NULL, *from = NULL;

    while (*text)
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++from;
        } else
            return false;
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

int32_t slice_topic(const struct bp_slice *s, const char *topic) {
    if (!s->topics)
        return 0;
    for (int32_t i = 0; s->topics[i]; i++)
        if (matches(s->topics[i], topic))
            return i;
    return -1;
}

/* ---- segments ---- */

static ssize_t counted_read(void *ctx, void *p, size_t n, uint64_t off, struct bp_error *err) {
    struct slicing *x = ctx;
    ssize_t got = slice_cancelled(x) < 0 ? -ECANCELED : x->inner.read(x->inner.ctx, p, n, off, err);

    if (got > 0) /* workers that read ahead come here, too */
        __atomic_fetch_add(&x->stats.read_bytes, (uint64_t) got, __ATOMIC_RELAXED);
    return got;
}

static int choose(struct slicing *x, bool *ret_any) {
    const struct bp_slice *s = x->s;
    struct mcap_source *m = x->m;

    *ret_any = false;
    free(x->wanted);
    x->wanted = calloc(m->s.nchannels + 1, sizeof *x->wanted);
    if (!x->wanted)
        return bp_fail(x->err, -ENOMEM, "no memory for a slice");
    for (size_t i = 0; i < m->s.nchannels; i++) {
        x->wanted[i] = slice_topic(s, m->s.channels[i].topic) >= 0;
        *ret_any |= x->wanted[i];
    }
    x->f = (struct bp_source_filter){
        .channels = x->wanted,
        .from = (uint64_t) BP_MAX(s->from_ns, 0),
        .to = s->to_ns > 0 ? (uint64_t) s->to_ns : UINT64_MAX,
        .file_order = s->format == BP_SLICE_MCAP,
    };
    return 0;
}

int slice_open(struct slicing *x, size_t i) {
    const char *name = x->s->segments[i].name;
    int r = x->s->open(x->s->ctx, i, &x->inner, x->err);

    if (r < 0)
        return bp_prefix(x->err, r, "'%s'", name);
    x->reads = (struct bp_reads){ .size = x->inner.size, .read = counted_read, .ctx = x };
    r = mcap_open_reads(name, &x->reads, &x->m, x->err);
    if (r < 0) {
        x->m = NULL;
        x->s->close(x->s->ctx, &x->inner);
        return slice_cancelled(x) < 0 ? bp_fail(x->err, -ECANCELED, "cancelled") : r;
    }
    x->stats.segments++;
    return 0;
}

void slice_close(struct slicing *x) {
    x->m->s.ops->close(&x->m->s);
    x->m = NULL;
    x->s->close(x->s->ctx, &x->inner);
}

static int cut_segment(struct slicing *x, size_t i, struct slice_mcap *o) {
    bool any = false;
    int r = slice_open(x, i);

    if (r < 0)
        return r;
    r = choose(x, &any);
    if (r == 0 && any)
        r = o ? slice_mcap_segment(x, o) : slice_text_segment(x);
    x->first = false;
    slice_close(x);
    return r;
}

static bool overlaps(const struct bp_slice *s, const struct bp_slice_segment *g) {
    if (g->first_ns == 0 && g->last_ns == 0)
        return true;
    return g->last_ns >= s->from_ns && (s->to_ns <= 0 || g->first_ns < s->to_ns);
}

/* What has been cut off goes on in later segments, which may begin a little before that. */
static void reach(struct slicing *x, size_t i) {
    const struct bp_slice *s = x->s;

    while (++i < s->nsegments)
        if (s->segments[i].first_ns > s->from_ns)
            x->reached = BP_MIN(x->reached, s->segments[i].first_ns);
}

static int cut_all(struct slicing *x, struct slice_mcap *o) {
    const struct bp_slice *s = x->s;
    int r = 0;

    for (size_t i = 0; r == 0 && !x->reached && i < s->nsegments; i++) {
        if (!overlaps(s, &s->segments[i]))
            continue;
        if (slice_cancelled(x) < 0)
            return bp_fail(x->err, -ECANCELED, "cancelled");
        r = cut_segment(x, i, o);
        if (x->reached)
            reach(x, i);
    }
    return r;
}

int bp_slice_run(const struct bp_slice *s, int (*sink)(void *ctx, const void *p, size_t n),
                 void *ctx, struct bp_slice_stats *ret_stats, struct bp_error *err) {
    struct bp_error own = { 0 };
    struct slicing x = { .s = s, .sink = sink, .ctx = ctx, .first = true, .err = err ? err : &own };
    struct slice_mcap *o = NULL;
    int r = s->format == BP_SLICE_MCAP ? slice_mcap_new(&x, &o) : slice_text_begin(&x);

    if (r == 0 && s->prior && s->from_ns > 0)
        r = slice_prior(&x);
    if (r == 0)
        r = cut_all(&x, o);
    if (r == 0)
        r = o ? slice_mcap_end(&x, o) : slice_text_end(&x);
    slice_mcap_free(o);
    free(x.wanted);
    if (ret_stats)
        *ret_stats = x.stats;
    return r;
}
