/* The hot path: a sample from DDS to the rings of the takes that want it, and to those who
 * watch. Nothing here blocks or
 * allocates once a writer is known (latched topics excepted); the payload is copied from Cyclone's
 * receive buffer straight into each ring slot. */
#include "record/recorder-priv.h"

#include "base/buf.h"

static void copy_payload(const void *ctx, uint8_t *dst) {
    bp_sample_copy(ctx, dst);
}

/* rosgraph_msgs/msg/Clock: encapsulation header, int32 sec, uint32 nanosec. */
static void take_clock(struct bp_recorder *r, const struct bp_sample *s) {
    uint8_t cdr[12];
    uint32_t sec, nsec;

    if (s->size != sizeof cdr)
        return;

    bp_sample_copy(s, cdr);
    sec = bp_ld_le32(cdr + 4);
    nsec = bp_ld_le32(cdr + 8);
    if (cdr[1] == 0) { /* CDR_BE */
        sec = __builtin_bswap32(sec);
        nsec = __builtin_bswap32(nsec);
    }
    if (nsec < BP_SEC)
        atomic_store_explicit(&r->sim_ns, (int64_t) sec * BP_SEC + nsec, memory_order_relaxed);
}

/* Several receive threads may carry one topic, hence the exchange. */
bool bp_recorder_within_rate(_Atomic int64_t *next_ns, bp_ns_t gap, bp_ns_t now) {
    int64_t next = atomic_load_explicit(next_ns, memory_order_relaxed);
    int64_t after;

    do {
        if (now < next)
            return false;
        /* a steady grid, so that 10 of 30 Hz are 10 and not 7.5; after a pause it starts anew */
        after = now - next < gap ? next + gap : now + gap;
    } while (!atomic_compare_exchange_weak_explicit(next_ns, &next, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static struct source *source_of(struct topic *t, const uint8_t guid[static BP_GUID_LEN],
                                void **slot) {
    struct source *src = *slot;

    if (src)
        return src;

    (void) pthread_mutex_lock(&t->rec->lock);
    src = bp_recorder_source_locked(t->rec, t, guid, 0, "", "");
    if (src)
        src->heard = true;
    (void) pthread_mutex_unlock(&t->rec->lock);
    *slot = src;
    return src;
}

void bp_recorder_on_parted(void *topic, void *source) {
    struct topic *t = topic;
    struct source *src = source;

    (void) pthread_mutex_lock(&t->rec->lock);
    src->heard = false;
    bp_recorder_forget_locked(t->rec, src);
    (void) pthread_mutex_unlock(&t->rec->lock);
}

static bool is_paused(const struct bp_take *k) {
    return atomic_load_explicit(&k->paused, memory_order_relaxed);
}

/* The next take that is handed the topic's samples, and forgets it; the gate is held. */
static unsigned next_slot(uint32_t *mask) {
    unsigned slot = (unsigned) __builtin_ctz(*mask);

    *mask &= *mask - 1;
    return slot;
}

/* Notes numbers without a message in every take. @param paused  cause while the take is paused */
static void note(struct topic *t, const uint8_t guid[static BP_GUID_LEN], void **writer_slot,
                 enum bp_loss why, enum bp_loss paused, uint64_t first, uint64_t last) {
    struct source *src;
    uint32_t left;

    (void) pthread_rwlock_rdlock(&t->rec->gate);
    left = t->mask;
    src = left ? source_of(t, guid, writer_slot) : NULL;
    while (src && left) {
        unsigned i = next_slot(&left);
        const struct bp_take *k = t->taps[i]->take;

        if (src->ids[i] >= 0)
            bp_take_note_loss(k, (uint32_t) src->ids[i], is_paused(k) ? paused : why, first, last);
    }
    (void) pthread_rwlock_unlock(&t->rec->gate);
}

void bp_recorder_on_missed(void *topic, const struct bp_missed *m) {
    note(topic, m->guid, m->writer_slot, BP_LOSS_TRANSPORT, BP_LOSS_PAUSED, m->first, m->last);
}

void bp_recorder_on_control(void *topic, const struct bp_sample *s) {
    if (s->seq)
        note(topic, s->guid, s->writer_slot, BP_LOSS_CONTROL, BP_LOSS_CONTROL, s->seq, s->seq);
}

/* Left out because the host is at a limit? */
static bool is_beyond(struct bp_take *k, struct tap *tap, const struct topic *t, bp_ns_t now) {
    int limit = atomic_load_explicit(&k->limit, memory_order_relaxed);

    if (limit == BP_TAKE_ALL || tap->priority == BP_PRIORITY_HIGH ||
        atomic_load_explicit(&t->latched_depth, memory_order_relaxed))
        return false;
    if (tap->priority == BP_PRIORITY_NORMAL)
        return limit == BP_TAKE_HIGH_ONLY;
    return limit != BP_TAKE_THIN_LOW ||
           !bp_recorder_within_rate(&tap->thin_ns,
                                    atomic_load_explicit(&k->thin_gap, memory_order_relaxed), now);
}

static void hand_over(struct tap *tap, struct source *src, unsigned slot, const struct bp_sample *s,
                      bp_ns_t log_ns) {
    struct bp_take *k = tap->take;
    uint32_t id = (uint32_t) src->ids[slot];
    struct bp_accept m;

    atomic_fetch_add_explicit(&k->received, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&k->bytes, s->size, memory_order_relaxed);
    if (is_paused(k) || log_ns == 0) {
        bp_take_note_loss(k, id, BP_LOSS_PAUSED, s->seq, s->seq);
        return;
    }
    if ((tap->keep_every > 1 &&
         atomic_fetch_add_explicit(&src->seen[slot], 1, memory_order_relaxed) % tap->keep_every) ||
        (tap->min_gap > 0 && !bp_recorder_within_rate(&tap->next_ns, tap->min_gap, s->recv_ns))) {
        bp_take_note_loss(k, id, BP_LOSS_RATE, s->seq, s->seq);
        return;
    }
    if (is_beyond(k, tap, src->topic, s->recv_ns)) {
        bp_take_note_loss(k, id, BP_LOSS_DEGRADED, s->seq, s->seq);
        return;
    }

    m = (struct bp_accept){
        .source = id,
        .seq = s->seq,
        .log_ns = log_ns,
        .publish_ns = s->source_ns > 0 ? s->source_ns : log_ns,
        .size = s->size,
        .copy = copy_payload,
        .ctx = s,
    };
    bp_take_accept(k, &m);
}

static void count(struct bp_recorder *r, struct topic *t, const struct bp_sample *s) {
    atomic_fetch_add_explicit(&r->received, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->bytes, s->size, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->bytes, s->size, memory_order_relaxed);
    atomic_store_explicit(&t->last_ns, s->recv_ns, memory_order_relaxed);
}

void bp_recorder_on_sample(void *topic, const struct bp_sample *s) {
    struct topic *t = topic;
    struct bp_recorder *r = t->rec;
    bp_ns_t log_ns = s->recv_ns;
    struct source *src;
    uint32_t left;

    if (t->is_clock)
        take_clock(r, s);
    if (r->o.use_sim_time)
        log_ns = atomic_load_explicit(&r->sim_ns, memory_order_relaxed);

    (void) pthread_rwlock_rdlock(&r->gate);
    left = t->mask;
    src = left || t->looks ? source_of(t, s->guid, s->writer_slot) : NULL;
    if (src) {
        count(r, t, s);
        while (left) {
            unsigned i = next_slot(&left);

            if (src->ids[i] >= 0)
                hand_over(t->taps[i], src, i, s, log_ns);
        }
        if (r->o.keep_latched && atomic_load_explicit(&t->latched_depth, memory_order_relaxed))
            bp_latched_put(t, src, s);
        if (t->looks)
            bp_watch_show(t, src, s);
    }
    (void) pthread_rwlock_unlock(&r->gate);
}
