#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "bag/writer-priv.h"

/* Latched (transient-local) topics: the last messages of each source are kept, and repeated at the
 * head of every later segment, so that each segment can be played by itself. A `bagpipe.repeated`
 * record stands right before their chunk; they are in no ledger. */

void bp_writer_latched_done(struct bp_writer *w) {
    for (size_t i = 0; i < w->nlatched; i++)
        free(w->latched[i].record);
    free(w->latched);
}

static int add(struct bp_writer *w, struct latched l) {
    if (w->nlatched == w->latched_cap) {
        size_t cap = w->latched_cap ? 2 * w->latched_cap : 16;
        struct latched *v = realloc(w->latched, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        w->latched = v;
        w->latched_cap = cap;
    }
    w->latched[w->nlatched++] = l;
    return 0;
}

/* What registration has read from files of an earlier life. */
static int take_reloaded(struct bp_writer *w) {
    int r = 0;

    bp_mutex_lock(&w->defs_lock);
    while (w->nreloaded && r == 0) {
        r = add(w, w->reloaded[0]);
        if (r == 0)
            memmove(w->reloaded, w->reloaded + 1, --w->nreloaded * sizeof *w->reloaded);
    }
    bp_mutex_unlock(&w->defs_lock);
    return r;
}

/* A source of an earlier life speaks again: those of its messages that were read from files are its
 * own, by number. */
static void adopt(struct bp_writer *w, uint32_t source, uint16_t channel, uint32_t depth) {
    const struct bp_def_source *def;
    uint32_t last = 0;
    bool known = false;

    bp_mutex_lock(&w->defs_lock);
    def = w->defs.sources[source];
    for (size_t i = 0; i < w->npast && !known; i++) {
        known = memcmp(w->past[i].guid, def->guid, 16) == 0 &&
                bp_streq(w->past[i].topic, w->defs.topics[channel]);
        last = (uint32_t) w->past[i].last;
    }
    bp_mutex_unlock(&w->defs_lock);
    for (size_t i = 0; known && i < w->nlatched; i++)
        if (w->latched[i].source == LATCHED_UNKNOWN && w->latched[i].channel == channel &&
            last - bp_ld_le32(w->latched[i].record + 11) < depth)
            w->latched[i].source = source;
}

/* Drops the oldest of a source that now has one too many. */
static void trim(struct bp_writer *w, uint32_t source, uint32_t depth) {
    size_t oldest = w->nlatched;
    uint32_t n = 0;

    for (size_t i = w->nlatched; i-- > 0;) {
        if (w->latched[i].source != source)
            continue;
        n++;
        oldest = i;
    }
    if (n <= depth)
        return;
    free(w->latched[oldest].record);
    memmove(w->latched + oldest, w->latched + oldest + 1,
            (w->nlatched - oldest - 1) * sizeof *w->latched);
    w->nlatched--;
}

/* A group that is written once more, after a failed sync, brings the same messages again. */
static bool known(const struct bp_writer *w, uint32_t source, const uint8_t *rec) {
    for (size_t i = 0; i < w->nlatched; i++)
        if (w->latched[i].source == source &&
            bp_ld_le32(w->latched[i].record + 11) == bp_ld_le32(rec + 11))
            return true;
    return false;
}

int bp_writer_latch(struct bp_writer *w, const struct slot *s) {
    const struct bp_ring_slot *r = ring_slot(w, s);

    for (uint32_t i = 0; i < r->nruns; i++) {
        const struct bp_run *run = bp_ring_slot_run(&w->ring, r, i);
        const uint8_t *rec;
        struct latched l;
        int e;

        if (run->kind != BP_RUN_LATCHED)
            continue;
        rec = bp_ring_slot_records(&w->ring, r) + run->last;
        if (w->npast_paths) {
            e = take_reloaded(w);
            if (e < 0)
                return e;
            adopt(w, run->source, bp_ld_le16(rec + 9),
                  w->channels[bp_ld_le16(rec + 9)]->latched_depth);
        }
        if (known(w, run->source, rec))
            continue;
        l = (struct latched){ run->source, bp_ld_le16(rec + 9),
                              (size_t) bp_ld_le64(rec + 1) + BP_REC_HEAD, NULL };
        l.record = malloc(l.n);
        e = l.record ? add(w, l) : -ENOMEM;
        if (e < 0) {
            free(l.record);
            return e;
        }
        memcpy(l.record, rec, l.n);
        trim(w, l.source, w->channels[l.channel]->latched_depth);
    }
    return 0;
}

/* All kept messages as records with the new log time. */
static uint8_t *gather(const struct bp_writer *w, uint64_t log_ns, uint64_t *ret_n) {
    uint64_t n = 0, at = 0;
    uint8_t *p;

    for (size_t i = 0; i < w->nlatched; i++)
        n += w->latched[i].n;
    p = malloc(n);
    for (size_t i = 0; p && i < w->nlatched; i++) {
        memcpy(p + at, w->latched[i].record, w->latched[i].n);
        bp_st_le64(p + at + 15, log_ns);
        at += w->latched[i].n;
    }
    *ret_n = n;
    return p;
}

static void put_announcement(struct bp_buf *b, uint64_t messages) {
    char n[24];

    (void) snprintf(n, sizeof n, "%" PRIu64, messages);
    (void) bp_put_metadata(b, "bagpipe.repeated", (const char *const[]){ "messages", n, NULL });
}

int bp_writer_repeat(struct bp_writer *w, struct bp_segment *seg, uint64_t log_ns) {
    BP_AUTO_FREE struct bp_group_channel *ch = NULL;
    BP_AUTO_FREE uint8_t *records = NULL;
    BP_AUTO_FREE void *out = NULL;
    BP_AUTO_BUF head = { 0 };
    struct bp_group_in in = { 0 };
    struct bp_builder b;
    struct bp_group g;
    int r;

    r = take_reloaded(w);
    if (r < 0 || !w->nlatched)
        return r;
    ch = in.ch = calloc(w->nlatched, sizeof *ch);
    records = gather(w, log_ns, &in.raw);
    if (!ch || !records)
        return -ENOMEM;
    in.records = records;
    r = bp_group_count(records, in.raw, ch, (unsigned) w->nlatched, &in.nmsg);
    if (r < 0)
        return r;
    in.nch = (unsigned) r;

    put_announcement(&head, in.nmsg);
    if (head.failed ||
        posix_memalign(&out, BP_BLOCK, bp_group_bound(in.raw, in.nmsg, in.nch, 0, head.n)) ||
        bp_builder_init(&b, BP_CODEC_NONE, 0, false) < 0)
        return -ENOMEM;
    memcpy(out, head.p, head.n);
    r = bp_group_build(&b, &in, true, out, head.n, &g);
    bp_builder_done(&b);
    if (r == 0)
        r = bp_writer_define(w);
    if (r < 0)
        return r;

    bp_group_commit(&g, w->session, seg->off, BP_LANE_REPEAT, 0, 0);
    r = bp_segment_append(seg, out, g.len);
    if (r < 0)
        return r;
    bp_index_add_metadata(&seg->index, seg->off - g.len, head.n, BP_STR("bagpipe.repeated"));
    bp_index_add_group(&seg->index, &g, seg->off - g.len);
    seg->repeated += in.nmsg;
    w->unsynced += g.len;
    return 0;
}
