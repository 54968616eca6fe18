/* Messages of one MCAP file in order of log time. Units may overlap in time, so several are open at
 * once: a unit is opened when its first message could be the next one, and a heap holds the next
 * message of each open unit. Buffers of finished units are used again. */
#include "bag/mcap-priv.h"

#include <errno.h>

struct bp_source_iter {
    struct mcap_source *m; /* borrowed */
    struct bp_source_filter f;
    uint32_t *plan; /* owned: wanted units in the order they are opened */
    size_t nplan, next;
    bool started;
    struct mcap_ahead *ahead;     /* owned; NULL = units are loaded here */
    struct mcap_open_unit **heap; /* owned: by (time, order) */
    size_t nheap, cap_heap;
    struct mcap_open_unit **spare; /* owned: finished ones, for reuse; room for cap_heap + 1 */
    size_t nspare;
    bool step; /* heap[0]'s message was handed out: go on from there */
    uint64_t skipped_chunks, skipped_bytes;
};

void mcap_iter_free(struct bp_source_iter *it) {
    if (!it)
        return;

    mcap_ahead_free(it->ahead);
    bp_sealed_relax(it->m->sealed);
    for (size_t i = 0; i < it->nheap; i++)
        mcap_unit_free(it->heap[i]);
    for (size_t i = 0; i < it->nspare; i++)
        mcap_unit_free(it->spare[i]);
    free(it->heap);
    free(it->spare);
    free(it->plan);
    free(it);
}

void mcap_skipped(const struct bp_source_iter *it, uint64_t *chunks, uint64_t *bytes) {
    *chunks = it->skipped_chunks + it->m->damaged_places;
    *bytes = it->skipped_bytes + it->m->damaged_bytes;
}

/* ---- the heap ---- */

static bool before(const struct mcap_open_unit *a, const struct mcap_open_unit *b) {
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void sift_down(struct bp_source_iter *it) {
    size_t i = 0;

    for (;;) {
        size_t l = 2 * i + 1, best = i;
        struct mcap_open_unit *tmp;

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

static int push(struct bp_source_iter *it, struct mcap_open_unit *u) {
    size_t i = it->nheap;

    if (it->nheap == it->cap_heap) {
        size_t cap = it->cap_heap ? it->cap_heap * 2 : 16;
        struct mcap_open_unit **v = realloc(it->heap, cap * sizeof(struct mcap_open_unit *));

        if (!v)
            return -ENOMEM;
        it->heap = v;
        v = realloc(it->spare, (cap + 1) * sizeof(struct mcap_open_unit *));
        if (!v)
            return -ENOMEM;
        it->spare = v;
        it->cap_heap = cap;
    }
    it->heap[it->nheap++] = u;
    while (i > 0 && before(it->heap[i], it->heap[(i - 1) / 2])) {
        struct mcap_open_unit *tmp = it->heap[i];

        it->heap[i] = it->heap[(i - 1) / 2];
        it->heap[(i - 1) / 2] = tmp;
        i = (i - 1) / 2;
    }
    return 0;
}

/* ---- units ---- */

static void retire(struct bp_source_iter *it, struct mcap_open_unit *u) {
    if (u && it->nspare < it->cap_heap)
        it->spare[it->nspare++] = u;
    else
        mcap_unit_free(u);
}

static int load(struct bp_source_iter *it, const struct mcap_unit *x, struct mcap_open_unit **u) {
    if (it->ahead)
        return mcap_ahead_take(it->ahead, u);
    if (!*u)
        *u = calloc(1, sizeof **u);
    return *u ? mcap_unit_load(it->m, &it->f, x, *u) : -ENOMEM;
}

static int open_next(struct bp_source_iter *it, struct bp_error *err) {
    const struct mcap_unit *x = &it->m->units[it->plan[it->next]];
    struct mcap_open_unit *u = it->nspare ? it->spare[--it->nspare] : NULL;
    int r = load(it, x, &u);

    it->next++;
    if (r > 0) {
        u->order = it->next;
        r = push(it, u);
        if (r >= 0)
            return 0;
    }
    retire(it, u);
    if (r >= 0)
        return 0;
    if (r != -ENOMEM && it->f.lenient) {
        it->skipped_chunks++;
        it->skipped_bytes += x->len;
        return 0;
    }
    return bp_fail(err, r, "'%s': chunk at byte %llu: %s; `bagpipe recover` saves the rest",
                   it->m->s.file.path, (unsigned long long) x->at, bp_strerror(r));
}

/* Could the first message of the next unit come before what the heap holds? */
static bool is_due(const struct bp_source_iter *it) {
    if (it->next == it->nplan)
        return false;
    return it->nheap == 0 ||
           (!it->f.file_order && it->m->units[it->plan[it->next]].start <= it->heap[0]->time);
}

static int fill(struct bp_source_iter *it, struct bp_error *err) {
    while (is_due(it)) {
        int r;

        if (!it->started) {
            it->ahead = mcap_ahead_new(it->m, &it->f, it->plan, it->nplan);
            it->started = true;
        }
        r = open_next(it, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the plan ---- */

static bool wanted(const struct mcap_source *m, const struct bp_source_filter *f,
                   const struct mcap_unit *x) {
    if (x->end < f->from || x->start >= f->to)
        return false;
    for (uint32_t i = 0; i < x->nids; i++)
        if (f->channels[mcap_channel(m, m->ids[x->ids + i])])
            return true;
    return x->nids == 0;
}

static int by_place(const void *a, const void *b, void *units) {
    const struct mcap_unit *u = units;
    const uint32_t *x = a, *y = b;

    return u[*x].at < u[*y].at ? -1 : 1;
}

static int make_plan(struct bp_source_iter *it) {
    const struct mcap_source *m = it->m;

    if (m->nunits > UINT32_MAX)
        return BP_ELIMIT;
    it->plan = malloc((m->nunits + 1) * sizeof *it->plan);
    if (!it->plan)
        return -ENOMEM;
    for (size_t i = 0; i < m->nunits; i++)
        if (wanted(m, &it->f, &m->units[i]))
            it->plan[it->nplan++] = (uint32_t) i;
    if (it->f.file_order && it->nplan > 1)
        qsort_r(it->plan, it->nplan, sizeof *it->plan, by_place, m->units);
    return 0;
}

int mcap_iterate(struct bp_source *s, const struct bp_source_filter *f, struct bp_source_iter **ret,
                 struct bp_error *err) {
    struct bp_source_iter *it = calloc(1, sizeof *it);
    int r = -ENOMEM;

    if (it) {
        it->m = mcap_source_of(s);
        it->f = *f;
        r = make_plan(it);
    }
    if (r < 0) {
        mcap_iter_free(it);
        return bp_fail(err, r, "cannot read '%s': %s", s->file.path, bp_strerror(r));
    }
    *ret = it;
    return 0;
}

/* The message handed out last is not needed any more. */
static void go_on(struct bp_source_iter *it) {
    struct mcap_open_unit *u;

    if (!it->step)
        return;

    it->step = false;
    u = it->heap[0];
    if (!mcap_unit_step(it->m, &it->f, u)) {
        it->heap[0] = it->heap[--it->nheap];
        retire(it, u);
    }
    if (it->nheap > 1)
        sift_down(it);
}

int mcap_next(struct bp_source_iter *it, struct bp_source_msg *ret, struct bp_error *err) {
    const uint8_t *p;
    int r;

    go_on(it);
    r = fill(it, err);
    if (r < 0 || it->nheap == 0)
        return r;

    p = it->heap[0]->p + BP_MCAP_HEAD;
    *ret = (struct bp_source_msg){
        .channel = (uint32_t) mcap_channel(it->m, bp_ld_le16(p)),
        .sequence = bp_ld_le32(p + 2),
        .log_ns = (bp_ns_t) it->heap[0]->time,
        .publish_ns = (bp_ns_t) bp_ld_le64(p + 14),
        .data = p + BP_MCAP_MESSAGE_HEAD,
        .size = (size_t) bp_ld_le64(p - 8) - BP_MCAP_MESSAGE_HEAD,
        .repeated = it->heap[0]->repeated,
    };
    it->step = true;
    return 1;
}
