/* What became of the messages of a recording that goes on. What is known lies with three: the
 * writer has what waits in the ring, the segment it fills and those not yet synced, the preparer
 * those that are being closed and the sum of the closed ones. They are asked in this order, which
 * is the one in which segments wander, so none is missed; one that is told twice does no harm,
 * since a ledger is made of sets. */
#include <errno.h>

#include "bag/bag-ledger.h"
#include "bag/writer-priv.h"

#define PATIENCE (2 * BP_SEC)

static void told_done(struct bp_writer_told *t) {
    bp_ledger_done(&t->ledger);
    *t = (struct bp_writer_told){ 0 };
}

static enum bp_told_step step_of(struct bp_writer *w) {
    enum bp_told_step step;

    bp_mutex_lock(&w->lock);
    step = w->told.step;
    bp_mutex_unlock(&w->lock);
    return step;
}

static void next_step(struct bp_writer *w, enum bp_told_step step) {
    bp_mutex_lock(&w->lock);
    w->told.step = step;
    if (step == TOLD && w->told.dropped) /* who asked has lost patience */
        told_done(&w->told);
    pthread_cond_broadcast(step == TELL_PREPARER ? &w->cv_prep : &w->cv_told);
    bp_mutex_unlock(&w->lock);
}

static void add(struct bp_writer_told *t, const struct bp_segment *s) {
    if (t->error == 0 && s)
        t->error = bp_ledger_merge(&t->ledger, &s->ledger);
}

/* ---- what waits in the ring ---- */

static uint64_t runs_locked(const struct bp_writer *w) BP_REQUIRES(w->lock) {
    uint64_t n = w->ring.hdr->pending_n;

    for (uint64_t no = w->tail; no < w->head; no++)
        n += ring_slot(w, slot_by_no(w, no))->nruns;
    return n;
}

/* Runs of slots that are not free, and those that wait for one; they go on growing, so this is a
 * copy. @return how many there are, at most `cap` of them copied */
static uint64_t copy_runs(struct bp_writer *w, struct bp_run *v, uint64_t cap) {
    uint64_t n = 0, all;

    bp_mutex_lock(&w->lock);
    all = runs_locked(w);
    for (uint64_t no = w->tail; no < w->head && v && all <= cap; no++) {
        const struct bp_ring_slot *r = ring_slot(w, slot_by_no(w, no));

        for (uint32_t i = 0; i < r->nruns; i++)
            v[n++] = *bp_ring_slot_run(&w->ring, r, i);
    }
    for (uint32_t i = 0; i < w->ring.hdr->pending_n && v && all <= cap; i++)
        v[n++] = w->ring.pending[i];
    bp_mutex_unlock(&w->lock);
    return all;
}

static int add_run(struct bp_ledger *l, const struct bp_defs *defs, const struct bp_run *run) {
    const struct bp_def_source *d =
        run->source < defs->nsources ? defs->sources[run->source] : NULL;
    struct bp_ledger_source *s;

    if (run->kind == BP_RUN_LATCHED || !d || d->channel >= defs->nchannels ||
        !defs->topics[d->channel])
        return 0;
    s = bp_ledger_get(l, d->guid, defs->topics[d->channel], d->vendor, d->node);
    return s ? bp_ledger_add(l, s, run->kind, run->first, run->last) : -ENOMEM;
}

static void add_ring(struct bp_writer *w, struct bp_writer_told *t) {
    BP_AUTO_FREE struct bp_run *v = NULL;
    uint64_t cap = 0, n;

    while ((n = copy_runs(w, v, cap)) > cap) { /* more than there was room for */
        cap = n + n / 4 + 64;
        free(v);
        v = malloc(cap * sizeof *v);
        if (!v) {
            t->error = -ENOMEM;
            return;
        }
    }
    bp_mutex_lock(&w->defs_lock);
    for (uint64_t i = 0; i < n && t->error == 0; i++)
        t->error = add_run(&t->ledger, &w->defs, &v[i]);
    bp_mutex_unlock(&w->defs_lock);
}

void bp_writer_tell(struct bp_writer *w) {
    if (step_of(w) != TELL_WRITER)
        return;
    add_ring(w, &w->told);
    add(&w->told, w->seg);
    for (unsigned i = 0; i < w->nold; i++)
        add(&w->told, w->old[i]);
    next_step(w, TELL_PREPARER);
}

void bp_writer_tell_closed(struct bp_writer *w) {
    struct bp_writer_told *t = &w->told;
    struct bp_segment *closing[MAX_CLOSING];
    unsigned n;

    bp_mutex_lock(&w->lock);
    n = w->nclosing; /* nobody else takes some out */
    for (unsigned i = 0; i < n; i++)
        closing[i] = w->closing[i].s;
    bp_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < n; i++)
        add(t, closing[i]);
    if (t->error == 0)
        t->error = bp_ledger_merge(&t->ledger, &w->folder.ledger);
    for (size_t i = 0; i < w->folder.nsums; i++) {
        t->folded_received += w->folder.sums[i].received;
        for (int k = 0; k < BP_LOSS_N_; k++)
            t->folded_lost[k] += w->folder.sums[i].lost[k];
    }
    next_step(w, TOLD);
}

/* With `lock` held. @return false: not in time */
static bool wait_until_locked(struct bp_writer *w, enum bp_told_step step, bp_ns_t until)
    BP_REQUIRES(w->lock) {
    struct timespec ts;

    bp_writer_until(&ts, until);
    while (w->told.step != step)
        if (pthread_cond_timedwait(&w->cv_told, &w->lock.m, &ts) == ETIMEDOUT)
            return w->told.step == step;
    return true;
}

/* With `lock` held: what was told is the caller's. */
static int take_locked(struct bp_writer *w, struct bp_writer_ledger *ret) BP_REQUIRES(w->lock) {
    struct bp_writer_told *t = &w->told;
    int r = t->error;

    if (r == 0) {
        ret->ledger = BP_TAKE(t->ledger, ((struct bp_ledger){ 0 }));
        ret->folded_received = t->folded_received;
        memcpy(ret->folded_lost, t->folded_lost, sizeof ret->folded_lost);
    }
    told_done(t);
    pthread_cond_broadcast(&w->cv_told);
    return r;
}

int bp_writer_ledger(struct bp_writer *w, struct bp_writer_ledger *ret, struct bp_error *err) {
    bp_ns_t until = bp_mono_ns() + PATIENCE;
    int r = -EAGAIN;

    *ret = (struct bp_writer_ledger){ 0 };
    bp_mutex_lock(&w->lock);
    if (wait_until_locked(w, NOT_ASKED, until)) {
        w->told.step = TELL_WRITER;
        if (wait_until_locked(w, TOLD, until))
            r = take_locked(w, ret);
        else
            w->told.dropped = true;
    }
    bp_mutex_unlock(&w->lock);
    if (r == 0)
        r = bp_ledger_settle(&ret->ledger);
    if (r == -EAGAIN)
        return bp_fail(err, r, "the disk is too slow to tell just now: ask again");
    return r < 0 ? bp_fail(err, r, "out of memory") : 0;
}

void bp_writer_ledger_done(struct bp_writer_ledger *l) {
    bp_ledger_done(&l->ledger);
}

void bp_writer_told_done(struct bp_writer *w) {
    told_done(&w->told);
}
