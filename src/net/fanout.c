#include "net/fanout.h"

#include <assert.h>
#include <errno.h>
#include <utlist.h>

/* What a channel has at each loop. */
struct at_loop {
    struct bp_channel *channel;
    struct bp_feed *feeds; /* [loop thread] */
    unsigned n;            /* [channel.lock], read anywhere */
};

struct bp_fanout {
    unsigned nloops;
    unsigned next_loop; /* [atomic] */
    size_t inbox_bytes; /* constant, the limit */
    struct lane {
        struct bp_loop *loop;
        size_t bytes; /* [atomic] posted and not handed out */
    } lanes[];
};

struct bp_channel {
    unsigned refs; /* [atomic] */
    struct bp_fanout *fanout;
    char *name;
    size_t (*stamp)(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]);
    void (*wanted)(void *ctx, const struct bp_channel *ch);
    void *ctx;
    struct bp_mutex lock;     /* loops' locks may be taken under it */
    uint64_t seq;             /* [lock] of the last message */
    struct bp_frame **replay; /* [lock] ring: message s lies at s % max */
    unsigned replay_max;      /* constant */
    unsigned replay_n;        /* [lock] */
    size_t replay_bytes;      /* [lock] */
    size_t replay_bytes_max;  /* constant */
    unsigned subscribers;     /* [atomic] */
    unsigned wanting;         /* [atomic] of them */
    struct at_loop at[];      /* one for each loop */
};

struct bp_fanout_stats bp_fanout_stats;

static const char *const policy_texts[] = { "bounded", "latest", "close" };
static_assert(BP_COUNT(policy_texts) == BP_FEED_POLICY_COUNT_, "a text for each");

const char *bp_feed_policy_text(enum bp_feed_policy p) {
    return policy_texts[p];
}

int bp_fanout_open(const struct bp_fanout_options *options, struct bp_fanout **ret,
                   struct bp_error *err) {
    unsigned n = options && options->loops ? options->loops : 1;
    BP_CLEANUP(bp_fanout_closep)
    struct bp_fanout *f = calloc(1, sizeof *f + n * sizeof f->lanes[0]);

    if (!f)
        return bp_fail(err, -ENOMEM, "out of memory");
    f->inbox_bytes =
        options && options->inbox_bytes ? options->inbox_bytes : (size_t) 64 * 1024 * 1024;
    for (; f->nloops < n; f->nloops++) {
        int r = bp_loop_open("fanout", &f->lanes[f->nloops].loop);

        if (r < 0)
            return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    }
    *ret = BP_TAKE_PTR(f);
    return 0;
}

void bp_fanout_close(struct bp_fanout *f) {
    if (!f)
        return;
    for (unsigned i = 0; i < f->nloops; i++)
        bp_loop_close(f->lanes[i].loop);
    free(f);
}

unsigned bp_fanout_loops(const struct bp_fanout *f) {
    return f->nloops;
}

struct bp_loop *bp_fanout_loop_at(struct bp_fanout *f, unsigned index) {
    return f->lanes[index].loop;
}

struct bp_loop *bp_fanout_loop(struct bp_fanout *f, unsigned *ret_index) {
    *ret_index = __atomic_fetch_add(&f->next_loop, 1, __ATOMIC_RELAXED) % f->nloops;
    return f->lanes[*ret_index].loop;
}

/* --- channels --- */

struct bp_channel *bp_channel_new(struct bp_fanout *f, const struct bp_channel_options *o) {
    struct bp_channel *ch = calloc(1, sizeof *ch + f->nloops * sizeof ch->at[0]);

    if (!ch)
        return NULL;
    bp_mutex_init(&ch->lock);
    ch->refs = 1;
    ch->fanout = f;
    ch->stamp = o->stamp;
    ch->wanted = o->wanted;
    ch->ctx = o->ctx;
    ch->replay_max = o->replay_frames;
    ch->replay_bytes_max = o->replay_bytes ? o->replay_bytes : (size_t) 1024 * 1024;
    ch->name = strdup(o->name);
    ch->replay = calloc(BP_MAX(ch->replay_max, 1), sizeof(struct bp_frame *));
    for (unsigned i = 0; i < f->nloops; i++)
        ch->at[i].channel = ch;
    if (!ch->name || !ch->replay) {
        bp_channel_unref(ch);
        return NULL;
    }
    return ch;
}

struct bp_channel *bp_channel_ref(struct bp_channel *ch) {
    (void) __atomic_add_fetch(&ch->refs, 1, __ATOMIC_RELAXED);
    return ch;
}

void bp_channel_unref(struct bp_channel *ch) {
    if (!ch || __atomic_sub_fetch(&ch->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (unsigned i = 0; ch->replay && i < ch->replay_max; i++)
        bp_frame_unref(ch->replay[i]);
    free(ch->replay);
    free(ch->name);
    bp_mutex_done(&ch->lock);
    free(ch);
}

const char *bp_channel_name(const struct bp_channel *ch) {
    return ch->name;
}

unsigned bp_channel_subscribers(const struct bp_channel *ch) {
    return __atomic_load_n(&ch->subscribers, __ATOMIC_ACQUIRE);
}

unsigned bp_channel_wanting(const struct bp_channel *ch) {
    return __atomic_load_n(&ch->wanting, __ATOMIC_ACQUIRE);
}

uint64_t bp_channel_seq(struct bp_channel *ch) {
    uint64_t seq;

    bp_mutex_lock(&ch->lock);
    seq = ch->seq;
    bp_mutex_unlock(&ch->lock);
    return seq;
}

static size_t size_of(const struct bp_frame *f) {
    return f->end - f->head;
}

/* Keeps a message for those who come back; the oldest make room. @return one to be released */
static void remember_locked(struct bp_channel *ch, struct bp_frame *f) BP_REQUIRES(ch->lock);
static void remember_locked(struct bp_channel *ch, struct bp_frame *f) {
    if (ch->replay_max == 0)
        return;
    while (ch->replay_n > 0 && (ch->replay_n == ch->replay_max ||
                                ch->replay_bytes + size_of(f) > ch->replay_bytes_max)) {
        struct bp_frame **oldest = &ch->replay[(f->seq - ch->replay_n) % ch->replay_max];

        ch->replay_bytes -= size_of(*oldest);
        bp_frame_unref(BP_TAKE_PTR(*oldest));
        ch->replay_n--;
    }
    ch->replay[f->seq % ch->replay_max] = bp_frame_ref(f);
    ch->replay_bytes += size_of(f);
    ch->replay_n++;
}

/* Has a subscription room in its queue? Grows it up to its limit. */
static bool make_room(struct bp_queue_of_frames *q, unsigned max) {
    unsigned cap = q->cap ? q->cap * 2 : max == 1 ? 1 : 4;
    struct bp_frame **v;

    if (q->n < q->cap)
        return true;
    if (q->n >= max)
        return false;
    v = malloc(cap * sizeof(struct bp_frame *));
    if (!v)
        return false;
    for (unsigned i = 0; q->cap && i < q->n; i++)
        v[i] = q->v[(q->first + i) % q->cap];
    free(q->v);
    q->v = v;
    q->cap = cap;
    q->first = 0;
    return true;
}

static struct bp_frame *pop(struct bp_queue_of_frames *q) {
    struct bp_frame *f = q->v[q->first];

    q->first = (q->first + 1) % q->cap;
    q->n--;
    q->bytes -= size_of(f);
    return f;
}

static void push(struct bp_queue_of_frames *q, struct bp_frame *f) {
    q->v[(q->first + q->n++) % q->cap] = f;
    q->bytes += size_of(f);
}

static bool can_be_taken(const struct bp_feed *s) {
    return s->q.n > 0 && (s->o.policy != BP_FEED_LATEST || s->o.credit > 0);
}

/* Tells the channel whether this one would take a message at once. */
static void count_wanting(struct bp_feed *s, bool now) {
    struct bp_channel *ch = s->channel;

    if (!ch || now == s->wanting)
        return;
    s->wanting = now;
    if (__atomic_add_fetch(&ch->wanting, now ? 1u : -1u, __ATOMIC_ACQ_REL) == 1 && now &&
        ch->wanted)
        ch->wanted(ch->ctx, ch);
}

static void look_wanting_locked(struct bp_feed *s) BP_REQUIRES(s->peer->lock);
static void look_wanting_locked(struct bp_feed *s) {
    count_wanting(s, s->o.policy != BP_FEED_LATEST || (s->o.credit > 0 && s->q.n == 0));
}

/* @return true: the peer is to be told */
static bool make_ready_locked(struct bp_feed *s) BP_REQUIRES(s->peer->lock);
static bool make_ready_locked(struct bp_feed *s) {
    if (s->ready || !can_be_taken(s))
        return false;
    s->ready = true;
    DL_APPEND2(s->peer->ready, s, ready_prev, ready_next);
    return true;
}

static void drop_locked(struct bp_feed *s) BP_REQUIRES(s->peer->lock);
static void drop_locked(struct bp_feed *s) {
    bp_frame_unref(pop(&s->q));
    if (s->o.policy == BP_FEED_LATEST) {
        bp_counter_add(&bp_fanout_stats.superseded, 1);
    } else {
        s->untold++;
        bp_counter_add(&bp_fanout_stats.dropped, 1);
    }
}

/* Puts a message into a subscription by its policy. @param f  a reference, taken over */
static void put_locked(struct bp_feed *s, struct bp_frame *f) BP_REQUIRES(s->peer->lock);
static void put_locked(struct bp_feed *s, struct bp_frame *f) {
    const struct bp_feed_options *o = &s->o;
    bool room;

    if (o->policy == BP_FEED_CLOSE) {
        room = s->q.bytes + size_of(f) <= o->max_bytes || s->q.n == 0;
    } else {
        while (s->q.n > 0 && (s->q.n >= o->max_frames || s->q.bytes + size_of(f) > o->max_bytes))
            drop_locked(s);
        room = true;
    }
    room = room && make_room(&s->q, o->max_frames);
    if (!room && o->policy != BP_FEED_CLOSE && s->q.n > 0) { /* no memory to grow */
        drop_locked(s);
        room = true;
    }
    if (room) {
        push(&s->q, f);
        return;
    }
    bp_frame_unref(f);
    if (o->policy == BP_FEED_CLOSE && !s->peer->overflown) {
        s->peer->overflown = true;
        bp_counter_add(&bp_fanout_stats.overflown, 1);
    }
    s->untold++;
}

/* Lets a message of a channel in. @return true: the peer is to be told */
static bool let_in_locked(struct bp_feed *s, struct bp_frame *f, bp_ns_t now)
    BP_REQUIRES(s->peer->lock);
static bool let_in_locked(struct bp_feed *s, struct bp_frame *f, bp_ns_t now) {
    if (f->seq < s->want) /* from before it subscribed */
        return false;
    if (f->seq > s->want && s->o.policy != BP_FEED_LATEST) { /* lost before it came here */
        s->untold += f->seq - s->want;
        bp_counter_add(&bp_fanout_stats.dropped, f->seq - s->want);
    }
    s->want = f->seq + 1;
    if (s->o.min_interval && now > 0) {
        if (!bp_pace_allows(s->mono_next, s->o.min_interval, now))
            return false;
        s->mono_next = bp_pace_next(s->mono_next, s->o.min_interval, now);
    }
    put_locked(s, bp_frame_ref(f));
    look_wanting_locked(s);
    return make_ready_locked(s) || s->peer->overflown;
}

static void let_in(struct bp_feed *s, struct bp_frame *f, bp_ns_t now) {
    bool tell;

    bp_mutex_lock(&s->peer->lock);
    tell = let_in_locked(s, f, now);
    bp_mutex_unlock(&s->peer->lock);
    if (tell)
        bp_loop_soon(s->peer->loop, &s->peer->soon);
}

/* Loop thread. */
static void hand_out(void *a, void *b) {
    struct at_loop *at = a;
    struct bp_frame *f = b;
    struct bp_channel *ch = at->channel;
    struct lane *lane = &ch->fanout->lanes[at - ch->at];
    bp_ns_t now = bp_mono_ns();
    struct bp_feed *s;

    (void) __atomic_sub_fetch(&lane->bytes, size_of(f), __ATOMIC_RELAXED);
    bp_gauge_add(&bp_fanout_stats.inbox_bytes, -(int64_t) size_of(f));
    DL_FOREACH(at->feeds, s) {
        let_in(s, f, now);
    }
    bp_frame_unref(f);
    bp_channel_unref(ch);
}

static void post(struct at_loop *at, struct lane *lane, struct bp_frame *f) {
    size_t size = size_of(f);
    size_t bytes = __atomic_add_fetch(&lane->bytes, size, __ATOMIC_RELAXED);

    bp_gauge_add(&bp_fanout_stats.inbox_bytes, (int64_t) size);
    (void) bp_frame_ref(f);
    (void) bp_channel_ref(at->channel);
    if ((bytes <= at->channel->fanout->inbox_bytes || bytes == size) &&
        bp_loop_post(lane->loop, hand_out, at, f) == 0)
        return;
    /* the number of the next one tells subscribers what they have missed */
    (void) __atomic_sub_fetch(&lane->bytes, size, __ATOMIC_RELAXED);
    bp_gauge_add(&bp_fanout_stats.inbox_bytes, -(int64_t) size);
    bp_counter_add(&bp_fanout_stats.inbox_full, 1);
    bp_frame_unref(f);
    bp_channel_unref(at->channel);
}

uint64_t bp_channel_publish(struct bp_channel *ch, struct bp_frame *frame) {
    char stamp[BP_STAMP_MAX];
    uint64_t seq;

    bp_mutex_lock(&ch->lock);
    seq = frame->seq = ++ch->seq;
    bp_frame_seal(frame, stamp,
                  ch->stamp && frame->opcode == BP_WS_TEXT ? ch->stamp(ch, seq, stamp) : 0);
    remember_locked(ch, frame);
    for (unsigned i = 0; i < ch->fanout->nloops; i++)
        if (ch->at[i].n > 0)
            post(&ch->at[i], &ch->fanout->lanes[i], frame);
    bp_mutex_unlock(&ch->lock);
    bp_counter_add(&bp_fanout_stats.published, 1);
    bp_counter_add(&bp_fanout_stats.published_bytes, size_of(frame));
    bp_frame_unref(frame);
    return seq;
}

void bp_channel_skip(struct bp_channel *ch, uint64_t n) {
    assert(ch->replay_max == 0);
    bp_mutex_lock(&ch->lock);
    ch->seq += n;
    bp_mutex_unlock(&ch->lock);
}

/* --- peers --- */

static void on_soon(struct bp_loop_task *t) {
    struct bp_peer *p = BP_CONTAINER_OF(t, struct bp_peer, soon);

    p->ops->ready(p);
}

void bp_peer_init(struct bp_peer *p, struct bp_fanout *f, const struct bp_peer_ops *ops,
                  size_t own_bytes) {
    *p = (struct bp_peer){ .ops = ops, .fanout = f, .soon.run = on_soon };
    p->loop = bp_fanout_loop(f, &p->loop_index);
    p->own = (struct bp_feed){
        .peer = p,
        .o = { .policy = BP_FEED_CLOSE,
               .max_frames = UINT32_MAX / 2,
               .max_bytes = own_bytes ? own_bytes : (size_t) 1024 * 1024 },
    };
    bp_mutex_init(&p->lock);
}

static void empty(struct bp_feed *s) {
    bp_mutex_lock(&s->peer->lock);
    while (s->q.n > 0)
        bp_frame_unref(pop(&s->q));
    if (s->ready)
        DL_DELETE2(s->peer->ready, s, ready_prev, ready_next);
    s->ready = false;
    bp_mutex_unlock(&s->peer->lock);
    free(s->q.v);
    s->q = (struct bp_queue_of_frames){ 0 };
}

void bp_peer_clear(struct bp_peer *p) {
    while (p->feeds)
        bp_feed_close(p->feeds);
    empty(&p->own);
}

void bp_peer_done(struct bp_peer *p) {
    bp_peer_clear(p);
    bp_loop_forget(p->loop, &p->soon);
    bp_mutex_done(&p->lock);
}

/* Enters the channel's list, and takes along what it remembers behind `after`.
 * @return how many of v[] were filled */
static unsigned enter(struct bp_feed *s, struct bp_frame **v, uint64_t *ret_gap) {
    struct bp_channel *ch = s->channel;
    struct at_loop *at = &ch->at[s->peer->loop_index];
    uint64_t from;
    unsigned n = 0;

    bp_mutex_lock(&ch->lock);
    from = s->o.resume ? BP_MIN(s->o.after, ch->seq) + 1 : ch->seq + 1;
    s->want = BP_MAX(from, ch->seq + 1 - ch->replay_n);
    s->first = s->want;
    *ret_gap = s->want - from;
    for (uint64_t seq = s->want; seq <= ch->seq; seq++)
        v[n++] = bp_frame_ref(ch->replay[seq % ch->replay_max]);
    at->n++;
    bp_mutex_unlock(&ch->lock);
    DL_APPEND(at->feeds, s);
    return n;
}

int bp_feed_open(struct bp_peer *p, struct bp_channel *ch, const struct bp_feed_options *o,
                 uint64_t *ret_gap, struct bp_feed **ret) {
    struct bp_feed *s = calloc(1, sizeof *s);
    struct bp_frame **v = calloc(BP_MAX(ch->replay_max, 1), sizeof(struct bp_frame *));
    uint64_t gap;
    unsigned n;

    if (!s || !v) {
        free(s);
        free(v);
        return -ENOMEM;
    }
    s->o = *o;
    s->o.max_frames = o->policy == BP_FEED_LATEST  ? 1
                      : o->policy == BP_FEED_CLOSE ? UINT32_MAX / 2
                      : o->max_frames              ? o->max_frames
                                                   : 256;
    s->o.max_bytes = o->max_bytes ? o->max_bytes : (size_t) 1024 * 1024;
    s->peer = p;
    s->channel = bp_channel_ref(ch);
    bp_mutex_lock(&p->lock);
    DL_APPEND2(p->feeds, s, peer_prev, peer_next);
    count_wanting(s, o->policy != BP_FEED_LATEST || o->credit > 0);
    bp_mutex_unlock(&p->lock);
    (void) __atomic_add_fetch(&ch->subscribers, 1, __ATOMIC_ACQ_REL);
    bp_gauge_add(&bp_fanout_stats.subscriptions, 1);

    n = enter(s, v, &gap);
    for (unsigned i = 0; i < n; i++) { /* the past is not thinned, nor does it take others' room */
        s->o.max_frames += o->policy == BP_FEED_BOUNDED;
        s->o.max_bytes += size_of(v[i]);
        let_in(s, v[i], 0);
        bp_frame_unref(v[i]);
    }
    free(v);
    if (ret_gap)
        *ret_gap = gap;
    *ret = s;
    return 0;
}

void bp_feed_close(struct bp_feed *s) {
    struct bp_channel *ch = s->channel;
    struct at_loop *at = &ch->at[s->peer->loop_index];

    DL_DELETE(at->feeds, s);
    bp_mutex_lock(&ch->lock);
    at->n--;
    bp_mutex_unlock(&ch->lock);
    (void) __atomic_sub_fetch(&ch->subscribers, 1, __ATOMIC_ACQ_REL);
    bp_gauge_add(&bp_fanout_stats.subscriptions, -1);
    empty(s);
    bp_mutex_lock(&s->peer->lock);
    DL_DELETE2(s->peer->feeds, s, peer_prev, peer_next);
    count_wanting(s, false);
    bp_mutex_unlock(&s->peer->lock);
    bp_channel_unref(ch);
    free(s);
}

void bp_feed_credit(struct bp_feed *s, unsigned n) {
    bool tell;

    bp_mutex_lock(&s->peer->lock);
    s->o.credit = BP_MIN(s->o.credit + BP_MIN(n, 1000u), 1000u);
    tell = make_ready_locked(s);
    look_wanting_locked(s);
    bp_mutex_unlock(&s->peer->lock);
    if (tell)
        bp_loop_soon(s->peer->loop, &s->peer->soon);
}

struct bp_feed *bp_peer_feed(struct bp_peer *p, const struct bp_channel *ch) {
    struct bp_feed *s;

    DL_FOREACH2(p->feeds, s, peer_next) {
        if (s->channel == ch)
            break;
    }
    return s;
}

void bp_peer_put(struct bp_peer *p, struct bp_frame *frame) {
    struct bp_feed *own = &p->own;

    bp_mutex_lock(&own->peer->lock); /* the peer's, by the name clang expects */
    if (frame)
        put_locked(own, frame);
    else
        p->overflown = true;
    if (!own->ready && own->q.n > 0) { /* before the others */
        own->ready = true;
        DL_PREPEND2(p->ready, own, ready_prev, ready_next);
    }
    bp_mutex_unlock(&own->peer->lock);
    if (bp_loop_is_here(p->loop))
        bp_loop_soon(p->loop, &p->soon);
}

/* The next frame of the subscription whose turn it is. */
static struct bp_frame *next_locked(struct bp_peer *p) BP_REQUIRES(p->lock);
static struct bp_frame *next_locked(struct bp_peer *p) {
    struct bp_feed *s = p->ready;
    struct bp_frame *f = pop(&s->q);

    if (s->o.policy == BP_FEED_LATEST)
        s->o.credit--;
    count_wanting(s, s->o.policy != BP_FEED_LATEST || s->o.credit > 0);
    if (s == &p->own && s->q.n > 0)
        return f;
    if (p->ready->ready_next || !can_be_taken(s)) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): one alone is its own ready_prev */
        DL_DELETE2(p->ready, s, ready_prev, ready_next);
        s->ready = can_be_taken(s);
        if (s->ready)
            DL_APPEND2(p->ready, s, ready_prev, ready_next);
    }
    return f;
}

/* Messages of the subscription whose turn it is that were dropped and not told of. @return its
 * channel, a reference; NULL when there is nothing to tell */
static struct bp_channel *to_tell_locked(struct bp_peer *p, uint64_t *ret_n) BP_REQUIRES(p->lock);
static struct bp_channel *to_tell_locked(struct bp_peer *p, uint64_t *ret_n) {
    struct bp_feed *s = p->ready;

    if (!p->ops->lost || s->untold == 0 || !s->channel)
        return NULL;
    *ret_n = BP_TAKE(s->untold, 0);
    return bp_channel_ref(s->channel);
}

size_t bp_peer_take(struct bp_peer *p, struct bp_frame **ret, size_t max, size_t max_bytes) {
    size_t n = 0, bytes = 0;

    bp_mutex_lock(&p->lock);
    while (n < max && bytes < max_bytes && p->ready) {
        struct bp_frame *f;
        uint64_t lost;
        struct bp_channel *ch = to_tell_locked(p, &lost);

        if (ch) {
            bp_mutex_unlock(&p->lock);
            f = p->ops->lost(p, ch, lost);
            bp_channel_unref(ch);
            bp_mutex_lock(&p->lock);
            if (!f)
                continue;
        } else {
            f = next_locked(p);
        }
        bytes += size_of(f);
        ret[n++] = f;
    }
    bp_mutex_unlock(&p->lock);
    bp_counter_add(&bp_fanout_stats.taken, n);
    bp_counter_add(&bp_fanout_stats.taken_bytes, bytes);
    return n;
}

bool bp_peer_overflown(struct bp_peer *p) {
    bool yes;

    bp_mutex_lock(&p->lock);
    yes = p->overflown;
    bp_mutex_unlock(&p->lock);
    return yes;
}
