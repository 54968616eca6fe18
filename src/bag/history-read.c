/* A reader: latched messages from before its start, then entries by number. Each comes from memory
 * while memory still has it, else from the files; a frame of a file and a copied stretch of a block
 * are both "a batch". */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "bag/history-disk.h"

struct bp_history_reader {
    struct bp_history_store *h;
    struct kept *latched, *given; /* owned: still to be told; the one told last */
    uint64_t at;                  /* number of the next entry to fetch */

    struct bp_history_copy copy; /* owned: batch from memory */
    uint64_t hint_block, hint;
    uint64_t off;  /* in the batch */
    uint32_t left; /* entries of it */

    struct disk_cursor disk; /* batch from a file */
    struct bp_hframe frame;
    struct bp_cur cur;
    uint32_t disk_left;
    uint64_t skip; /* entries of the frame that were told already */
};

int bp_history_read(struct bp_history_store *h, bp_ns_t from_mono, struct bp_history_reader **ret,
                    struct bp_error *err) {
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = calloc(1, sizeof *r);
    bool older;
    int k = 0;

    if (!r)
        return bp_fail(err, -ENOMEM, "no memory to read the history");
    r->h = h;
    r->at = bp_history_find(h, from_mono, &older);
    if (older && h->disk) {
        uint64_t at = bp_history_disk_find(h->disk, from_mono);

        if (at && at < r->at) {
            r->at = at;
            k = bp_history_disk_latched(h->disk, from_mono, &r->latched);
        }
    }
    if (k == 0) /* files know nothing: memory does */
        k = bp_history_latched(h, from_mono, &r->latched);
    if (k < 0)
        return bp_fail(err, k, "cannot read the history: %s", bp_strerror(k));
    *ret = BP_TAKE_PTR(r);
    return 0;
}

void bp_history_reader_close(struct bp_history_reader *r) {
    if (!r)
        return;
    bp_history_kept_free(r->latched);
    free(r->given);
    free(r->copy.p);
    if (r->h->disk)
        bp_history_disk_cursor_done(r->h->disk, &r->disk);
    free(r);
}

static int next_latched(struct bp_history_reader *r, struct bp_history_entry *ret) {
    struct kept *k = r->latched;

    DL_DELETE(r->latched, k);
    free(r->given);
    r->given = k;
    *ret = (struct bp_history_entry){ .kind = BP_HISTORY_LATCHED,
                                      .source = k->source,
                                      .seq = k->seq,
                                      .last = k->seq,
                                      .log_ns = k->log_ns,
                                      .publish_ns = k->publish_ns,
                                      .mono_ns = k->log_ns - k->offset,
                                      .size = k->size,
                                      .data = k->data };
    return 1;
}

static int from_memory(struct bp_history_reader *r, struct bp_history_entry *ret) {
    const void *p = r->copy.p + r->off;
    const struct entry *e = p;
    bool loss = e->kind == BP_HISTORY_LOSS;

    r->off += history_entry_bytes(e);
    r->left--;
    *ret = (struct bp_history_entry){
        .kind = (enum bp_history_kind) e->kind,
        .source = e->source,
        .seq = e->seq,
        .last = loss ? (uint64_t) e->publish_ns : e->seq,
        .why = (enum bp_loss) e->why,
        .log_ns = e->log_ns,
        .publish_ns = loss ? 0 : e->publish_ns,
        .mono_ns = e->log_ns - r->copy.offset,
        .size = e->size,
        .data = (const uint8_t *) (e + 1),
    };
    return 1;
}

/* Damage within a frame that fits its sum cannot be; still, nothing of it is believed. */
static int from_disk(struct bp_history_reader *r, struct bp_history_entry *ret) {
    bool latched;
    int64_t source;

    while (r->disk_left) {
        r->disk_left--;
        if (bp_hentry_next(&r->cur, ret, &latched) <= 0) {
            r->disk_left = 0;
            return BP_ECORRUPT;
        }
        if (r->skip) {
            r->skip--;
            continue;
        }
        source = bp_history_disk_source(r->h->disk, &r->disk, ret->source);
        if (source < 0)
            continue;
        ret->source = (uint32_t) source;
        ret->mono_ns = ret->log_ns - bp_history_disk_offset(r->h->disk, &r->disk, &r->frame);
        return 1;
    }
    return 0;
}

static int missed(struct bp_history_reader *r, uint64_t to, struct bp_history_entry *ret) {
    *ret = (struct bp_history_entry){ .kind = BP_HISTORY_MISSED, .last = to - r->at };
    r->at = to;
    return 1;
}

/* The next batch. @return 1 and perhaps MISSED in `ret`, 0 nothing more, or negative */
static int fetch_disk(struct bp_history_reader *r, bool *ret_missed, struct bp_history_entry *ret) {
    uint64_t at = r->at;
    int k = bp_history_disk_next(r->h->disk, &r->disk, at, &r->frame);

    if (k <= 0)
        return k;
    r->cur = bp_cur_of(r->disk.p, (size_t) r->frame.plain);
    r->disk_left = r->frame.count;
    r->skip = at > r->frame.first ? at - r->frame.first : 0;
    if (r->frame.first > at) {
        *ret_missed = true;
        (void) missed(r, r->frame.first, ret);
    }
    r->at = r->frame.first + r->frame.count;
    return 1;
}

static int fetch_memory(struct bp_history_reader *r, bool *ret_missed,
                        struct bp_history_entry *ret) {
    uint64_t before = r->at, at = r->at;
    int k = bp_history_copy_out(r->h, &at, &r->hint_block, &r->hint, &r->copy);

    if (k <= 0)
        return k;
    if (r->copy.first > before) {
        *ret_missed = true;
        (void) missed(r, r->copy.first, ret);
    }
    r->at = at;
    r->off = 0;
    r->left = r->copy.count;
    return 1;
}

static bool memory_has(struct bp_history_store *h, uint64_t at) {
    bool has;

    bp_mutex_lock(&h->lock);
    has = h->head == h->tail ? at >= h->next : at >= history_block(h, h->tail)->first;
    bp_mutex_unlock(&h->lock);
    return has;
}

static int fetch(struct bp_history_reader *r, bool *ret_missed, struct bp_history_entry *ret) {
    int k = 0;

    if (r->h->disk && !memory_has(r->h, r->at)) {
        k = fetch_disk(r, ret_missed, ret);
        if (k != 0)
            return k;
    }
    return fetch_memory(r, ret_missed, ret);
}

int bp_history_next(struct bp_history_reader *r, struct bp_history_entry *ret) {
    if (r->latched)
        return next_latched(r, ret);
    for (;;) {
        bool gap = false;
        int k;

        if (r->left)
            return from_memory(r, ret);
        k = r->disk_left ? from_disk(r, ret) : 0;
        if (k != 0)
            return k;
        k = fetch(r, &gap, ret);
        if (k <= 0 || gap)
            return k;
    }
}
