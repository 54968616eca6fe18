/* One lock a pump; its thread and the loop thread that sends are the two who take it, and the
 * handler that waits for the beginning. Nothing else is taken under it. */
#include "daemon/pump.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mutex.h"
#include "base/thread.h"

enum {
    ROOM = 1 << 20, /* between thread and loop */
    BEGUN = 4096,   /* so much, and what fails later is cut off */
    BEGIN_WAIT_MS = 2000,
};

struct bp_pumps {
    struct bp_mutex lock;
    pthread_cond_t idle;
    unsigned active, max; /* [lock]; constant */
    bool ending;          /* [lock] */
};

struct bp_pump {
    struct bp_pumps *all;
    const struct bp_pump_ops *ops;
    void *ctx;
    struct bp_http_stream *stream; /* a reference; set before the thread starts */
    struct bp_mutex lock;
    pthread_cond_t moved; /* room, data, or an end */
    uint8_t *ring;        /* [lock] ROOM bytes */
    size_t head, n;       /* [lock] */
    uint64_t written;     /* [lock] */
    bool ended;           /* [lock] `produce` has returned */
    int result;           /* [lock] what */
    struct bp_error err;  /* [lock] */
    bool gone;            /* [atomic] the reply has ended */
    unsigned refs;        /* [atomic] thread, stream, handler */
};

/* ---- all of them ---- */

struct bp_pumps *bp_pumps_new(unsigned max) {
    struct bp_pumps *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    bp_mutex_init(&p->lock);
    (void) pthread_cond_init(&p->idle, NULL);
    p->max = max;
    return p;
}

void bp_pumps_free(struct bp_pumps *p) {
    if (!p)
        return;
    bp_mutex_lock(&p->lock);
    p->ending = true;
    while (p->active > 0)
        bp_mutex_wait(&p->lock, &p->idle);
    bp_mutex_unlock(&p->lock);
    (void) pthread_cond_destroy(&p->idle);
    bp_mutex_done(&p->lock);
    free(p);
}

unsigned bp_pumps_active(struct bp_pumps *p) {
    unsigned n;

    bp_mutex_lock(&p->lock);
    n = p->active;
    bp_mutex_unlock(&p->lock);
    return n;
}

static int enter(struct bp_pumps *p, struct bp_error *err) {
    bool full;

    bp_mutex_lock(&p->lock);
    full = p->active == p->max || p->ending;
    p->active += !full;
    bp_mutex_unlock(&p->lock);
    return full ? bp_fail(err, -EAGAIN, "too many slices and downloads at once: try again later")
                : 0;
}

static void leave(struct bp_pumps *p) {
    bp_mutex_lock(&p->lock);
    if (--p->active == 0)
        (void) pthread_cond_broadcast(&p->idle);
    bp_mutex_unlock(&p->lock);
}

static void unref(struct bp_pump *p) {
    if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    bp_http_stream_unref(p->stream);
    (void) pthread_cond_destroy(&p->moved);
    bp_mutex_done(&p->lock);
    free(p->ring);
    free(p);
}

/* ---- the loop's side ---- */

static ssize_t read_ring(void *ctx, char *to, size_t max) {
    struct bp_pump *p = ctx;
    ssize_t n;

    bp_mutex_lock(&p->lock);
    n = (ssize_t) BP_MIN(BP_MIN(max, p->n), (size_t) ROOM - p->head);
    if (n > 0) {
        memcpy(to, p->ring + p->head, (size_t) n);
        p->head = (p->head + (size_t) n) % ROOM;
        p->n -= (size_t) n;
        (void) pthread_cond_broadcast(&p->moved);
    } else
        n = !p->ended ? -EAGAIN : p->result < 0 ? -EIO : 0;
    bp_mutex_unlock(&p->lock);
    return n;
}

static void stream_done(void *ctx) {
    struct bp_pump *p = ctx;

    bp_mutex_lock(&p->lock);
    __atomic_store_n(&p->gone, true, __ATOMIC_RELAXED);
    (void) pthread_cond_broadcast(&p->moved);
    bp_mutex_unlock(&p->lock);
    unref(p);
}

static const struct bp_http_stream_ops stream_ops = { .read = read_ring, .done = stream_done };

/* ---- the thread's side ---- */

const bool *bp_pump_gone(const struct bp_pump *p) {
    return &p->gone;
}

/* Some of it. @return bytes taken, or -ECANCELED */
static ssize_t put_some(struct bp_pump *p, const uint8_t *data, size_t n) {
    size_t tail;

    bp_mutex_lock(&p->lock);
    while (p->n == ROOM && !p->gone)
        bp_mutex_wait(&p->lock, &p->moved);
    if (p->gone) {
        bp_mutex_unlock(&p->lock);
        return -ECANCELED;
    }
    tail = (p->head + p->n) % ROOM;
    n = BP_MIN(BP_MIN(n, (size_t) ROOM - p->n), (size_t) ROOM - tail);
    memcpy(p->ring + tail, data, n);
    p->n += n;
    p->written += n;
    (void) pthread_cond_broadcast(&p->moved);
    bp_mutex_unlock(&p->lock);
    bp_http_stream_wake(p->stream);
    return (ssize_t) n;
}

int bp_pump_write(struct bp_pump *p, const void *data, size_t n) {
    const uint8_t *at = data;

    while (n > 0) {
        ssize_t k = put_some(p, at, n);

        if (k < 0)
            return (int) k;
        at += k;
        n -= (size_t) k;
    }
    return 0;
}

static void *run(void *arg) {
    struct bp_pump *p = arg;
    struct bp_pumps *all = p->all;
    struct bp_error err = { 0 };
    int r = p->ops->produce(p->ctx, p, &err);

    if (r < 0 && r != -ECANCELED)
        bp_log(BP_LOG_WARNING, "a reply could not be written to its end",
               BP_F_TEXT("error", err.text));
    p->ops->done(p->ctx);
    bp_mutex_lock(&p->lock);
    p->ended = true;
    p->result = r;
    p->err = err;
    (void) pthread_cond_broadcast(&p->moved);
    bp_mutex_unlock(&p->lock);
    bp_http_stream_wake(p->stream);
    unref(p);
    leave(all);
    return NULL;
}

/* ---- the handler's side ---- */

static struct bp_pump *pump_new(struct bp_pumps *all, const struct bp_pump_ops *ops, void *ctx) {
    struct bp_pump *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->ring = malloc(ROOM);
    if (!p->ring) {
        free(p);
        return NULL;
    }
    p->all = all;
    p->ops = ops;
    p->ctx = ctx;
    p->refs = 1; /* the handler's */
    bp_mutex_init(&p->lock);
    (void) pthread_cond_init(&p->moved, NULL);
    return p;
}

/* Waits until it has begun, has ended, or takes its time. @return 0, or why there is no reply */
static int wait_begin(struct bp_pump *p, struct bp_error *err) {
    struct timespec until;
    int r = 0;

    (void) clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += BEGIN_WAIT_MS / 1000;
    bp_mutex_lock(&p->lock);
    while (!p->ended && p->written < BEGUN)
        if (pthread_cond_clockwait(&p->moved, &p->lock.m, CLOCK_MONOTONIC, &until) != 0)
            break;
    if (p->ended && p->result < 0 && p->written < BEGUN) {
        r = p->result;
        if (err)
            *err = p->err;
    }
    bp_mutex_unlock(&p->lock);
    return r;
}

static int start(struct bp_pump *p, struct bp_http_reply *reply, const char *type,
                 struct bp_error *err) {
    pthread_t thread;
    int r;

    p->refs += 2; /* stream and thread; nobody else has it yet */
    bp_http_reply_stream(reply, 200, type, &stream_ops, p, &p->stream);
    r = p->stream ? bp_thread_start("pump", run, p, &thread) : -ENOMEM;
    if (r < 0) {
        unref(p);
        return bp_fail(err, r, "no thread to write the reply");
    }
    (void) pthread_detach(thread); /* bp_pumps_free() waits for it */
    return 0;
}

int bp_pump_reply(struct bp_pumps *all, struct bp_http_reply *reply, const char *type,
                  const struct bp_pump_ops *ops, void *ctx, struct bp_error *err) {
    struct bp_pump *p;
    int r = enter(all, err);

    if (r < 0) {
        ops->done(ctx);
        return r;
    }
    p = pump_new(all, ops, ctx);
    r = p ? start(p, reply, type, err) : bp_fail(err, -ENOMEM, "no memory for the reply");
    if (r < 0) {
        ops->done(ctx);
        leave(all);
    } else
        r = wait_begin(p, err);
    if (p)
        unref(p);
    return r;
}
