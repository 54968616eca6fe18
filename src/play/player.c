/* The publisher waits for each message's moment and writes it; the time line it waits on can be
 * paused, stepped and stretched by others. See player-priv.h for who owns what. */
#include "play/player-priv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/thread.h"
#include "play/messages.h"
#include "wire/schema.h"

/* Sleeping ends up to this late, so the rest is waited for awake. */
#define SPIN_NS (50 * BP_US)
/* A sleeping publisher looks this often whether the time line was moved. */
#define NAP_NS   (10 * BP_MS)
#define ACK_NS   (10 * BP_SEC)

#define RATE_MIN 0.01
#define RATE_MAX 1000.0

int bp_player_open(const struct bp_play_opts *o, struct bp_player **ret, struct bp_error *err) {
    BP_CLEANUP(bp_player_freep) struct bp_player *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    p->opts = *o;
    p->rate = BP_MAX(RATE_MIN, BP_MIN(o->rate, RATE_MAX));
    p->paused = o->paused;
    bp_mutex_init(&p->lock);
    bp_mutex_init(&p->queue.lock);
    (void) pthread_cond_init(&p->moved, NULL);
    (void) pthread_cond_init(&p->queue.changed, NULL);
    p->queue.end = &p->queue.first;
    r = bp_play_plan(p, err);
    if (r < 0)
        return r;

    *ret = BP_TAKE_PTR(p);
    return 0;
}

static int advertise_clock(struct bp_player *p, struct bp_node *node, struct bp_error *err) {
    char hash[72] = "";
    struct bp_pub_opts o = {
        .topic = "/clock",
        .type = "rosgraph_msgs/msg/Clock",
        .type_hash = hash,
        .qos = bp_qos_default,
        .node = node,
    };

    (void) bp_typedb_hash(o.type, hash, NULL);
    o.qos.depth = 1;
    return bp_dds_advertise(p->dds, &o, &p->clock_pub, err);
}

int bp_player_join(struct bp_player *p, struct bp_error *err) {
    struct bp_dds_opts o = { 0 };
    struct bp_dds_events ev = { .notice = p->opts.notice, .ctx = p->opts.ctx };
    struct bp_node *node;
    int r = bp_dds_opts_from_env(&o, err);

    o.domain = p->opts.domain;
    o.sender_tuned = true;
    if (r >= 0)
        r = bp_dds_open(&o, &ev, &p->dds, err);
    if (r >= 0)
        r = bp_dds_node(p->dds, "/", "bagpipe_play", &node, err);
    for (size_t i = 0; r >= 0 && i < p->ntopics; i++) {
        struct bp_play_topic *t = &p->topics[i];
        struct bp_pub_opts po = { .topic = t->topic,
                                  .type = t->type,
                                  .keyed = t->keyed,
                                  .type_hash = t->type_hash,
                                  .qos = t->qos,
                                  .node = node };

        /* As fast as it goes, a writer that forgets would lose what a reader must ask for again. */
        if (p->opts.burst >= 0 && t->qos.reliability == BP_RELIABILITY_RELIABLE && !t->latched &&
            !t->fixed)
            po.qos.history = BP_HISTORY_KEEP_ALL;
        r = bp_dds_advertise(p->dds, &po, &t->pub, err);
    }
    if (r >= 0 && p->opts.clock_hz > 0)
        r = advertise_clock(p, node, err);
    return r;
}

bool bp_player_ready(const struct bp_player *p, const struct bp_play_wait *w, size_t n) {
    for (size_t i = 0; i < p->ntopics; i++) {
        int want = n == 0 ? 1 : 0;

        for (size_t k = 0; k < n; k++)
            if (bp_streq(w[k].topic, p->topics[i].topic))
                want = w[k].readers;
        if (want > 0 && bp_pub_matched(p->topics[i].pub) < want)
            return false;
    }
    return true;
}

/* ---- the time line ---- */

static bp_ns_t pos_locked(const struct bp_player *p, bp_ns_t mono) BP_REQUIRES(p->lock) {
    if (p->paused)
        return p->anchor_pos;
    return p->anchor_pos + (bp_ns_t) ((double) (mono - p->anchor_mono) * p->rate);
}

/* Holds on to where playback is, so that the speed may change from here. */
static void anchor_locked(struct bp_player *p) BP_REQUIRES(p->lock) {
    bp_ns_t now = bp_mono_ns();

    p->anchor_pos = pos_locked(p, now);
    p->anchor_mono = now;
}

void bp_player_pause(struct bp_player *p, bool paused) {
    bp_mutex_lock(&p->lock);
    anchor_locked(p);
    p->paused = paused;
    p->steps = 0;
    (void) pthread_cond_broadcast(&p->moved);
    bp_mutex_unlock(&p->lock);
}

bool bp_player_paused(struct bp_player *p) {
    bool paused;

    bp_mutex_lock(&p->lock);
    paused = p->paused;
    bp_mutex_unlock(&p->lock);
    return paused;
}

void bp_player_step(struct bp_player *p) {
    bp_mutex_lock(&p->lock);
    if (p->paused)
        p->steps++;
    (void) pthread_cond_broadcast(&p->moved);
    bp_mutex_unlock(&p->lock);
}

void bp_player_set_rate(struct bp_player *p, double rate) {
    bp_mutex_lock(&p->lock);
    anchor_locked(p);
    p->rate = BP_MAX(RATE_MIN, BP_MIN(rate, RATE_MAX));
    bp_mutex_unlock(&p->lock);
}

double bp_player_rate(struct bp_player *p) {
    double rate;

    bp_mutex_lock(&p->lock);
    rate = p->rate;
    bp_mutex_unlock(&p->lock);
    return rate;
}

/* What the publisher is to do about the message at `pos`. */
enum verdict { PUBLISH, PUBLISH_UNTIMED, WAIT, END };

static enum verdict judge(struct bp_player *p, bp_ns_t pos, bp_ns_t *ret_deadline) {
    enum verdict v = WAIT;

    bp_mutex_lock(&p->lock);
    while (p->paused && !p->steps && !p->stop)
        bp_mutex_wait(&p->lock, &p->moved);
    if (p->stop) {
        v = END;
    } else if (p->paused) { /* a step takes the time line with it */
        p->steps--;
        p->anchor_pos = BP_MAX(pos, p->anchor_pos);
        v = PUBLISH_UNTIMED;
    } else if (p->opts.burst >= 0) {
        p->anchor_pos = BP_MAX(pos, p->anchor_pos);
        p->anchor_mono = bp_mono_ns();
        v = PUBLISH_UNTIMED;
    } else {
        *ret_deadline = p->anchor_mono + (bp_ns_t) ((double) (pos - p->anchor_pos) / p->rate);
    }
    bp_mutex_unlock(&p->lock);
    return v;
}

static enum verdict wait_for(struct bp_player *p, bp_ns_t pos, bp_ns_t *ret_deadline) {
    for (;;) {
        enum verdict v = judge(p, pos, ret_deadline);
        bp_ns_t now, left;

        if (v != WAIT)
            return v;
        now = bp_mono_ns();
        left = *ret_deadline - now;
        if (left <= 0)
            return PUBLISH;
        if (left > NAP_NS) {
            bp_sleep_until(now + NAP_NS);
            continue;
        }
        bp_sleep_until(*ret_deadline - SPIN_NS);
        while (bp_mono_ns() < *ret_deadline) {
        }
        return PUBLISH;
    }
}

/* ---- publishing ---- */

static void note_lateness(struct bp_player *p, bp_ns_t late) {
    bp_ns_t bucket =
        BP_MIN(BP_MAX(late, (bp_ns_t) 0) / BP_PLAY_LATE_STEP, (bp_ns_t) BP_PLAY_LATE_BUCKETS - 1);

    p->late[bucket]++;
    if (late > p->late_max)
        p->late_max = late;
}

static void publish(struct bp_player *p, const struct bp_play_item *i) {
    struct bp_play_topic *t = &p->topics[i->topic];

    if (bp_pub_write(t->pub, i->data, i->size, p->opts.keep_stamps ? i->stamp : 0) < 0) {
        t->failed++;
        p->failed++;
        return;
    }
    if (p->opts.loop)
        p->rounds = (uint64_t) (i->pos / (p->end_ns - p->start_ns));
    t->published++;
    p->messages++;
    p->bytes += i->size;
}

static void *publish_run(void *arg) {
    struct bp_player *p = arg;
    struct bp_play_item *i;
    int64_t left = p->opts.burst > 0 ? p->opts.burst : INT64_MAX;

    (void) prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    while (left-- > 0 && (i = bp_play_queue_pop(&p->queue))) {
        bp_ns_t deadline = 0;
        enum verdict v = wait_for(p, i->pos, &deadline);

        if (v == PUBLISH)
            note_lateness(p, bp_mono_ns() - deadline);
        if (v != END)
            publish(p, i);
        free(i);
        if (v == END)
            break;
    }
    bp_play_queue_stop(&p->queue);
    p->over = true;
    return NULL;
}

static bp_ns_t recorded_time(const struct bp_player *p, bp_ns_t pos) {
    bp_ns_t span = p->end_ns - p->start_ns;

    if (pos < 0)
        pos = 0;
    return p->start_ns + (p->opts.loop ? pos % span : BP_MIN(pos, span - 1));
}

static void *clock_run(void *arg) {
    struct bp_player *p = arg;
    bp_ns_t period = (bp_ns_t) (1e9 / p->opts.clock_hz), due = bp_mono_ns();
    BP_AUTO_BUF b = { 0 };
    bool stop;

    do {
        bp_ns_t pos;

        bp_mutex_lock(&p->lock);
        stop = p->stop;
        pos = pos_locked(p, bp_mono_ns());
        bp_mutex_unlock(&p->lock);
        bp_buf_clear(&b);
        bp_msg_clock(&b, recorded_time(p, pos));
        if (!b.failed)
            (void) bp_pub_write(p->clock_pub, b.p, b.n, 0);
        due = BP_MAX(due + period, bp_mono_ns() - period);
        while (!stop && bp_mono_ns() < due) {
            bp_sleep_until(BP_MIN(due, bp_mono_ns() + NAP_NS));
            bp_mutex_lock(&p->lock);
            stop = p->stop;
            bp_mutex_unlock(&p->lock);
        }
    } while (!stop);
    return NULL;
}

/* ---- life ---- */

int bp_player_start(struct bp_player *p, struct bp_error *err) {
    int r = bp_thread_start("play-read", bp_play_feed, p, &p->feed_thread);

    p->feed_running = r == 0;
    if (r == 0) { /* what was latched before must be out before time begins */
        bp_mutex_lock(&p->lock);
        p->anchor_mono = bp_mono_ns() + (p->paused ? 0 : 10 * BP_MS);
        bp_mutex_unlock(&p->lock);
        r = bp_thread_start("play", publish_run, p, &p->publish_thread);
        p->publish_running = r == 0;
    }
    if (r == 0 && p->clock_pub) {
        r = bp_thread_start("play-clock", clock_run, p, &p->clock_thread);
        p->clock_running = r == 0;
    }
    return r < 0 ? bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r)) : 0;
}

bool bp_player_over(const struct bp_player *p) {
    return p->over;
}

static void stop_threads(struct bp_player *p) {
    bp_mutex_lock(&p->lock);
    p->stop = true;
    (void) pthread_cond_broadcast(&p->moved);
    bp_mutex_unlock(&p->lock);
    bp_play_queue_stop(&p->queue);
    if (BP_TAKE(p->publish_running, false))
        (void) pthread_join(p->publish_thread, NULL);
    if (BP_TAKE(p->clock_running, false))
        (void) pthread_join(p->clock_thread, NULL);
    if (BP_TAKE(p->feed_running, false))
        (void) pthread_join(p->feed_thread, NULL);
}

int bp_player_stop(struct bp_player *p, struct bp_error *err) {
    bool whole = p->over;
    bp_ns_t give_up = bp_mono_ns() + ACK_NS;

    stop_threads(p);
    p->all_acknowledged = whole;
    for (size_t i = 0; whole && i < p->ntopics; i++)
        if (p->topics[i].qos.reliability == BP_RELIABILITY_RELIABLE &&
            bp_pub_wait_acked(p->topics[i].pub, BP_MAX(give_up - bp_mono_ns(), BP_MS)) < 0)
            p->all_acknowledged = false;
    if (p->feed_result < 0)
        return bp_fail(err, p->feed_result, "%s", p->feed_error.text);
    return 0;
}

void bp_player_free(struct bp_player *p) {
    if (!p)
        return;
    stop_threads(p);
    for (size_t i = 0; i < p->ntopics; i++)
        bp_pub_close(p->topics[i].pub);
    bp_pub_close(p->clock_pub);
    bp_dds_close(p->dds);
    bp_play_feed_done(p);
    bp_play_plan_done(p);
    bp_mutex_done(&p->lock);
    bp_mutex_done(&p->queue.lock);
    (void) pthread_cond_destroy(&p->moved);
    (void) pthread_cond_destroy(&p->queue.changed);
    free(p);
}

/* ---- numbers ---- */

size_t bp_player_topics(const struct bp_player *p) {
    return p->ntopics;
}

void bp_player_topic(const struct bp_player *p, size_t i, struct bp_player_topic *ret) {
    const struct bp_play_topic *t = &p->topics[i];

    *ret = (struct bp_player_topic){
        .topic = t->topic,
        .type = t->type,
        .type_hash = t->type_hash,
        .qos = &t->qos,
        .keyed = t->keyed,
        .messages = t->messages,
        .published = t->published,
        .failed = t->failed,
        .readers = t->pub ? bp_pub_matched(t->pub) : 0,
    };
}

static bp_ns_t late_quantile(const struct bp_player *p, uint64_t timed, double q) {
    uint64_t below = 0;

    for (size_t i = 0; i < BP_PLAY_LATE_BUCKETS; i++) {
        below += p->late[i];
        if ((double) below >= q * (double) timed)
            return (bp_ns_t) (i + 1) * BP_PLAY_LATE_STEP;
    }
    return p->late_max;
}

void bp_player_stats(struct bp_player *p, struct bp_player_stats *ret) {
    bp_ns_t pos;

    bp_mutex_lock(&p->lock);
    pos = p->anchor_mono ? pos_locked(p, bp_mono_ns()) : 0;
    bp_mutex_unlock(&p->lock);
    *ret = (struct bp_player_stats){
        .start_ns = p->start_ns,
        .end_ns = p->end_ns,
        .now_ns = recorded_time(p, pos),
        .messages = p->messages,
        .bytes = p->bytes,
        .failed = p->failed,
        .rounds = p->rounds,
        .skipped_repeated = p->skipped_repeated,
        .late_max = p->late_max,
        .all_acknowledged = p->all_acknowledged,
    };
    for (size_t i = 0; i < BP_PLAY_LATE_BUCKETS; i++)
        ret->timed += p->late[i];
    ret->late_p50 = ret->timed ? late_quantile(p, ret->timed, 0.5) : 0;
    ret->late_p99 = ret->timed ? late_quantile(p, ret->timed, 0.99) : 0;
}
