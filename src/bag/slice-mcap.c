/* Slices as MCAP. The file that is written is:
 *
 *   magic, Header, then for each segment: Schema and Channel records that are new, chunks with
 * their message indexes; at the end DataEnd, summary, footer.
 *
 * A chunk goes through as it is when all its channels and all its times are wanted and its channels
 * have the ids that they have in our file. Ids are those of the segment, as long as no other
 * segment means something else by them. Of message indexes only what the specification defines is
 * kept: behind it stand commit blocks, which are true of the segment alone. */
#include <errno.h>
#include <stdlib.h>

#include "bag/slice-priv.h"

enum {
    IDS = UINT16_MAX + 1,
    PIECE = 256 << 10,     /* of a chunk that goes through */
    CHUNK_RAW = 1 << 20,   /* of those that are made */
    INDEX_MAX = 256 << 20, /* behind one chunk */
};

struct slice_mcap {
    struct bp_index index;
    uint64_t at;             /* bytes written */
    struct bp_buf *channels; /* owned: content of Channel records by id, IDS of them */
    struct bp_buf *schemas;  /* the same */
    uint16_t ids[IDS];       /* of the open segment: channel id there -> here */
    bool moved[IDS];         /* and it is another one */
    struct bp_buf records;   /* Message records of the chunk that is being made */
    struct bp_builder builder;
    enum bp_codec codec;
    bool have_builder;
    struct bp_buf piece; /* read and passed on */
    struct bp_group_channel ch[4096];
};

int slice_mcap_new(struct slicing *x, struct slice_mcap **ret) {
    struct slice_mcap *o = calloc(1, sizeof *o);
    BP_AUTO_BUF head = { 0 };
    size_t rec;
    int r;

    if (o) {
        o->channels = calloc(IDS, sizeof *o->channels);
        o->schemas = calloc(IDS, sizeof *o->schemas);
    }
    bp_buf_put(&head, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN);
    rec = bp_rec_begin(&head, BP_MCAP_HEADER);
    bp_put_cstr(&head, "ros2");
    bp_put_cstr(&head, "bagpipe " BP_VERSION);
    bp_rec_end(&head, rec);
    r = !o || !o->channels || !o->schemas || head.failed
            ? bp_fail(x->err, -ENOMEM, "no memory for a slice")
            : slice_put(x, head.p, head.n);
    if (r < 0) {
        slice_mcap_free(o);
        return r;
    }
    o->at = head.n;
    *ret = o;
    return 0;
}

void slice_mcap_free(struct slice_mcap *o) {
    if (!o)
        return;
    bp_index_done(&o->index);
    for (size_t i = 0; o->channels && i < IDS; i++)
        bp_buf_done(&o->channels[i]);
    for (size_t i = 0; o->schemas && i < IDS; i++)
        bp_buf_done(&o->schemas[i]);
    free(o->channels);
    free(o->schemas);
    bp_buf_done(&o->records);
    bp_buf_done(&o->piece);
    if (o->have_builder)
        bp_builder_done(&o->builder);
    free(o);
}

static int write_out(struct slicing *x, struct slice_mcap *o, const void *p, size_t n) {
    int r = slice_put(x, p, n);

    if (r == 0)
        o->at += n;
    return r;
}

/* ---- definitions ---- */

/* Two contents but for the id in their first two bytes. */
static bool same(const struct bp_buf *a, const struct bp_buf *b) {
    return a->n == b->n && a->n >= 2 && memcmp(a->p + 2, b->p + 2, a->n - 2) == 0;
}

/* The id for this content: its own when that is free or means the same, one that means the same, or
 * any free one. @param ret_new  whether it must be written */
static int find_id(struct slicing *x, struct bp_buf *all, const struct bp_buf *content,
                   uint16_t lowest, uint16_t *ret, bool *ret_new) {
    uint16_t own = bp_ld_le16(content->p);
    uint32_t spare = 0;

    *ret_new = false;
    *ret = own;
    if (same(&all[own], content))
        return 0;
    if (all[own].n > 0) {
        for (uint32_t i = IDS - 1; i >= lowest; i--) {
            if (same(&all[i], content)) {
                *ret = (uint16_t) i;
                return 0;
            }
            if (all[i].n == 0)
                spare = i + 1;
            if (i == 0)
                break;
        }
        if (spare == 0)
            return bp_fail(x->err, BP_ELIMIT, "the slice has too many channels");
        *ret = (uint16_t) (spare - 1);
    }
    *ret_new = true;
    bp_buf_put(&all[*ret], content->p, content->n);
    if (all[*ret].failed)
        return bp_fail(x->err, -ENOMEM, "no memory for a slice");
    bp_st_le16(all[*ret].p, *ret);
    return 0;
}

static void put_record(struct bp_buf *out, enum bp_mcap_op op, const struct bp_buf *content) {
    size_t rec = bp_rec_begin(out, op);

    bp_buf_put(out, content->p, content->n);
    bp_rec_end(out, rec);
}

static int define_schema(struct slicing *x, struct slice_mcap *o, uint16_t id, uint16_t *ret,
                         struct bp_buf *out) {
    const struct mcap_schema_copy *s = x->m->schemas ? &x->m->schemas[id] : NULL;
    BP_AUTO_BUF content = { 0 };
    size_t at = out->n;
    bool is_new = false;
    int r;

    *ret = 0;
    if (id == 0 || !s || !s->name)
        return 0;
    bp_buf_put_le16(&content, id);
    bp_put_cstr(&content, s->name);
    bp_put_cstr(&content, s->encoding);
    bp_put_text(&content, s->data.p, s->data.n);
    if (content.failed)
        return bp_fail(x->err, -ENOMEM, "no memory for a slice");
    r = find_id(x, o->schemas, &content, 1, ret, &is_new);
    if (r == 0 && is_new) {
        put_record(out, BP_MCAP_SCHEMA, &o->schemas[*ret]);
        bp_index_add_schema(&o->index, out->p + at, out->n - at);
    }
    return r;
}

static int define_channel(struct slicing *x, struct slice_mcap *o, const struct bp_buf *record,
                          struct bp_buf *out) {
    uint16_t id = bp_ld_le16(record->p), schema = 0;
    BP_AUTO_BUF content = { 0 };
    bool is_new = false;
    size_t at;
    int r = define_schema(x, o, bp_ld_le16(record->p + 2), &schema, out);

    if (r < 0)
        return r;
    bp_buf_put(&content, record->p, record->n);
    if (content.failed)
        return bp_fail(x->err, -ENOMEM, "no memory for a slice");
    bp_st_le16(content.p + 2, schema);
    r = find_id(x, o->channels, &content, 0, &o->ids[id], &is_new);
    o->moved[id] = o->ids[id] != id || schema != bp_ld_le16(record->p + 2);
    at = out->n;
    if (r == 0 && is_new) {
        put_record(out, BP_MCAP_CHANNEL, &o->channels[o->ids[id]]);
        bp_index_add_channel(&o->index, o->ids[id], out->p + at, out->n - at);
    }
    return r;
}

static int define(struct slicing *x, struct slice_mcap *o) {
    BP_AUTO_BUF out = { 0 };
    int r = 0;

    for (size_t i = 0; r == 0 && i < x->m->s.nchannels; i++)
        if (x->wanted[i])
            r = define_channel(x, o, &x->m->records[i], &out);
    if (r == 0 && (out.failed || o->index.failed))
        r = bp_fail(x->err, -ENOMEM, "no memory for a slice");
    return r < 0 ? r : write_out(x, o, out.p, out.n);
}

/* ---- chunks ---- */

/* MessageIndex records in `p`: written anew without what stands behind their entries, counted, and
 * their places remembered. */
static int put_indexes(struct slicing *x, struct slice_mcap *o, const uint8_t *p, uint64_t n,
                       struct bp_chunk_info *info) {
    struct bp_cur c = bp_cur_of(p, (size_t) n);
    uint64_t start = o->at, messages = 0;
    struct bp_mcap_record rec;
    BP_AUTO_BUF out = { 0 };
    unsigned nch = 0;
    int r;

    while ((r = bp_mcap_next(&c, &rec)) > 0) {
        struct bp_mcap_message_index mi;
        size_t at = out.n, map;

        if (rec.op != BP_MCAP_MESSAGE_INDEX || bp_mcap_message_index(&rec, &mi) < 0 ||
            nch == BP_COUNT(o->ch))
            return BP_EFORMAT;
        o->ch[nch++] = (struct bp_group_channel){ .id = mi.channel_id,
                                                  .count = mi.count,
                                                  .index_at = start + at };
        messages += mi.count;
        (void) bp_rec_begin(&out, BP_MCAP_MESSAGE_INDEX);
        bp_buf_put_le16(&out, mi.channel_id);
        map = bp_map_begin(&out);
        bp_buf_put(&out, mi.entries, 16 * (size_t) mi.count);
        bp_map_end(&out, map);
        bp_rec_end(&out, at);
    }
    if (r < 0)
        return r;
    if (out.failed)
        return -ENOMEM;
    info->ch = o->ch;
    info->nch = nch;
    info->index_len = out.n;
    r = write_out(x, o, out.p, out.n);
    if (r == 0)
        x->stats.messages += messages;
    return r;
}

static int fail_unit(struct slicing *x, const struct mcap_unit *u, int r) {
    if (slice_cancelled(x) < 0)
        return bp_fail(x->err, -ECANCELED, "cancelled");
    return bp_fail(x->err, r, "'%s': chunk at byte %llu: %s", x->m->s.file.path,
                   (unsigned long long) u->at, bp_strerror(r));
}

/* The chunk that was being made, if there is something in it. */
static int flush(struct slicing *x, struct slice_mcap *o) {
    struct bp_group_in in = { .records = o->records.p, .raw = o->records.n, .ch = o->ch };
    BP_AUTO_FREE uint8_t *out = NULL;
    struct bp_chunk_info info = { .at = o->at };
    struct bp_group g;
    int n, r;

    if (o->records.n == 0)
        return 0;
    n = bp_group_count(in.records, in.raw, o->ch, BP_COUNT(o->ch), &in.nmsg);
    if (n < 0)
        return bp_fail(x->err, n, "the slice has too many channels");
    in.nch = (unsigned) n;
    out = aligned_alloc(
        BP_BLOCK, BP_ALIGN(bp_group_bound(in.raw, in.nmsg, in.nch, 0, 0), (uint64_t) BP_BLOCK));
    if (!out)
        return bp_fail(x->err, -ENOMEM, "no memory for a slice");
    r = bp_group_build(&o->builder, &in, o->codec == BP_CODEC_NONE, out, 0, &g);
    if (r < 0)
        return bp_fail(x->err, r, "a chunk of the slice cannot be made: %s", bp_strerror(r));
    info.len = g.chunk_len;
    info.stored = g.stored;
    info.raw = g.raw;
    info.t_first = g.t_first;
    info.t_last = g.t_last;
    info.codec = bp_str_of(bp_codec_name(g.codec));
    r = write_out(x, o, out, g.chunk_len);
    if (r == 0)
        r = put_indexes(x, o, out + g.chunk_len, g.index_len, &info);
    if (r == 0)
        bp_index_add_chunk(&o->index, &info);
    bp_buf_clear(&o->records);
    return r;
}

/* ---- chunks that go through ---- */

static bool passes(const struct slicing *x, const struct slice_mcap *o, const struct mcap_unit *u) {
    if (!u->chunk || u->nids == 0 || u->index_len == 0 || u->index_len > INDEX_MAX ||
        u->start < x->f.from || u->end >= x->f.to)
        return false;
    for (uint32_t i = 0; i < u->nids; i++) {
        uint16_t id = x->m->ids[u->ids + i];

        if (!x->wanted[mcap_channel(x->m, id)] || o->moved[id])
            return false;
    }
    return true;
}

/* What its record says before the bytes of its messages; checked against the index. */
static int read_chunk_head(struct slicing *x, struct slice_mcap *o, const struct mcap_unit *u,
                           struct bp_chunk_info *info) {
    uint8_t head[128];
    size_t n = (size_t) BP_MIN(u->len, (uint64_t) sizeof head);
    uint32_t name;
    int r = mcap_read(x->m, u->at, head, n);

    if (r < 0)
        return r;
    if (n < BP_CHUNK_HEAD || head[0] != BP_MCAP_CHUNK ||
        bp_ld_le64(head + 1) != u->len - BP_MCAP_HEAD)
        return BP_EFORMAT;
    name = bp_ld_le32(head + BP_MCAP_HEAD + 28);
    if (name > 16 || BP_MCAP_HEAD + 32 + name + 8 > n)
        return BP_EFORMAT;
    info->stored = bp_ld_le64(head + BP_MCAP_HEAD + 32 + name);
    if (info->stored != u->len - BP_MCAP_HEAD - 40 - name)
        return BP_EFORMAT;
    info->t_first = bp_ld_le64(head + BP_MCAP_HEAD);
    info->t_last = bp_ld_le64(head + BP_MCAP_HEAD + 8);
    info->raw = bp_ld_le64(head + BP_MCAP_HEAD + 16);
    bp_buf_clear(&o->piece);
    bp_buf_put(&o->piece, head + BP_MCAP_HEAD + 32, name);
    return o->piece.failed ? -ENOMEM : 0;
}

static int copy_bytes(struct slicing *x, struct slice_mcap *o, uint64_t at, uint64_t len) {
    int r = 0;

    while (r == 0 && len > 0) {
        size_t n = (size_t) BP_MIN(len, (uint64_t) PIECE);

        bp_buf_clear(&o->piece);
        if (!bp_buf_grow(&o->piece, n))
            return -ENOMEM;
        r = mcap_read(x->m, at, o->piece.p, n);
        if (r == 0)
            r = write_out(x, o, o->piece.p, n);
        at += n;
        len -= n;
    }
    return r;
}

static int pass(struct slicing *x, struct slice_mcap *o, const struct mcap_unit *u) {
    struct bp_chunk_info info = { .len = u->len };
    BP_AUTO_BUF codec = { 0 }, indexes = { 0 };
    int r = flush(x, o);

    if (r < 0)
        return r;
    info.at = o->at;
    r = read_chunk_head(x, o, u, &info);
    if (r < 0)
        return fail_unit(x, u, r);
    bp_buf_put(&codec, o->piece.p, o->piece.n);
    info.codec = (struct bp_str){ (const char *) codec.p, codec.n };
    r = copy_bytes(x, o, u->at, u->len);
    if (r == 0 && !bp_buf_grow(&indexes, (size_t) u->index_len))
        r = -ENOMEM;
    if (r == 0)
        r = mcap_read(x->m, u->at + u->len, indexes.p, u->index_len);
    if (r == 0)
        r = put_indexes(x, o, indexes.p, u->index_len, &info);
    if (r < 0)
        return x->err->code == r ? r : fail_unit(x, u, r);
    bp_index_add_chunk(&o->index, &info);
    x->stats.passed++;
    return 0;
}

/* ---- chunks that are taken apart ---- */

static int take_message(struct slicing *x, struct slice_mcap *o, const uint8_t *record) {
    size_t n = BP_MCAP_HEAD + (size_t) bp_ld_le64(record + 1), at = o->records.n;

    bp_buf_put(&o->records, record, n);
    if (o->records.failed)
        return bp_fail(x->err, -ENOMEM, "no memory for a slice");
    bp_st_le16(o->records.p + at + BP_MCAP_HEAD, o->ids[bp_ld_le16(record + BP_MCAP_HEAD)]);
    return o->records.n >= CHUNK_RAW ? flush(x, o) : 0;
}

static int take_apart(struct slicing *x, struct slice_mcap *o, const struct mcap_unit *u,
                      struct mcap_open_unit *open) {
    int k = mcap_unit_load(x->m, &x->f, u, open), r = 0;

    if (k < 0)
        return fail_unit(x, u, k);
    x->stats.cut++;
    while (r == 0 && k > 0) {
        r = take_message(x, o, open->p);
        k = mcap_unit_step(x->m, &x->f, open);
    }
    return r;
}

/* ---- segments ---- */

static int by_place(const void *a, const void *b, void *units) {
    const struct mcap_unit *u = units;
    const uint32_t *p = a, *q = b;

    return u[*p].at < u[*q].at ? -1 : 1;
}

/* New chunks are compressed as those of the first segment. */
static int prepare(struct slicing *x, struct slice_mcap *o) {
    const char *name = x->m->s.compression;

    if (o->have_builder)
        return 0;
    o->codec = bp_streq(name, "lz4") ? BP_CODEC_LZ4 : *name ? BP_CODEC_ZSTD : BP_CODEC_NONE;
    if (bp_builder_init(&o->builder, o->codec, 0, true) < 0)
        return bp_fail(x->err, -ENOMEM, "no memory for a slice");
    o->have_builder = true;
    return 0;
}

int slice_mcap_segment(struct slicing *x, struct slice_mcap *o) {
    BP_AUTO_FREE uint32_t *plan = malloc((x->m->nunits + 1) * sizeof *plan);
    struct mcap_open_unit *open = calloc(1, sizeof *open);
    size_t n = 0;
    int r = plan && open ? prepare(x, o) : bp_fail(x->err, -ENOMEM, "no memory for a slice");

    if (r == 0)
        r = define(x, o);
    for (uint32_t i = 0; r == 0 && i < x->m->nunits; i++)
        if (slice_unit_wanted(x, &x->m->units[i]))
            plan[n++] = i;
    if (r == 0 && n > 1)
        qsort_r(plan, n, sizeof *plan, by_place, x->m->units);
    x->stats.skipped += x->m->nunits - n;
    for (size_t i = 0; r == 0 && i < n; i++) {
        const struct mcap_unit *u = &x->m->units[plan[i]];

        r = slice_cancelled(x) < 0 ? bp_fail(x->err, -ECANCELED, "cancelled")
            : passes(x, o, u)      ? pass(x, o, u)
                                   : take_apart(x, o, u, open);
    }
    mcap_unit_free(open);
    return r < 0 ? r : flush(x, o);
}

int slice_mcap_end(struct slicing *x, struct slice_mcap *o) {
    BP_AUTO_BUF out = { 0 };

    if (o->index.failed || bp_index_summary(&o->index, o->at, &out) < 0)
        return bp_fail(x->err, -ENOMEM, "no memory for a slice");
    return write_out(x, o, out.p, out.n);
}
