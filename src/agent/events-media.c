#include "agent/events-media.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/json.h"
#include "base/log.h"
#include "media/media.h"
#include "record/recorder.h"
#include "record/watch.h"

/* As of samples (events-sample.c), with one difference: a receive thread copies a message only when
 * a viewer has credit and none of its topic waits to be made into a frame. So each topic has at
 * most one message in the queue, and what is slow to make is made less often, not later. */

enum { SLOTS = BP_STREAMS_MAX + 2, TICK_MS = 50, NICE = 5 };

static const bp_ns_t KEEP = 2 * BP_SEC;        /* without subscribers, in case one comes back */
static const bp_ns_t GIVEN_UP = 2 * BP_SEC;    /* a message that is waited for no longer */
static const bp_ns_t BETWEEN_REASONS = BP_SEC; /* of what cannot be shown */

struct stream {
    uint64_t id; /* messages in the queue name it by this: it may be gone when they are handled */
    struct bp_streams *all;
    struct bp_channel *channel;
    struct bp_watch *watch; /* [thread] */
    bp_ns_t interval;       /* [atomic] */
    bp_ns_t next;           /* [atomic] mono, when the next message is due */
    bp_ns_t queued;         /* [atomic] mono, when the one that waits came; 0 = none waits */
    uint32_t long_size;     /* [atomic] of a message that is too long to be shown, or 0 */
    bp_ns_t touched;        /* [lock] mono, when somebody looked for it, or it had a subscriber */
    bp_ns_t reason;         /* [thread] mono, when one was told last */
    bool told;              /* [thread] that it cannot be watched */
    struct bp_media_want want; /* constant, as the name */
    char name[BP_STREAMS_NAME];
};

struct bp_streams {
    struct bp_recorder *recorder;
    struct bp_fanout *fanout;
    const char *thread;
    size_t (*stamp)(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]);
    struct bp_mutex lock;                   /* leaf */
    struct stream *streams[BP_STREAMS_MAX]; /* [lock]; removed by the thread only */
    struct bp_watch_queue *queue;           /* [lock], set once, by those who want */
    struct bp_buf out;                      /* [thread] the frame being made */
    bool nice;                              /* [thread] */
};

static uint64_t next_id; /* [atomic] of this process */

static struct { struct bp_counter made, bytes, failed, ns; } stats;

/* --- the thread --- */

static struct stream *find_id(struct bp_streams *s, uint64_t id) {
    struct stream *t = NULL;

    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < BP_STREAMS_MAX && !t; i++)
        if (s->streams[i] && s->streams[i]->id == id)
            t = s->streams[i];
    bp_mutex_unlock(&s->lock);
    return t;
}

static void publish(struct stream *t, enum bp_ws_opcode opcode, size_t stamp,
                    const struct bp_buf *b) {
    struct bp_frame *f = b->failed ? NULL : bp_frame_new(opcode, stamp, b->n);

    if (!f)
        return;
    memcpy(bp_frame_payload(f), b->p, b->n);
    (void) bp_channel_publish(t->channel, f);
}

static void tell_why(struct stream *t, const char *why) {
    bp_ns_t now = bp_mono_ns();
    BP_AUTO_BUF b = { 0 };

    bp_counter_add(&stats.failed, 1);
    if (t->reason && now - t->reason < BETWEEN_REASONS)
        return;
    t->reason = now;
    bp_buf_put_str(&b, "{\"why\":");
    bp_json_put_text(&b, why, strlen(why));
    bp_buf_put_str(&b, "}}"); /* of the data and of the event */
    publish(t, BP_WS_TEXT, BP_STAMP_MAX, &b);
}

static void on_message(void *ctx, const struct bp_watch_sample *m, const uint8_t *cdr, void *tag) {
    struct bp_streams *s = ctx;
    struct stream *t = find_id(s, (uintptr_t) tag);
    bp_ns_t begin = bp_mono_ns();
    struct bp_error err;

    if (!t)
        return;
    __atomic_store_n(&t->queued, 0, __ATOMIC_RELEASE);
    if (bp_channel_wanting(t->channel) == 0)
        return;
    bp_buf_clear(&s->out);
    if (bp_media_make(&t->want, m->type, cdr, m->size, m->recv_ns, &s->out, &err) < 0) {
        tell_why(t, err.text);
        return;
    }
    /* nobody else publishes to it */
    bp_media_number(s->out.p, (uint32_t) t->id, bp_channel_seq(t->channel) + 1);
    bp_counter_add(&stats.made, 1);
    bp_counter_add(&stats.bytes, s->out.n);
    bp_counter_add(&stats.ns, (uint64_t) (bp_mono_ns() - begin));
    publish(t, BP_WS_BINARY, 0, &s->out);
}

/* Receive thread: one at a time goes on, when somebody wants it. */
static void on_sample(void *ctx, const struct bp_watch_sample *m) {
    struct stream *t = ctx;
    bp_ns_t now = bp_mono_ns(), interval = __atomic_load_n(&t->interval, __ATOMIC_RELAXED);
    bp_ns_t next = __atomic_load_n(&t->next, __ATOMIC_RELAXED);
    bp_ns_t queued = __atomic_load_n(&t->queued, __ATOMIC_ACQUIRE);

    if (bp_channel_wanting(t->channel) == 0 || !bp_pace_allows(next, interval, now) ||
        (queued && now - queued < GIVEN_UP) ||
        !__atomic_compare_exchange_n(&t->queued, &queued, now, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&t->next, bp_pace_next(next, interval, now), __ATOMIC_RELAXED);
    if (m->size > BP_STREAMS_MESSAGE) {
        __atomic_store_n(&t->long_size, m->size, __ATOMIC_RELAXED);
        __atomic_store_n(&t->queued, 0, __ATOMIC_RELEASE);
        return;
    }
    bp_watch_queue_put(t->all->queue, m, (void *) (uintptr_t) t->id);
}

static void stream_free(struct stream *t) {
    bp_watch_close(t->watch);
    bp_channel_unref(t->channel);
    free(t);
}

static void watch(struct stream *t) {
    struct bp_watch_opts o = { .topic = t->want.topic, .fn = on_sample, .ctx = t };
    struct bp_error err = { 0 };

    if (bp_watch_open(t->all->recorder, &o, &t->watch, &err) == 0 || t->told)
        return;
    t->told = true;
    bp_log(BP_LOG_WARNING, "a topic cannot be watched, it is not shown",
           BP_F_TEXT("topic", t->want.topic), BP_F_TEXT("error", err.text));
}

static void tell_of_long(struct stream *t) {
    uint32_t size = __atomic_exchange_n(&t->long_size, 0, __ATOMIC_RELAXED);
    char why[80];

    if (size == 0)
        return;
    (void) snprintf(why, sizeof why, "%u bytes are too many to be shown", size);
    tell_why(t, why);
}

/* What is recorded goes before what is shown. */
static void be_nice(struct bp_streams *s) {
    if (s->nice)
        return;
    s->nice = true;
    (void) setpriority(PRIO_PROCESS, (id_t) gettid(), NICE);
}

/* Watches what is wanted, lets go of what is not. */
static void on_idle(void *ctx) {
    struct bp_streams *s = ctx;
    bp_ns_t now = bp_mono_ns();

    be_nice(s);
    for (size_t i = 0; i < BP_STREAMS_MAX; i++) {
        struct stream *t, *old = NULL;

        bp_mutex_lock(&s->lock);
        t = s->queue ? s->streams[i] : NULL; /* not before start() is done */
        if (t && bp_channel_subscribers(t->channel) > 0)
            t->touched = now;
        else if (t && now - t->touched > KEEP)
            old = BP_TAKE_PTR(s->streams[i]);
        bp_mutex_unlock(&s->lock);
        if (old)
            stream_free(old);
        else if (t && !t->watch && bp_channel_subscribers(t->channel) > 0)
            watch(t);
        else if (t)
            tell_of_long(t);
    }
}

/* --- those who subscribe --- */

struct bp_streams *
bp_streams_new(struct bp_recorder *recorder, struct bp_fanout *fanout, const char *thread,
               size_t (*stamp)(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX])) {
    struct bp_streams *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->recorder = recorder;
    s->fanout = fanout;
    s->thread = thread;
    s->stamp = stamp;
    bp_mutex_init(&s->lock);
    return s;
}

void bp_streams_free(struct bp_streams *s) {
    if (!s)
        return;
    for (size_t i = 0; i < BP_STREAMS_MAX; i++) /* no put comes any more */
        if (s->streams[i])
            bp_watch_close(BP_TAKE_PTR(s->streams[i]->watch));
    bp_watch_queue_close(s->queue);
    for (size_t i = 0; i < BP_STREAMS_MAX; i++)
        if (s->streams[i])
            stream_free(s->streams[i]);
    bp_buf_done(&s->out);
    bp_mutex_done(&s->lock);
    free(s);
}

static struct stream *new_stream(struct bp_streams *s, const char *name,
                                 const struct bp_media_want *want) {
    struct stream *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->all = s;
    t->interval = INT64_MAX / 4;
    t->want = *want;
    t->id = (uint32_t) __atomic_add_fetch(&next_id, 1, __ATOMIC_RELAXED);
    (void) snprintf(t->name, sizeof t->name, "%s", name);
    t->channel =
        bp_channel_new(s->fanout, &(struct bp_channel_options){ .name = name, .stamp = s->stamp });
    if (!t->channel) {
        free(t);
        return NULL;
    }
    return t;
}

/* Is it one that was asked for and not subscribed to, when there is no thread to remove it? */
static bool is_left(const struct bp_streams *s, const struct stream *t, bp_ns_t now) {
    return !s->queue && now - t->touched > KEEP && bp_channel_subscribers(t->channel) == 0;
}

/* Finds it or puts `fresh` into the table. @return a reference; NULL: the table is full */
static struct bp_channel *enter(struct bp_streams *s, const char *name, struct stream **fresh) {
    struct stream *old = NULL;
    struct bp_channel *ch = NULL;
    size_t room = BP_STREAMS_MAX;

    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < BP_STREAMS_MAX && !ch; i++) {
        struct stream *t = s->streams[i];

        if (!t || (is_left(s, t, bp_mono_ns()) && !bp_streq(t->name, name))) {
            room = i;
        } else if (bp_streq(t->name, name)) {
            t->touched = bp_mono_ns();
            ch = bp_channel_ref(t->channel);
        }
    }
    if (!ch && *fresh && room < BP_STREAMS_MAX) {
        (*fresh)->touched = bp_mono_ns();
        ch = bp_channel_ref((*fresh)->channel);
        old = s->streams[room];
        s->streams[room] = BP_TAKE_PTR(*fresh);
    }
    bp_mutex_unlock(&s->lock);
    if (old)
        stream_free(old);
    return ch;
}

struct bp_channel *bp_streams_channel(struct bp_streams *s, const char *name,
                                      struct bp_error *err) {
    struct stream *fresh = NULL;
    struct bp_media_want want;
    struct bp_channel *ch;

    if (strlen(name) >= BP_STREAMS_NAME) {
        (void) bp_fail(err, BP_EUSAGE, "the name is too long");
        return NULL;
    }
    if (bp_media_want_parse(name, &want, err) < 0)
        return NULL;
    ch = enter(s, name, &fresh);
    if (ch)
        return ch;
    fresh = new_stream(s, name, &want);
    if (!fresh) {
        (void) bp_fail(err, -ENOMEM, "out of memory");
        return NULL;
    }
    ch = enter(s, name, &fresh);
    if (fresh)
        stream_free(fresh);
    if (!ch)
        (void) bp_fail(err, BP_ELIMIT, "%d streams of this kind are shown already", BP_STREAMS_MAX);
    return ch;
}

/* The thread is started when it is needed first. */
static int start(struct bp_streams *s) {
    const struct bp_watch_queue_opts o = { .name = s->thread,
                                           .slots = SLOTS,
                                           .max_message = BP_STREAMS_MESSAGE,
                                           .fn = on_message,
                                           .idle = on_idle,
                                           .tick = TICK_MS * BP_MS,
                                           .ctx = s };
    struct bp_watch_queue *q;
    int r = s->queue ? 0 : bp_watch_queue_open(&o, &q, NULL);

    if (r < 0 || s->queue)
        return r;
    bp_mutex_lock(&s->lock);
    s->queue = q;
    bp_mutex_unlock(&s->lock);
    return 0;
}

static struct stream *find_locked(struct bp_streams *s, const struct bp_channel *ch)
    BP_REQUIRES(s->lock);
static struct stream *find_locked(struct bp_streams *s, const struct bp_channel *ch) {
    for (size_t i = 0; i < BP_STREAMS_MAX; i++)
        if (s->streams[i] && s->streams[i]->channel == ch)
            return s->streams[i];
    return NULL;
}

int bp_streams_want(struct bp_streams *s, const struct bp_channel *ch, bp_ns_t interval) {
    struct stream *t;

    bp_mutex_lock(&s->lock);
    t = find_locked(s, ch);
    /* the first one's rate counts anew */
    if (t && (bp_channel_subscribers(ch) <= 1 || interval < t->interval)) {
        __atomic_store_n(&t->interval, interval, __ATOMIC_RELAXED);
        __atomic_store_n(&t->next, 0, __ATOMIC_RELAXED);
    }
    bp_mutex_unlock(&s->lock);
    return t ? start(s) : 0;
}

uint32_t bp_streams_id(struct bp_streams *s, const struct bp_channel *ch) {
    struct stream *t;
    uint32_t id;

    bp_mutex_lock(&s->lock);
    t = find_locked(s, ch);
    id = t ? (uint32_t) t->id : 0;
    bp_mutex_unlock(&s->lock);
    return id;
}

/* --- metrics --- */

#define COUNTER(metric, text, field, by)                                                      \
    {                                                                                         \
        .name = (metric), .help = (text), .type = BP_METRIC_COUNTER, .counter = &stats.field, \
        .scale = (by)                                                                         \
    }

const struct bp_metric bp_streams_metrics[] = {
    COUNTER("bagpipe_media_frames_total",
            "Pictures and clouds made for viewers: is anybody watching?", made, 1),
    COUNTER("bagpipe_media_bytes_total", "Their bytes, each frame once: how large is one?", bytes,
            1),
    COUNTER("bagpipe_media_seconds_total", "Time it took to make them: what do viewers cost?", ns,
            1e-9),
    COUNTER("bagpipe_media_failed_total",
            "Messages that could not be shown, viewers are told why: is an encoding unknown?",
            failed, 1),
};
const size_t bp_streams_metrics_count = BP_COUNT(bp_streams_metrics);
