/* The messages of one unit. The whole unit is looked through once when it is loaded: bounds, known
 * channels, and whether log times ascend, as they nearly always do. Then the messages are walked
 * where they lie, without a list; only a unit that is out of order gets one, sorted. */
#include "bag/mcap-priv.h"

#include <errno.h>

void mcap_unit_free(struct mcap_open_unit *u) {
    if (!u)
        return;

    mcap_chunk_buf_done(&u->buf);
    free(u->v);
    free(u);
}

static uint64_t time_of(const uint8_t *record) {
    return bp_ld_le64(record + BP_MCAP_HEAD + 6);
}

static uint64_t length_of(const uint8_t *record) {
    return BP_MCAP_HEAD + bp_ld_le64(record + 1);
}

/* A record known to be a whole message of a known channel. */
static bool is_wanted(const struct mcap_source *m, const struct bp_source_filter *f,
                      const uint8_t *record) {
    uint64_t t = time_of(record);

    return f->channels[mcap_channel(m, bp_ld_le16(record + BP_MCAP_HEAD))] && t >= f->from &&
           t < f->to;
}

struct view {
    const uint8_t *first; /* wanted message, or NULL */
    bool sorted;
};

static int look_through(const struct mcap_source *m, const struct bp_source_filter *f,
                        const struct mcap_chunk_buf *b, struct view *ret) {
    const uint8_t *p = b->records, *end = p + b->n;
    struct view v = { .sorted = true };
    uint64_t last = 0;

    while (p < end) {
        uint64_t left = (uint64_t) (end - p), len;

        if (left < BP_MCAP_HEAD)
            return BP_ETRUNCATED;
        len = bp_ld_le64(p + 1);
        if (len > left - BP_MCAP_HEAD)
            return BP_ETRUNCATED;
        if (p[0] == BP_MCAP_MESSAGE) {
            if (len < BP_MCAP_MESSAGE_HEAD || mcap_channel(m, bp_ld_le16(p + BP_MCAP_HEAD)) < 0)
                return BP_EFORMAT;
            if (is_wanted(m, f, p)) {
                uint64_t t = time_of(p);

                v.first = v.first ? v.first : p;
                v.sorted = v.sorted && t >= last;
                last = t;
            }
        } else if (p[0] == 0) {
            return BP_EFORMAT;
        }
        p += BP_MCAP_HEAD + len;
    }
    *ret = v;
    return 0;
}

static int by_time(const void *a, const void *b) {
    const struct mcap_entry *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int sort(const struct mcap_source *m, const struct bp_source_filter *f,
                struct mcap_open_unit *u) {
    const uint8_t *start = u->buf.records;

    for (const uint8_t *p = u->p; p < u->end; p += length_of(p)) {
        if (p[0] != BP_MCAP_MESSAGE || !is_wanted(m, f, p))
            continue;
        if (u->n == u->cap) {
            size_t cap = u->cap ? u->cap * 2 : 256;
            struct mcap_entry *v = realloc(u->v, cap * sizeof *v);

            if (!v)
                return -ENOMEM;
            u->v = v;
            u->cap = cap;
        }
        u->v[u->n++] = (struct mcap_entry){ time_of(p), (uint64_t) (p - start) };
    }
    qsort(u->v, u->n, sizeof *u->v, by_time);
    u->p = start + u->v[0].at;
    u->next = 1;
    return 0;
}

static int load_loose(const struct mcap_source *m, const struct mcap_unit *x,
                      struct mcap_chunk_buf *b) {
    bp_buf_clear(&b->file);
    if (!mcap_buf_room(&b->file, x->len))
        return -ENOMEM;
    b->records = b->file.p;
    b->n = x->len;
    return mcap_read(m, x->at, b->file.p, x->len);
}

int mcap_unit_load(const struct mcap_source *m, const struct bp_source_filter *f,
                   const struct mcap_unit *x, struct mcap_open_unit *u) {
    struct bp_mcap_chunk c;
    struct view v;
    int r;

    u->n = u->next = 0;
    u->repeated = x->repeated;
    r = x->chunk ? mcap_load_chunk(m, x->at, !f->no_crc, &u->buf, &c) : load_loose(m, x, &u->buf);
    if (r >= 0)
        r = look_through(m, f, &u->buf, &v);
    if (r < 0 || !v.first)
        return r;

    u->p = v.first;
    u->end = u->buf.records + u->buf.n;
    r = v.sorted || f->file_order ? 0 : sort(m, f, u);
    u->time = time_of(u->p);
    return r < 0 ? r : 1;
}

bool mcap_unit_step(const struct mcap_source *m, const struct bp_source_filter *f,
                    struct mcap_open_unit *u) {
    const uint8_t *p = u->p;

    if (u->n > 0) {
        if (u->next == u->n)
            return false;
        u->p = u->buf.records + u->v[u->next++].at;
        u->time = time_of(u->p);
        return true;
    }

    do {
        p += length_of(p);
        if (p >= u->end)
            return false;
    } while (p[0] != BP_MCAP_MESSAGE || !is_wanted(m, f, p));
    u->p = p;
    u->time = time_of(p);
    return true;
}
