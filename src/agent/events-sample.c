#include "agent/events-sample.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "record/recorder.h"
#include "record/watch.h"
#include "wire/schema.h"

/* A receive thread copies what the rate allows into the queue of the thread "samples", which
 * decodes and publishes. That thread also opens and closes the watches, for both may wait; those
 * who subscribe only leave a wish in the table. It is started by the first of them. */

enum { SLOTS = 16, TICK_MS = 50 };

static const bp_ns_t ASK_AGAIN = 2 * BP_SEC;
static const bp_ns_t KEEP = 2 * BP_SEC; /* without subscribers, in case one comes back */

struct topic {
    uint64_t id; /* messages in the queue name it by this: it may be gone when they are decoded */
    struct bp_samples *all;
    struct bp_channel *channel;
    struct bp_watch *watch;   /* [samples thread] */
    bp_ns_t interval;         /* [atomic] */
    bp_ns_t next;             /* [atomic] mono, when the next message is due */
    uint32_t long_size;       /* [atomic] of a message that is too long to be shown, or 0 */
    const char *long_type;    /* [atomic] its type */
    bp_ns_t touched;          /* [lock] mono, when somebody looked for it, or it had a subscriber */
    struct bp_schema *schema; /* [samples thread] of `type`; NULL = `why` */
    bp_ns_t ask_again;        /* [samples thread] mono */
    char type[256];           /* [samples thread] */
    struct bp_error why;      /* [samples thread] */
    bool told;                /* [samples thread] that it cannot be watched */
    char name[BP_SAMPLES_NAME]; /* of the ROS topic */
};

struct bp_samples {
    struct bp_recorder *recorder;
    struct bp_fanout *fanout;
    size_t (*stamp)(const struct bp_channel *ch, uint64_t seq, char out[BP_STAMP_MAX]);
    struct bp_mutex lock;                    /* leaf */
    struct topic *topics[BP_SAMPLES_TOPICS]; /* [lock]; removed by the samples thread only */
    uint64_t next_id;                        /* [lock] */
    struct bp_watch_queue *queue;            /* [lock], set once, by those who want */
};

/* --- the samples thread --- */

/* Nodes may tell a definition late: what is not known is asked for again after a while. */
static void learn_type(struct topic *t, const struct bp_watch_sample *m) {
    BP_AUTO_BUF text = { 0 };
    bp_ns_t now = bp_mono_ns();
    int r;

    if (bp_streq(t->type, m->type) && (t->schema || now < t->ask_again))
        return;
    bp_schema_free(BP_TAKE_PTR(t->schema));
    t->ask_again = now + ASK_AGAIN;
    (void) snprintf(t->type, sizeof t->type, "%s", m->type);
    r = bp_recorder_definition(t->all->recorder, m->domain, m->graph, m->type, &text);
    if (r == 0 && text.failed)
        r = -ENOMEM;
    if (r < 0)
        (void) bp_fail(&t->why, r, "the definition of '%.200s' is not known here", m->type);
    else if (bp_schema_parse(m->type, "ros2msg", (struct bp_str){ (const char *) text.p, text.n },
                             &t->schema, &t->why) < 0)
        t->schema = NULL;
}

static void put_message(struct bp_buf *out, struct topic *t, const struct bp_watch_sample *m,
                        const uint8_t *cdr) {
    size_t before = out->n;
    struct bp_error err = { 0 };

    learn_type(t, m);
    if (!t->schema)
        err = t->why;
    else if (bp_schema_to_json(t->schema, cdr, m->size, true, out, &err) == 0)
        return;
    if (!out->failed)
        out->n = before;
    bp_buf_put_str(out, "null,\"why\":");
    bp_json_put_text(out, err.text, strlen(err.text));
}

static struct topic *find_id(struct bp_samples *s, uint64_t id) {
    struct topic *t = NULL;

    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < BP_SAMPLES_TOPICS && !t; i++)
        if (s->topics[i] && s->topics[i]->id == id)
            t = s->topics[i];
    bp_mutex_unlock(&s->lock);
    return t;
}

/* What is told of every message. */
static void put_head(struct bp_buf *out, const char *type, bp_ns_t recv, bp_ns_t source,
                     uint32_t size) {
    bp_buf_put_str(out, "{\"type\":");
    bp_json_put_text(out, type, strlen(type));
    bp_buf_printf(out, ",\"recv_ns\":\"%lld\",\"source_ns\":\"%lld\",\"size\":%u,\"message\":",
                  (long long) recv, (long long) source, size);
}

static void publish(struct topic *t, struct bp_buf *out) {
    struct bp_frame *f;

    bp_buf_put_str(out, "}}"); /* of the data and of the event */
    f = out->failed ? NULL : bp_frame_new(BP_WS_TEXT, BP_STAMP_MAX, out->n);
    if (!f)
        return;
    memcpy(bp_frame_payload(f), out->p, out->n);
    (void) bp_channel_publish(t->channel, f);
}

static void on_message(void *ctx, const struct bp_watch_sample *m, const uint8_t *cdr, void *tag) {
    struct topic *t = find_id(ctx, (uintptr_t) tag);
    BP_AUTO_BUF out = { 0 };

    if (!t || bp_channel_subscribers(t->channel) == 0)
        return;
    put_head(&out, m->type, m->recv_ns, m->source_ns, m->size);
    put_message(&out, t, m, cdr);
    publish(t, &out);
}

/* One that was too long for the queue is told of without its content. */
static void tell_of_long(struct topic *t) {
    uint32_t size = __atomic_exchange_n(&t->long_size, 0, __ATOMIC_ACQUIRE);
    BP_AUTO_BUF out = { 0 };

    if (size == 0)
        return;
    put_head(&out, __atomic_load_n(&t->long_type, __ATOMIC_RELAXED), bp_wall_ns(), 0, size);
    bp_buf_printf(&out, "null,\"why\":\"%u bytes are too many to be shown\"", size);
    publish(t, &out);
}

/* Receive thread: as many as the rate allows go on. */
static void on_sample(void *ctx, const struct bp_watch_sample *m) {
    struct topic *t = ctx;
    bp_ns_t now = bp_mono_ns(), interval = __atomic_load_n(&t->interval, __ATOMIC_RELAXED);
    bp_ns_t next = __atomic_load_n(&t->next, __ATOMIC_RELAXED);

    if (bp_channel_subscribers(t->channel) == 0 || !bp_pace_allows(next, interval, now) ||
        !__atomic_compare_exchange_n(&t->next, &next, bp_pace_next(next, interval, now), false,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return;
    if (m->size > BP_SAMPLES_MAX_BYTES) {
        __atomic_store_n(&t->long_type, m->type, __ATOMIC_RELAXED); /* stays until the end */
        __atomic_store_n(&t->long_size, m->size, __ATOMIC_RELEASE);
        return;
    }
    bp_watch_queue_put(t->all->queue, m, (void *) (uintptr_t) t->id);
}

static void topic_free(struct topic *t) {
    bp_watch_close(t->watch);
    bp_schema_free(t->schema);
    bp_channel_unref(t->channel);
    free(t);
}

static void watch(struct topic *t) {
    struct bp_watch_opts o = { .topic = t->name, .fn = on_sample, .ctx = t };
    struct bp_error err = { 0 };

    if (bp_watch_open(t->all->recorder, &o, &t->watch, &err) == 0 || t->told)
        return;
    t->told = true;
    bp_log(BP_LOG_WARNING, "a topic cannot be watched, its samples are not shown",
           BP_F_TEXT("topic", t->name), BP_F_TEXT("error", err.text));
}

/* Watches what is wanted, lets go of what is not. */
static void on_idle(void *ctx) {
    struct bp_samples *s = ctx;
    bp_ns_t now = bp_mono_ns();

    for (size_t i = 0; i < BP_SAMPLES_TOPICS; i++) {
        struct topic *t, *old = NULL;

        bp_mutex_lock(&s->lock);
        t = s->queue ? s->topics[i] : NULL; /* not before start() is done */
        if (t && bp_channel_subscribers(t->channel) > 0)
            t->touched = now;
        else if (t && now - t->touched > KEEP)
            old = BP_TAKE_PTR(s->topics[i]);
        bp_mutex_unlock(&s->lock);
        if (old)
            topic_free(old);
        else if (t && !t->watch && bp_channel_subscribers(t->channel) > 0)
            watch(t);
        else if (t)
            tell_of_long(t);
    }
}

/* --- those who subscribe --- */

struct bp_samples *bp_samples_new(struct bp_recorder *recorder, struct bp_fanout *fanout,
                                  size_t (*stamp)(const struct bp_channel *ch, uint64_t seq,
                                                  char out[BP_STAMP_MAX])) {
    struct bp_samples *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->recorder = recorder;
    s->fanout = fanout;
    s->stamp = stamp;
    bp_mutex_init(&s->lock);
    return s;
}

void bp_samples_free(struct bp_samples *s) {
    if (!s)
        return;
    for (size_t i = 0; i < BP_SAMPLES_TOPICS; i++) /* no put comes any more */
        if (s->topics[i])
            bp_watch_close(BP_TAKE_PTR(s->topics[i]->watch));
    bp_watch_queue_close(s->queue);
    for (size_t i = 0; i < BP_SAMPLES_TOPICS; i++)
        if (s->topics[i])
            topic_free(s->topics[i]);
    bp_mutex_done(&s->lock);
    free(s);
}

/* A ROS name: what it is made of needs no escape in JSON and is no pattern. */
static bool is_name(const char *name) {
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/");

    return name[0] == '/' && name[n] == '\0' && n < BP_SAMPLES_NAME;
}

static struct topic *new_topic(struct bp_samples *s, const char *name, const char *topic) {
    struct topic *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->all = s;
    t->interval = INT64_MAX / 4;
    (void) snprintf(t->name, sizeof t->name, "%s", topic);
    t->channel =
        bp_channel_new(s->fanout, &(struct bp_channel_options){ .name = name, .stamp = s->stamp });
    if (!t->channel) {
        free(t);
        return NULL;
    }
    return t;
}

/* Finds it or puts `fresh` into the table. @return a reference; NULL: the table is full */
static struct bp_channel *enter(struct bp_samples *s, const char *topic, struct topic **fresh) {
    struct bp_channel *ch = NULL;
    size_t room = BP_SAMPLES_TOPICS;

    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < BP_SAMPLES_TOPICS && !ch; i++) {
        struct topic *t = s->topics[i];

        if (!t) {
            room = i;
        } else if (bp_streq(t->name, topic)) {
            t->touched = bp_mono_ns();
            ch = bp_channel_ref(t->channel);
        }
    }
    if (!ch && *fresh && room < BP_SAMPLES_TOPICS) {
        (*fresh)->id = ++s->next_id;
        (*fresh)->touched = bp_mono_ns();
        ch = bp_channel_ref((*fresh)->channel);
        s->topics[room] = BP_TAKE_PTR(*fresh);
    }
    bp_mutex_unlock(&s->lock);
    return ch;
}

struct bp_channel *bp_samples_channel(struct bp_samples *s, const char *name,
                                      struct bp_error *err) {
    const char *topic = name + strlen("sample:");
    struct topic *fresh = NULL;
    struct bp_channel *ch;

    if (!is_name(topic)) {
        (void) bp_fail(err, BP_EUSAGE, "'%.100s' is no name of a topic", topic);
        return NULL;
    }
    ch = enter(s, topic, &fresh);
    if (ch)
        return ch;
    fresh = new_topic(s, name, topic);
    if (!fresh) {
        (void) bp_fail(err, -ENOMEM, "out of memory");
        return NULL;
    }
    ch = enter(s, topic, &fresh);
    if (fresh)
        topic_free(fresh);
    if (!ch)
        (void) bp_fail(err, BP_ELIMIT, "samples of %d topics are watched already",
                       BP_SAMPLES_TOPICS);
    return ch;
}

/* The thread is started when it is needed first. */
static int start(struct bp_samples *s) {
    const struct bp_watch_queue_opts o = { .name = "samples",
                                           .slots = SLOTS,
                                           .max_message = BP_SAMPLES_MAX_BYTES,
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

int bp_samples_want(struct bp_samples *s, const struct bp_channel *ch, bp_ns_t interval) {
    bool ours = false;

    bp_mutex_lock(&s->lock);
    for (size_t i = 0; i < BP_SAMPLES_TOPICS; i++) {
        struct topic *t = s->topics[i];

        if (!t || t->channel != ch)
            continue;
        ours = true;
        /* the first one's rate counts anew */
        if (bp_channel_subscribers(ch) <= 1 || interval < t->interval)
            __atomic_store_n(&t->interval, interval, __ATOMIC_RELAXED);
    }
    bp_mutex_unlock(&s->lock);
    return ours ? start(s) : 0;
}
