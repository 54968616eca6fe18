#include "bag/index.h"

#include <errno.h>

#include "base/crc.h"

void bp_index_done(struct bp_index *x) {
    bp_buf_done(&x->schemas);
    bp_buf_done(&x->channels);
    bp_buf_done(&x->chunks);
    bp_buf_done(&x->metadata);
    bp_buf_done(&x->attachments);
    free(x->counts);
    *x = (struct bp_index){ 0 };
}

struct bp_index_at bp_index_at(const struct bp_index *x) {
    return (struct bp_index_at){ x->schemas.n, x->channels.n, x->metadata.n,
                                 x->nschemas,  x->nchannels,  x->nmetadata };
}

void bp_index_back(struct bp_index *x, const struct bp_index_at *at) {
    x->schemas.n = at->schemas;
    x->channels.n = at->channels;
    x->metadata.n = at->metadata;
    x->nschemas = at->nschemas;
    x->nchannels = at->nchannels;
    x->nmetadata = at->nmetadata;
}

void bp_index_add_schema(struct bp_index *x, const void *rec, size_t n) {
    bp_buf_put(&x->schemas, rec, n);
    x->nschemas++;
}

static bool have_counts(struct bp_index *x) {
    if (!x->counts)
        x->counts = calloc(UINT16_MAX + 1, sizeof *x->counts);
    x->failed |= !x->counts;
    return x->counts;
}

void bp_index_add_channel(struct bp_index *x, uint16_t id, const void *rec, size_t n) {
    bp_buf_put(&x->channels, rec, n);
    x->nchannels++;
    x->max_channel = BP_MAX(x->max_channel, id);
    (void) have_counts(x);
}

static void add_counts(struct bp_index *x, const struct bp_chunk_info *c) {
    uint64_t n = 0;

    if (!have_counts(x))
        return;
    for (unsigned i = 0; i < c->nch; i++) {
        x->counts[c->ch[i].id] += c->ch[i].count;
        x->max_channel = BP_MAX(x->max_channel, c->ch[i].id);
        n += c->ch[i].count;
    }
    if (!n)
        return;
    x->t_first = x->messages ? BP_MIN(x->t_first, c->t_first) : c->t_first;
    x->t_last = BP_MAX(x->t_last, c->t_last);
    x->messages += n;
}

void bp_index_add_chunk(struct bp_index *x, const struct bp_chunk_info *c) {
    struct bp_buf *b = &x->chunks;
    size_t rec = bp_rec_begin(b, BP_MCAP_CHUNK_INDEX), map;

    bp_buf_put_le64(b, c->t_first);
    bp_buf_put_le64(b, c->t_last);
    bp_buf_put_le64(b, c->at);
    bp_buf_put_le64(b, c->len);
    map = bp_map_begin(b);
    for (unsigned i = 0; i < c->nch; i++) {
        if (!c->ch[i].index_at)
            continue;
        bp_buf_put_le16(b, c->ch[i].id);
        bp_buf_put_le64(b, c->ch[i].index_at);
    }
    bp_map_end(b, map);
    bp_buf_put_le64(b, c->index_len);
    bp_put_text(b, c->codec.p, c->codec.n);
    bp_buf_put_le64(b, c->stored);
    bp_buf_put_le64(b, c->raw);
    bp_rec_end(b, rec);
    x->nchunks++;
    add_counts(x, c);
}

void bp_index_add_group(struct bp_index *x, const struct bp_group *g, uint64_t at) {
    struct bp_chunk_info c = {
        .at = at + g->lead,
        .len = g->chunk_len,
        .index_len = g->index_len,
        .stored = g->stored,
        .raw = g->raw,
        .t_first = g->t_first,
        .t_last = g->t_last,
        .codec = bp_str_of(bp_codec_name(g->codec)),
        .ch = g->ch,
        .nch = g->nch,
    };

    for (unsigned i = 0; i < g->nch; i++)
        g->ch[i].index_at += at;
    bp_index_add_chunk(x, &c);
    for (unsigned i = 0; i < g->nch; i++) /* the group may have to be written once more */
        g->ch[i].index_at -= at;
}

void bp_index_add_metadata(struct bp_index *x, uint64_t at, uint64_t len, struct bp_str name) {
    size_t rec = bp_rec_begin(&x->metadata, BP_MCAP_METADATA_INDEX);

    bp_buf_put_le64(&x->metadata, at);
    bp_buf_put_le64(&x->metadata, len);
    bp_put_text(&x->metadata, name.p, name.n);
    bp_rec_end(&x->metadata, rec);
    x->nmetadata++;
}

void bp_index_add_attachment(struct bp_index *x, uint64_t at, uint64_t len,
                             const struct bp_mcap_attachment *a) {
    size_t rec = bp_rec_begin(&x->attachments, BP_MCAP_ATTACHMENT_INDEX);

    bp_buf_put_le64(&x->attachments, at);
    bp_buf_put_le64(&x->attachments, len);
    bp_buf_put_le64(&x->attachments, a->log_time);
    bp_buf_put_le64(&x->attachments, a->create_time);
    bp_buf_put_le64(&x->attachments, a->size);
    bp_put_text(&x->attachments, a->name.p, a->name.n);
    bp_put_text(&x->attachments, a->media_type.p, a->media_type.n);
    bp_rec_end(&x->attachments, rec);
    x->nattachments++;
}

static void put_statistics(const struct bp_index *x, struct bp_buf *b) {
    size_t rec = bp_rec_begin(b, BP_MCAP_STATISTICS), map;

    bp_buf_put_le64(b, x->messages);
    bp_buf_put_le16(b, (uint16_t) x->nschemas);
    bp_buf_put_le32(b, x->nchannels);
    bp_buf_put_le32(b, x->nattachments);
    bp_buf_put_le32(b, x->nmetadata);
    bp_buf_put_le32(b, x->nchunks);
    bp_buf_put_le64(b, x->t_first);
    bp_buf_put_le64(b, x->t_last);
    map = bp_map_begin(b);
    for (uint32_t id = 0; x->counts && id <= x->max_channel; id++) {
        if (!x->counts[id])
            continue;
        bp_buf_put_le16(b, (uint16_t) id);
        bp_buf_put_le64(b, x->counts[id]);
    }
    bp_map_end(b, map);
    bp_rec_end(b, rec);
}

/* One kind of record in the summary, and the place of each for the offsets behind it. */
struct section {
    enum bp_mcap_op op;
    size_t at, len;
};

static void put_section(struct bp_buf *b, const struct bp_buf *from, enum bp_mcap_op op,
                        struct section *s) {
    *s = (struct section){ op, b->n, from->n };
    bp_buf_put(b, from->p, from->n);
}

static void put_footer(struct bp_buf *b, uint64_t base, size_t summary, size_t offsets) {
    size_t foot = bp_rec_begin(b, BP_MCAP_FOOTER);

    bp_buf_put_le64(b, base + summary);
    bp_buf_put_le64(b, base + offsets);
    if (b->failed)
        return;
    /* The CRC covers the footer up to itself, so its length must be there already. */
    bp_st_le64(b->p + foot + 1, 20);
    bp_buf_put_le32(b, bp_crc32(0, b->p + summary, b->n - summary));
    bp_buf_put(b, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN);
}

int bp_index_summary(const struct bp_index *x, uint64_t data_end, struct bp_buf *out) {
    size_t start = out->n, rec = bp_rec_begin(out, BP_MCAP_DATA_END), summary, offsets;
    uint64_t base = data_end - start; /* of out->p[0] in the file */
    struct section s[6];

    bp_buf_put_le32(out, 0);
    bp_rec_end(out, rec);

    summary = out->n;
    put_section(out, &x->schemas, BP_MCAP_SCHEMA, &s[0]);
    put_section(out, &x->channels, BP_MCAP_CHANNEL, &s[1]);
    s[2] = (struct section){ BP_MCAP_STATISTICS, out->n, 0 };
    put_statistics(x, out);
    s[2].len = out->n - s[2].at;
    put_section(out, &x->chunks, BP_MCAP_CHUNK_INDEX, &s[3]);
    put_section(out, &x->attachments, BP_MCAP_ATTACHMENT_INDEX, &s[4]);
    put_section(out, &x->metadata, BP_MCAP_METADATA_INDEX, &s[5]);

    offsets = out->n;
    for (size_t i = 0; i < BP_COUNT(s); i++) {
        if (!s[i].len)
            continue;
        rec = bp_rec_begin(out, BP_MCAP_SUMMARY_OFFSET);
        bp_buf_put_u8(out, (uint8_t) s[i].op);
        bp_buf_put_le64(out, base + s[i].at);
        bp_buf_put_le64(out, s[i].len);
        bp_rec_end(out, rec);
    }
    put_footer(out, base, summary, offsets);
    return out->failed || x->failed || x->schemas.failed || x->channels.failed ||
                   x->chunks.failed || x->metadata.failed || x->attachments.failed
               ? -ENOMEM
               : 0;
}
