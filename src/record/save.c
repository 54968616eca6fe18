#include "record/save.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bag/history.h"
#include "record/select.h"

/* A message stamped just before the end may still be on its way to the history. */
#define SETTLE (300 * BP_MS)
#define PAUSE  (10 * BP_MS)
/* The ring is left this part to itself, so that the writer never has to refuse. */
enum { RING_PART = 2, LOOK_EVERY_BYTES = 128 << 10, LOOK_EVERY = 64 };
#define DEFINITIONS_EVERY BP_SEC

struct sink {   /* a source of the history in the writer */
    int32_t id; /* -1 = not wanted, or refused */
    uint16_t channel;
    bool known, seen, latched;
    uint32_t epoch; /* how often entries had been missed when it last spoke */
    uint64_t last;
};

struct channel { /* of the history, in the writer */
    uint16_t id;
    uint64_t version;
    uint32_t source; /* one of its sources, to ask about it */
};

struct bp_save {
    struct bp_save_opts o; /* constant, but until_mono: [lock] */
    struct bp_history_reader *reader;
    pthread_mutex_t lock; /* leaf */
    pthread_cond_t ended;
    bool running, over;      /* [lock] */
    struct bp_save_stats st; /* [lock] */
    _Atomic bool halt;
    bp_ns_t from_wall; /* constant: log time of latched messages */

    struct sink *sinks; /* [runner] by source of the history */
    size_t nsinks;
    struct channel *channels; /* [runner] by channel of the history */
    size_t nchannels;
    struct bp_history_source_info info; /* [runner] */
    uint32_t epoch;                     /* [runner] */
    bp_ns_t looked_at_definitions;      /* [runner] mono */
    uint64_t unlooked, unlooked_bytes;  /* [runner] since the ring was looked at */
    int failed;                         /* [runner] first refusal of a topic */
    bool held;                          /* [runner] an entry behind the window waits: */
    struct bp_history_entry entry;      /* [runner] borrowed from the reader */
};

int bp_save_open(const struct bp_save_opts *o, struct bp_save **ret, struct bp_error *err) {
    BP_CLEANUP(bp_save_closep) struct bp_save *s = calloc(1, sizeof *s);
    bp_ns_t wall = bp_wall_ns();
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "no memory for a snapshot");
    s->o = *o;
    s->from_wall = wall - bp_history_mono(o->history, wall) + o->from_mono;
    (void) pthread_mutex_init(&s->lock, NULL);
    (void) pthread_cond_init(&s->ended, NULL);
    r = bp_history_read(o->history, o->from_mono, &s->reader, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_save_close(struct bp_save *s) {
    if (!s)
        return;
    bp_history_reader_close(s->reader);
    bp_history_source_info_done(&s->info);
    (void) pthread_cond_destroy(&s->ended);
    (void) pthread_mutex_destroy(&s->lock);
    free(s->sinks);
    free(s->channels);
    free(s);
}

/* ---- definitions ---- */

static void *grown(void *v, size_t *n, size_t need, size_t each) {
    size_t cap = BP_MAX(*n * 2, BP_MAX(need, (size_t) 64));
    char *p;

    if (need <= *n)
        return v;
    p = realloc(v, cap * each);
    if (!p)
        return NULL;
    memset(p + *n * each, 0, (cap - *n) * each);
    *n = cap;
    return p;
}

static bool is_wanted(const struct bp_save *s) {
    const struct bp_channel_def *d = &s->info.channel;

    return !s->o.select ||
           bp_select_topic(s->o.select, d->original_topic ? d->original_topic : d->topic, d->type);
}

/* Nothing is refused for its priority: what came before a fault is worth the same. */
static int put_channel(struct bp_save *s, struct channel *c, uint32_t source) {
    struct bp_channel_def d = s->info.channel;
    struct bp_error err;
    int r;

    d.priority = BP_PRIORITY_HIGH;
    d.budget_bytes = 0;
    r = c->id ? bp_writer_channel_update(s->o.writer, c->id, &d)
              : bp_writer_channel(s->o.writer, &d, &err);
    if (r < 0)
        return r;
    if (!c->id)
        c->id = (uint16_t) r;
    c->version = s->info.version;
    c->source = source;
    return 0;
}

static int learn(struct bp_save *s, uint32_t source, struct sink *k) {
    struct bp_source_def d;
    struct channel *v, *c;
    int r = bp_history_describe(s->o.history, source, &s->info);

    if (r < 0)
        return r;
    k->known = true;
    k->id = -1;
    if (!is_wanted(s))
        return 0;
    d = s->info.source;
    v = grown(s->channels, &s->nchannels, (size_t) d.channel + 1, sizeof *v);
    if (!v)
        return -ENOMEM;
    s->channels = v;
    c = &v[d.channel];
    r = c->id ? 0 : put_channel(s, c, source);
    if (r < 0)
        return r;
    d.channel = c->id;
    r = bp_writer_source(s->o.writer, &d, NULL);
    if (r < 0)
        return r;
    k->id = r;
    return 0;
}

static struct sink *sink_of(struct bp_save *s, uint32_t source) {
    struct sink *v = grown(s->sinks, &s->nsinks, (size_t) source + 1, sizeof *v);
    int r;

    if (!v) {
        s->failed = -ENOMEM;
        return NULL;
    }
    s->sinks = v;
    if (!v[source].known) {
        r = learn(s, source, &v[source]);
        if (r < 0 && !s->failed)
            s->failed = r;
    }
    return v[source].known && v[source].id >= 0 ? &v[source] : NULL;
}

/* A definition, or what a later writer offers, may become known while the window is open. */
static void renew_definitions(struct bp_save *s) {
    s->looked_at_definitions = bp_mono_ns();
    for (size_t i = 0; i < s->nchannels; i++) {
        struct channel *c = &s->channels[i];

        if (!c->id || bp_history_version(s->o.history, c->source) == c->version ||
            bp_history_describe(s->o.history, c->source, &s->info) < 0)
            continue;
        (void) put_channel(s, c, c->source);
    }
}

/* ---- one entry ---- */

static void copy_payload(const void *ctx, uint8_t *dst) {
    const struct bp_history_entry *e = ctx;

    memcpy(dst, e->data, e->size);
}

/* Waits while the writer's ring is fuller than it should be; what follows stays in the history. */
static void wait_for_room(struct bp_save *s, uint32_t size) {
    struct bp_writer_stats w;

    s->unlooked_bytes += size;
    if (++s->unlooked < LOOK_EVERY && s->unlooked_bytes < LOOK_EVERY_BYTES)
        return;
    s->unlooked = s->unlooked_bytes = 0;
    for (;;) {
        bp_writer_stats(s->o.writer, &w);
        if (w.disk_full || w.ring_used + size < w.ring_size / RING_PART || atomic_load(&s->halt))
            return;
        bp_sleep(PAUSE / 5);
    }
}

/* Numbers between the last we know of and this entry's are told apart: those that this reader has
 * missed are a loss of ours; those between a latched message and the window are none. What is left
 * the writer finds itself: it never reached us. */
static void explain_gap(struct bp_save *s, struct sink *k, uint64_t seq) {
    if (k->seen && seq > k->last + 1) {
        if (k->latched)
            bp_writer_note_loss(s->o.writer, (uint32_t) k->id, BP_LOSS_PAUSED, k->last + 1,
                                seq - 1);
        else if (k->epoch != s->epoch)
            bp_writer_note_loss(s->o.writer, (uint32_t) k->id, BP_LOSS_RING, k->last + 1, seq - 1);
    }
}

static void count(struct bp_save *s, const struct bp_history_entry *e) {
    (void) pthread_mutex_lock(&s->lock);
    if (e->kind == BP_HISTORY_LATCHED) {
        s->st.latched++;
    } else {
        s->st.messages++;
        s->st.last_mono = BP_MAX(s->st.last_mono, e->mono_ns);
        if (!s->st.first_mono || e->mono_ns < s->st.first_mono)
            s->st.first_mono = e->mono_ns;
    }
    (void) pthread_mutex_unlock(&s->lock);
}

static void hand_over(struct bp_save *s, struct sink *k, const struct bp_history_entry *e) {
    bool latched = e->kind == BP_HISTORY_LATCHED;
    struct bp_accept m = {
        .source = (uint32_t) k->id,
        .seq = e->seq,
        .log_ns = latched ? s->from_wall : e->log_ns,
        .publish_ns = e->publish_ns,
        .size = e->size,
        .copy = copy_payload,
        .ctx = e,
    };

    wait_for_room(s, e->size);
    if (bp_writer_accept(s->o.writer, &m) == 0) /* refusals are in its ledger */
        count(s, e);
}

static void take(struct bp_save *s, const struct bp_history_entry *e) {
    struct sink *k;

    if (e->kind == BP_HISTORY_MISSED) {
        s->epoch++;
        (void) pthread_mutex_lock(&s->lock);
        s->st.missed += e->last;
        (void) pthread_mutex_unlock(&s->lock);
        return;
    }
    k = sink_of(s, e->source);
    if (!k)
        return;
    if (e->kind != BP_HISTORY_LATCHED)
        explain_gap(s, k, e->seq);
    if (e->kind == BP_HISTORY_LOSS)
        bp_writer_note_loss(s->o.writer, (uint32_t) k->id, e->why, e->seq, e->last);
    else
        hand_over(s, k, e);
    k->latched = e->kind == BP_HISTORY_LATCHED;
    k->last = k->seen ? BP_MAX(k->last, e->last) : e->last;
    k->seen = true;
    k->epoch = s->epoch;
}

/* ---- the window ---- */

static bp_ns_t end_of(struct bp_save *s) {
    bp_ns_t until;

    (void) pthread_mutex_lock(&s->lock);
    until = s->o.until_mono;
    (void) pthread_mutex_unlock(&s->lock);
    return until;
}

/* The window can still be made longer: an entry behind it waits, as the first one to go on with. */
static int next_entry(struct bp_save *s, struct bp_history_entry *ret) {
    if (!s->held)
        return bp_history_next(s->reader, ret);
    s->held = false;
    *ret = s->entry;
    return 1;
}

/* Everything there is up to now that lies in the window. @param over  it stays as long as it is */
static int copy_all(struct bp_save *s, bp_ns_t until, bool over) {
    struct bp_history_entry e;
    int r;

    while (!atomic_load(&s->halt)) {
        r = next_entry(s, &e);
        if (r == BP_ECORRUPT || r == BP_ETRUNCATED) /* what is behind it can be read */
            continue;
        if (r <= 0)
            return r;
        if (e.kind == BP_HISTORY_MISSED || e.kind == BP_HISTORY_LATCHED ||
            (e.mono_ns >= s->o.from_mono && e.mono_ns <= until)) {
            take(s, &e);
        } else if (e.mono_ns > until && !over) {
            s->entry = e;
            s->held = true;
            return 0;
        } else if (e.mono_ns > until + SETTLE) {
            return 0; /* whatever else comes is no nearer */
        }
    }
    return 0;
}

/* True when nobody has made it longer meanwhile: from here on nobody can. */
static bool is_over(struct bp_save *s, bp_ns_t until) {
    bool over;

    (void) pthread_mutex_lock(&s->lock);
    over = s->over = s->over || (s->o.until_mono == until && bp_mono_ns() >= until + SETTLE);
    (void) pthread_mutex_unlock(&s->lock);
    return over;
}

static int follow(struct bp_save *s) {
    for (;;) {
        bp_ns_t until = end_of(s);
        bool over = is_over(s, until);
        int r;

        if (over)
            bp_history_flush(s->o.history);
        r = copy_all(s, until, over);
        if (r < 0 || over || atomic_load(&s->halt))
            return r;
        if (bp_mono_ns() - s->looked_at_definitions > DEFINITIONS_EVERY)
            renew_definitions(s);
        bp_sleep(PAUSE);
    }
}

int bp_save_run(struct bp_save *s, struct bp_error *err) {
    int r;

    (void) pthread_mutex_lock(&s->lock);
    s->running = !s->over;
    (void) pthread_mutex_unlock(&s->lock);
    r = s->running ? follow(s) : 0;
    if (s->running)
        renew_definitions(s);
    (void) pthread_mutex_lock(&s->lock);
    s->over = true;
    s->running = false;
    (void) pthread_cond_broadcast(&s->ended);
    (void) pthread_mutex_unlock(&s->lock);
    r = r < 0 ? r : s->failed;
    return r < 0 ? bp_fail(err, r, "the snapshot is not complete: %s", bp_strerror(r)) : 0;
}

bool bp_save_extend(struct bp_save *s, bp_ns_t until_mono) {
    bool can;

    (void) pthread_mutex_lock(&s->lock);
    can = !s->over && !atomic_load(&s->halt);
    if (can)
        s->o.until_mono = BP_MAX(s->o.until_mono, until_mono);
    (void) pthread_mutex_unlock(&s->lock);
    return can;
}

void bp_save_halt(struct bp_save *s) {
    atomic_store(&s->halt, true);
    (void) pthread_mutex_lock(&s->lock);
    s->over = true;
    while (s->running)
        (void) pthread_cond_wait(&s->ended, &s->lock);
    (void) pthread_mutex_unlock(&s->lock);
}

void bp_save_stats(struct bp_save *s, struct bp_save_stats *ret) {
    (void) pthread_mutex_lock(&s->lock);
    *ret = s->st;
    ret->until_mono = s->o.until_mono;
    ret->over = s->over;
    (void) pthread_mutex_unlock(&s->lock);
}
