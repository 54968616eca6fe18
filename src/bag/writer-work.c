#include <errno.h>

#include "bag/writer-priv.h"

/* Workers turn closed slots into groups: index, CRC, compression. Stored groups are built where
 * they lie, in the ring; compressed ones in a buffer that lives until the group is durable.
 *
 * What does not shrink is not compressed for long. Topics of small messages are tried on one
 * message (at most 16 KiB) in 256; those that save less than 3 % get chunks of their own, which are
 * stored. For large messages a sample lies, so whole chunks are judged: one that saved less than
 * 3 % makes the next 1, 2, 4 … 32 of its topic stored. */

enum {
    TRIAL_EVERY = 256,
    TRIAL_BYTES = 16 << 10,
    SMALL_MESSAGE = 64 << 10,
    SKIP_MAX = 32,
    BACKLOG = 4,
    AHEAD_WORTH = 64 << 10, /* less is sealed by the writer, in one frame */
    AHEAD_MOST =
        64 << 20, /* ciphertext that waits for the disk; a stall must not double the ring */
};

struct job {
    struct slot *s;
    bool store;
    struct channel *big; /* the one whose messages fill nearly all of the chunk, or NULL */
};

static bool saves(uint64_t raw, uint64_t stored) {
    return stored + raw * 3 / 100 < raw;
}

static struct channel *dominant(const struct bp_writer *w, const struct slot *s, uint64_t raw) {
    for (uint32_t i = 0; i < s->nch; i++)
        if (s->ch[i].bytes > raw / 10 * 9 && s->ch[i].bytes / s->ch[i].count > SMALL_MESSAGE)
            return w->channels[s->ch[i].id];
    return NULL;
}

/* The oldest closed slot; chunks of a lane are taken in order. */
static struct slot *next_closed_locked(const struct bp_writer *w) {
    for (uint64_t no = w->tail; w->nclosed && no < w->head; no++)
        if (slot_by_no(w, no)->state == SLOT_CLOSED)
            return slot_by_no(w, no);
    return NULL;
}

static bool take_locked(struct bp_writer *w, struct job *j) {
    j->s = next_closed_locked(w);
    if (!j->s)
        return false;
    j->s->state = SLOT_BUSY;
    w->nclosed--;
    j->big = dominant(w, j->s, ring_slot(w, j->s)->committed);
    j->store = w->codec == BP_CODEC_NONE || ring_slot(w, j->s)->lane == BP_LANE_PLAIN;
    if (!j->store && j->big && j->big->skipped > 0) {
        j->big->skipped--;
        j->store = true;
    } else if (!j->store && (w->plain || w->nclosed > BACKLOG)) {
        /* overload: give up compression before messages or the commit interval */
        j->store = true;
        j->big = NULL;
        w->st.plain_chunks++;
    }
    return true;
}

/* Does this topic's first message in the chunk shrink? */
static bool trial(struct bp_builder *b, const uint8_t *records, uint64_t offset, uint8_t *scratch,
                  size_t cap) {
    uint64_t n = bp_ld_le64(records + offset + 1) - (BP_MESSAGE_HEAD - BP_REC_HEAD);
    int64_t r;

    n = BP_MIN(n, (uint64_t) TRIAL_BYTES);
    r = bp_compress(b->z, records + offset + BP_MESSAGE_HEAD, (size_t) n, scratch, cap);
    return r >= 0 && saves(n, (uint64_t) r);
}

/* Tries topics of small messages that are due. Their first offset comes from the index just made.
 */
static void learn_small(struct bp_writer *w, struct bp_builder *b, const struct slot *s,
                        uint8_t *scratch, size_t cap) {
    const uint8_t *records = bp_ring_slot_records(&w->ring, ring_slot(w, s));

    for (uint32_t i = 0; i < s->nch; i++) {
        const struct bp_group_channel *c = &s->ch[i];
        struct channel *ch = w->channels[c->id];
        bool due, shrinks;

        if (c->bytes / c->count > SMALL_MESSAGE || c->bytes / c->count < 64)
            continue;
        bp_mutex_lock(&w->lock);
        due = ch->untried == 0 || ch->untried >= TRIAL_EVERY;
        ch->untried = due ? c->count : ch->untried + c->count;
        bp_mutex_unlock(&w->lock);
        if (!due)
            continue;
        shrinks =
            trial(b, records, bp_ld_le64(s->g.buf + c->index_at + BP_INDEX_HEAD + 8), scratch, cap);
        bp_mutex_lock(&w->lock);
        ch->lane = shrinks ? BP_LANE_MAIN : BP_LANE_PLAIN;
        bp_mutex_unlock(&w->lock);
    }
}

static void learn_big(struct bp_writer *w, const struct job *j) {
    struct channel *c = j->big;

    bp_mutex_lock(&w->lock);
    if (saves(j->s->g.raw, j->s->g.stored)) {
        c->skip = 0;
    } else {
        c->skip = c->skip ? BP_MIN(2 * c->skip, (uint32_t) SKIP_MAX) : 1;
        c->skipped = c->skip;
    }
    bp_mutex_unlock(&w->lock);
}

static uint8_t *take_buffer(struct bp_writer *w, uint64_t need, uint64_t *ret_cap) {
    uint8_t *p = NULL;
    void *fresh;

    bp_mutex_lock(&w->lock);
    for (unsigned i = 0; i < w->nbufs && !p; i++) {
        if (w->bufs[i].cap < need)
            continue;
        p = w->bufs[i].p;
        *ret_cap = w->bufs[i].cap;
        w->bufs[i] = w->bufs[--w->nbufs];
    }
    bp_mutex_unlock(&w->lock);
    if (p)
        return p;
    *ret_cap = need;
    return posix_memalign(&fresh, BP_BLOCK, (size_t) need) == 0 ? fresh : NULL;
}

static void keep_buffer(struct bp_writer *w, uint8_t *p, uint64_t cap) {
    bp_mutex_lock(&w->lock);
    if (w->nbufs < SPARE_BUFFERS) {
        w->bufs[w->nbufs].p = p;
        w->bufs[w->nbufs++].cap = cap;
        p = NULL;
    }
    bp_mutex_unlock(&w->lock);
    free(p);
}

void bp_writer_give_buffer(struct bp_writer *w, struct slot *s) {
    if (s->out)
        keep_buffer(w, BP_TAKE_PTR(s->out), s->out_cap);
}

void bp_writer_give_ahead(struct bp_writer *w, struct slot *s) {
    if (!s->ahead.p)
        return;
    bp_mutex_lock(&w->lock);
    w->ahead_bytes -= s->ahead_cap;
    bp_mutex_unlock(&w->lock);
    keep_buffer(w, BP_TAKE_PTR(s->ahead.p), s->ahead_cap);
}

/* The group's whole blocks before its commit block, for the segment of the moment. When another one
 * gets it, or there is no memory, the writer seals it itself. */
static void seal_ahead(struct bp_writer *w, struct bp_sealer *sealer, struct slot *s) {
    uint64_t n = s->g.commit_at / BP_BLOCK * BP_BLOCK, cap;
    struct bp_seal_key *key = NULL;

    cap = bp_sealed_ahead_bound(n, s->g.len - n);
    bp_mutex_lock(&w->lock);
    if (n >= AHEAD_WORTH && w->ahead_bytes + cap <= AHEAD_MOST)
        key = bp_seal_key_ref(w->seal_key);
    if (key)
        w->ahead_bytes += cap;
    bp_mutex_unlock(&w->lock);
    if (!key)
        return;
    s->ahead.p = take_buffer(w, cap, &s->ahead_cap);
    bp_mutex_lock(&w->lock);
    w->ahead_bytes += (s->ahead.p ? s->ahead_cap : 0) - cap; /* what it really is */
    bp_mutex_unlock(&w->lock);
    if (s->ahead.p && bp_sealer_seal(sealer, key, s->g.buf, n, &s->ahead) < 0)
        bp_writer_give_ahead(w, s);
    bp_seal_key_unref(key);
}

static void build(struct bp_writer *w, struct bp_builder *b, struct job *j, uint8_t *scratch,
                  size_t scratch_cap) {
    struct slot *s = j->s;
    struct bp_ring_slot *r = ring_slot(w, s);
    struct bp_group_in in = {
        .records = bp_ring_slot_records(&w->ring, r),
        .raw = r->committed,
        .nmsg = s->nmsg,
        .ch = s->ch,
        .nch = s->nch,
        .runs = r->nruns ? bp_ring_slot_run(&w->ring, r, r->nruns - 1) : NULL,
        .nruns = r->nruns,
    };

    if (!j->store)
        s->out = take_buffer(w, bp_group_bound(in.raw, in.nmsg, in.nch, in.nruns, 0), &s->out_cap);
    if (s->out && bp_group_build(b, &in, false, s->out, 0, &s->g) == 0) {
        if (j->big)
            learn_big(w, j);
    } else {
        /* Stored, or no memory or codec for anything else; this cannot fail. */
        bp_writer_give_buffer(w, s);
        (void) bp_group_build(b, &in, true, bp_ring_slot_base(&w->ring, r), 0, &s->g);
    }
    if (b->z)
        learn_small(w, b, s, scratch, scratch_cap);
}

void *bp_writer_worker(void *arg) {
    struct bp_writer *w = arg;
    size_t cap = bp_compress_bound(BP_CODEC_ZSTD, TRIAL_BYTES) + TRIAL_BYTES;
    BP_AUTO_FREE uint8_t *scratch = malloc(cap);
    struct bp_sealer sealer = { 0 };
    struct bp_builder b;
    struct job j;

    if (!scratch || bp_builder_init(&b, w->codec, w->o.level, w->o.fast_preset) < 0) {
        bp_writer_failed(w, NULL, -ENOMEM, "cannot start a worker");
        return NULL;
    }
    bp_mutex_lock(&w->lock);
    for (;;) {
        while (!take_locked(w, &j) && !w->finished)
            bp_mutex_wait(&w->lock, &w->cv_work);
        if (!j.s)
            break;
        bp_mutex_unlock(&w->lock);
        build(w, &b, &j, scratch, cap);
        if (w->o.seal)
            seal_ahead(w, &sealer, j.s);
        bp_mutex_lock(&w->lock);
        j.s->state = SLOT_READY;
        pthread_cond_signal(&w->cv_writer);
    }
    bp_mutex_unlock(&w->lock);
    bp_builder_done(&b);
    bp_sealer_done(&sealer);
    return NULL;
}
