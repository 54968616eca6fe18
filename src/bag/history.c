/* The history's ends, its definitions and its counters. How entries come in and go out is told in
 * history-memory.c, history-read.c and history-disk.c. */
#include "bag/history.h"

#include <errno.h>
#include <stdlib.h>

#include "bag/history-disk.h"
#include "bag/history-frame.h"
#include "bag/history-priv.h"

/* ---- definitions ---- */

static const char *text(const char *s) {
    return s ? s : "";
}

/* What makes it the same channel in another life. */
static bool same_channel(const struct bp_channel_def *a, const struct bp_channel_def *b) {
    return bp_streq(a->topic, b->topic) && bp_streq(a->type, b->type) &&
           bp_streq(text(a->type_hash), text(b->type_hash)) && a->domain == b->domain &&
           bp_streq(text(a->original_topic), text(b->original_topic));
}

/* [defs_lock] Takes the bytes over. */
static void define_channel(struct bp_history_store *h, struct hchannel *c, struct bp_buf *encoded) {
    struct bp_str bytes = { (const char *) encoded->p, encoded->n };

    if (bp_hchannel_decode(bytes, &c->def) < 0)
        return; /* we encoded it ourselves */
    bp_buf_done(&c->encoded);
    c->encoded = BP_TAKE(*encoded, (struct bp_buf){ 0 });
    c->version = atomic_fetch_add(&h->versions, 1) + 1;
    atomic_store(&c->depth, c->def.latched_depth);
}

static int put_channel(struct bp_history_store *h, uint32_t id, const struct bp_channel_def *d) {
    BP_AUTO_BUF encoded = { 0 };
    struct hchannel *c;

    bp_hchannel_encode(d, &encoded);
    if (encoded.failed)
        return -ENOMEM;
    if (id < h->nchannels) {
        define_channel(h, h->channels[id], &encoded);
        return 0;
    }
    if (id >= HISTORY_CHANNELS)
        return -ENOSPC;
    c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    define_channel(h, c, &encoded);
    h->channels[id] = c;
    atomic_store_explicit(&h->nchannels, id + 1, memory_order_release);
    return 0;
}

int bp_history_channel(struct bp_history_store *h, const struct bp_channel_def *d,
                       struct bp_error *err) {
    uint32_t id;
    int r;

    bp_mutex_lock(&h->defs_lock);
    for (id = 1; id < h->nchannels && !same_channel(&h->channels[id]->def, d);)
        id++;
    r = put_channel(h, id, d);
    bp_mutex_unlock(&h->defs_lock);
    if (r < 0)
        return bp_fail(err, r, "history: cannot add topic '%s': %s", d->topic, bp_strerror(r));
    return (int) id;
}

int bp_history_channel_update(struct bp_history_store *h, uint16_t channel,
                              const struct bp_channel_def *d) {
    int r = -ENOENT;

    bp_mutex_lock(&h->defs_lock);
    if (channel > 0 && channel < h->nchannels)
        r = put_channel(h, channel, d);
    bp_mutex_unlock(&h->defs_lock);
    return r;
}

static int add_source(struct bp_history_store *h, uint32_t id, const struct bp_source_def *d) {
    struct hsource *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    bp_hsource_encode(d, &s->encoded);
    if (s->encoded.failed ||
        bp_hsource_decode((struct bp_str){ (const char *) s->encoded.p, s->encoded.n }, &s->def) <
            0) {
        bp_buf_done(&s->encoded);
        free(s);
        return -ENOMEM;
    }
    s->id = id;
    s->channel = h->channels[d->channel];
    h->sources[id] = s;
    (void) atomic_fetch_add(&h->versions, 1);
    atomic_store_explicit(&h->nsources, id + 1, memory_order_release);
    return 0;
}

int bp_history_source(struct bp_history_store *h, const struct bp_source_def *d,
                      struct bp_error *err) {
    uint32_t id = 0;
    int r = 0;

    bp_mutex_lock(&h->defs_lock);
    if (d->channel == 0 || d->channel >= h->nchannels)
        r = -EINVAL;
    for (; r == 0 && id < h->nsources; id++)
        if (h->sources[id]->def.channel == d->channel &&
            memcmp(h->sources[id]->def.guid, d->guid, sizeof d->guid) == 0)
            break;
    if (r == 0 && id == h->nsources)
        r = id < HISTORY_SOURCES ? add_source(h, id, d) : -ENOSPC;
    bp_mutex_unlock(&h->defs_lock);
    if (r < 0)
        return bp_fail(err, r, "history: cannot add a source: %s", bp_strerror(r));
    return (int) id;
}

void bp_history_source_info_done(struct bp_history_source_info *i) {
    bp_buf_done(&i->memory);
    *i = (struct bp_history_source_info){ 0 };
}

int bp_history_describe(struct bp_history_store *h, uint32_t source,
                        struct bp_history_source_info *ret) {
    struct bp_buf *m = &ret->memory;
    const struct hsource *s;
    size_t channel;

    if (source >= atomic_load_explicit(&h->nsources, memory_order_acquire))
        return -ENOENT;
    s = h->sources[source];
    bp_buf_clear(m);
    bp_mutex_lock(&h->defs_lock);
    bp_buf_put(m, s->channel->encoded.p, s->channel->encoded.n);
    ret->version = s->channel->version;
    bp_mutex_unlock(&h->defs_lock);
    channel = m->n;
    bp_buf_put(m, s->encoded.p, s->encoded.n);
    if (m->failed)
        return -ENOMEM;
    if (bp_hchannel_decode((struct bp_str){ (char *) m->p, channel }, &ret->channel) < 0 ||
        bp_hsource_decode((struct bp_str){ (char *) m->p + channel, m->n - channel },
                          &ret->source) < 0)
        return -ENOMEM;
    return 0;
}

uint64_t bp_history_version(struct bp_history_store *h, uint32_t source) {
    uint64_t v;

    if (source >= atomic_load_explicit(&h->nsources, memory_order_acquire))
        return 0;
    bp_mutex_lock(&h->defs_lock);
    v = h->sources[source]->channel->version;
    bp_mutex_unlock(&h->defs_lock);
    return v;
}

/* ---- counters ---- */

void bp_history_stats(struct bp_history_store *h, struct bp_history_stats *ret) {
    struct bp_history_stats st;

    bp_mutex_lock(&h->lock);
    st = h->st;
    st.memory_bytes = h->o.max_bytes;
    st.latched = h->nkept;
    st.latched_bytes = h->kept_bytes;
    if (h->head == h->tail) {
        st.oldest_ns = st.newest_ns = 0;
    } else {
        st.oldest_ns = history_block(h, h->tail)->min_log;
        st.newest_ns = history_block(h, h->head - 1)->max_log;
    }
    bp_mutex_unlock(&h->lock);
    st.channels = BP_MAX(atomic_load(&h->nchannels), 1u) - 1;
    st.sources = atomic_load(&h->nsources);
    if (h->disk)
        bp_history_disk_stats(h->disk, &st);
    *ret = st;
}

void bp_history_channel_stats(struct bp_history_store *h, uint16_t channel,
                              struct bp_history_topic *ret) {
    const struct hchannel *c;

    *ret = (struct bp_history_topic){ 0 };
    if (channel == 0 || channel >= atomic_load_explicit(&h->nchannels, memory_order_acquire))
        return;
    c = h->channels[channel];
    ret->messages = atomic_load(&c->messages);
    ret->bytes = atomic_load(&c->bytes);
    ret->last_ns = atomic_load(&c->last_ns);
}

/* ---- begin and end ---- */

int bp_history_open(const struct bp_history_opts *o, struct bp_history_store **ret,
                    struct bp_error *err) {
    BP_CLEANUP(bp_history_closep) struct bp_history_store *h = calloc(1, sizeof *h);
    int r;

    if (!h)
        return bp_fail(err, -ENOMEM, "no memory for a history");
    h->o = *o;
    h->io = o->io ? o->io : &bp_io_posix;
    bp_mutex_init(&h->lock);
    bp_mutex_init(&h->defs_lock);
    h->channels = calloc(HISTORY_CHANNELS, sizeof(struct hchannel *));
    h->sources = calloc(HISTORY_SOURCES, sizeof(struct hsource *));
    if (!h->channels || !h->sources)
        return bp_fail(err, -ENOMEM, "no memory for a history");
    atomic_init(&h->nchannels, 1);
    h->next = 1;
    r = bp_history_memory_open(h, err);
    if (r == 0 && o->dir)
        r = bp_history_disk_open(h, &h->disk, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(h);
    return 0;
}

void bp_history_close(struct bp_history_store *h) {
    if (!h)
        return;
    bp_history_disk_close(h->disk);
    bp_history_memory_done(h);
    for (uint32_t i = 1; h->channels && i < h->nchannels; i++) {
        bp_buf_done(&h->channels[i]->encoded);
        free(h->channels[i]);
    }
    for (uint32_t i = 0; h->sources && i < h->nsources; i++) {
        bp_buf_done(&h->sources[i]->encoded);
        free(h->sources[i]);
    }
    free(h->channels);
    free(h->sources);
    bp_mutex_done(&h->defs_lock);
    bp_mutex_done(&h->lock);
    free(h);
}
