#include <errno.h>
#include <string.h>

#include "dds/dds-priv.h"

/* A subscription has one Cyclone reader per kind of writer it meets: best effort, reliable,
 * reliable with transient-local history; and separate ones for writers in partitions or with
 * exclusive ownership, since each of these only matches a reader that asks for the same. A strong
 * writer also matches the weaker readers, so its samples may come several times: the strongest
 * reader that has delivered is the one that counts, and what it repeats (history that a weaker one
 * heard live, or a second path during a change of interfaces) is dropped by sequence number. */

enum { RANKS = 3, MAX_RANGES = 64 };

/* Sequence numbers [from, to] that were delivered. */
struct range {
    uint64_t from, to;
};

/* What was sent and never delivered shows as a hole, but not before the first or behind the last
 * sample that arrives. There we ask Cyclone what it has heard: packets of samples that never became
 * whole, and heartbeats. `base` is what the writer had sent before we could hear it. */
struct writer {
    uint8_t guid[BP_GUID_LEN];
    pthread_mutex_t lock; /* held during a delivery */
    struct range *got;    /* [lock] ascending; one slot until a hole appears */
    struct range first;   /* [lock] what `got` points to while it has one slot */
    unsigned ngot;        /* [lock] */
    uint8_t rank;         /* [lock] strongest reader that has delivered */
    void *slot;           /* [lock] the user's */
    bool ours;            /* constant; we hear our own publication over another path */
    bp_ns_t since;        /* constant; wall time we met it, 0 = with its first sample */
    bool best_effort;     /* [sub.lock] what was heard of it was sent to us: no heartbeats */
    atomic_bool has_base; /* written with lock held */
    uint64_t base;        /* [lock] */
    uint64_t told;        /* [lock] highest number handed to `missed` */
    atomic_ullong top;    /* highest number delivered; written with lock held */
    uint64_t goal;        /* [d->lock] of bp_dds_settle() */
    const void *remote;   /* [sub.lock] for bp_raw_remote_heard(), until it parts */
    const struct bp_path *remote_path; /* [sub.lock] where */
    int64_t stale; /* [sub.lock] what Cyclone had heard of it when we met: told to an earlier
                      subscription, it says nothing of what was sent since */
    unsigned refs; /* [sub.lock] deliveries under way */
    bool gone;     /* [sub.lock] free it when refs is 0 */
    UT_hash_handle hh;
};

struct reader {
    struct bp_sub *sub; /* holds one reference */
    struct bp_path *path;
    struct bp_sub_want want;
    dds_entity_t topic, reader;
    struct reader *next;
};

struct bp_sub {
    struct bp_dds *d;
    char *dds_topic, *dds_type;
    bool keyed, forced;
    struct bp_qos force;
    bp_sample_fn fn;
    bp_sample_fn control;
    bp_missed_fn missed;
    bp_parted_fn parted;
    void *ctx;
    struct reader *readers; /* [d->lock] */
    struct bp_sub *next;    /* [d->lock] */

    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct writer *writers; /* [lock] */
    unsigned refs;          /* [lock] one per reader that Cyclone may still call, one of the user */
};

/* ---- one sample ---- */

static bool is_ours(const struct bp_dds *d, const uint8_t guid[static BP_GUID_LEN]) {
    unsigned n = atomic_load(&d->nown);

    for (unsigned i = 0; i < n; i++)
        if (memcmp(d->own[i], guid, sizeof d->own[i]) == 0)
            return true;
    return false;
}

static struct writer *writer_get_locked(struct bp_sub *s, const uint8_t guid[static BP_GUID_LEN],
                                        bp_ns_t since) {
    struct writer *w = NULL;

    HASH_FIND(hh, s->writers, guid, BP_GUID_LEN, w);
    if (w)
        return w;
    w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    memcpy(w->guid, guid, BP_GUID_LEN);
    pthread_mutex_init(&w->lock, NULL);
    w->got = &w->first;
    w->since = since;
    w->ours = is_ours(s->d, guid);
    HASH_ADD(hh, s->writers, guid, BP_GUID_LEN, w);
    return w;
}

static struct writer *writer_get(struct bp_sub *s, const uint8_t guid[static BP_GUID_LEN]) {
    struct writer *w;

    pthread_mutex_lock(&s->lock);
    w = writer_get_locked(s, guid, 0);
    if (w)
        w->refs++;
    pthread_mutex_unlock(&s->lock);
    return w;
}

static void writer_drop_locked(struct bp_sub *s, struct writer *w) {
    HASH_DEL(s->writers, w);
    if (s->parted && w->slot)
        s->parted(s->ctx, w->slot);
    if (w->got != &w->first)
        free(w->got);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void writer_put(struct bp_sub *s, struct writer *w) {
    pthread_mutex_lock(&s->lock);
    if (--w->refs == 0 && w->gone && !w->remote)
        writer_drop_locked(s, w);
    pthread_mutex_unlock(&s->lock);
}

/* Makes room for one more range at i; when the table is full the two oldest become one, which
 * gives up on a hole so old that nobody will fill it. */
static bool insert_range(struct writer *w, unsigned i, uint64_t seq) {
    if (w->got == &w->first) {
        struct range *p = malloc(MAX_RANGES * sizeof *p);

        if (!p)
            return false;
        memcpy(p, &w->first, sizeof w->first);
        w->got = p;
    }
    if (w->ngot == MAX_RANGES) {
        if (i < 2)
            return false;
        w->got[0].to = w->got[1].to;
        memmove(w->got + 1, w->got + 2, (w->ngot - 2) * sizeof *w->got);
        w->ngot--;
        i--;
    }
    memmove(w->got + i + 1, w->got + i, (w->ngot - i) * sizeof *w->got);
    w->got[i] = (struct range){ seq, seq };
    w->ngot++;
    return true;
}

/* True when seq is new, and remembers it. */
static bool note_seq(struct writer *w, uint64_t seq) {
    unsigned i = w->ngot;

    if (seq == 0)
        return true;
    if (w->ngot == 0) {
        w->got[w->ngot++] = (struct range){ seq, seq };
        return true;
    }
    if (w->got[i - 1].to + 1 == seq) { /* nearly always */
        w->got[i - 1].to = seq;
        return true;
    }
    while (i > 0 && w->got[i - 1].from > seq)
        i--;
    /* now got[i-1].from <= seq < got[i].from */
    if (i > 0 && seq <= w->got[i - 1].to)
        return false;
    if (i > 0 && w->got[i - 1].to + 1 == seq) {
        w->got[i - 1].to = seq;
    } else if (i < w->ngot && w->got[i].from == seq + 1) {
        w->got[i].from = seq;
        return true;
    } else {
        return insert_range(w, i, seq);
    }
    if (i < w->ngot && w->got[i].from == seq + 1) {
        w->got[i - 1].to = w->got[i].to;
        memmove(w->got + i, w->got + i + 1, (w->ngot - i - 1) * sizeof *w->got);
        w->ngot--;
    }
    return true;
}

/* Tells that numbers up to `last` are used and will not come. */
static void tell_missed_locked(struct bp_sub *s, struct writer *w, uint64_t last) {
    uint64_t from = BP_MAX(BP_MAX(atomic_load(&w->top), w->told), w->base) + 1;
    struct bp_missed m = { .first = from, .last = last, .writer_slot = &w->slot };

    if (!s->missed || w->ours || !w->has_base || last < from)
        return;
    memcpy(m.guid, w->guid, BP_GUID_LEN);
    w->told = last;
    s->missed(s->ctx, &m);
}

/* The first look at how far a writer has got, or its first sample. */
static void set_base_locked(struct writer *w, uint64_t base) {
    if (w->has_base)
        return;
    w->has_base = true;
    w->base = base;
}

static void deliver_locked(struct bp_sub *s, struct writer *w, const struct reader *r,
                           const struct bp_raw_sample *raw) {
    struct bp_sample out = {
        .seq = raw->seq,
        .source_ns = raw->source_ns,
        .recv_ns = raw->recv_ns,
        .size = raw->size,
        .history = r->want.rank == RANKS - 1 && raw->source_ns < w->since,
        .chain = raw->serdata,
        .writer_slot = &w->slot,
    };

    if (raw->seq > 0) {
        if (!atomic_load(&w->top))
            tell_missed_locked(s, w, raw->seq - 1);
        set_base_locked(w, raw->seq - 1);
        if (raw->seq > atomic_load(&w->top))
            atomic_store(&w->top, raw->seq);
    }
    memcpy(out.guid, raw->guid, BP_GUID_LEN);
    if (raw->size)
        s->fn(s->ctx, &out);
    else if (s->control)
        s->control(s->ctx, &out);
}

static void on_sample(void *ctx, const struct bp_raw_sample *raw) {
    const struct reader *r = ctx;
    struct bp_sub *s = r->sub;
    struct writer *w = writer_get(s, raw->guid);

    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    if (r->want.rank >= w->rank && !w->ours) {
        w->rank = r->want.rank;
        if (note_seq(w, raw->seq))
            deliver_locked(s, w, r, raw);
    }
    pthread_mutex_unlock(&w->lock);
    writer_put(s, w);
}

void bp_sample_copy(const struct bp_sample *s, uint8_t *dst) {
    bp_raw_copy(s->chain, dst);
}

void bp_sample_copy_part(const struct bp_sample *s, uint8_t *dst, size_t n) {
    bp_raw_copy_part(s->chain, dst, n);
}

/* ---- what was heard of ---- */

/* Cyclone has let go of a writer. What it knew of it is told, and when the graph has said so
 * already, nobody needs the table's entry any more. */
static void on_parted(void *ctx, const uint8_t guid[static BP_GUID_LEN]) {
    const struct reader *r = ctx;
    struct bp_sub *s = r->sub;
    struct writer *w;
    int64_t heard;

    pthread_mutex_lock(&s->lock);
    HASH_FIND(hh, s->writers, guid, BP_GUID_LEN, w);
    if (w && w->remote && w->remote_path == r->path) {
        heard = bp_raw_remote_heard(w->remote, !w->best_effort);
        w->remote = NULL;
        pthread_mutex_lock(&w->lock);
        if (heard > 0) {
            set_base_locked(w, (uint64_t) heard);
            tell_missed_locked(s, w, (uint64_t) heard);
        }
        pthread_mutex_unlock(&w->lock);
        if (w->gone && w->refs == 0)
            writer_drop_locked(s, w);
    }
    pthread_mutex_unlock(&s->lock);
}

/* The newest path that knows the writer says most. */
static int64_t heard_of(const struct bp_dds *d, const struct writer *w) {
    int64_t most = -1;

    for (const struct bp_path *p = d->paths; p; p = p->next)
        most = BP_MAX(most, bp_raw_heard(p->info_type, w->guid, !w->best_effort));
    return most;
}

/* Many topics are silent for long: this must cost next to nothing, hence no search by name. */
static int64_t glance_locked(const struct bp_sub *s, const struct writer *w) {
    if (w->has_base || w->gone)
        return -1;
    if (w->remote) {
        int64_t heard = bp_raw_remote_heard(w->remote, !w->best_effort);

        return w->best_effort && heard <= w->stale ? -1 : heard;
    }
    return s->forced ? heard_of(s->d, w) : -1;
}

static bool look_locked(struct bp_sub *s) {
    struct writer *w, *tmp;
    bool again = false;

    HASH_ITER(hh, s->writers, w, tmp) {
        int64_t heard = glance_locked(s, w);

        if (heard < 0) {
            again |= !w->has_base && !w->gone;
            continue;
        }

        pthread_mutex_lock(&w->lock);
        set_base_locked(w, (uint64_t) heard); /* a sample half here may have begun before us */
        pthread_mutex_unlock(&w->lock);
    }
    return again;
}

bool bp_sub_look(struct bp_dds *d) {
    bool again = false;

    pthread_mutex_lock(&d->lock);
    for (struct bp_sub *s = d->subs; s; s = s->next) {
        if (!s->missed)
            continue;
        pthread_mutex_lock(&s->lock);
        again |= look_locked(s);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return again;
}

/* Calls fn for each writer of each subscription that wants to know; d->lock and s->lock held.
 * @return whether any call returned true */
static bool for_writers_locked(struct bp_dds *d, bool (*fn)(struct bp_sub *s, struct writer *w)) {
    bool any = false;

    for (struct bp_sub *s = d->subs; s; s = s->next) {
        struct writer *w, *tmp;

        if (!s->missed)
            continue;
        pthread_mutex_lock(&s->lock);
        HASH_ITER(hh, s->writers, w, tmp)
        any |= fn(s, w);
        pthread_mutex_unlock(&s->lock);
    }
    return any;
}

static bool set_goal(struct bp_sub *s, struct writer *w) {
    int64_t heard = w->ours ? -1 : heard_of(s->d, w);

    w->goal = heard > 0 ? (uint64_t) heard : 0;
    return true;
}

static bool is_short(struct bp_sub *s, struct writer *w) {
    (void) s;
    return atomic_load(&w->top) < w->goal && w->has_base && w->base < w->goal;
}

static bool tell_short(struct bp_sub *s, struct writer *w) {
    pthread_mutex_lock(&w->lock);
    tell_missed_locked(s, w, w->goal);
    pthread_mutex_unlock(&w->lock);
    return true;
}

void bp_dds_settle(struct bp_dds *d, bp_ns_t patience) {
    bp_ns_t end = bp_mono_ns() + patience;
    bool wait;

    (void) bp_sub_look(d);
    pthread_mutex_lock(&d->lock);
    (void) for_writers_locked(d, set_goal);
    pthread_mutex_unlock(&d->lock);
    do {
        pthread_mutex_lock(&d->lock);
        wait = for_writers_locked(d, is_short) && bp_mono_ns() < end;
        pthread_mutex_unlock(&d->lock);
        if (wait)
            bp_sleep(2 * BP_MS);
    } while (wait);
    pthread_mutex_lock(&d->lock);
    (void) for_writers_locked(d, tell_short);
    pthread_mutex_unlock(&d->lock);
}

/* ---- readers ---- */

static void sub_unref(struct bp_sub *s) {
    pthread_mutex_lock(&s->lock);
    s->refs--;
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

/* Cyclone will not call on_sample() with this reader any more. */
static void reader_released(void *ctx) {
    struct reader *r = ctx;
    struct bp_sub *s = r->sub;

    free(r);
    sub_unref(s);
}

struct bp_sub_want bp_sub_want_of(const struct bp_ep *e) {
    struct bp_sub_want w = { .partitioned = e->partitioned, .exclusive = e->exclusive };

    if (e->e.qos.reliability == BP_RELIABILITY_RELIABLE)
        w.rank = e->e.qos.durability == BP_DURABILITY_TRANSIENT_LOCAL ? 2 : 1;
    return w;
}

static dds_qos_t *reader_qos(const struct bp_sub *s, const struct bp_sub_want *w) {
    static const char *any = "*";
    const dds_data_representation_id_t both[] = { DDS_DATA_REPRESENTATION_XCDR1,
                                                  DDS_DATA_REPRESENTATION_XCDR2 };
    dds_qos_t *q = s->forced ? bp_qos_to_dds(&s->force) : dds_create_qos();

    if (!q)
        return NULL;
    if (!s->forced) {
        dds_qset_history(q, DDS_HISTORY_KEEP_ALL, 0);
        dds_qset_reliability(q, w->rank ? DDS_RELIABILITY_RELIABLE : DDS_RELIABILITY_BEST_EFFORT,
                             DDS_SECS(1));
        dds_qset_durability(q, w->rank == 2 ? DDS_DURABILITY_TRANSIENT_LOCAL
                                            : DDS_DURABILITY_VOLATILE);
    }
    dds_qset_data_representation(q, BP_COUNT(both), both);
    dds_qset_ignorelocal(q, DDS_IGNORELOCAL_PARTICIPANT);
    dds_qset_latency_budget(q, DDS_INFINITY); /* a writer may offer any */
    if (w->exclusive)
        dds_qset_ownership(q, DDS_OWNERSHIP_EXCLUSIVE);
    if (w->partitioned)
        dds_qset_partition(q, 1, &any);
    return q;
}

static const struct bp_raw_events reader_events = {
    .sample = on_sample,
    .parted = on_parted,
    .released = reader_released,
};

/* At most the default name count is allowed to fail: a reader that cannot be made is reported and
 * its writer's samples are missing, which shows in the graph as a writer without data. */
static void make_reader(struct bp_sub *s, struct bp_path *p, const struct bp_sub_want *want) {
    struct reader *r = calloc(1, sizeof *r);
    dds_qos_t *q = reader_qos(s, want);
    dds_entity_t topic = DDS_RETCODE_OUT_OF_RESOURCES, reader = topic;

    if (r && q)
        topic = bp_raw_topic(p->participant, s->dds_topic, s->dds_type, s->keyed, false, NULL);
    if (topic >= 0) {
        *r = (struct reader){ .sub = s, .path = p, .want = *want, .topic = topic };
        pthread_mutex_lock(&s->lock);
        s->refs++;
        pthread_mutex_unlock(&s->lock);
        reader = bp_raw_reader(p->participant, topic, q, &reader_events, r);
        if (reader < 0) {
            r = NULL; /* released already */
            (void) dds_delete(topic);
        }
    } else {
        free(r);
        r = NULL;
    }
    if (q)
        dds_delete_qos(q);
    if (!r) {
        bp_dds_note(s->d, "cannot read '%s': %s", s->dds_topic,
                    dds_strretcode(topic < 0 ? -topic : -reader));
        return;
    }
    r->reader = reader;
    r->next = s->readers;
    s->readers = r;
}

static bool hears(const struct bp_sub *s, const struct bp_ep *e) {
    return e->e.writer && e->e.keyed == s->keyed && bp_streq(e->e.dds_topic, s->dds_topic) &&
           bp_streq(e->e.dds_type, s->dds_type);
}

static bool has_reader(const struct bp_sub *s, const struct bp_path *p,
                       const struct bp_sub_want *want) {
    for (const struct reader *r = s->readers; r; r = r->next)
        if (r->path == p && r->want.rank == want->rank &&
            r->want.partitioned == want->partitioned && r->want.exclusive == want->exclusive)
            return true;
    return false;
}

/* Remembers Cyclone's record of the writer. Its reader is there already, so whatever the index
 * shows has matched it or will, and on_parted() is called before the record is freed; that waits
 * for s->lock. With `force` reader and writer may not match. */
static void watch(struct bp_sub *s, const struct bp_path *p, const struct bp_ep *e) {
    const void *remote;
    struct writer *w;

    pthread_mutex_lock(&s->lock);
    w = writer_get_locked(s, e->e.guid, bp_wall_ns());
    remote = w && !s->forced ? bp_raw_remote(p->info_type, e->e.guid) : NULL;
    if (w) {
        w->gone = false;
        w->best_effort = !s->forced && e->e.qos.reliability != BP_RELIABILITY_RELIABLE;
    }
    if (remote && (!w->remote || p == s->d->paths)) {
        w->stale = w->remote ? w->stale : bp_raw_remote_heard(remote, false);
        w->remote = remote;
        w->remote_path = p;
    }
    pthread_mutex_unlock(&s->lock);
}

static void meet(struct bp_sub *s, struct bp_path *p, const struct bp_ep *e) {
    struct bp_sub_want want = bp_sub_want_of(e);

    if (s->forced)
        want.rank = 0;
    pthread_mutex_lock(&s->lock);
    (void) writer_get_locked(s, e->e.guid, bp_wall_ns());
    pthread_mutex_unlock(&s->lock);
    if (!has_reader(s, p, &want))
        make_reader(s, p, &want);
    watch(s, p, e);
}

void bp_sub_meet_locked(struct bp_dds *d, const struct bp_ep *e) {
    for (struct bp_sub *s = d->subs; s; s = s->next)
        if (hears(s, e))
            for (struct bp_path *p = d->paths; p; p = p->next)
                meet(s, p, e);
}

void bp_sub_extend_locked(struct bp_dds *d, struct bp_path *p) {
    struct bp_ep *e, *tmp;

    for (struct bp_sub *s = d->subs; s; s = s->next)
        HASH_ITER(hh, d->eps, e, tmp)
    if (hears(s, e))
        meet(s, p, e);
}

/* The reader struct is freed by Cyclone's release of it, not here. */
static void delete_reader(const struct reader *r) {
    dds_entity_t reader = r->reader, topic = r->topic;

    (void) dds_delete(reader);
    (void) dds_delete(topic);
}

/* The records of a path go with it; what is still there is known on the newest one. */
static void unwatch(struct bp_sub *s, const struct bp_path *p) {
    struct writer *w, *tmp;
    struct bp_ep *e, *tmp2;

    pthread_mutex_lock(&s->lock);
    HASH_ITER(hh, s->writers, w, tmp) {
        if (w->remote_path != p)
            continue;
        w->remote = NULL;
        w->remote_path = NULL;
        if (w->gone && w->refs == 0)
            writer_drop_locked(s, w);
    }
    pthread_mutex_unlock(&s->lock);
    if (s->d->paths && s->d->paths != p)
        HASH_ITER(hh, s->d->eps, e, tmp2)
    if (hears(s, e))
        watch(s, s->d->paths, e);
}

void bp_sub_retract_locked(struct bp_dds *d, const struct bp_path *p) {
    for (struct bp_sub *s = d->subs; s; s = s->next)
        for (struct reader **at = &s->readers; *at;) {
            struct reader *r = *at;

            if (r->path != p) {
                at = &r->next;
                continue;
            }
            *at = r->next;
            delete_reader(r);
        }
    for (struct bp_sub *s = d->subs; s; s = s->next)
        unwatch(s, p);
}

void bp_sub_part_locked(struct bp_dds *d, const struct bp_ep *e) {
    for (struct bp_sub *s = d->subs; s; s = s->next) {
        struct writer *w = NULL;

        if (!hears(s, e))
            continue;
        pthread_mutex_lock(&s->lock);
        HASH_FIND(hh, s->writers, e->e.guid, BP_GUID_LEN, w);
        if (w && w->refs == 0 && !w->remote)
            writer_drop_locked(s, w);
        else if (w) /* on_parted() or writer_put() is the last to need it */
            w->gone = true;
        pthread_mutex_unlock(&s->lock);
    }
}

/* ---- subscriptions ---- */

static void sub_free(struct bp_sub *s) {
    struct writer *w, *tmp;

    HASH_ITER(hh, s->writers, w, tmp)
    writer_drop_locked(s, w);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->idle);
    free(s->dds_topic);
    free(s->dds_type);
    free(s);
}

int bp_dds_subscribe(struct bp_dds *d, const struct bp_sub_opts *o, struct bp_sub **ret,
                     struct bp_error *err) {
    struct bp_sub *s = calloc(1, sizeof *s);
    struct bp_ep *e, *tmp;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->d = d;
    s->keyed = o->keyed;
    s->forced = o->force != NULL;
    if (o->force)
        s->force = *o->force;
    s->fn = o->fn;
    s->control = o->control;
    s->missed = o->missed;
    s->parted = o->parted;
    s->ctx = o->ctx;
    s->refs = 1;
    s->dds_topic = strdup(o->dds_topic);
    s->dds_type = strdup(o->dds_type);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    if (!s->dds_topic || !s->dds_type) {
        sub_free(s);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    *ret = s; /* before the first sample may come */

    pthread_mutex_lock(&d->lock);
    s->next = d->subs;
    d->subs = s;
    if (s->forced)
        for (struct bp_path *p = d->paths; p; p = p->next)
            make_reader(s, p, &(struct bp_sub_want){ 0 });
    HASH_ITER(hh, d->eps, e, tmp)
    if (hears(s, e))
        for (struct bp_path *p = d->paths; p; p = p->next)
            meet(s, p, e);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

void bp_sub_close(struct bp_sub *s) {
    struct reader *r, *next;

    if (!s)
        return;
    pthread_mutex_lock(&s->d->lock);
    for (struct bp_sub **at = &s->d->subs; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    r = s->readers;
    s->readers = NULL;
    pthread_mutex_unlock(&s->d->lock);

    for (; r; r = next) {
        next = r->next;
        delete_reader(r);
    }
    pthread_mutex_lock(&s->lock);
    while (s->refs > 1)
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
    sub_free(s);
}
