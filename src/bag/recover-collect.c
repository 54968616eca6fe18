#include <errno.h>
#include <stdio.h>

#include "bag/journal.h"
#include "bag/recover-priv.h"

/* From the ring, every message in slots that were not yet freed; from the journal, every message in
 * a good frame. Either may hold what is in a segment already, and both may hold the same: numbers
 * decide. */

void bp_collect_done(struct bp_collect *c) {
    bp_ring_done(&c->ring, false);
    free(c->journal);
    free(c->v);
    free(c->runs);
}

static int add_message(struct bp_collect *c, uint32_t lane, uint64_t rseq, const uint8_t *rec,
                       uint64_t n) {
    if (bp_spans_has(&c->covered[lane], rseq))
        return 0;
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 4096;
        struct bp_found *v = realloc(c->v, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n++] = (struct bp_found){ rseq, rec, n, lane };
    return 0;
}

static int add_run(struct bp_collect *c, const struct bp_run *r) {
    if (r->kind == BP_RUN_LATCHED || (r->kind != BP_RUN_DUPLICATE && r->first > r->last))
        return 0;
    if (c->nruns == c->runs_cap) {
        size_t cap = c->runs_cap ? 2 * c->runs_cap : 256;
        struct bp_run *v = realloc(c->runs, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        c->runs = v;
        c->runs_cap = cap;
    }
    c->runs[c->nruns++] = *r;
    return 0;
}

/* Whole records of p[0..n), numbered from `first`. @return how many, or -ENOMEM */
static int64_t add_records(struct bp_collect *c, uint32_t lane, uint64_t first, const uint8_t *p,
                           uint64_t n) {
    uint64_t at = 0;
    int64_t k = 0;

    while (n - at >= BP_MESSAGE_HEAD && p[at] == BP_MCAP_MESSAGE) {
        uint64_t len = bp_ld_le64(p + at + 1);
        int r;

        if (len < BP_MESSAGE_HEAD - BP_REC_HEAD || len > n - at - BP_REC_HEAD)
            break;
        r = add_message(c, lane, first + (uint64_t) k, p + at, BP_REC_HEAD + len);
        if (r < 0)
            return r;
        at += BP_REC_HEAD + len;
        k++;
    }
    return k;
}

/* A kill between the ledger's store and `committed` leaves one number too many: that of the message
 * on its way, in the run that was touched last. */
static int slot_runs(struct bp_collect *c, const struct bp_ring_slot *s, uint64_t messages) {
    uint64_t received = 0;
    int r = 0;

    for (uint32_t i = 0; i < s->nruns; i++) {
        const struct bp_run *run = bp_ring_slot_run(&c->ring, s, i);

        if (run->kind == BP_RUN_RECEIVED || run->kind == BP_RUN_LATE)
            received += run->last - run->first + 1;
    }
    for (uint32_t i = 0; i < s->nruns && r == 0; i++) {
        struct bp_run run = *bp_ring_slot_run(&c->ring, s, i);

        if (received > messages && i == s->last_run) {
            if (run.first == run.last)
                continue;
            run.last--;
        }
        r = add_run(c, &run);
    }
    return r;
}

static bool slot_fits(const struct bp_ring *r, const struct bp_ring_slot *s) {
    uint64_t data = r->hdr->data_size;

    return s->start % BP_BLOCK == 0 && s->size % BP_BLOCK == 0 && s->start <= data &&
           s->size <= data - s->start && s->lane < BP_LANES && s->nruns <= s->size / BP_RUN_BYTES &&
           s->committed <= s->size &&
           BP_CHUNK_HEAD + s->committed + (uint64_t) s->nruns * BP_RUN_BYTES <= s->size;
}

static int from_ring(struct bp_collect *c) {
    const struct bp_ring_hdr *h = c->ring.hdr;
    uint64_t head = __atomic_load_n(&h->slot_head, __ATOMIC_ACQUIRE);
    int r = 0;

    for (uint64_t no = h->slot_tail; no < head && r == 0; no++) {
        const struct bp_ring_slot *s = &c->ring.slots[no % BP_RING_SLOTS];
        int64_t n;

        if (!slot_fits(&c->ring, s))
            continue;
        /* Its group is whole in a segment: messages and runs are there. */
        if (s->committed && bp_spans_has(&c->covered[s->lane], s->first_rseq))
            continue;
        n = add_records(c, s->lane, s->first_rseq, bp_ring_slot_records(&c->ring, s), s->committed);
        r = n < 0 ? (int) n : slot_runs(c, s, (uint64_t) n);
    }
    for (uint32_t i = 0; i < h->pending_n && r == 0; i++)
        r = add_run(c, &c->ring.pending[i]);
    c->from_ring = c->n;
    return r;
}

static int take_def(void *ctx, enum bp_def_kind kind, const uint8_t *p, size_t n) {
    struct bp_collect *c = ctx;
    struct bp_def_source s = { 0 };
    int r = 0;

    switch (kind) {
    case BP_DEF_SCHEMA:
        return bp_defs_put_schema(c->defs, p, n);
    case BP_DEF_CHANNEL:
        return bp_defs_put_channel(c->defs, p, n);
    case BP_DEF_SOURCE:
        r = n < 4 ? BP_ECORRUPT
                  : bp_source_decode((struct bp_str){ (const char *) p + 4, n - 4 }, &s);
        if (r == 0)
            r = bp_defs_put_source(c->defs, bp_ld_le32(p), &s);
        free(s.node);
        return r;
    default:
        return 0; /* of a later version */
    }
}

/* ---- journal ---- */

struct frames {
    struct bp_collect *c;
    struct bp_frame *v; /* owned */
    size_t n, cap;
};

static int keep_frame(void *ctx, const struct bp_frame *f) {
    struct frames *fs = ctx;

    if (fs->n == fs->cap) {
        size_t cap = fs->cap ? 2 * fs->cap : 64;
        struct bp_frame *v = realloc(fs->v, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        fs->v = v;
        fs->cap = cap;
    }
    fs->v[fs->n++] = *f;
    return 0;
}

/* Each frame repeats its slot's runs as they were then: only the newest of a slot counts. Runs that
 * no slot had taken yet (number 0) are losses only: adding them twice changes nothing. */
static bool superseded(const struct frames *fs, const struct bp_frame *f) {
    for (size_t i = 0; i < fs->n && f->first_rseq; i++)
        if (fs->v[i].first_rseq && fs->v[i].slot == f->slot && fs->v[i].number > f->number)
            return true;
    return false;
}

static int frame_runs(struct frames *fs, const struct bp_frame *f) {
    uint64_t last = f->first_rseq + f->count - 1; /* newest message of the slot in any frame */
    int r = 0;

    if (fs->c->have_ring || superseded(fs, f) ||
        (f->first_rseq && bp_spans_has(&fs->c->covered[f->lane], last)))
        return 0;
    for (uint32_t at = 0; at < f->runs_bytes && r == 0; at += BP_RUN_BYTES) {
        struct bp_run run;

        bp_run_decode(f->runs + at, &run);
        r = add_run(fs->c, &run);
    }
    return r;
}

struct newest {
    struct bp_collect *c;
    bp_ns_t wall_ns;
};

static int keep_newest(void *ctx, const struct bp_frame *f) {
    struct newest *n = ctx;

    if (n->c->have_run && f->wall_ns <= n->wall_ns)
        return 0;
    n->wall_ns = f->wall_ns;
    memcpy(n->c->run, f->session, 16);
    n->c->have_run = true;
    return 0;
}

int bp_collect_run(struct bp_collect *c) {
    struct newest n = { .c = c };

    if (c->have_run || !c->journal)
        return 0;
    return bp_journal_scan((const uint8_t *) c->journal, c->journal_n, NULL, keep_newest, &n);
}

static int from_journal(struct bp_collect *c) {
    struct frames fs = { .c = c };
    int r = bp_journal_scan((const uint8_t *) c->journal, c->journal_n, c->run, keep_frame, &fs);

    for (size_t i = 0; i < fs.n && r == 0; i++) {
        const struct bp_frame *f = &fs.v[i];
        int64_t n = add_records(c, f->lane, f->first_rseq, f->records, f->records_bytes);
        r = n < 0 ? (int) n : frame_runs(&fs, f);
    }
    free(fs.v);
    return r;
}

static int by_number(const void *a, const void *b) {
    const struct bp_found *x = a, *y = b;

    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    return (x->rseq > y->rseq) - (x->rseq < y->rseq);
}

static void drop_doubles(struct bp_collect *c) {
    size_t k = 0;

    if (c->n)
        qsort(c->v, c->n, sizeof *c->v, by_number);
    for (size_t i = 0; i < c->n; i++)
        if (!k || c->v[k - 1].lane != c->v[i].lane || c->v[k - 1].rseq != c->v[i].rseq)
            c->v[k++] = c->v[i];
    c->n = k;
}

int bp_collect(struct bp_collect *c) {
    int r = 0;

    if (c->have_ring) {
        r = bp_ring_each_def(&c->ring, take_def, c);
        if (r == 0)
            r = from_ring(c);
    }
    if (r == 0 && c->journal && c->have_run)
        r = from_journal(c);
    drop_doubles(c);
    c->from_journal = c->n - BP_MIN(c->from_ring, (uint64_t) c->n);
    return r;
}
