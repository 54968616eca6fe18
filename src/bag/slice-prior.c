/* What was there before a slice: the last message of each topic. Segments are gone through
 * backwards, and in each the chunks that may hold something later than what is known, the latest
 * first; indexes tell which. A chunk is read once, so topics that come often cost one or two. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bag/slice-priv.h"
#include "base/json.h"

enum {
    TOPICS_MAX = 4096,
    SEGMENTS_MAX = 256,   /* opened */
    RAW_MAX = 512 << 20,  /* bytes of chunks, uncompressed */
    LINES_MAX = 64 << 20, /* bytes that are kept until all are known */
};

struct last {
    char *topic; /* owned */
    bool found;
    bp_ns_t log_ns;
    struct bp_buf line; /* as it will be written */
    /* in the chunk that is open: */
    const uint8_t *record; /* NULL: none that is later */
    bp_ns_t record_ns;
};

struct search {
    struct slicing *x;
    struct last *v; /* owned; TOPICS_MAX of them */
    size_t n;
    unsigned segments;
    uint64_t raw, lines;
    const char *why; /* it ended early; or NULL */
    /* the open segment: */
    int32_t *of;    /* owned: channel -> topic, or -1 */
    bool *channels; /* owned: those that the open chunk is read for */
    struct slice_types types;
};

static void search_done(struct search *s) {
    for (size_t i = 0; s->v && i < s->n; i++) {
        free(s->v[i].topic);
        bp_buf_done(&s->v[i].line);
    }
    free(s->v);
}

static int no_memory(struct slicing *x) {
    return bp_fail(x->err, -ENOMEM, "no memory for a slice");
}

/* @return its place; -1: there are too many */
static int32_t add_topic(struct search *s, const char *topic) {
    for (size_t i = 0; i < s->n; i++)
        if (bp_streq(s->v[i].topic, topic))
            return (int32_t) i;
    if (s->n == TOPICS_MAX) {
        s->why = "too many topics";
        return -1;
    }
    s->v[s->n].topic = strdup(topic);
    return s->v[s->n].topic ? (int32_t) s->n++ : -1;
}

static bool wants_later(const struct last *t, bp_ns_t until) {
    return !t->found || t->log_ns < until;
}

/* ---- one chunk ---- */

/* The latest moment before the slice at which the chunk may hold something. */
static bp_ns_t latest(const struct search *s, const struct mcap_unit *u) {
    return (bp_ns_t) BP_MIN(u->end, (uint64_t) s->x->s->from_ns - 1);
}

/* @return whether the chunk may tell something new; `channels` then says of which */
static bool choose(struct search *s, const struct mcap_unit *u) {
    const struct mcap_source *m = s->x->m;
    bp_ns_t until = latest(s, u);
    bool any = false;

    memset(s->channels, 0, m->s.nchannels * sizeof *s->channels);
    for (size_t i = 0; u->nids == 0 && i < m->s.nchannels; i++)
        any |= s->channels[i] = s->of[i] >= 0 && wants_later(&s->v[s->of[i]], until);
    for (uint32_t i = 0; i < u->nids; i++) {
        int32_t c = mcap_channel(m, m->ids[u->ids + i]);

        if (s->of[c] >= 0 && wants_later(&s->v[s->of[c]], until))
            any = s->channels[c] = true;
    }
    return any;
}

static struct bp_source_msg message_of(const struct mcap_source *m, const uint8_t *record) {
    const uint8_t *p = record + BP_MCAP_HEAD;

    return (struct bp_source_msg){
        .channel = (uint32_t) mcap_channel(m, bp_ld_le16(p)),
        .sequence = bp_ld_le32(p + 2),
        .log_ns = (bp_ns_t) bp_ld_le64(p + 6),
        .publish_ns = (bp_ns_t) bp_ld_le64(p + 14),
        .data = p + BP_MCAP_MESSAGE_HEAD,
        .size = (size_t) bp_ld_le64(p - 8) - BP_MCAP_MESSAGE_HEAD,
    };
}

/* What was found in the chunk, before it is closed. */
static int keep(struct search *s, bool repeated) {
    for (size_t i = 0; i < s->n; i++) {
        struct last *t = &s->v[i];
        struct bp_source_msg msg;

        if (!t->record)
            continue;
        msg = message_of(s->x->m, t->record);
        msg.repeated = repeated;
        s->lines -= t->line.n;
        bp_buf_clear(&t->line);
        slice_text_put(s->x, &s->types, &msg, true, &t->line);
        if (t->line.failed)
            return no_memory(s->x);
        s->lines += t->line.n;
        t->found = true;
        t->log_ns = msg.log_ns;
        t->record = NULL;
        if (s->lines > LINES_MAX)
            return bp_fail(s->x->err, BP_ELIMIT,
                           "the last messages before the slice are too large: ask for less topics");
    }
    return 0;
}

static int look_into(struct search *s, const struct mcap_unit *u, struct mcap_open_unit *open) {
    struct slicing *x = s->x;
    const struct bp_source_filter f = { .channels = s->channels,
                                        .to = (uint64_t) x->s->from_ns,
                                        .file_order = true };
    int k = mcap_unit_load(x->m, &f, u, open);

    s->raw += BP_MAX(u->raw, u->len);
    if (k < 0)
        return slice_cancelled(x) < 0
                   ? bp_fail(x->err, -ECANCELED, "cancelled")
                   : bp_fail(x->err, k, "'%s': chunk at byte %llu: %s", x->m->s.file.path,
                             (unsigned long long) u->at, bp_strerror(k));
    for (; k > 0; k = mcap_unit_step(x->m, &f, open)) {
        struct last *t = &s->v[s->of[mcap_channel(x->m, bp_ld_le16(open->p + BP_MCAP_HEAD))]];
        bp_ns_t log_ns = (bp_ns_t) open->time;

        if (t->record ? log_ns < t->record_ns : t->found && log_ns <= t->log_ns)
            continue; /* of several at one moment the one that stands last */
        t->record = open->p;
        t->record_ns = log_ns;
    }
    return keep(s, u->repeated);
}

/* ---- one segment ---- */

/* The one that may hold the latest first, and of those the one that stands last. */
static int by_end(const void *a, const void *b, void *units) {
    const struct mcap_unit *v = units, *x = &v[*(const uint32_t *) a],
                           *y = &v[*(const uint32_t *) b];

    return x->end != y->end ? x->end > y->end ? -1 : 1 : x->at > y->at ? -1 : 1;
}

static int look_through(struct search *s) {
    struct slicing *x = s->x;
    const struct mcap_source *m = x->m;
    BP_AUTO_FREE uint32_t *plan = malloc((m->nunits + 1) * sizeof *plan);
    struct mcap_open_unit *open = calloc(1, sizeof *open);
    size_t n = 0;
    int r = plan && open ? 0 : no_memory(x);

    for (size_t i = 0; r == 0 && i < m->nunits; i++)
        if (m->units[i].start < (uint64_t) x->s->from_ns && m->units[i].end > 0)
            plan[n++] = (uint32_t) i;
    if (n > 1)
        qsort_r(plan, n, sizeof *plan, by_end, m->units);
    for (size_t i = 0; r == 0 && i < n && !s->why; i++) {
        const struct mcap_unit *u = &m->units[plan[i]];

        if (slice_cancelled(x) < 0)
            r = bp_fail(x->err, -ECANCELED, "cancelled");
        else if (choose(s, u))
            r = look_into(s, u, open);
        if (s->raw > RAW_MAX)
            s->why = "not found in what was looked through";
    }
    mcap_unit_free(open);
    return r;
}

static int look_into_segment(struct search *s) {
    struct mcap_source *m = s->x->m;
    BP_AUTO_FREE int32_t *of = calloc(m->s.nchannels + 1, sizeof *of);
    BP_AUTO_FREE bool *channels = calloc(m->s.nchannels + 1, sizeof *channels);
    BP_CLEANUP(slice_types_done) struct slice_types types = { 0 };
    int r = slice_types_init(s->x, &types);

    if (r < 0 || !of || !channels)
        return no_memory(s->x);
    for (size_t i = 0; i < m->s.nchannels; i++) {
        const char *topic = m->s.channels[i].topic;

        of[i] = slice_topic(s->x->s, topic) < 0 ? -1 : add_topic(s, topic);
    }
    s->of = of;
    s->channels = channels;
    s->types = types;
    r = look_through(s);
    types = s->types;
    return r;
}

/* ---- all of them ---- */

/* Is there anything in it that is not known yet? With patterns it may hold topics of its own. */
static bool needs(const struct search *s, const struct bp_slice_segment *g, bool patterns) {
    bool any = patterns || s->n == 0;

    if (g->first_ns >= s->x->s->from_ns)
        return false;
    for (size_t i = 0; i < s->n && !any; i++)
        any = wants_later(&s->v[i],
                          g->last_ns ? BP_MIN(g->last_ns, s->x->s->from_ns - 1) : INT64_MAX);
    return any;
}

static bool add_named(struct search *s) {
    bool patterns = !s->x->s->topics;

    for (const char *const *t = s->x->s->topics; t && *t; t++)
        if (strchr(*t, '*'))
            patterns = true;
        else
            (void) add_topic(s, *t);
    return patterns;
}

static int by_log_time(const void *a, const void *b) {
    const struct last *x = a, *y = b;

    return x->log_ns != y->log_ns ? x->log_ns < y->log_ns ? -1 : 1 : strcmp(x->topic, y->topic);
}

static int put_all(struct search *s) {
    int r = 0;

    if (s->n > 1)
        qsort(s->v, s->n, sizeof *s->v, by_log_time);
    for (size_t i = 0; r == 0 && i < s->n; i++) {
        struct last *t = &s->v[i];

        if (!t->found)
            slice_text_put_none(s->x, t->topic, s->why, &t->line);
        else
            s->x->stats.messages++;
        r = t->line.failed ? no_memory(s->x) : slice_put(s->x, t->line.p, t->line.n);
    }
    return r;
}

int slice_prior(struct slicing *x) {
    const struct bp_slice *slice = x->s;
    BP_CLEANUP(search_done)
    struct search s = { .x = x, .v = calloc(TOPICS_MAX, sizeof(struct last)) };
    bool patterns;
    int r = s.v ? 0 : no_memory(x);

    if (r < 0)
        return r;
    patterns = add_named(&s);
    for (size_t i = slice->nsegments; r == 0 && i-- > 0 && !s.why;) {
        if (!needs(&s, &slice->segments[i], patterns))
            continue;
        if (++s.segments > SEGMENTS_MAX) {
            s.why = "not found in the segments that were looked into";
            break;
        }
        r = slice_open(x, i);
        if (r < 0)
            return r;
        r = look_into_segment(&s);
        slice_close(x);
    }
    return r < 0 ? r : put_all(&s);
}
