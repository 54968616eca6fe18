#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "bag/bag-metrics.h"
#include "bag/writer-priv.h"

/* The commit tick (I3): when one that began at T ends well, everything accepted before T is in a
 * synced group or in a synced frame of the journal.
 *
 *   1 the open slots are closed if they are worth a chunk; what must become durable is noted
 *   2 groups below that goal are written, with some patience for workers still at it
 *   3 if anything was written: fdatasync; slots are freed
 *   4 what is accepted and in no synced group goes into the journal, one frame a slot
 *   5 "durable until T" is published */

static bp_ns_t tick_deadline(const struct bp_writer *w, bp_ns_t now, bool all) {
    return all ? INT64_MAX : now + w->grace;
}

/* Copies what is mutable of an open slot: records below `committed` never change again, runs do. */
static void note_goal_locked(struct bp_writer *w, struct goal_slot *g, const struct slot *s) {
    const struct bp_ring_slot *r = ring_slot(w, s);

    g->no = s->no;
    g->committed = r->committed;
    g->nmsg = s->nmsg;
    g->nruns = BP_MIN(r->nruns, (uint32_t) GOAL_RUNS);
    if (g->nruns)
        memcpy(g->runs, bp_ring_slot_run(&w->ring, r, g->nruns - 1), g->nruns * sizeof *g->runs);
}

/* An open slot that younger ones have overtaken holds up the freeing of all of them. */
static bool holds_up(const struct bp_writer *w, const struct slot *s) {
    return w->head - s->no > 8 && w->used > w->ring.hdr->data_size / 8;
}

/* @return the goal: all slots below it; open ones are in w->goal[] with what they hold now */
static uint64_t set_goal(struct bp_writer *w, bool all, bp_ns_t now) {
    uint64_t goal;
    bool closed = false;

    bp_mutex_lock(&w->lock);
    for (unsigned i = 0; i < BP_LANES; i++) {
        struct slot *s = w->lanes[i].open;

        w->goal[i].no = UINT64_MAX;
        if (!s)
            continue;
        if (ring_slot(w, s)->committed == 0)
            continue;
        if (all || ring_slot(w, s)->committed >= w->min_chunk ||
            ring_slot(w, s)->nruns > GOAL_RUNS || now - s->t_open >= w->max_age || holds_up(w, s)) {
            bp_writer_close_slot_locked(w, s);
            closed = true;
        } else {
            note_goal_locked(w, &w->goal[i], s);
        }
    }
    goal = w->head;
    bp_mutex_unlock(&w->lock);
    if (closed)
        pthread_cond_broadcast(&w->cv_work);
    return goal;
}

/* Is anything below goal still with the workers? Waits for them until `deadline`. */
static bool await_workers(struct bp_writer *w, uint64_t goal, bp_ns_t deadline) {
    bool busy = false, ready = false;
    struct timespec ts;

    bp_mutex_lock(&w->lock);
    for (uint64_t no = w->tail; no < goal; no++) {
        enum slot_state st = slot_by_no(w, no)->state;

        busy |= st == SLOT_CLOSED || st == SLOT_BUSY;
        ready |= st == SLOT_READY;
    }
    if (busy && !ready && bp_mono_ns() < deadline) {
        bp_writer_until(&ts, BP_MIN(deadline, bp_mono_ns() + 100 * BP_MS));
        (void) pthread_cond_timedwait(&w->cv_writer, &w->lock.m, &ts);
    } else if (!ready || bp_mono_ns() >= deadline) {
        busy = ready = false;
    }
    bp_mutex_unlock(&w->lock);
    return busy || ready;
}

/* ---- journal ---- */

bool bp_writer_slot_is_dead(void *ctx, uint64_t no) {
    struct bp_writer *w = ctx;
    bool dead;

    bp_mutex_lock(&w->lock);
    dead = no < w->tail || (no < w->head && slot_by_no(w, no)->state == SLOT_DURABLE);
    bp_mutex_unlock(&w->lock);
    return dead;
}

/* What of a slot is to be journaled: an open one up to the goal, a closed one whole. */
static bool journal_share(struct bp_writer *w, uint64_t no, struct goal_slot *ret) {
    struct slot *s = slot_by_no(w, no);
    bool wanted;

    for (unsigned i = 0; i < BP_LANES; i++)
        if (w->goal[i].no == no) {
            *ret = w->goal[i];
            return true;
        }
    bp_mutex_lock(&w->lock);
    wanted = s->no == no && no >= w->tail && s->state >= SLOT_CLOSED && s->state < SLOT_DURABLE;
    if (wanted) {
        const struct bp_ring_slot *r = ring_slot(w, s);

        *ret = (struct goal_slot){
            .no = no, .committed = r->committed, .nmsg = s->nmsg, .nruns = r->nruns
        };
        if (r->nruns)
            ret->runs = bp_ring_slot_run(&w->ring, r, r->nruns - 1);
    }
    bp_mutex_unlock(&w->lock);
    return wanted;
}

static uint32_t encode_runs(const struct bp_run *runs, uint32_t n, struct bp_buf *out) {
    bp_buf_clear(out);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *p;

        if (runs[i].kind == BP_RUN_LATCHED)
            continue;
        p = bp_buf_grow(out, BP_RUN_BYTES);
        if (p)
            bp_run_encode(p, &runs[i]);
    }
    return (uint32_t) out->n;
}

static int journal_slot(struct bp_writer *w, const struct goal_slot *g, struct bp_buf *scratch) {
    struct slot *s = slot_by_no(w, g->no);
    const struct bp_ring_slot *r = ring_slot(w, s);
    struct bp_frame f = {
        .slot = g->no,
        .first_rseq = r->first_rseq + s->journaled_msgs,
        .count = g->nmsg - s->journaled_msgs,
        .lane = r->lane,
        .records = bp_ring_slot_records(&w->ring, r) + s->journaled,
        .records_bytes = g->committed - s->journaled,
        .wall_ns = bp_wall_ns(),
    };
    int e;

    if (g->committed < s->journaled || (!f.records_bytes && s->journaled_runs == g->nruns))
        return 0;
    f.runs_bytes = encode_runs(g->runs, g->nruns, scratch);
    f.runs = scratch->p;
    if (scratch->failed)
        return -ENOMEM;
    e = bp_journal_append(&w->journal, &f);
    if (e == 0) {
        s->journaled = g->committed;
        s->journaled_msgs = g->nmsg;
        s->journaled_runs = g->nruns;
    }
    return e;
}

/* Runs that no slot has taken yet: a frame without records, dead once the next slot is durable. */
static int journal_pending(struct bp_writer *w, struct bp_buf *scratch) {
    struct bp_frame f = { .wall_ns = bp_wall_ns() };
    int e;

    bp_mutex_lock(&w->lock);
    if (!w->pending_dirty) {
        bp_mutex_unlock(&w->lock);
        return 0;
    }
    w->pending_dirty = false;
    f.slot = w->head;
    /* at most 1 MiB, and only while messages are being refused */
    (void) bp_buf_reserve(scratch, w->ring.hdr->pending_cap * (size_t) BP_RUN_BYTES);
    f.runs_bytes = encode_runs(w->ring.pending, w->ring.hdr->pending_n, scratch);
    bp_mutex_unlock(&w->lock);
    f.runs = scratch->p;
    if (!f.runs_bytes)
        return 0;
    e = bp_journal_append(&w->journal, &f);
    return e;
}

/* Everything below goal that is in no synced group. */
static int journal_all(struct bp_writer *w, uint64_t goal) {
    BP_AUTO_BUF scratch = { 0 };
    uint64_t from;
    int e = 0;

    bp_mutex_lock(&w->journal_lock);
    bp_mutex_lock(&w->lock);
    from = w->tail;
    bp_mutex_unlock(&w->lock);
    for (uint64_t no = from; no < goal && e == 0; no++) {
        struct goal_slot share;

        if (journal_share(w, no, &share))
            e = journal_slot(w, &share, &scratch);
    }
    if (e == 0)
        e = journal_pending(w, &scratch);
    bp_mutex_lock(&w->lock);
    w->st.journal_frames = w->journal.frames;
    w->st.journal_bytes = w->journal.bytes;
    bp_mutex_unlock(&w->lock);
    bp_mutex_unlock(&w->journal_lock);
    if (e == 0 && w->anonymous)
        e = bp_journal_sync(&w->journal);
    return e;
}

/* Channels and sources of journaled messages must be durable before the frames that name them. */
static int define_before_journal(struct bp_writer *w) {
    struct bp_defined *d;
    bool lacks;
    int r;

    if (!w->seg)
        return -EIO;
    d = &w->seg->defined_durable;
    bp_mutex_lock(&w->defs_lock);
    lacks = d->schemas < w->defs.nschemas || d->channels < w->defs.nchannels ||
            d->sources < w->defs.nsources;
    bp_mutex_unlock(&w->defs_lock);
    if (!lacks)
        return 0;
    r = bp_writer_define(w);
    return r < 0 ? r : bp_writer_sync(w);
}

/* ---- the tick ---- */

static void note_duration(struct bp_writer *w, bp_ns_t d) {
    unsigned bits = d > 0 ? 64 - (unsigned) __builtin_clzll((uint64_t) d) : 0, i;

    /* 8 buckets per doubling */
    i = bits < 4 ? 0 : bits * 8 + ((unsigned) ((uint64_t) d >> (bits - 4)) & 7);
    bp_mutex_lock(&w->lock);
    w->histogram[BP_MIN(i, (unsigned) HISTOGRAM - 1)]++;
    w->st.commit_max = BP_MAX(w->st.commit_max, d);
    w->st.commits++;
    bp_mutex_unlock(&w->lock);
    bp_bag_count_commit(d);
}

static void note_rate(struct bp_writer *w) {
    bp_ns_t now = bp_mono_ns(), past = now - w->rate_since;

    if (past < BP_SEC)
        return;
    bp_mutex_lock(&w->lock);
    w->write_rate = (uint64_t) ((double) (w->st.file_bytes - w->rate_bytes) * 1e9 / (double) past);
    w->rate_bytes = w->st.file_bytes;
    bp_mutex_unlock(&w->lock);
    w->rate_since = now;
}

static void publish(struct bp_writer *w, bp_ns_t wall) {
    char line[64];
    int n;

    bp_mutex_lock(&w->lock);
    w->st.durable_wall_ns = wall;
    bp_mutex_unlock(&w->lock);
    if (w->durable_log < 0)
        return;
    n = snprintf(line, sizeof line, "%" PRId64 "\n", wall);
    (void) !write(w->durable_log, line, (size_t) n);
}

/* Writes below goal; true when all of it is in segments or there is no use in waiting. */
static void write_below(struct bp_writer *w, uint64_t goal, bp_ns_t deadline) {
    do {
        if (bp_writer_write_ready(w, goal) < 0)
            return;
    } while (await_workers(w, goal, deadline));
}

static bool all_durable(struct bp_writer *w, uint64_t goal) {
    bool yes;

    bp_mutex_lock(&w->lock);
    yes = w->tail >= goal;
    bp_mutex_unlock(&w->lock);
    return yes;
}

/* @param all  close everything and wait for it: at the end, or because the journal cannot serve */
static int tick(struct bp_writer *w, bool all) {
    bp_ns_t wall = bp_wall_ns(), start = bp_mono_ns();
    bool split = bp_writer_split_due(w);
    uint64_t goal;
    int r;

    w->tries = 0;
    all |= bp_journal_is_dead(&w->journal);
    goal = set_goal(w, all || split, start);
    write_below(w, goal, tick_deadline(w, start, all));
    if (split)
        bp_writer_do_split(w);
    (void) bp_writer_write_marks(w); /* what finds no room stays for the next tick */
    if (bp_writer_sync(w) < 0)       /* started over in another segment: once more */
        write_below(w, goal, start + w->grace);
    if (!w->no_sync && !all_durable(w, goal)) {
        r = define_before_journal(w);
        if (r == 0)
            r = journal_all(w, goal);
    } else {
        r = 0;
    }
    if (r == -ENOSPC && !all && !w->held) {
        bp_mutex_lock(&w->lock);
        w->st.forced++;
        bp_mutex_unlock(&w->lock);
        return tick(w, true); /* no room in the journal: chunks are the only way */
    }
    if (bp_journal_is_dead(&w->journal) && !w->journal_told) {
        w->journal_told = true;
        bp_writer_failed(w, w->journal.path, -EIO,
                         "cannot write the journal, every commit is a chunk from now on");
    }
    if (r == 0 && !w->no_sync)
        publish(w, wall);
    note_duration(w, bp_mono_ns() - start);
    return r;
}

static void watch_clock(struct bp_writer *w) {
    bp_ns_t step = bp_clock_watch_step(&w->clock, 50 * BP_MS);
    char text[24], at[24];

    if (!step)
        return;
    (void) snprintf(text, sizeof text, "%" PRId64, step);
    (void) snprintf(at, sizeof at, "%" PRId64, bp_wall_ns());
    (void) bp_writer_mark(w, "bagpipe.clock",
                          (const char *const[]){ "step_ns", text, "now_ns", at, NULL });
    bp_writer_event(w, BP_WRITER_NOTICE, NULL, "the wall clock was stepped by %+.3f s",
                    (double) step / 1e9);
}

/* Sleeps until a group is ready, the tick is due or the end has come. @return stopping */
static bool rest(struct bp_writer *w, bp_ns_t next, uint64_t *ret_head) {
    bool end, waits = w->held || bp_writer_gives_up(w);
    struct timespec ts;

    bp_writer_until(&ts, next);
    bp_mutex_lock(&w->lock);
    w->st.ticked_mono = bp_mono_ns();
    while (!w->stopping && bp_mono_ns() < next) {
        bool ready = false;

        for (uint64_t no = w->tail; no < w->head && !ready && !waits; no++)
            ready = slot_by_no(w, no)->state == SLOT_READY;
        if (ready && w->seg)
            break;
        (void) pthread_cond_timedwait(&w->cv_writer, &w->lock.m, &ts);
    }
    end = w->stopping;
    *ret_head = w->head;
    bp_mutex_unlock(&w->lock);
    return end;
}

static bool anything_new(struct bp_writer *w) {
    bool news = w->unsynced || w->nold || !w->seg || w->held || bp_writer_split_due(w) ||
                bp_writer_marks_wait(w);

    bp_mutex_lock(&w->lock);
    news |= w->head != w->tail || w->pending_dirty;
    bp_mutex_unlock(&w->lock);
    return news;
}

/* Without a segment there may be room by now for one: the last ticks look. */
static void urge_preparer(struct bp_writer *w) {
    bp_mutex_lock(&w->lock);
    w->urged = true;
    w->spare_failed = false;
    pthread_cond_signal(&w->cv_prep);
    bp_mutex_unlock(&w->lock);
}

/* Ends: everything accepted is in synced segments, or the disk does not take it. */
static void last_ticks(struct bp_writer *w) {
    if (!w->seg && (bp_writer_marks_wait(w) || !all_durable(w, w->head)))
        urge_preparer(w);
    for (int i = 0; i < 3; i++) {
        (void) tick(w, true);
        if (all_durable(w, w->head) && !w->unsynced && !bp_writer_marks_wait(w))
            return;
    }
    if (bp_writer_marks_wait(w)) /* no ring holds them */
        bp_writer_failed(w, w->dir, -ENOSPC, "marks are lost: no room for them in");
}

/* Refusals after the last message: no slot will take them any more. */
static void note_pending(struct bp_writer *w) {
    int r;

    if (!w->seg)
        return;
    bp_mutex_lock(&w->defs_lock);
    r = bp_segment_add_runs(w->seg, &w->defs, w->ring.pending, w->ring.hdr->pending_n);
    bp_mutex_unlock(&w->defs_lock);
    w->pending_noted = r == 0;
}

void *bp_writer_thread(void *arg) {
    struct bp_writer *w = arg;
    bp_ns_t next = bp_mono_ns() + w->interval, wall;
    uint64_t head;

    while (!rest(w, next, &head)) {
        if (!w->held)
            (void) bp_writer_write_ready(w, head);
        bp_writer_tell(w);
        if (bp_mono_ns() < next && w->unsynced < w->ring.hdr->data_size / 4)
            continue;
        watch_clock(w);
        note_rate(w);
        wall = bp_wall_ns();
        if (anything_new(w))
            (void) tick(w, false);
        else if (!w->no_sync)
            publish(w, wall);
        next = BP_MAX(next + w->interval, bp_mono_ns());
    }
    last_ticks(w);
    note_pending(w);
    bp_writer_give_up_segments(w, w->unsynced > 0 || w->nold > 0);
    return NULL;
}

/* Without tmpfs: moves news out of the process every 5 ms, unsynced, in a thread of its own because
 * the writer may sit in fdatasync. */
void *bp_writer_flusher(void *arg) {
    struct bp_writer *w = arg;
    BP_AUTO_BUF scratch = { 0 };
    bp_ns_t next = bp_mono_ns();
    bool end = false;

    while (!end) {
        bp_mutex_lock(&w->journal_lock);
        for (unsigned i = 0; i < BP_LANES && !bp_journal_is_dead(&w->journal); i++) {
            struct goal_slot *g = &w->flush_goal;
            bool open;

            bp_mutex_lock(&w->lock);
            open = w->lanes[i].open && ring_slot(w, w->lanes[i].open)->committed;
            if (open)
                note_goal_locked(w, g, w->lanes[i].open);
            bp_mutex_unlock(&w->lock);
            if (open)
                (void) journal_slot(w, g, &scratch);
        }
        bp_mutex_unlock(&w->journal_lock);
        next = BP_MAX(next + 5 * BP_MS, bp_mono_ns());
        bp_sleep_until(next);
        bp_mutex_lock(&w->lock);
        end = w->stopping;
        bp_mutex_unlock(&w->lock);
    }
    return NULL;
}
