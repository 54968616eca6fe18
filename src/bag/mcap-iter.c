/* Messages of one MCAP file in order of log time. Units may overlap in time, so several are open at
 * once: a unit is opened when its first message could be the next one, and a heap holds the next
 * message of each open unit. Buffers of finished units are used again. */
#include "bag/mcap-priv.h"

#include <errno.h>

struct entry {
    uint64_t time;
    uint32_t at; /* of the record's content in the unit's records */
    uint32_t size;
};

struct open_unit {
    struct mcap_chunk_buf buf;
    struct entry *v; /* owned */
    size_t n, cap, next;
    size_t order; /* of the unit, to keep equal times stable */
    bool repeated;
};

struct bp_source_iter {
    struct mcap_source *m; /* borrowed */
    struct bp_source_filter f;
    const size_t *order; /* owned: units in file order, or NULL for by time */
    size_t *order_owned;
    size_t next_unit;
    struct open_unit **heap; /* owned: by (next time, order) */
    size_t nheap, cap_heap;
    struct open_unit **spare; /* owned: finished ones, for reuse */
    size_t nspare;
    struct open_unit *current; /* holds the message handed out last */
    uint64_t skipped_chunks, skipped_bytes;
};

static void unit_free(struct open_unit *u) {
    if (!u)
        return;
    mcap_chunk_buf_done(&u->buf);
    free(u->v);
    free(u);
}

void mcap_iter_free(struct bp_source_iter *it) {
    if (!it)
        return;

    for (size_t i = 0; i < it->nheap; i++)
        unit_free(it->heap[i]);
    for (size_t i = 0; i < it->nspare; i++)
        unit_free(it->spare[i]);
    unit_free(it->current);
    free(it->heap);
    free(it->spare);
    free(it->order_owned);
    free(it);
}

void mcap_skipped(const struct bp_source_iter *it, uint64_t *chunks, uint64_t *bytes) {
    *chunks = it->skipped_chunks + it->m->damaged_places;
    *bytes = it->skipped_bytes + it->m->damaged_bytes;
}

/* ---- the heap ---- */

static bool before(const struct open_unit *a, const struct open_unit *b) {
    uint64_t x = a->v[a->next].time, y = b->v[b->next].time;

    return x != y ? x < y : a->order < b->order;
}

static void sift_down(struct bp_source_iter *it, size_t i) {
    for (;;) {
        size_t l = 2 * i + 1, best = i;
        struct open_unit *tmp;

        if (l < it->nheap && before(it->heap[l], it->heap[best]))
            best = l;
        if (l + 1 < it->nheap && before(it->heap[l + 1], it->heap[best]))
            best = l + 1;
        if (best == i)
            return;
        tmp = it->heap[i];
        it->heap[i] = it->heap[best];
        it->heap[best] = tmp;
        i = best;
    }
}

static int push(struct bp_source_iter *it, struct open_unit *u) {
    size_t i = it->nheap;

    if (it->nheap == it->cap_heap) {
        size_t cap = it->cap_heap ? it->cap_heap * 2 : 16;
        struct open_unit **heap = realloc(it->heap, cap * sizeof(struct open_unit *));
        struct open_unit **spare;

        if (!heap)
            return -ENOMEM;
        it->heap = heap;
        spare = realloc(it->spare, (cap + 1) * sizeof(struct open_unit *));
        if (!spare)
            return -ENOMEM;
        it->spare = spare;
        it->cap_heap = cap;
    }
    it->heap[it->nheap++] = u;
    while (i > 0 && before(it->heap[i], it->heap[(i - 1) / 2])) {
        struct open_unit *tmp = it->heap[i];

        it->heap[i] = it->heap[(i - 1) / 2];
        it->heap[(i - 1) / 2] = tmp;
        i = (i - 1) / 2;
    }
    return 0;
}

static struct open_unit *pop(struct bp_source_iter *it) {
    struct open_unit *u = it->heap[0];

    it->heap[0] = it->heap[--it->nheap];
    sift_down(it, 0);
    return u;
}

/* ---- units ---- */

static int by_time(const void *a, const void *b) {
    const struct entry *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Lists the wanted messages of the unit's records. */
static int list_messages(struct bp_source_iter *it, struct open_unit *u) {
    struct bp_cur c = bp_cur_of(u->buf.records, (size_t) u->buf.n);
    const struct bp_source_filter *f = &it->f;
    struct bp_mcap_record rec;
    struct bp_mcap_message msg;
    bool sorted = true;
    int k;

    u->n = u->next = 0;
    while ((k = bp_mcap_next(&c, &rec)) > 0) {
        int32_t ch;

        if (rec.op != BP_MCAP_MESSAGE)
            continue;
        if (bp_mcap_message(&rec, &msg) < 0)
            return BP_EFORMAT;
        ch = it->m->by_id[msg.channel_id];
        if (ch < 0)
            return BP_EFORMAT;
        if (!f->channels[ch] || msg.log_time < f->from || msg.log_time >= f->to)
            continue;
        if (u->n == u->cap) {
            size_t cap = u->cap ? u->cap * 2 : 256;
            struct entry *v = realloc(u->v, cap * sizeof *v);

            if (!v)
                return -ENOMEM;
            u->v = v;
            u->cap = cap;
        }
        sorted = sorted && (u->n == 0 || u->v[u->n - 1].time <= msg.log_time);
        u->v[u->n++] =
            (struct entry){ msg.log_time, (uint32_t) (rec.p - u->buf.records), (uint32_t) rec.n };
    }
    if (k < 0)
        return k;
    if (!sorted && !f->file_order)
        qsort(u->v, u->n, sizeof *u->v, by_time);
    return 0;
}

static int load_loose(const struct mcap_source *m, const struct mcap_unit *x,
                      struct mcap_chunk_buf *b) {
    int r;

    bp_buf_clear(&b->file);
    if (!bp_buf_grow(&b->file, (size_t) x->len))
        return -ENOMEM;
    r = mcap_read(m, x->at, b->file.p, x->len);
    b->records = b->file.p;
    b->n = x->len;
    return r;
}

static int open_unit(struct bp_source_iter *it, const struct mcap_unit *x, size_t order,
                     struct bp_error *err) {
    struct open_unit *u = it->nspare ? it->spare[--it->nspare] : calloc(1, sizeof *u);
    struct bp_mcap_chunk c;
    int r;

    if (!u)
        return -ENOMEM;

    u->order = order;
    u->repeated = x->repeated;
    r = x->chunk ? mcap_load_chunk(it->m, x->at, !it->f.no_crc, &u->buf, &c)
                 : load_loose(it->m, x, &u->buf);
    if (r >= 0)
        r = list_messages(it, u);
    if (r >= 0 && u->n > 0) {
        r = push(it, u);
        if (r >= 0)
            return 0;
    }
    if (r < 0 && r != -ENOMEM && it->f.lenient) {
        it->skipped_chunks++;
        it->skipped_bytes += x->len;
        r = 0;
    }
    unit_free(u);
    return r < 0 ? bp_fail(err, r, "'%s': chunk at byte %llu: %s; `bagpipe recover` saves the rest",
                           it->m->s.file.path, (unsigned long long) x->at, bp_strerror(r))
                 : 0;
}

static bool wanted(const struct bp_source_iter *it, const struct mcap_unit *x) {
    if (x->end < it->f.from || x->start >= it->f.to)
        return false;
    for (uint32_t i = 0; i < x->nids; i++)
        if (it->f.channels[it->m->by_id[it->m->ids[x->ids + i]]])
            return true;
    return x->nids == 0;
}

/* Opens every unit whose first message could come before what the heap holds. */
static int fill(struct bp_source_iter *it, struct bp_error *err) {
    while (it->next_unit < it->m->nunits) {
        size_t i = it->order ? it->order[it->next_unit] : it->next_unit;
        const struct mcap_unit *x = &it->m->units[i];
        int r;

        if (it->nheap > 0 &&
            (it->f.file_order || x->start > it->heap[0]->v[it->heap[0]->next].time))
            return 0;
        it->next_unit++;
        if (!wanted(it, x))
            continue;
        r = open_unit(it, x, it->next_unit, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int by_place(const void *a, const void *b, void *units) {
    const struct mcap_unit *u = units;
    const size_t *x = a, *y = b;

    return u[*x].at < u[*y].at ? -1 : 1;
}

static size_t *file_order(const struct mcap_source *m) {
    size_t *v = malloc((m->nunits + 1) * sizeof *v);

    for (size_t i = 0; v && i < m->nunits; i++)
        v[i] = i;
    if (v && m->nunits > 1)
        qsort_r(v, m->nunits, sizeof *v, by_place, m->units);
    return v;
}

int mcap_iterate(struct bp_source *s, const struct bp_source_filter *f, struct bp_source_iter **ret,
                 struct bp_error *err) {
    struct bp_source_iter *it = calloc(1, sizeof *it);

    if (!it)
        return bp_fail(err, -ENOMEM, "no memory to read '%s'", s->file.path);

    it->m = mcap_source_of(s);
    it->f = *f;
    if (f->file_order) {
        it->order_owned = file_order(it->m);
        it->order = it->order_owned;
        if (!it->order) {
            mcap_iter_free(it);
            return bp_fail(err, -ENOMEM, "no memory to read '%s'", s->file.path);
        }
    }
    *ret = it;
    return 0;
}

static void retire(struct bp_source_iter *it) {
    struct open_unit *u = it->current;

    it->current = NULL;
    if (u && it->spare && it->nspare < it->cap_heap)
        it->spare[it->nspare++] = u;
    else
        unit_free(u);
}

int mcap_next(struct bp_source_iter *it, struct bp_source_msg *ret, struct bp_error *err) {
    struct bp_mcap_record rec = { .op = BP_MCAP_MESSAGE };
    struct bp_mcap_message msg;
    struct open_unit *u;
    struct entry e;
    int r;

    retire(it); /* its bytes were borrowed until this call */
    r = fill(it, err);
    if (r < 0)
        return r;
    if (it->nheap == 0)
        return 0;

    u = it->heap[0];
    e = u->v[u->next++];
    if (u->next == u->n)
        it->current = pop(it);
    else
        sift_down(it, 0);

    rec.p = u->buf.records + e.at;
    rec.n = e.size;
    (void) bp_mcap_message(&rec, &msg); /* was decoded when it was listed */
    *ret = (struct bp_source_msg){
        .channel = (uint32_t) it->m->by_id[msg.channel_id],
        .log_ns = (bp_ns_t) msg.log_time,
        .publish_ns = (bp_ns_t) msg.publish_time,
        .sequence = msg.sequence,
        .data = msg.data,
        .size = (size_t) msg.size,
        .repeated = u->repeated,
    };
    return 1;
}
