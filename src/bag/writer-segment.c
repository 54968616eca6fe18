#include <errno.h>
#include <stdio.h>

#include "bag/writer-priv.h"

/* From groups into segments: writing, splitting, syncing, and starting over when the disk failed.
 * All of it runs in the writer thread.
 *
 * A write or sync that failed means: everything since the last good sync of that file counts as
 * lost, and no later sync of it is believed. The segment is cut there, and since a slot is freed
 * only after a good sync, the ring still has all the rest: it is written again, into the next
 * segment. Only "no space" is no such failure: the group simply waits. */

static bool is_full(int code) {
    return code == -ENOSPC || code == -EDQUOT;
}

static uint64_t allocated(const struct bp_segment *s) {
    return __atomic_load_n(&s->alloc, __ATOMIC_RELAXED); /* the preparer adds to it */
}

/* What closing the segment will need, from the size of what its summary is made of. */
static uint64_t closing_reserve(const struct bp_segment *s) {
    uint64_t summary = s->index.schemas.n + s->index.channels.n + s->index.chunks.n +
                       s->index.metadata.n + 256 * s->ledger.n;

    return BP_MIN((uint64_t) 1 << 20, allocated(s) / 8) + 2 * summary;
}

static uint64_t left_in(const struct bp_segment *s, uint64_t from) {
    uint64_t need = from + closing_reserve(s);
    uint64_t alloc = allocated(s);

    return alloc > need ? alloc - need : 0;
}

/* I6: what may be in the ring = what is known to fit on the disk. What is written but not synced is
 * in the ring still, hence from `durable` on. */
void bp_writer_update_room(struct bp_writer *w) {
    uint64_t slack = 2 * w->chunk, room = w->seg ? left_in(w->seg, w->seg->durable) : 0;
    bool want;

    bp_mutex_lock(&w->lock);
    if (w->spare)
        room += left_in(w->spare, w->spare->durable);
    w->room = room > slack && !w->held ? room - slack : 0;
    want = !w->seg || left_in(w->seg, w->seg->off) < w->ahead;
    if (want && !w->want_extend) {
        w->want_extend = true;
        pthread_cond_signal(&w->cv_prep);
    }
    bp_mutex_unlock(&w->lock);
}

static void set_segment(struct bp_writer *w, struct bp_segment *s) {
    struct bp_seal_key *key = s && w->o.seal ? bp_sealed_key(bp_sealed_of(w->io, s->fd)) : NULL;
    struct bp_seal_key *old;

    bp_mutex_lock(&w->lock);
    w->seg = s; /* the preparer looks at it to extend it */
    old = w->seal_key;
    w->seal_key = key;
    bp_mutex_unlock(&w->lock);
    bp_seal_key_unref(old);
    if (!s)
        return;
    bp_mutex_lock(&w->lock);
    (void) snprintf(w->st.segment, sizeof w->st.segment, "%s", strrchr(s->path, '/') + 1);
    w->st.segments++;
    bp_mutex_unlock(&w->lock);
    s->opened_mono = bp_mono_ns();
    bp_writer_event(w, BP_WRITER_SEGMENT_OPENED, s->path, "segment '%s' opened", s->path);
}

/* Waits a little when the next segment is just being made. */
static void await_spare(struct bp_writer *w) {
    struct timespec until;

    bp_writer_until(&until, bp_mono_ns() + 2 * BP_SEC);
    bp_mutex_lock(&w->lock);
    pthread_cond_signal(&w->cv_prep);
    while (!w->spare && !w->spare_failed)
        if (pthread_cond_timedwait(&w->cv_segment, &w->lock.m, &until))
            break;
    bp_mutex_unlock(&w->lock);
}

static struct bp_segment *take_spare(struct bp_writer *w) {
    struct bp_segment *s;

    await_spare(w);
    bp_mutex_lock(&w->lock);
    s = BP_TAKE_PTR(w->spare);
    pthread_cond_signal(&w->cv_prep);
    bp_mutex_unlock(&w->lock);
    return s;
}

void bp_writer_take_first(struct bp_writer *w) {
    struct bp_segment *s;

    /* What it has room for counts before it is taken: the preparer makes the next one at once, and
     * where there is no room for two the disk would seem full to it. */
    await_spare(w);
    bp_writer_update_room(w);
    s = take_spare(w);
    if (s)
        set_segment(w, s);
    bp_writer_update_room(w);
}

void bp_writer_hand_over(struct bp_writer *w, struct bp_segment *s, bool abandoned) {
    bp_mutex_lock(&w->lock);
    while (w->nclosing == MAX_CLOSING) /* the disk is far behind: the ring fills meanwhile */
        bp_mutex_wait(&w->lock, &w->cv_segment);
    w->closing[w->nclosing++] = (struct closing){ .s = s, .abandoned = abandoned };
    pthread_cond_signal(&w->cv_prep);
    bp_mutex_unlock(&w->lock);
}

/* The current one goes last, and the preparer must not find it any more once it may be freed. */
void bp_writer_give_up_segments(struct bp_writer *w, bool abandoned) {
    struct bp_segment *s = w->seg;

    set_segment(w, NULL);
    for (unsigned i = 0; i < w->nold; i++)
        bp_writer_hand_over(w, w->old[i], abandoned);
    w->nold = 0;
    if (s)
        bp_writer_hand_over(w, s, abandoned);
}

/* ---- starting over ---- */

/* Everything written but not synced goes back to READY. */
static void take_back(struct bp_writer *w) {
    bp_mutex_lock(&w->lock);
    for (uint64_t no = w->tail; no < w->head; no++)
        if (slot_by_no(w, no)->state == SLOT_WRITTEN)
            slot_by_no(w, no)->state = SLOT_READY;
    w->st.rewrites++;
    bp_mutex_unlock(&w->lock);
    bp_mutex_lock(&w->defs_lock);
    for (struct mark *m = w->marks; m; m = m->next)
        m->written = false;
    bp_mutex_unlock(&w->defs_lock);
    w->unsynced = 0;
}

static void abandon(struct bp_writer *w, const char *what, int code) {
    w->careful = true;
    w->tries++;
    bp_writer_failed(w, w->seg->path, code, what);
    bp_writer_give_up_segments(w, true);
    take_back(w);
    set_segment(w, take_spare(w)); /* may be none; the next tick tries again */
    bp_writer_update_room(w);
}

/* @return 0 to go on, -ENOSPC to wait, 1 when the segment was abandoned */
static int judge(struct bp_writer *w, const char *what, int code) {
    if (code >= 0)
        return 0;
    if (is_full(code)) {
        w->held = true;
        bp_writer_update_room(w);
        return -ENOSPC;
    }
    abandon(w, what, code);
    return 1;
}

/* ---- writing ---- */

/* Definitions first: no reader may meet a message of an unknown channel. */
int bp_writer_define(struct bp_writer *w) {
    uint64_t n;
    int r;

    bp_mutex_lock(&w->defs_lock);
    r = bp_segment_stage_defs(w->seg, &w->defs);
    bp_mutex_unlock(&w->defs_lock);
    n = w->seg->staged.n;
    if (r == 0)
        r = bp_segment_flush(w->seg);
    if (r == 0)
        w->unsynced += n;
    return r;
}

static bool lacks_channels(struct bp_writer *w) {
    bool lacks;

    bp_mutex_lock(&w->defs_lock);
    lacks = bp_segment_lacks(w->seg, &w->defs);
    bp_mutex_unlock(&w->defs_lock);
    return lacks;
}

static void split(struct bp_writer *w) {
    struct bp_segment *next = take_spare(w);

    if (!next)
        return; /* the disk has no room for another: go on in this one */
    bp_mutex_lock(&w->lock);
    w->split_now = false;
    bp_mutex_unlock(&w->lock);
    w->old[w->nold++] = w->seg;
    set_segment(w, next);
    bp_writer_update_room(w);
}

/* Before the first group of a segment: latched messages of earlier ones. */
static int begin_segment(struct bp_writer *w, uint64_t log_ns) {
    int r;

    if (w->seg->begun)
        return 0;
    w->seg->begun = true;
    r = bp_writer_repeat(w, w->seg, log_ns);
    return is_full(r) ? 0 : r; /* a courtesy: never wait for space for them */
}

/* Can the prepared segment hold all that the ring may still bring? */
static bool spare_holds_ring(struct bp_writer *w) {
    uint64_t used, room;

    bp_mutex_lock(&w->lock);
    used = w->used;
    room = w->spare ? left_in(w->spare, w->spare->durable) : 0;
    bp_mutex_unlock(&w->lock);
    return room > used + 2 * w->chunk;
}

/* While the disk is full a segment may rather grow than leave blocks unused. */
static bool may_split(struct bp_writer *w) {
    bool full;

    bp_mutex_lock(&w->lock);
    full = w->disk_full;
    bp_mutex_unlock(&w->lock);
    return w->nold < MAX_OLD && (!full || spare_holds_ring(w));
}

/* Would the group make the segment larger than it may be, or than its blocks? */
static bool outgrows(const struct bp_writer *w, uint64_t len) {
    const struct bp_segment *s = w->seg;

    if (s->off + len > allocated(s))
        return w->nold < MAX_OLD; /* nothing more was to be had for this one */
    return s->groups > 0 &&
           s->off + len + s->index.chunks.n + s->index.channels.n > w->o.max_segment_bytes;
}

bool bp_writer_split_due(struct bp_writer *w) {
    bool now;

    if (!w->seg)
        return false;
    bp_mutex_lock(&w->lock);
    now = w->split_now ||
          (w->o.max_segment_ns && bp_mono_ns() - w->seg->opened_mono >= w->o.max_segment_ns);
    now = now && (w->seg->groups > 0 || w->head != w->tail); /* an empty one need not end */
    bp_mutex_unlock(&w->lock);
    return now;
}

void bp_writer_do_split(struct bp_writer *w) {
    if (w->seg && w->seg->groups > 0 && may_split(w))
        split(w);
}

static void count_written(struct bp_writer *w, struct slot *s) {
    bp_mutex_lock(&w->lock);
    s->state = SLOT_WRITTEN;
    w->st.file_bytes += s->g.len;
    bp_mutex_unlock(&w->lock);
    w->unsynced += s->g.len;
    w->held = false;
}

/* Where the group came to lie, for the summary, the ledger and recovery. */
static int note_group(struct bp_writer *w, struct slot *s, uint64_t at, uint64_t first,
                      uint64_t last) {
    const struct bp_ring_slot *r = ring_slot(w, s);
    struct bp_segment *seg = w->seg;
    int e;

    bp_index_add_group(&seg->index, &s->g, at);
    seg->groups++;
    e = bp_spans_add(&seg->ranges[r->lane], first, last);
    if (e == 0 && r->nruns) {
        bp_mutex_lock(&w->defs_lock);
        e = bp_segment_add_runs(seg, &w->defs, bp_ring_slot_run(&w->ring, r, r->nruns - 1),
                                r->nruns);
        bp_mutex_unlock(&w->defs_lock);
    }
    if (e == 0)
        e = bp_writer_latch(w, s);
    return e;
}

/* A sealed segment tells in the clear which messages it holds, for recovery without the key. */
static int append_group(struct bp_writer *w, struct slot *s, uint32_t lane, uint64_t first,
                        uint64_t last) {
    struct bp_sealed_label label = { .lane = lane, .first = first, .last = last };
    struct bp_segment *seg = w->seg;
    int e = -ESTALE;

    if (!w->o.seal)
        return bp_segment_append(seg, s->g.buf, s->g.len);
    memcpy(label.run, w->session, sizeof label.run);
    if (s->ahead.p)
        e = bp_sealed_append_ahead(bp_sealed_of(w->io, seg->fd), &s->ahead, s->g.buf + s->ahead.n,
                                   s->g.len - s->ahead.n, seg->off, &label);
    /* Tried once: what is done again gets new nonces. */
    bp_writer_give_ahead(w, s);
    if (e == 0) {
        seg->off += s->g.len;
    } else if (e == -ESTALE) { /* it was meant for the segment before */
        bp_sealed_io_label(w->io, seg->fd, &label);
        e = bp_segment_append(seg, s->g.buf, s->g.len);
    }
    return e;
}

/* @return 0 written, -ENOSPC hold, 1 the segment was abandoned */
static int write_group(struct bp_writer *w, struct slot *s) {
    const struct bp_ring_slot *r = ring_slot(w, s);
    uint64_t first = r->first_rseq, last = first + s->nmsg - 1, at;
    int e;

    if (outgrows(w, s->g.len) && (s->g.len + w->seg->off > allocated(w->seg) || may_split(w)))
        split(w);
    e = begin_segment(w, s->g.t_first);
    if (e == 0 && lacks_channels(w))
        e = bp_writer_define(w);
    if (e < 0)
        return judge(w, "cannot write definitions", e);

    at = w->seg->off;
    bp_group_commit(&s->g, w->session, at, r->lane, first, last);
    e = append_group(w, s, r->lane, first, last);
    if (e < 0)
        return judge(w, "cannot write", e);
    count_written(w, s);
    e = note_group(w, s, at, first, last);
    if (e < 0)
        bp_writer_failed(w, w->seg->path, e, "cannot note a chunk");
    bp_writer_update_room(w);
    return 0;
}

/* The next group to write: the oldest READY one of each lane, never past one still on its way. */
static struct slot *next_ready(struct bp_writer *w, uint64_t limit) {
    bool blocked[BP_LANES] = { false };
    struct slot *found = NULL;

    bp_mutex_lock(&w->lock);
    for (uint64_t no = w->tail; no < limit && no < w->head && !found; no++) {
        struct slot *s = slot_by_no(w, no);
        uint32_t lane = ring_slot(w, s)->lane;

        if (s->state == SLOT_READY && !blocked[lane])
            found = s;
        else if (s->state < SLOT_WRITTEN)
            blocked[lane] = true;
    }
    bp_mutex_unlock(&w->lock);
    return found;
}

int bp_writer_write_ready(struct bp_writer *w, uint64_t limit) {
    while (!bp_writer_gives_up(w)) {
        struct slot *s;
        int r;

        if (!w->seg)
            bp_writer_take_first(w);
        if (!w->seg)
            return -EIO;
        s = next_ready(w, limit);
        if (!s) {
            w->careful = false;
            return 0;
        }
        r = write_group(w, s);
        if (r < 0)
            return r;
        /* What is durable need not be written again when the next call fails. */
        if (r == 0 && w->careful)
            (void) bp_writer_sync(w);
    }
    return -EIO;
}

static struct mark *next_mark(struct bp_writer *w) {
    struct mark *m;

    bp_mutex_lock(&w->defs_lock);
    for (m = w->marks; m && m->written; m = m->next)
        ;
    bp_mutex_unlock(&w->defs_lock);
    return m;
}

bool bp_writer_marks_wait(struct bp_writer *w) {
    return next_mark(w) != NULL;
}

int bp_writer_write_marks(struct bp_writer *w) {
    struct mark *m;

    while (w->seg && !bp_writer_gives_up(w) && (m = next_mark(w))) {
        uint64_t n = 0;
        int r = bp_segment_stage_metadata(w->seg, m->rec.p, m->rec.n, bp_str_of(m->name));

        if (r == 0) {
            n = w->seg->staged.n;
            r = bp_segment_flush(w->seg);
        }
        /* Refused for want of room, it is tried again: nothing else is held up for a mark. */
        if (is_full(r) || r == -ENOMEM)
            return r;
        if (judge(w, "cannot write a mark", r) > 0)
            continue; /* once more, in another segment, with all that the last one lost */
        w->unsynced += n;
        bp_mutex_lock(&w->defs_lock);
        m->written = true;
        bp_mutex_unlock(&w->defs_lock);
    }
    return 0;
}

/* They are durable. */
static void free_marks(struct bp_writer *w) {
    bp_mutex_lock(&w->defs_lock);
    while (w->marks && w->marks->written) {
        struct mark *m = w->marks;

        w->marks = m->next;
        if (!w->marks)
            w->marks_end = &w->marks;
        bp_buf_done(&m->rec);
        free(m);
    }
    bp_mutex_unlock(&w->defs_lock);
}

/* ---- syncing ---- */

static int sync_one(const struct bp_writer *w, const struct bp_segment *s) {
    return s->durable == s->off || w->no_sync ? 0 : s->io->datasync(s->io->ctx, s->fd);
}

static void note_durable(struct bp_segment *s) {
    s->durable = s->off;
    s->defined_durable = s->defined;
}

/* I2: only now may slots be freed, in order of age. */
static void free_slots(struct bp_writer *w) {
    uint64_t from = w->tail, to;

    bp_mutex_lock(&w->journal_lock);
    bp_mutex_lock(&w->lock);
    for (uint64_t no = w->tail; no < w->head; no++)
        if (slot_by_no(w, no)->state == SLOT_WRITTEN)
            slot_by_no(w, no)->state = SLOT_DURABLE;
    for (to = from; to < w->head && slot_by_no(w, to)->state == SLOT_DURABLE; to++) {
        struct slot *s = slot_by_no(w, to);

        for (uint32_t i = 0; i < s->nch; i++)
            w->channels[s->ch[i].id]->ring_bytes -= s->ch[i].bytes;
    }
    bp_mutex_unlock(&w->lock);

    for (uint64_t no = from; no < to; no++)
        bp_writer_give_buffer(w, slot_by_no(w, no));

    bp_mutex_lock(&w->lock);
    for (uint64_t no = from; no < to; no++) {
        struct slot *s = slot_by_no(w, no);

        s->state = SLOT_FREE;
        bp_writer_give_place_locked(w, s);
        w->spare_ch[w->nspare_ch++] = BP_TAKE_PTR(s->ch);
    }
    w->tail = to;
    __atomic_store_n(&w->ring.hdr->slot_tail, to, __ATOMIC_RELEASE);
    bp_mutex_unlock(&w->lock);
    bp_journal_release(&w->journal, bp_writer_slot_is_dead, w);
    bp_mutex_unlock(&w->journal_lock);
}

int bp_writer_sync(struct bp_writer *w) {
    int r = 0;

    if (!w->seg || (!w->unsynced && !w->nold))
        return 0;
    for (unsigned i = 0; i < w->nold && r == 0; i++)
        r = sync_one(w, w->old[i]); /* older ones first: their messages are older */
    if (r == 0)
        r = sync_one(w, w->seg);
    if (r < 0) {
        abandon(w, "cannot sync", r);
        return r;
    }
    /* All or none: when one fails, everything since the last good tick is written again, so no
     * segment may keep a part of it. */
    note_durable(w->seg);
    for (unsigned i = 0; i < w->nold; i++) {
        note_durable(w->old[i]);
        bp_writer_hand_over(w, w->old[i], false);
    }
    w->nold = 0;
    w->unsynced = 0;
    w->tries = 0;
    free_marks(w);
    free_slots(w);
    bp_writer_update_room(w);
    return 0;
}
