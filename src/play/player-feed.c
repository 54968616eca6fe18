/* Reading ahead: one thread merges the recordings by time and queues copies of their messages, up
 * to a bound in bytes, so that the publisher never waits for a disk.
 *
 * Latched topics: segments begin with a repetition of the latched messages of earlier ones. Played
 * whole, a session must not publish those again; played from a later segment on, it must publish
 * them once. So what was handed on is remembered by (publish time, sequence). When playback starts
 * later than the recording, what was latched by then goes first. */
#include <errno.h>

#include <uthash.h>

#include "play/player-priv.h"

enum { LATCHED_BEFORE_MAX = 1000 }; /* messages per topic that go first */

struct bp_play_seen {
    struct {
        bp_ns_t publish_ns;
        uint64_t sequence;
    } key;
    UT_hash_handle hh;
};

static void forget(struct bp_play_topic *t) {
    struct bp_play_seen *s, *next;

    HASH_ITER(hh, t->seen, s, next) {
        HASH_DEL(t->seen, s);
        free(s);
    }
}

/* Remembers a message of a latched topic. @return whether it was known, or -ENOMEM */
static int remember(struct bp_play_topic *t, const struct bp_bag_msg *m) {
    struct bp_play_seen *s = calloc(1, sizeof *s), *known = NULL;

    if (!s)
        return -ENOMEM;
    s->key.publish_ns = m->publish_ns;
    s->key.sequence = m->sequence;
    HASH_FIND(hh, t->seen, &s->key, sizeof s->key, known);
    if (known) {
        free(s);
        return 1;
    }
    HASH_ADD(hh, t->seen, key, sizeof s->key, s);
    return 0;
}

/* ---- the queue ---- */

struct bp_play_item *bp_play_queue_pop(struct bp_play_queue *q) {
    struct bp_play_item *i;

    bp_mutex_lock(&q->lock);
    while (!q->first && !q->over && !q->stop)
        bp_mutex_wait(&q->lock, &q->changed);
    i = q->stop ? NULL : q->first;
    if (i) {
        q->first = i->next;
        if (!q->first)
            q->end = &q->first;
        q->bytes -= sizeof *i + i->size;
        (void) pthread_cond_broadcast(&q->changed);
    }
    bp_mutex_unlock(&q->lock);
    return i;
}

void bp_play_queue_stop(struct bp_play_queue *q) {
    bp_mutex_lock(&q->lock);
    q->stop = true;
    (void) pthread_cond_broadcast(&q->changed);
    bp_mutex_unlock(&q->lock);
}

/* Takes over the item; waits while the queue is full. @return false when nobody wants more */
static bool push(struct bp_play_queue *q, struct bp_play_item *i, uint64_t limit) {
    bool taken;

    bp_mutex_lock(&q->lock);
    while (q->first && q->bytes + i->size > limit && !q->stop)
        bp_mutex_wait(&q->lock, &q->changed);
    taken = !q->stop;
    if (taken) {
        i->next = NULL;
        *q->end = i;
        q->end = &i->next;
        q->bytes += sizeof *i + i->size;
        (void) pthread_cond_broadcast(&q->changed);
    }
    bp_mutex_unlock(&q->lock);
    if (!taken)
        free(i);
    return taken;
}

static void finish(struct bp_play_queue *q) {
    bp_mutex_lock(&q->lock);
    q->over = true;
    (void) pthread_cond_broadcast(&q->changed);
    bp_mutex_unlock(&q->lock);
}

/* ---- one message ---- */

static struct bp_play_item *item_of(const struct bp_play_bag *b, const struct bp_bag_msg *m,
                                    bp_ns_t pos) {
    struct bp_play_item *i = malloc(sizeof *i + m->size);

    if (!i)
        return NULL;
    *i = (struct bp_play_item){
        .pos = pos,
        .stamp = m->publish_ns,
        .topic = (uint32_t) b->topic[m->channel->index],
        .size = (uint32_t) m->size,
    };
    memcpy(i->data, m->data, m->size);
    return i;
}

/* @return 1 handed on, 0 left out, -ECANCELED nobody wants more, -ENOMEM */
static int hand_on(struct bp_player *p, const struct bp_play_bag *b, const struct bp_bag_msg *m,
                   bp_ns_t pos) {
    struct bp_play_topic *t = &p->topics[b->topic[m->channel->index]];
    struct bp_play_item *i;

    if (m->repeated || t->latched) {
        int known = remember(t, m);

        if (known < 0)
            return known;
        if (known && m->repeated) {
            p->skipped_repeated++;
            return 0;
        }
    }
    if (m->size < 4) /* not even an encapsulation header */
        return 0;
    i = item_of(b, m, pos);
    if (!i)
        return -ENOMEM;
    return push(&p->queue, i, p->opts.read_ahead_bytes) ? 1 : -ECANCELED;
}

/* ---- what was latched before the start ---- */

/* The last messages of one topic, oldest first. */
struct before {
    struct bp_play_item *first, *last; /* owned */
    unsigned n;
};

static void append(struct before *f, struct bp_play_item *i) {
    i->next = NULL;
    if (f->last)
        f->last->next = i;
    else
        f->first = i;
    f->last = i;
    f->n++;
}

/* @return the oldest, to be owned by the caller, or NULL */
static struct bp_play_item *take_first(struct before *f) {
    struct bp_play_item *i = f->first;

    if (!i)
        return NULL;
    f->first = i->next;
    if (!f->first)
        f->last = NULL;
    f->n--;
    return i;
}

static int gather_before(struct bp_player *p, const struct bp_play_bag *b, struct before *v,
                         struct bp_error *err) {
    size_t nchannels = bp_bag_get_info(b->bag)->nchannels;
    BP_AUTO_FREE bool *latched = calloc(nchannels + 1, sizeof *latched);
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    struct bp_bag_filter filter = { .channels = latched, .to_ns = p->start_ns - b->shift };
    struct bp_bag_msg m;
    int r;

    if (!latched)
        return -ENOMEM;
    for (size_t i = 0; i < nchannels; i++)
        latched[i] = b->wanted[i] && p->topics[b->topic[i]].latched;
    r = bp_bag_iterate(b->bag, &filter, &it, err);
    while (r >= 0 && (r = bp_bag_next(it, &m, err)) > 0) {
        size_t topic = b->topic[m.channel->index];
        int known = m.size < 4 ? 1 : remember(&p->topics[topic], &m);
        struct bp_play_item *i;

        if (known < 0)
            return known;
        if (known)
            continue;
        i = item_of(b, &m, 0);
        if (!i)
            return -ENOMEM;
        append(&v[topic], i);
        if (v[topic].n > LATCHED_BEFORE_MAX)
            free(take_first(&v[topic]));
    }
    return r;
}

static int feed_before(struct bp_player *p, bp_ns_t pos, struct bp_error *err) {
    struct before *v = calloc(p->ntopics + 1, sizeof *v);
    struct bp_play_item *i;
    int r = v ? 0 : -ENOMEM;

    for (size_t b = 0; r >= 0 && b < p->nbags; b++)
        r = gather_before(p, &p->bags[b], v, err);
    for (size_t t = 0; v && t < p->ntopics; t++)
        while ((i = take_first(&v[t]))) {
            i->pos = pos;
            if (r < 0)
                free(i);
            else if (!push(&p->queue, i, p->opts.read_ahead_bytes))
                r = -ECANCELED;
        }
    free(v);
    return r;
}

/* ---- rounds ---- */

static int open_iterators(struct bp_player *p, struct bp_error *err) {
    for (size_t i = 0; i < p->nbags; i++) {
        struct bp_play_bag *b = &p->bags[i];
        struct bp_bag_filter f = { .channels = b->wanted,
                                   .from_ns = p->start_ns - b->shift,
                                   .to_ns = p->end_ns - b->shift };
        int r;

        bp_bag_iter_free(BP_TAKE_PTR(b->it));
        b->have = false;
        r = bp_bag_iterate(b->bag, &f, &b->it, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The recording whose next message is the earliest; NULL at the end of all. */
static int earliest(struct bp_player *p, struct bp_play_bag **ret, struct bp_error *err) {
    *ret = NULL;
    for (size_t i = 0; i < p->nbags; i++) {
        struct bp_play_bag *b = &p->bags[i];

        if (!b->have && b->it) {
            int r = bp_bag_next(b->it, &b->head, err);

            if (r < 0)
                return r;
            b->have = r > 0;
            if (r == 0)
                bp_bag_iter_free(BP_TAKE_PTR(b->it));
        }
        if (b->have && (!*ret || b->head.log_ns + b->shift < (*ret)->head.log_ns + (*ret)->shift))
            *ret = b;
    }
    return 0;
}

/* @return messages handed on, or a negative code */
static int64_t feed_round(struct bp_player *p, bp_ns_t base, struct bp_error *err) {
    struct bp_play_bag *b;
    int64_t n = 0;
    int r = open_iterators(p, err);

    if (r >= 0 && p->start_ns > p->first_ns)
        r = feed_before(p, base, err);
    while (r >= 0 && (r = earliest(p, &b, err)) >= 0 && b) {
        r = hand_on(p, b, &b->head, base + b->head.log_ns + b->shift - p->start_ns);
        n += r > 0;
        b->have = false;
    }
    return r < 0 ? r : n;
}

void *bp_play_feed(void *arg) {
    struct bp_player *p = arg;
    bp_ns_t span = p->end_ns - p->start_ns;
    int64_t n = 0;

    for (bp_ns_t base = 0;; base += span) {
        for (size_t i = 0; i < p->ntopics; i++)
            forget(&p->topics[i]);
        n = feed_round(p, base, &p->feed_error);
        if (n < 0 || !p->opts.loop || n == 0)
            break;
    }
    if (n < 0 && n != -ECANCELED) {
        p->feed_result = (int) n;
        if (!p->feed_error.text[0])
            (void) bp_fail(&p->feed_error, (int) n, "%s", bp_strerror((int) n));
    }
    finish(&p->queue);
    return NULL;
}

void bp_play_feed_done(struct bp_player *p) {
    struct bp_play_item *next;

    for (struct bp_play_item *i = p->queue.first; i; i = next) {
        next = i->next;
        free(i);
    }
    p->queue.first = NULL;
    for (size_t i = 0; i < p->ntopics; i++)
        forget(&p->topics[i]);
}
