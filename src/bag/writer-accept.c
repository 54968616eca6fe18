#include <errno.h>

#include "bag/writer-priv.h"

/* From a receive thread into the ring. One short lock; under it no disk, no allocation, no system
 * call but the copy of the payload itself.
 *
 * A slot's reserved bytes are shared by four things, and `left` is what none of them has claimed:
 * Message records from byte 49 upwards; the MessageIndex that will follow them (16 bytes a message,
 * 15 a channel); the runs from the end downwards; and their copy behind the commit block. So a slot
 * that took a message can always be finished in place. */

enum {
    RUN_ROOM = 2 * BP_RUN_BYTES,                                  /* in the ring and in the group */
    MESSAGE_ROOM = BP_INDEX_ENTRY + BP_INDEX_HEAD + 3 * RUN_ROOM, /* beside the record itself */
    SLOT_FIXED = BP_CHUNK_HEAD + BP_COMMIT_BYTES + BP_BLOCK,
};

#define PENDING_KEY (1ull << 63)

/* ---- runs of the ledger ---- */

static bool extends(const struct bp_run *r, uint32_t kind, uint64_t first) {
    return r->kind == kind && r->last + 1 == first;
}

static void pending_run_locked(struct bp_writer *w, struct source *s, uint32_t kind, uint64_t first,
                               uint64_t last) {
    struct bp_ring_hdr *h = w->ring.hdr;
    uint64_t key = PENDING_KEY | h->pending_gen;

    w->pending_dirty = true;
    if (s->run_key == key &&
        (extends(&w->ring.pending[s->run], kind, first) || h->pending_n == h->pending_cap)) {
        /* No room left: the numbers join the newest run whatever its cause, none is forgotten. */
        w->ring.pending[s->run].last = last;
        return;
    }
    if (h->pending_n == h->pending_cap)
        return;
    w->ring.pending[h->pending_n] = (struct bp_run){ s->id, kind, first, last };
    s->run_key = key;
    s->run = h->pending_n;
    __atomic_store_n(&h->pending_n, h->pending_n + 1, __ATOMIC_RELEASE);
}

static void slot_run_locked(struct bp_writer *w, struct slot *sl, struct source *s, uint32_t kind,
                            uint64_t first, uint64_t last) {
    struct bp_ring_slot *r = ring_slot(w, sl);
    uint32_t i = r->nruns;

    if (s->run_key == sl->no + 1) {
        struct bp_run *run = bp_ring_slot_run(&w->ring, r, s->run);

        if (extends(run, kind, first)) {
            r->last_run = s->run;
            __atomic_store_n(&run->last, last, __ATOMIC_RELEASE);
            return;
        }
    }
    r->last_run = i;
    *bp_ring_slot_run(&w->ring, r, i) = (struct bp_run){ s->id, kind, first, last };
    s->run_key = sl->no + 1;
    s->run = i;
    sl->left -= RUN_ROOM;
    __atomic_store_n(&r->nruns, i + 1, __ATOMIC_RELEASE);
}

/* Where no slot is open, or it is full, runs wait until the next one takes them. */
static void note_run_locked(struct bp_writer *w, struct source *s, uint32_t kind, uint64_t first,
                            uint64_t last) {
    struct slot *sl = w->lanes[s->channel->lane].open;

    if (sl && sl->left >= RUN_ROOM)
        slot_run_locked(w, sl, s, kind, first, last);
    else
        pending_run_locked(w, s, kind, first, last);
}

static void note_duplicate_locked(struct bp_writer *w, struct source *s, uint64_t seq) {
    struct slot *sl = w->lanes[s->channel->lane].open;

    if (sl && s->dup_key == sl->no + 1) {
        bp_ring_slot_run(&w->ring, ring_slot(w, sl), s->dup)->last++;
        return;
    }
    if (!sl || sl->left < RUN_ROOM)
        return; /* a duplicate is no loss: not worth a place in the pending runs */
    s->dup = ring_slot(w, sl)->nruns;
    s->dup_key = sl->no + 1;
    *bp_ring_slot_run(&w->ring, ring_slot(w, sl), s->dup) =
        (struct bp_run){ s->id, BP_RUN_DUPLICATE, seq, 1 };
    sl->left -= RUN_ROOM;
    __atomic_store_n(&ring_slot(w, sl)->nruns, s->dup + 1, __ATOMIC_RELEASE);
}

/* ---- slots ---- */

/* The lowest place that is large enough: a quiet ring stays in a few megabytes, which the caches
 * hold from the copy to the checksum to the disk, and whose pages were touched before. Slots are
 * dozens as a rule. @param below  index + 1 of the slot before it, 0 = none */
static bool find_place_locked(const struct bp_writer *w, uint64_t want, uint64_t *ret_at,
                              uint32_t *ret_below) {
    uint64_t at = 0;
    uint32_t below = 0;

    for (uint32_t i = w->lowest; i; i = w->slots[i - 1].higher) {
        const struct bp_ring_slot *r = &w->ring.slots[i - 1];

        if (r->start - at >= want)
            break;
        at = r->start + r->size;
        below = i;
    }
    *ret_at = at;
    *ret_below = below;
    return at + want <= w->ring.hdr->data_size;
}

static void take_place_locked(struct bp_writer *w, struct slot *s, uint32_t below) {
    uint32_t *link = below ? &w->slots[below - 1].higher : &w->lowest;
    uint32_t me = (uint32_t) (s - w->slots) + 1;

    s->lower = below;
    s->higher = *link;
    *link = me;
    if (s->higher)
        w->slots[s->higher - 1].lower = me;
    w->used += ring_slot(w, s)->size;
    w->used_max = BP_MAX(w->used_max, w->used);
}

void bp_writer_give_place_locked(struct bp_writer *w, struct slot *s) {
    *(s->lower ? &w->slots[s->lower - 1].higher : &w->lowest) = s->higher;
    if (s->higher)
        w->slots[s->higher - 1].lower = s->lower;
    w->used -= ring_slot(w, s)->size;
}

/* Gives the unused end of a slot back to the ring. Its runs move down first; one store of
 * `size` then makes the new place theirs. */
static void shrink_locked(struct bp_writer *w, struct slot *s) {
    struct bp_ring_slot *r = ring_slot(w, s);
    uint64_t runs = (uint64_t) r->nruns * BP_RUN_BYTES;
    uint64_t group = BP_CHUNK_HEAD + r->committed + (uint64_t) BP_INDEX_ENTRY * s->nmsg +
                     (uint64_t) BP_INDEX_HEAD * s->nch + BP_COMMIT_BYTES + runs;
    uint64_t size = BP_ALIGN(group, (uint64_t) BP_BLOCK) + BP_ALIGN(runs, (uint64_t) BP_BLOCK);

    if (size + runs > r->size)
        return;
    memcpy(bp_ring_slot_base(&w->ring, r) + size - runs,
           bp_ring_slot_base(&w->ring, r) + r->size - runs, (size_t) runs);
    w->used -= r->size - size;
    __atomic_store_n(&r->size, size, __ATOMIC_RELEASE);
}

void bp_writer_close_slot_locked(struct bp_writer *w, struct slot *s) {
    shrink_locked(w, s);
    s->state = SLOT_CLOSED;
    w->lanes[ring_slot(w, s)->lane].open = NULL;
    w->nclosed++;
}

/* The slot takes over the runs that waited. A kill in between leaves them in both places, which
 * does no harm: the ledger is made of sets. */
static void take_pending_locked(struct bp_writer *w, struct slot *s) {
    struct bp_ring_hdr *h = w->ring.hdr;
    struct bp_ring_slot *r = ring_slot(w, s);

    for (uint32_t i = 0; i < h->pending_n; i++)
        *bp_ring_slot_run(&w->ring, r, i) = w->ring.pending[i];
    s->left -= (int64_t) h->pending_n * RUN_ROOM;
    __atomic_store_n(&r->nruns, h->pending_n, __ATOMIC_RELEASE);
    __atomic_store_n(&h->pending_gen, h->pending_gen + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&h->pending_n, 0, __ATOMIC_RELEASE);
}

static int open_slot_locked(struct bp_writer *w, unsigned lane, uint64_t need) {
    uint64_t extra = (uint64_t) w->ring.hdr->pending_n * RUN_ROOM + SLOT_FIXED;
    uint64_t want = BP_ALIGN(extra + BP_MAX(w->chunk + w->chunk / 4, need), (uint64_t) BP_BLOCK);
    struct slot *s = slot_by_no(w, w->head);
    uint32_t below;
    uint64_t at;

    if (w->head - w->tail >= BP_RING_SLOTS || !find_place_locked(w, want, &at, &below))
        return -ENOBUFS;
    if (w->used + want > w->room)
        return -ENOSPC; /* I6 */

    w->ring.slots[w->head % BP_RING_SLOTS] = (struct bp_ring_slot){
        .start = at, .size = want, .first_rseq = w->lanes[lane].next_rseq, .lane = lane
    };
    s->state = SLOT_OPEN;
    s->no = w->head;
    s->left = (int64_t) (want - SLOT_FIXED);
    s->nmsg = s->nch = 0;
    s->ch = w->spare_ch[--w->nspare_ch];
    s->t_open = bp_mono_ns();
    s->journaled = 0;
    s->journaled_msgs = s->journaled_runs = 0;
    take_place_locked(w, s, below);
    w->head++;
    __atomic_store_n(&w->ring.hdr->slot_head, w->head, __ATOMIC_RELEASE);
    if (w->ring.hdr->pending_n)
        take_pending_locked(w, s);
    w->lanes[lane].open = s;
    return 0;
}

/* An open slot of the channel's lane with room for a record of `need` bytes. */
static int slot_for_locked(struct bp_writer *w, struct channel *c, uint64_t need,
                           struct slot **ret) {
    struct slot *s = w->lanes[c->lane].open;
    int r;

    if (s && (s->left < (int64_t) (need + MESSAGE_ROOM) || ring_slot(w, s)->committed >= w->chunk ||
              (s->nch == SLOT_CHANNELS && c->slot_key != s->no + 1))) {
        bp_writer_close_slot_locked(w, s);
        s = NULL;
    }
    if (!s) {
        r = open_slot_locked(w, c->lane, need + MESSAGE_ROOM);
        if (r < 0)
            return r;
        s = w->lanes[c->lane].open;
    }
    *ret = s;
    return 0;
}

/* ---- one message ---- */

static void count_locked(struct bp_writer *w, struct slot *s, struct channel *c, uint32_t size) {
    struct bp_group_channel *e;

    if (c->slot_key != s->no + 1) {
        c->slot_key = s->no + 1;
        c->slot_entry = s->nch;
        s->ch[s->nch++] = (struct bp_group_channel){ .id = c->id };
        s->left -= BP_INDEX_HEAD;
        w->used_channel = BP_MAX(w->used_channel, c->id);
    }
    e = &s->ch[c->slot_entry];
    e->count++;
    e->bytes += size;
    s->nmsg++;
    c->ring_bytes += size;
    c->stats.messages++;
    c->stats.bytes += size;
    w->st.messages++;
    w->st.bytes += size;
}

static void put_locked(struct bp_writer *w, struct slot *s, struct source *src,
                       const struct bp_accept *m, uint32_t kind) {
    struct bp_ring_slot *r = ring_slot(w, s);
    uint8_t *p = bp_ring_slot_records(&w->ring, r) + r->committed;
    uint64_t len = BP_MESSAGE_HEAD + (uint64_t) m->size;

    p = bp_put_rec(p, BP_MCAP_MESSAGE, len - BP_REC_HEAD);
    p = bp_put16(p, src->channel->id);
    p = bp_put32(p, (uint32_t) m->seq);
    p = bp_put64(p, (uint64_t) m->log_ns);
    p = bp_put64(p, (uint64_t) m->publish_ns);
    m->copy(m->ctx, p);
    s->left -= (int64_t) (len + BP_INDEX_ENTRY);
    if (src->channel->latched_depth) {
        uint32_t i = r->nruns;

        *bp_ring_slot_run(&w->ring, r, i) =
            (struct bp_run){ src->id, BP_RUN_LATCHED, m->seq, r->committed };
        s->left -= RUN_ROOM;
        __atomic_store_n(&r->nruns, i + 1, __ATOMIC_RELEASE);
    }
    slot_run_locked(w, s, src, kind, m->seq, m->seq);
    count_locked(w, s, src->channel, m->size);
    w->lanes[r->lane].next_rseq++;
    __atomic_store_n(&r->committed, r->committed + len, __ATOMIC_RELEASE); /* I1: accepted */
}

static void refuse_locked(struct bp_writer *w, struct source *s, enum bp_loss why, uint64_t first,
                          uint64_t last) {
    note_run_locked(w, s, BP_RUN_LOSS + (uint32_t) why, first, last);
    w->st.lost[why] += last - first + 1;
    s->channel->stats.lost[why] += last - first + 1;
}

/* A number below the newest: is it missing? Takes it out of the source's gaps. */
static bool fills_gap_locked(struct source *s, uint64_t seq) {
    for (uint32_t i = s->ngaps; i-- > 0;) {
        struct bp_span *g = &s->gaps[i];

        if (seq < g->first || seq > g->last)
            continue;
        if (g->first == g->last) {
            memmove(g, g + 1, (s->ngaps - i - 1) * sizeof *g);
            s->ngaps--;
        } else if (seq == g->first) {
            g->first++;
        } else if (seq == g->last) {
            g->last--;
        } else {
            /* Split; with no room for two halves the older one is given up. */
            uint64_t first = g->first;

            g->first = seq + 1;
            if (s->ngaps < SOURCE_GAPS) {
                memmove(g + 1, g, (s->ngaps - i) * sizeof *g);
                *g = (struct bp_span){ first, seq - 1 };
                s->ngaps++;
            }
        }
        return true;
    }
    return false;
}

/* Most writers never leave one, so the memory comes with the first; without memory the gap is lost
 * all the same, only that a late arrival then counts as a duplicate. */
static void note_gap_locked(struct bp_writer *w, struct source *s, uint64_t first, uint64_t last) {
    refuse_locked(w, s, BP_LOSS_TRANSPORT, first, last);
    if (!s->gaps)
        s->gaps = malloc(SOURCE_GAPS * sizeof *s->gaps);
    if (!s->gaps)
        return;
    if (s->ngaps == SOURCE_GAPS) {
        memmove(s->gaps, s->gaps + 1, (SOURCE_GAPS - 1) * sizeof *s->gaps);
        s->ngaps--;
    }
    s->gaps[s->ngaps++] = (struct bp_span){ first, last };
}

/* Overload is refused at the door by fill level, lowest priority first. */
static int admit_locked(const struct bp_writer *w, const struct channel *c, uint32_t size) {
    uint64_t used = w->used, ring = w->ring.hdr->data_size;
    static const unsigned percent[] = {
        [BP_PRIORITY_LOW] = 70, [BP_PRIORITY_NORMAL] = 90, [BP_PRIORITY_HIGH] = 100
    };

    if (w->stopping)
        return -ESHUTDOWN;
    if (size > ring / 2 || size > UINT32_MAX / 2)
        return -EMSGSIZE;
    if (c->budget && c->ring_bytes + size > c->budget && c->ring_bytes)
        return -EDQUOT;
    if (w->refuse_all)
        return -ENOSPC;
    if (used > ring / 100 * percent[c->priority])
        return -ENOBUFS;
    return 0;
}

static enum bp_loss cause_of(int code) {
    switch (code) {
    case -EDQUOT:
        return BP_LOSS_BUDGET;
    case -ENOSPC:
        return BP_LOSS_DISK;
    case -EMSGSIZE:
        return BP_LOSS_BAD;
    case -ESHUTDOWN:
        return BP_LOSS_PAUSED;
    default:
        return BP_LOSS_RING;
    }
}

static int accept_locked(struct bp_writer *w, struct source *s, const struct bp_accept *m) {
    uint32_t kind = BP_RUN_RECEIVED;
    struct slot *sl;
    int r;

    if (s->seen && m->seq <= s->last) {
        if (!fills_gap_locked(s, m->seq)) {
            note_duplicate_locked(w, s, m->seq);
            return 1;
        }
        kind = BP_RUN_LATE;
        w->st.lost[BP_LOSS_TRANSPORT]--;
        s->channel->stats.lost[BP_LOSS_TRANSPORT]--;
    } else {
        if (s->seen && m->seq > s->last + 1)
            note_gap_locked(w, s, s->last + 1, m->seq - 1);
        s->last = m->seq;
        s->seen = true;
    }

    r = admit_locked(w, s->channel, m->size);
    if (r == 0)
        r = slot_for_locked(w, s->channel, BP_MESSAGE_HEAD + (uint64_t) m->size, &sl);
    if (r < 0) {
        refuse_locked(w, s, cause_of(r), m->seq, m->seq);
        return r;
    }
    put_locked(w, sl, s, m, kind);
    return 0;
}

/* Somebody speaks of a source that was said to be gone: it stays until that is on disk, too. */
static void put_off_locked(const struct bp_writer *w, struct source *s) {
    if (s->after)
        s->after = w->head + 1;
}

int bp_writer_accept(struct bp_writer *w, const struct bp_accept *m) {
    struct source *s;
    uint32_t closed;
    bool wake;
    int r;

    if (m->source >= __atomic_load_n(&w->nsources, __ATOMIC_ACQUIRE))
        return -EINVAL;

    bp_mutex_lock(&w->lock);
    closed = w->nclosed;
    s = w->sources[m->source];
    r = s ? accept_locked(w, s, m) : -EINVAL;
    if (s)
        put_off_locked(w, s);
    wake = w->nclosed > closed;
    bp_mutex_unlock(&w->lock);
    if (wake)
        pthread_cond_signal(&w->cv_work);
    return r;
}

void bp_writer_note_loss(struct bp_writer *w, uint32_t source, enum bp_loss why, uint64_t first,
                         uint64_t last) {
    struct source *s;

    if (source >= __atomic_load_n(&w->nsources, __ATOMIC_ACQUIRE) || first > last ||
        (unsigned) why >= BP_LOSS_N_)
        return;
    bp_mutex_lock(&w->lock);
    s = w->sources[source];
    if (!s) {
        bp_mutex_unlock(&w->lock);
        return;
    }
    if (s->seen && first > s->last + 1)
        note_gap_locked(w, s, s->last + 1, first - 1);
    if (why != BP_LOSS_TRANSPORT)
        refuse_locked(w, s, why, first, last);
    else if (!s->seen || last > s->last) /* it may still come */
        note_gap_locked(w, s, s->seen ? BP_MAX(first, s->last + 1) : first, last);
    s->last = s->seen ? BP_MAX(s->last, last) : last;
    s->seen = true;
    put_off_locked(w, s);
    bp_mutex_unlock(&w->lock);
}
