/* The hot path: a sample from DDS to the writer's ring. Nothing here blocks or allocates once a
 * writer is known; the payload is copied once, from Cyclone's receive buffer into the ring slot. */
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
static bool within_rate(struct topic *t, bp_ns_t now) {
    int64_t next = atomic_load_explicit(&t->next_ns, memory_order_relaxed);
    int64_t after;

    do {
        if (now < next)
            return false;
        /* a steady grid, so that 10 of 30 Hz are 10 and not 7.5; after a pause it starts anew */
        after = now - next < t->min_gap ? next + t->min_gap : now + t->min_gap;
    } while (!atomic_compare_exchange_weak_explicit(&t->next_ns, &next, after, memory_order_relaxed,
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
    (void) pthread_mutex_unlock(&t->rec->lock);
    *slot = src;
    return src;
}

static bool is_paused(const struct bp_recorder *r) {
    return atomic_load_explicit(&r->paused, memory_order_relaxed);
}

void bp_recorder_on_missed(void *topic, const struct bp_missed *m) {
    struct topic *t = topic;
    struct source *src = t->recorded ? source_of(t, m->guid, m->writer_slot) : NULL;

    if (src)
        bp_writer_note_loss(t->rec->o.writer, src->id,
                            is_paused(t->rec) ? BP_LOSS_PAUSED : BP_LOSS_TRANSPORT, m->first,
                            m->last);
}

void bp_recorder_on_control(void *topic, const struct bp_sample *s) {
    struct topic *t = topic;
    struct source *src = t->recorded ? source_of(t, s->guid, s->writer_slot) : NULL;

    if (src && s->seq)
        bp_writer_note_loss(t->rec->o.writer, src->id, BP_LOSS_CONTROL, s->seq, s->seq);
}

void bp_recorder_on_sample(void *topic, const struct bp_sample *s) {
    struct topic *t = topic;
    struct bp_recorder *r = t->rec;
    struct bp_accept m;
    struct source *src;
    bp_ns_t log_ns = s->recv_ns;

    if (t->is_clock)
        take_clock(r, s);
    if (!t->recorded)
        return;

    atomic_fetch_add_explicit(&r->received, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->bytes, s->size, memory_order_relaxed);
    src = source_of(t, s->guid, s->writer_slot);
    if (!src)
        return;

    if (r->o.use_sim_time)
        log_ns = atomic_load_explicit(&r->sim_ns, memory_order_relaxed);
    if (is_paused(r) || log_ns == 0) {
        bp_writer_note_loss(r->o.writer, src->id, BP_LOSS_PAUSED, s->seq, s->seq);
        return;
    }
    if ((t->keep_every > 1 && atomic_fetch_add(&src->seen, 1) % t->keep_every != 0) ||
        (t->min_gap > 0 && !within_rate(t, s->recv_ns))) {
        bp_writer_note_loss(r->o.writer, src->id, BP_LOSS_RATE, s->seq, s->seq);
        return;
    }

    m = (struct bp_accept){
        .source = src->id,
        .seq = s->seq,
        .log_ns = log_ns,
        .publish_ns = s->source_ns > 0 ? s->source_ns : log_ns,
        .size = s->size,
        .copy = copy_payload,
        .ctx = s,
    };
    (void) bp_writer_accept(r->o.writer, &m); /* refusals are in the ledger */
}
