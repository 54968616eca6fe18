#include <errno.h>
#include <stdio.h>

#include "bag/writer-priv.h"
#include "base/crc.h"

/* Registration of channels and sources. A definition goes to three places: the ring, so that
 * kill -9 loses no channel; w->defs, from which segments are headed; and the tables that accept()
 * indexes, published by a release store of their length. */

static void encode_schema(struct bp_buf *b, uint16_t id, const struct bp_channel_def *c) {
    size_t rec = bp_rec_begin(b, BP_MCAP_SCHEMA);
    bool known = c->schema.n > 0 && c->schema_encoding;

    bp_buf_put_le16(b, id);
    bp_put_cstr(b, c->type);
    bp_put_cstr(b, known ? c->schema_encoding : ""); /* "" = no definition, by the specification */
    bp_put_text(b, c->schema.p, known ? c->schema.n : 0);
    bp_rec_end(b, rec);
}

static void put_pair(struct bp_buf *b, const char *key, const char *value) {
    if (!value || !value[0])
        return;
    bp_put_cstr(b, key);
    bp_put_cstr(b, value);
}

static void encode_channel(struct bp_buf *b, uint16_t id, uint16_t schema,
                           const struct bp_channel_def *c) {
    size_t rec = bp_rec_begin(b, BP_MCAP_CHANNEL), map;
    char domain[16];

    (void) snprintf(domain, sizeof domain, "%u", c->domain);
    bp_buf_put_le16(b, id);
    bp_buf_put_le16(b, schema);
    bp_put_cstr(b, c->topic);
    bp_put_cstr(b, "cdr");
    map = bp_map_begin(b);
    bp_put_cstr(b, "offered_qos_profiles"); /* the profile ros2 demands it, even empty */
    bp_put_cstr(b, c->qos_yaml ? c->qos_yaml : "");
    put_pair(b, "topic_type_hash", c->type_hash);
    put_pair(b, "bagpipe.robot", c->robot);
    put_pair(b, "bagpipe.namespace", c->ns);
    put_pair(b, "bagpipe.domain", domain);
    put_pair(b, "bagpipe.original_topic", c->original_topic);
    put_pair(b, "bagpipe.keyed", c->keyed ? "true" : "");
    bp_map_end(b, map);
    bp_rec_end(b, rec);
}

/* The schema's id, from 1: an equal one that is there, or a new one. [defs_lock] */
static int schema_id(struct bp_writer *w, const struct bp_channel_def *c) {
    uint32_t n = BP_MAX(w->defs.nschemas, 1u), crc, *crcs;
    BP_AUTO_BUF b = { 0 };
    int r;

    encode_schema(&b, (uint16_t) n, c);
    if (b.failed)
        return -ENOMEM;
    crc = bp_crc32c(0, b.p + BP_REC_HEAD + 2, b.n - BP_REC_HEAD - 2);
    for (uint32_t i = 1; i < w->defs.nschemas; i++) {
        const struct bp_def_record *d = &w->defs.schemas[i];

        if (w->schema_crcs[i] == crc && d->n == b.n &&
            memcmp(d->p + BP_REC_HEAD + 2, b.p + BP_REC_HEAD + 2, b.n - BP_REC_HEAD - 2) == 0)
            return (int) i;
    }
    if (n > UINT16_MAX)
        return -ENOSPC;
    crcs = realloc(w->schema_crcs, (n + 1) * sizeof *crcs);
    if (!crcs)
        return -ENOMEM;
    w->schema_crcs = crcs;
    crcs[n] = crc;
    r = bp_ring_add_def(&w->ring, BP_DEF_SCHEMA, b.p, b.n);
    if (r == 0)
        r = bp_defs_put_schema(&w->defs, b.p, b.n);
    return r < 0 ? r : (int) n;
}

static int put_channel(struct bp_writer *w, uint16_t id, const struct bp_channel_def *c) {
    int schema = schema_id(w, c), r;
    BP_AUTO_BUF b = { 0 };

    if (schema < 0)
        return schema;
    encode_channel(&b, id, (uint16_t) schema, c);
    if (b.failed)
        return -ENOMEM;
    r = bp_ring_add_def(&w->ring, BP_DEF_CHANNEL, b.p, b.n);
    return r < 0 ? r : bp_defs_put_channel(&w->defs, b.p, b.n);
}

int bp_writer_channel(struct bp_writer *w, const struct bp_channel_def *d, struct bp_error *err) {
    struct channel *c = calloc(1, sizeof *c);
    uint32_t id;
    int r;

    bp_mutex_lock(&w->defs_lock);
    id = BP_MAX(w->nchannels, 1u);
    r = !c ? -ENOMEM : id > UINT16_MAX ? -ENOSPC : 0;
    if (r == 0)
        r = put_channel(w, (uint16_t) id, d);
    if (r == 0) {
        c->id = (uint16_t) id;
        c->priority = (uint8_t) d->priority;
        c->budget = d->budget_bytes;
        c->latched_depth = d->latched_depth;
        w->channels[id] = c;
        __atomic_store_n(&w->nchannels, id + 1, __ATOMIC_RELEASE);
    }
    bp_mutex_unlock(&w->defs_lock);
    if (r == 0 && d->latched_depth)
        (void) bp_writer_relatch(w, (uint16_t) id, d->topic, d->latched_depth); /* a courtesy */
    if (r == 0)
        return (int) id;

    free(c);
    return bp_fail(err, r, "cannot add topic '%s': %s", d->topic, bp_strerror(r));
}

int bp_writer_channel_update(struct bp_writer *w, uint16_t channel,
                             const struct bp_channel_def *d) {
    int r = -ENOENT;

    bp_mutex_lock(&w->defs_lock);
    if (channel > 0 && channel < w->nchannels)
        r = put_channel(w, channel, d);
    bp_mutex_unlock(&w->defs_lock);
    return r;
}

/* [defs_lock] */
static int find_source(const struct bp_writer *w, const struct bp_source_def *d) {
    for (uint32_t i = 0; i < w->nsources; i++)
        if (w->defs.sources[i] && w->defs.sources[i]->channel == d->channel &&
            memcmp(w->defs.sources[i]->guid, d->guid, 16) == 0)
            return (int) i;
    return -ENOENT;
}

/* When a session goes on after a crash, what its writers sent meanwhile reached nobody: with the
 * number a source had got to, the first message of this run finds the gap and ledgers it. */
int bp_writer_remember(struct bp_writer *w) {
    const struct bp_ledger *l = &w->folder.ledger;

    w->past = calloc(l->n + 1, sizeof *w->past);
    if (!w->past)
        return -ENOMEM;
    for (size_t i = 0; i < l->n; i++) {
        struct past *p = &w->past[w->npast];
        struct bp_ledger_totals t;

        bp_ledger_source_totals(l->v[i], &t);
        memcpy(p->guid, l->v[i]->guid, sizeof p->guid);
        p->last = t.last;
        p->topic = strdup(l->v[i]->topic);
        if (!p->topic)
            return -ENOMEM;
        w->npast++;
    }
    return 0;
}

static void recall(const struct bp_writer *w, const struct bp_source_def *d, struct source *s) {
    for (size_t i = 0; i < w->npast; i++)
        if (memcmp(w->past[i].guid, d->guid, sizeof d->guid) == 0 && w->past[i].last &&
            strcmp(w->past[i].topic, w->defs.topics[d->channel]) == 0) {
            s->seen = true;
            s->last = w->past[i].last;
        }
}

/* The same within a run, of a source that was away for so long that it was forgotten. */
static void recall_bygone(const struct bp_writer *w, const struct bp_source_def *d,
                          struct source *s) {
    uint64_t n = w->nbygone, first = n > BYGONES ? n - BYGONES : 0;

    for (uint64_t i = n; i-- > first;) {
        const struct bygone *b = &w->bygone[i % BYGONES];

        if (b->channel != d->channel || memcmp(b->guid, d->guid, sizeof d->guid) != 0)
            continue;
        s->seen = true;
        s->last = b->last;
        return;
    }
}

static int add_source(struct bp_writer *w, uint32_t id, const struct bp_source_def *d) {
    struct bp_def_source def = { .channel = d->channel, .vendor = d->vendor, .node = NULL };
    BP_AUTO_FREE char *node = strdup(d->node ? d->node : "");
    BP_AUTO_BUF b = { 0 };
    struct source *s;
    int r;

    if (!node || id >= BP_MAX_SOURCES)
        return node ? -ENOSPC : -ENOMEM;
    memcpy(def.guid, d->guid, 16);
    def.node = node;
    bp_buf_put_le32(&b, id);
    bp_source_encode(&def, &b);
    r = b.failed ? -ENOMEM : bp_ring_add_def(&w->ring, BP_DEF_SOURCE, b.p, b.n);
    if (r == 0)
        r = bp_defs_put_source(&w->defs, id, &def);
    s = r == 0 ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return r < 0 ? r : -ENOMEM;
    s->channel = w->channels[d->channel];
    s->id = id;
    recall(w, d, s);
    recall_bygone(w, d, s);
    w->sources[id] = s;
    __atomic_store_n(&w->nsources, id + 1, __ATOMIC_RELEASE);
    return 0;
}

/* It is back before it was forgotten. [defs_lock], which keeps it from being forgotten now */
static void keep_source(struct bp_writer *w, uint32_t id) {
    bp_mutex_lock(&w->lock);
    for (struct source **at = &w->gone; *at; at = &(*at)->next_gone)
        if ((*at)->id == id) {
            (*at)->after = 0;
            *at = (*at)->next_gone;
            break;
        }
    bp_mutex_unlock(&w->lock);
}

int bp_writer_source(struct bp_writer *w, const struct bp_source_def *d, struct bp_error *err) {
    int r;

    bp_mutex_lock(&w->defs_lock);
    r = d->channel == 0 || d->channel >= w->nchannels ? -EINVAL : find_source(w, d);
    if (r == -ENOENT) {
        uint32_t id = w->nsources;

        r = add_source(w, id, d);
        if (r == 0)
            r = (int) id;
    } else if (r >= 0) {
        keep_source(w, (uint32_t) r);
    }
    bp_mutex_unlock(&w->defs_lock);
    if (r < 0)
        return bp_fail(err, r, "cannot add a source on channel %u: %s", d->channel, bp_strerror(r));
    return r;
}

void bp_writer_source_gone(struct bp_writer *w, uint32_t source) {
    struct source *s;

    bp_mutex_lock(&w->lock);
    s = source < w->nsources ? w->sources[source] : NULL;
    /* latched messages are repeated for as long as the session lasts, with their source */
    if (s && !s->after && !s->channel->latched_depth) {
        s->after = w->head + 1;
        s->next_gone = w->gone;
        w->gone = s;
    }
    bp_mutex_unlock(&w->lock);
}

/* The first that can be forgotten, taken off the list. Pending runs may be told of any source, and
 * the next slot that opens takes them. */
static struct source *pick_gone_locked(struct bp_writer *w) {
    for (struct source **at = &w->gone; *at; at = &(*at)->next_gone) {
        struct source *s = *at;

        if (w->ring.hdr->pending_n)
            s->after = w->head + 1;
        else if (w->tail >= s->after || w->tail == w->head) {
            *at = s->next_gone;
            w->sources[s->id] = NULL;
            return s;
        }
    }
    return NULL;
}

static void source_free(struct source *s) {
    if (s)
        free(s->gaps);
    free(s);
}

/* How far it had got, so that what is missed until it comes back is known. [defs_lock] */
static void remember_bygone(struct bp_writer *w, const struct source *s) {
    const struct bp_def_source *d = w->defs.sources[s->id];
    struct bygone *b;

    if (!s->seen || !d)
        return;
    if (!w->bygone)
        w->bygone = calloc(BYGONES, sizeof *w->bygone);
    if (!w->bygone)
        return;
    b = &w->bygone[w->nbygone++ % BYGONES];
    memcpy(b->guid, d->guid, sizeof b->guid);
    b->channel = d->channel;
    b->last = s->last;
}

void bp_writer_forget_gone(struct bp_writer *w) {
    struct source *s;

    bp_mutex_lock(&w->defs_lock);
    do {
        bp_mutex_lock(&w->lock);
        s = pick_gone_locked(w);
        bp_mutex_unlock(&w->lock);
        if (s) {
            remember_bygone(w, s);
            bp_defs_forget_source(&w->defs, s->id);
        }
        source_free(s);
    } while (s);
    bp_mutex_unlock(&w->defs_lock);
}

int bp_writer_mark(struct bp_writer *w, const char *name, const char *const *kv) {
    struct mark *m = calloc(1, sizeof *m);

    if (!m)
        return -ENOMEM;
    (void) snprintf(m->name, sizeof m->name, "%s", name);
    (void) bp_put_metadata(&m->rec, m->name, kv);
    if (m->rec.failed) {
        bp_buf_done(&m->rec);
        free(m);
        return -ENOMEM;
    }
    bp_mutex_lock(&w->defs_lock);
    *w->marks_end = m;
    w->marks_end = &m->next;
    bp_mutex_unlock(&w->defs_lock);
    return 0;
}

void bp_writer_defs_done(struct bp_writer *w) {
    for (size_t i = 0; i < w->npast; i++)
        free(w->past[i].topic);
    free(w->past);
    free(w->bygone);
    for (uint32_t i = 1; w->channels && i < w->nchannels; i++)
        free(w->channels[i]);
    for (uint32_t i = 0; w->sources && i < w->nsources; i++)
        source_free(w->sources[i]);
    while (w->marks) {
        struct mark *m = w->marks;

        w->marks = m->next;
        bp_buf_done(&m->rec);
        free(m);
    }
    free(w->channels);
    free(w->sources);
    free(w->schema_crcs);
    bp_defs_done(&w->defs);
}
