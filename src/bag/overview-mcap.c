/* The overview of one MCAP segment, from what stands beside its payload. */
#include <errno.h>
#include <stdlib.h>

#include "bag/ledger.h"
#include "bag/mcap-priv.h"
#include "bag/overview.h"

enum {
    INDEX_MAX = 256 << 20,    /* behind one chunk */
    MESSAGE_HEAD = 9 + 22,    /* of a record, before its payload */
    PAYLOAD_TIME = 9 + 2 + 4, /* where its log time stands */
};

struct entry {
    uint64_t at, time;
    uint32_t topic;
};

struct reading {
    struct mcap_source *m;
    struct bp_overview *o;
    uint32_t *topics; /* owned: by index of channel */
    struct entry *v;  /* owned: of one chunk */
    size_t n, cap;
    struct bp_buf index;
};

static void reading_done(struct reading *x) {
    if (x->m)
        x->m->s.ops->close(&x->m->s);
    free(x->topics);
    free(x->v);
    bp_buf_done(&x->index);
}

static int name_topics(struct reading *x) {
    x->topics = calloc(x->m->s.nchannels + 1, sizeof *x->topics);
    if (!x->topics)
        return -ENOMEM;
    for (size_t i = 0; i < x->m->s.nchannels; i++) {
        const struct bp_source_channel *c = &x->m->s.channels[i];
        int t = bp_overview_topic(x->o, c->topic, c->type ? c->type : "", c->robot ? c->robot : "");

        if (t < 0)
            return t;
        x->topics[i] = (uint32_t) t;
    }
    return 0;
}

/* ---- chunks that have indexes ---- */

static int take_entries(struct reading *x, const struct bp_mcap_message_index *mi) {
    int32_t channel = mcap_channel(x->m, mi->channel_id);

    if (mi->count == 0)
        return 0;
    if (channel < 0)
        return BP_EFORMAT;
    if (x->cap - x->n < mi->count) {
        size_t cap = BP_MAX(x->cap * 2, x->n + mi->count);
        struct entry *v = realloc(x->v, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        x->v = v;
        x->cap = cap;
    }
    for (uint32_t i = 0; i < mi->count; i++)
        x->v[x->n++] = (struct entry){ .time = bp_ld_le64(mi->entries + 16 * (size_t) i),
                                       .at = bp_ld_le64(mi->entries + 16 * (size_t) i + 8),
                                       .topic = x->topics[channel] };
    return 0;
}

static int by_place(const void *a, const void *b) {
    const struct entry *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

static int count_entries(struct reading *x, uint64_t end) {
    if (x->n > 1)
        qsort(x->v, x->n, sizeof *x->v, by_place);
    for (size_t i = 0; i < x->n; i++) {
        uint64_t next = i + 1 < x->n ? x->v[i + 1].at : end;

        if (x->v[i].time > INT64_MAX || next < x->v[i].at || next - x->v[i].at < MESSAGE_HEAD)
            return BP_EFORMAT;
        bp_overview_add(x->o, x->v[i].topic, (bp_ns_t) x->v[i].time, 1,
                        next - x->v[i].at - MESSAGE_HEAD);
    }
    return 0;
}

static int read_index(struct reading *x, const struct mcap_unit *u) {
    struct bp_mcap_record rec;
    struct bp_cur c;
    int r;

    bp_buf_clear(&x->index);
    if (!bp_buf_grow(&x->index, (size_t) u->index_len))
        return -ENOMEM;
    r = mcap_read(x->m, u->at + u->len, x->index.p, u->index_len);
    c = bp_cur_of(x->index.p, x->index.n);
    x->n = 0;
    while (r == 0 && (r = bp_mcap_next(&c, &rec)) > 0) {
        struct bp_mcap_message_index mi;

        if (rec.op != BP_MCAP_MESSAGE_INDEX)
            return BP_EFORMAT;
        r = bp_mcap_message_index(&rec, &mi);
        if (r >= 0)
            r = take_entries(x, &mi);
    }
    return r < 0 ? r : count_entries(x, u->raw);
}

/* ---- others ---- */

static int read_messages(struct reading *x, const struct mcap_unit *u) {
    size_t n = x->m->s.nchannels;
    BP_AUTO_FREE bool *all = malloc(n + 1);
    struct mcap_open_unit *open = all ? calloc(1, sizeof *open) : NULL;
    struct bp_source_filter f = { .channels = all, .to = UINT64_MAX, .file_order = true };
    int r;

    if (!open)
        return -ENOMEM;
    memset(all, 1, n + 1);
    r = mcap_unit_load(x->m, &f, u, open);
    if (r > 0)
        do {
            int32_t channel = mcap_channel(x->m, bp_ld_le16(open->p + 9));
            uint64_t len = bp_ld_le64(open->p + 1), time = bp_ld_le64(open->p + PAYLOAD_TIME);

            if (channel >= 0 && len >= MESSAGE_HEAD - 9 && time <= INT64_MAX)
                bp_overview_add(x->o, x->topics[channel], (bp_ns_t) time, 1,
                                len - (MESSAGE_HEAD - 9));
        } while (mcap_unit_step(x->m, &f, open));
    mcap_unit_free(open);
    return r < 0 ? r : 0;
}

/* ---- what was lost ---- */

static int take_ledger(void *ctx, const char *name, struct bp_str key, struct bp_str value) {
    return bp_streq(name, BP_LEDGER_NAME) ? bp_ledger_decode(ctx, key, value, NULL) : 0;
}

static int read_losses(struct reading *x) {
    BP_CLEANUP(bp_ledger_done) struct bp_ledger l = { 0 };
    int r = x->m->s.ops->metadata(&x->m->s, take_ledger, &l, NULL);

    if (r >= 0)
        r = bp_ledger_settle(&l);
    for (size_t i = 0; r >= 0 && i < l.n; i++) {
        struct bp_ledger_totals t;

        bp_ledger_source_totals(l.v[i], &t);
        if (t.lost_all > 0)
            r = bp_overview_add_loss(x->o, l.v[i]->topic, x->m->s.file.start_ns,
                                     x->m->s.file.end_ns, t.lost_all);
    }
    return r < 0 ? r : 0;
}

int bp_overview_read(const char *name, const struct bp_reads *reads, struct bp_overview *ret,
                     struct bp_error *err) {
    BP_CLEANUP(reading_done) struct reading x = { .o = ret };
    int r = mcap_open_reads(name, reads, &x.m, err);

    if (r < 0)
        return r;
    r = name_topics(&x);
    for (size_t i = 0; r == 0 && i < x.m->nunits; i++) {
        const struct mcap_unit *u = &x.m->units[i];

        if (u->repeated)
            continue;
        r = u->chunk && u->index_len > 0 && u->index_len <= INDEX_MAX ? read_index(&x, u)
                                                                      : read_messages(&x, u);
    }
    if (r == 0)
        r = read_losses(&x);
    return r < 0 ? bp_fail(err, r, "'%s' has no overview: %s", name, bp_strerror(r)) : 0;
}
