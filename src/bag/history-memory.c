/* The history's memory: a ring of blocks, each contiguous. A receive thread reserves an entry under
 * the lock and copies its payload outside of it, then says that it is ready; who reads a block
 * stops at the first entry that is not. The oldest block is let go when its room is needed, unless
 * a reader copies from it (which takes as long as a memcpy) or a receive thread still copies into
 * it: then the new message is refused, and known as lost. To make that rare, room for some blocks
 * is made ahead, and a reader that was overtaken goes on well away from the edge. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <utlist.h>

#include "bag/history-priv.h"

enum {
    BLOCK_MOST = 1 << 20,
    BLOCK_LEAST = 16 << 10,
    SPARE_BLOCKS = 64, /* blocks closed by age are small, so there may be more than fit by size */
    OLD_PARTS = 16,    /* a block covers at most this part of the time held */
    AHEAD = 4,         /* blocks of room that are made before they are needed */
    SKIP = 8,          /* blocks that a reader skips when it was overtaken */
};

#define CLOCK_STEP (50 * BP_MS) /* what is less is slewing and jitter */

/* ---- begin and end ---- */

int bp_history_memory_open(struct bp_history_store *h, struct bp_error *err) {
    uint64_t size = h->o.max_bytes / 4096 * 4096;
    void *p;

    if (size < 1 << 20 || size > SIZE_MAX / 2)
        return bp_fail(err, -EINVAL, "a history of %llu bytes: 1 MiB is the least",
                       (unsigned long long) h->o.max_bytes);
    h->o.max_bytes = size;
    h->block_bytes = BP_MAX(BP_MIN(size / 64, (uint64_t) BLOCK_MOST), (uint64_t) BLOCK_LEAST);
    h->block_ns = h->o.max_ns ? BP_MAX(h->o.max_ns / OLD_PARTS, 100 * BP_MS) : 10 * BP_SEC;
    h->nblocks = (uint32_t) (size / h->block_bytes) + SPARE_BLOCKS;
    h->blocks = calloc(h->nblocks, sizeof *h->blocks);
    p = mmap(NULL, (size_t) size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    h->memory = p == MAP_FAILED ? NULL : p;
    if (!h->blocks || !h->memory)
        return bp_fail(err, -ENOMEM, "no memory for a history of %llu bytes",
                       (unsigned long long) size);
    (void) madvise(p, (size_t) size, MADV_DONTDUMP); /* a core file needs no camera pictures */
    h->offset = bp_wall_ns() - bp_mono_ns();
    return 0;
}

void bp_history_kept_free(struct kept *list) {
    struct kept *k, *next;

    DL_FOREACH_SAFE(list, k, next)
    free(k);
}

void bp_history_memory_done(struct bp_history_store *h) {
    if (h->memory)
        (void) munmap(h->memory, (size_t) h->o.max_bytes);
    bp_history_kept_free(h->kept);
    free(h->blocks);
}

void bp_history_look_at_clock_locked(struct bp_history_store *h) {
    bp_ns_t offset = bp_wall_ns() - bp_mono_ns();

    if (llabs((long long) (offset - h->offset)) > CLOCK_STEP)
        h->offset = offset;
}

/* ---- latched messages whose block is let go ---- */

static void unkeep_locked(struct bp_history_store *h, struct kept *k) BP_REQUIRES(h->lock) {
    DL_DELETE(h->kept, k);
    h->kept_bytes -= k->size;
    h->nkept--;
    free(k);
}

static void make_room_locked(struct bp_history_store *h, uint32_t source, uint32_t size)
    BP_REQUIRES(h->lock) {
    uint32_t depth = BP_MAX(
        BP_MIN(atomic_load(&h->sources[source]->channel->depth), (uint32_t) HISTORY_LATCHED_DEPTH),
        1u);
    struct kept *k, *next, *oldest = NULL;
    uint32_t n = 0;

    DL_FOREACH_SAFE(h->kept, k, next)
    if (k->source == source) {
        oldest = oldest ? oldest : k;
        n++;
    }
    if (n >= depth && oldest)
        unkeep_locked(h, oldest);
    while (h->kept && h->kept_bytes + size > HISTORY_LATCHED_BYTES)
        unkeep_locked(h, h->kept);
}

static void keep_locked(struct bp_history_store *h, struct kept *k) BP_REQUIRES(h->lock) {
    make_room_locked(h, k->source, k->size);
    DL_APPEND(h->kept, k);
    h->kept_bytes += k->size;
    h->nkept++;
}

static struct kept *kept_new(const struct entry *e, bp_ns_t offset, const void *payload) {
    struct kept *k = malloc(sizeof *k + e->size);

    if (!k)
        return NULL;
    *k = (struct kept){ .source = e->source,
                        .size = e->size,
                        .seq = e->seq,
                        .log_ns = e->log_ns,
                        .publish_ns = e->publish_ns,
                        .offset = offset };
    memcpy(k->data, payload, e->size);
    return k;
}

void bp_history_keep(struct bp_history_store *h, uint32_t source,
                     const struct bp_history_entry *e) {
    struct entry head = { .size = e->size,
                          .source = source,
                          .seq = e->seq,
                          .log_ns = e->log_ns,
                          .publish_ns = e->publish_ns };
    struct kept *k;

    if (e->size > HISTORY_LATCHED_BYTES)
        return;
    k = kept_new(&head, e->log_ns - e->mono_ns, e->data);
    if (!k)
        return;
    bp_mutex_lock(&h->lock);
    keep_locked(h, k);
    bp_mutex_unlock(&h->lock);
}

/* The block's latched entries, oldest first. @return how many, at most `cap` */
static size_t latched_of(const uint8_t *p, uint32_t newest, const struct entry **v, size_t cap) {
    size_t n = 0;

    for (uint32_t at = newest; at && n < cap; n++) {
        const void *e = p + at - 1;

        v[n] = e;
        at = v[n]->latched_before;
    }
    for (size_t i = 0; i < n / 2; i++) {
        const struct entry *x = v[i];

        v[i] = v[n - 1 - i];
        v[n - 1 - i] = x;
    }
    return n;
}

static void save_latched_locked(struct bp_history_store *h, const struct block *b)
    BP_REQUIRES(h->lock) {
    const struct entry *v[HISTORY_LATCHED_DEPTH];
    size_t n = latched_of(history_bytes(h, b), b->latched, v, BP_COUNT(v));

    for (size_t i = 0; i < n; i++) {
        struct kept *k =
            v[i]->size > HISTORY_LATCHED_BYTES ? NULL : kept_new(v[i], b->offset, v[i] + 1);

        if (k)
            keep_locked(h, k);
    }
}

/* ---- blocks ---- */

static void close_block_locked(struct bp_history_store *h) BP_REQUIRES(h->lock) {
    struct block *b = history_block(h, h->head - 1);

    if (!h->open)
        return;
    h->open = false;
    b->closed = bp_mono_ns();
    h->alloc_pos -= b->size - b->used; /* it is the newest: the rest is free again */
    b->size = b->used;
}

/* @return false while somebody copies */
static bool let_go_locked(struct bp_history_store *h) BP_REQUIRES(h->lock) {
    struct block *b = history_block(h, h->tail);

    if (b->pins || atomic_load_explicit(&b->busy, memory_order_acquire))
        return false;
    if (b->latched)
        save_latched_locked(h, b);
    h->st.evicted += b->messages;
    h->st.held -= b->messages;
    h->st.memory_used -= b->used;
    h->tail++;
    return true;
}

static uint64_t used_from_locked(const struct bp_history_store *h) BP_REQUIRES(h->lock) {
    return h->head == h->tail ? h->alloc_pos : history_block(h, h->tail)->vstart;
}

/* Where a stretch of `want` bytes may begin. */
static uint64_t place_locked(const struct bp_history_store *h, uint64_t want) BP_REQUIRES(h->lock) {
    uint64_t size = h->o.max_bytes, at = h->alloc_pos;

    return at % size + want > size ? at + size - at % size : at;
}

static bool fits_locked(const struct bp_history_store *h, uint64_t want) BP_REQUIRES(h->lock) {
    uint64_t at = place_locked(h, want);

    if (h->head == h->tail)
        return true;
    return at + want - used_from_locked(h) <= h->o.max_bytes && h->head - h->tail < h->nblocks;
}

static void let_go_old_locked(struct bp_history_store *h) BP_REQUIRES(h->lock) {
    bp_ns_t now = bp_mono_ns();

    while (h->o.max_ns && h->head - h->tail > (h->open ? 1u : 0u) &&
           now - history_block(h, h->tail)->closed > h->o.max_ns)
        if (!let_go_locked(h))
            return;
}

static struct block *open_block_locked(struct bp_history_store *h, uint64_t need)
    BP_REQUIRES(h->lock) {
    uint64_t want = BP_MAX(h->block_bytes, need);
    struct block *b;

    close_block_locked(h);
    let_go_old_locked(h);
    while (!fits_locked(h, want + AHEAD * h->block_bytes) && h->head != h->tail)
        if (!let_go_locked(h))
            break;
    if (!fits_locked(h, want))
        return NULL;

    bp_history_look_at_clock_locked(h);
    b = history_block(h, h->head);
    *b = (struct block){ .no = h->head,
                         .vstart = place_locked(h, want),
                         .size = want,
                         .first = h->next,
                         .opened = bp_mono_ns(),
                         .offset = h->offset,
                         .min_log = INT64_MAX,
                         .max_log = INT64_MIN };
    h->alloc_pos = b->vstart + want;
    h->head++;
    h->open = true;
    return b;
}

static struct block *block_for_locked(struct bp_history_store *h, uint64_t need, bp_ns_t log_ns)
    BP_REQUIRES(h->lock) {
    struct block *b = h->open ? history_block(h, h->head - 1) : NULL;
    bp_ns_t mono;

    if (!b || b->used + need > b->size)
        return open_block_locked(h, need);
    /* a log time tells the age for free, unless the clock was put */
    if (log_ns - b->offset - b->opened < h->block_ns &&
        log_ns - b->offset >= b->opened - CLOCK_STEP)
        return b;
    mono = bp_mono_ns();
    bp_history_look_at_clock_locked(h);
    if (mono - b->opened >= h->block_ns || h->offset != b->offset)
        return open_block_locked(h, need);
    return b;
}

static struct entry *reserve_locked(struct bp_history_store *h, const struct entry *head,
                                    struct block **ret) BP_REQUIRES(h->lock) {
    uint64_t need = history_entry_bytes(head);
    struct block *b = block_for_locked(h, need, head->log_ns);
    struct entry *e;
    void *p;

    if (!b)
        return NULL;
    p = history_bytes(h, b) + b->used;
    e = p;
    *e = *head;
    if (head->latched) {
        e->latched_before = b->latched;
        b->latched = (uint32_t) b->used + 1;
    }
    b->used += need;
    b->n++;
    b->min_log = BP_MIN(b->min_log, head->log_ns);
    b->max_log = BP_MAX(b->max_log, head->log_ns);
    h->next++;
    h->st.memory_used += need;
    *ret = b;
    return e;
}

/* ---- losses ---- */

static void tell_loss_locked(struct bp_history_store *h, struct hsource *s, uint32_t source)
    BP_REQUIRES(h->lock) {
    struct entry head = { .source = source,
                          .kind = BP_HISTORY_LOSS,
                          .why = (uint16_t) s->why,
                          .ready = 1,
                          .seq = s->first,
                          .log_ns = s->log_ns,
                          .publish_ns = (int64_t) s->last };
    struct block *b;

    if (s->noted && reserve_locked(h, &head, &b))
        s->noted = false; /* else it goes on waiting */
}

/* Losses in a row wait, as one, for the next message: thinned topics lose all the time. */
static void note_locked(struct bp_history_store *h, struct hsource *s, uint32_t source,
                        enum bp_loss why, uint64_t first, uint64_t last, bp_ns_t log_ns)
    BP_REQUIRES(h->lock) {
    if (s->noted && s->why == why && s->last + 1 == first) {
        s->last = last;
        s->log_ns = log_ns;
        return;
    }
    tell_loss_locked(h, s, source);
    if (s->noted) { /* no room for it: it grows rather than be forgotten, whatever its cause */
        s->last = BP_MAX(s->last, last);
        return;
    }
    s->noted = true;
    s->why = why;
    s->first = first;
    s->last = last;
    s->log_ns = log_ns;
    if (!s->listed) {
        s->listed = true;
        s->next_noted = h->noted;
        h->noted = s;
    }
}

void bp_history_note_loss(struct bp_history_store *h, uint32_t source, enum bp_loss why,
                          uint64_t first, uint64_t last) {
    if (source >= atomic_load_explicit(&h->nsources, memory_order_acquire) || first > last ||
        (unsigned) why >= BP_LOSS_N_)
        return;
    bp_mutex_lock(&h->lock);
    note_locked(h, h->sources[source], source, why, first, last, bp_mono_ns() + h->offset);
    bp_mutex_unlock(&h->lock);
}

void bp_history_flush(struct bp_history_store *h) {
    bp_mutex_lock(&h->lock);
    while (h->noted) {
        struct hsource *s = h->noted;

        tell_loss_locked(h, s, s->id);
        if (s->noted)
            break;
        h->noted = s->next_noted;
        s->listed = false;
    }
    bp_mutex_unlock(&h->lock);
}

/* ---- one message ---- */

static struct entry head_of(const struct hsource *s, const struct bp_accept *m) {
    return (struct entry){
        .size = m->size,
        .source = m->source,
        .kind = BP_HISTORY_MESSAGE,
        .seq = m->seq,
        .log_ns = m->log_ns,
        .publish_ns = m->publish_ns,
        .latched = atomic_load_explicit(&s->channel->depth, memory_order_relaxed) > 0,
    };
}

static void count(struct hsource *s, const struct bp_accept *m) {
    atomic_fetch_add_explicit(&s->channel->messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->channel->bytes, m->size, memory_order_relaxed);
    atomic_store_explicit(&s->channel->last_ns, m->log_ns, memory_order_relaxed);
}

int bp_history_accept(struct bp_history_store *h, const struct bp_accept *m) {
    struct block *b = NULL;
    struct entry *e = NULL, head;
    struct hsource *s;
    bool too_large;

    if (m->source >= atomic_load_explicit(&h->nsources, memory_order_acquire))
        return -EINVAL;
    s = h->sources[m->source];
    head = head_of(s, m);
    too_large = history_entry_bytes(&head) > h->o.max_bytes / 4;

    bp_mutex_lock(&h->lock);
    if (s->noted)
        tell_loss_locked(h, s, m->source);
    if (!too_large && !s->noted)
        e = reserve_locked(h, &head, &b);
    if (e) {
        b->messages++;
        atomic_fetch_add_explicit(&b->busy, 1, memory_order_relaxed);
        h->st.held++;
        h->st.messages++;
        h->st.bytes += m->size;
        h->st.newest_ns = m->log_ns;
    } else {
        h->st.dropped++;
        note_locked(h, s, m->source, too_large ? BP_LOSS_BAD : BP_LOSS_RING, m->seq, m->seq,
                    m->log_ns);
    }
    bp_mutex_unlock(&h->lock);
    if (!e)
        return too_large ? -EMSGSIZE : -ENOBUFS;

    m->copy(m->ctx, (uint8_t *) (e + 1));
    atomic_store_explicit(&e->ready, 1, memory_order_release);
    atomic_fetch_sub_explicit(&b->busy, 1, memory_order_release);
    count(s, m);
    return 0;
}

bp_ns_t bp_history_mono(struct bp_history_store *h, bp_ns_t wall_ns) {
    bp_ns_t offset;

    bp_mutex_lock(&h->lock);
    bp_history_look_at_clock_locked(h);
    offset = h->offset;
    bp_mutex_unlock(&h->lock);
    return wall_ns - offset;
}

void bp_history_tick(struct bp_history_store *h) {
    bp_mutex_lock(&h->lock);
    if (h->open && bp_mono_ns() - history_block(h, h->head - 1)->opened >= h->block_ns)
        close_block_locked(h);
    let_go_old_locked(h);
    bp_mutex_unlock(&h->lock);
}

/* ---- reading ---- */

uint64_t bp_history_find(struct bp_history_store *h, bp_ns_t from_mono, bool *ret_older) {
    uint64_t at, no;

    bp_mutex_lock(&h->lock);
    bp_history_look_at_clock_locked(h);
    for (no = h->tail; no != h->head; no++) {
        const struct block *b = history_block(h, no);

        if (b->max_log - b->offset >= from_mono)
            break;
    }
    at = no == h->head ? h->next : history_block(h, no)->first;
    /* what is older than the memory's first entry is in files, if anywhere */
    *ret_older = no == h->tail;
    bp_mutex_unlock(&h->lock);
    return at;
}

static struct block *block_of_locked(struct bp_history_store *h, uint64_t *at, uint64_t skip)
    BP_REQUIRES(h->lock) {
    uint64_t lo = h->tail, hi = h->head;

    if (lo == hi)
        return NULL;
    if (*at < history_block(h, lo)->first) /* overtaken */
        *at = history_block(h, BP_MIN(lo + skip, hi - 1))->first;
    while (hi - lo > 1) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (history_block(h, mid)->first <= *at)
            lo = mid;
        else
            hi = mid;
    }
    return *at < history_block(h, lo)->first + history_block(h, lo)->n ? history_block(h, lo)
                                                                       : NULL;
}

static const struct entry *entry_at(const uint8_t *p, uint64_t off) {
    const void *e = p + off;

    return e;
}

/* Offset behind the ready ones from `off` on; pinned, so nothing moves. */
static uint64_t ready_until(const uint8_t *p, uint64_t off, uint64_t used, uint32_t *ret_n) {
    uint32_t n = 0;

    while (off < used) {
        const struct entry *e = entry_at(p, off);

        if (!atomic_load_explicit(&e->ready, memory_order_acquire))
            break;
        off += history_entry_bytes(e);
        n++;
    }
    *ret_n = n;
    return off;
}

static int fill_copy(struct bp_history_copy *c, const uint8_t *p, uint64_t off, uint64_t end) {
    if (end - off > c->cap) {
        uint8_t *grown = realloc(c->p, (size_t) (end - off));

        if (!grown)
            return -ENOMEM;
        c->p = grown;
        c->cap = (size_t) (end - off);
    }
    memcpy(c->p, p + off, (size_t) (end - off));
    c->n = (size_t) (end - off);
    return 0;
}

int bp_history_copy_out(struct bp_history_store *h, uint64_t *at, uint64_t *hint_block,
                        uint64_t *hint, struct bp_history_copy *c) {
    uint64_t off, used, end, skip;
    struct block *b;
    const uint8_t *p;
    int r = 0;

    bp_mutex_lock(&h->lock);
    b = block_of_locked(h, at, *hint_block ? SKIP : 0); /* who begins may have the oldest */
    if (!b) {
        bp_mutex_unlock(&h->lock);
        return 0;
    }
    b->pins++;
    used = b->used;
    c->offset = b->offset;
    skip = *at - b->first;
    off = *hint_block == b->no + 1 ? *hint : 0;
    *hint_block = b->no + 1;
    p = history_bytes(h, b);
    bp_mutex_unlock(&h->lock);

    if (off == 0)
        while (skip-- > 0)
            off += history_entry_bytes(entry_at(p, off)); /* heads are there before `used` */
    end = ready_until(p, off, used, &c->count);
    c->first = *at;
    if (c->count) {
        r = fill_copy(c, p, off, end);
        r = r < 0 ? r : 1;
    }
    if (r > 0) {
        *at += c->count;
        *hint = end;
    } else {
        *hint = off;
    }
    bp_mutex_lock(&h->lock);
    b->pins--;
    bp_mutex_unlock(&h->lock);
    return r;
}

static int take_copy(struct kept **list, const struct kept *k) {
    struct kept *copy = malloc(sizeof *copy + k->size);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, k, sizeof *k + k->size);
    DL_APPEND(*list, copy);
    return 0;
}

/* Those of a block that is pinned; ones that are not ready yet are newer than any `from`. */
static int latched_in(const uint8_t *p, uint32_t newest, bp_ns_t offset, bp_ns_t from_mono,
                      struct kept **list) {
    const struct entry *v[HISTORY_LATCHED_DEPTH];
    size_t n = latched_of(p, newest, v, BP_COUNT(v));

    for (size_t i = 0; i < n; i++) {
        struct kept *k;

        if (v[i]->log_ns - offset >= from_mono ||
            !atomic_load_explicit(&v[i]->ready, memory_order_acquire))
            continue;
        k = kept_new(v[i], offset, v[i] + 1);
        if (!k)
            return -ENOMEM;
        DL_APPEND(*list, k);
    }
    return 0;
}

/* Of each source the newest `depth`. */
static void trim(struct bp_history_store *h, struct kept **list) {
    struct kept *k, *next, *x;

    DL_FOREACH_SAFE(*list, k, next) {
        uint32_t depth = atomic_load(&h->sources[k->source]->channel->depth), newer = 0;

        for (x = k->next; x; x = x->next)
            newer += x->source == k->source;
        if (newer >= BP_MAX(depth, 1u)) {
            DL_DELETE(*list, k);
            free(k);
        }
    }
}

int bp_history_latched(struct bp_history_store *h, bp_ns_t from_mono, struct kept **ret) {
    struct kept *list = NULL;
    const struct kept *k;
    uint64_t no;
    int r = 0;

    bp_mutex_lock(&h->lock);
    no = h->tail;
    for (k = h->kept; k && r == 0; k = k->next)
        if (k->log_ns - k->offset < from_mono)
            r = take_copy(&list, k);
    for (; no < h->head && r == 0; no = BP_MAX(no + 1, h->tail)) {
        struct block *b = history_block(h, no);
        const uint8_t *p = history_bytes(h, b);
        uint32_t newest = b->latched;

        if (!newest || b->min_log - b->offset >= from_mono)
            continue;
        b->pins++;
        bp_mutex_unlock(&h->lock);
        r = latched_in(p, newest, b->offset, from_mono, &list);
        bp_mutex_lock(&h->lock);
        b->pins--;
    }
    bp_mutex_unlock(&h->lock);
    if (r < 0) {
        bp_history_kept_free(list);
        return r;
    }
    trim(h, &list);
    *ret = list;
    return 0;
}
