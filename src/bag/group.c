#include "bag/group.h"

#include <errno.h>

#include "base/crc.h"
#include "base/cursor.h"

/* Building is one pass: index entries and CRCs of a stretch that is still in the cache, then the
 * next stretch. The counts per channel are known before, so every entry goes straight to its place.
 * The group's CRC-32C also covers what stands before the records, which is known after them: parts
 * are summed alone and joined. */

static const char commit_magic[8] = { 'B', 'P', 'C', 'O', 'M', 'M', 'I', 'T' };

enum { STRETCH = 32 << 10 };

void bp_commit_encode(uint8_t out[static BP_COMMIT_BYTES], const struct bp_commit *c) {
    uint8_t *p = out;

    memcpy(p, commit_magic, 8);
    memcpy(p + 8, c->session, 16);
    p = bp_put64(p + 24, c->start);
    p = bp_put64(p, c->len);
    p = bp_put64(p, c->first);
    p = bp_put64(p, c->last);
    p = bp_put32(p, c->lane);
    p = bp_put32(p, c->crc);
    p = bp_put32(p, c->runs_bytes);
    p = bp_put32(p, c->runs_crc);
    p = bp_put32(p, bp_crc32c(0, out, 72));
    (void) bp_put32(p, 0);
}

int bp_commit_decode(const uint8_t *p, size_t n, struct bp_commit *ret) {
    struct bp_cur c = bp_cur_of(p, n);

    if (n < BP_COMMIT_BYTES || memcmp(p, commit_magic, 8) != 0 ||
        bp_ld_le32(p + 72) != bp_crc32c(0, p, 72))
        return BP_ECORRUPT;

    (void) bp_rd_bytes(&c, 8);
    memcpy(ret->session, bp_rd_bytes(&c, 16), 16);
    ret->start = bp_rd_le64(&c);
    ret->len = bp_rd_le64(&c);
    ret->first = bp_rd_le64(&c);
    ret->last = bp_rd_le64(&c);
    ret->lane = bp_rd_le32(&c);
    ret->crc = bp_rd_le32(&c);
    ret->runs_bytes = bp_rd_le32(&c);
    ret->runs_crc = bp_rd_le32(&c);
    return 0;
}

void bp_run_encode(uint8_t out[static BP_RUN_BYTES], const struct bp_run *r) {
    (void) bp_put64(bp_put64(bp_put32(bp_put32(out, r->source), r->kind), r->first), r->last);
}

void bp_run_decode(const uint8_t in[static BP_RUN_BYTES], struct bp_run *ret) {
    *ret = (struct bp_run){
        .source = bp_ld_le32(in),
        .kind = bp_ld_le32(in + 4),
        .first = bp_ld_le64(in + 8),
        .last = bp_ld_le64(in + 16),
    };
}

int bp_builder_init(struct bp_builder *b, enum bp_codec codec, int level, bool fast) {
    *b = (struct bp_builder){ .codec = codec };
    b->at = calloc(UINT16_MAX + 1, sizeof *b->at);
    if (codec != BP_CODEC_NONE)
        b->z = bp_compressor_new(codec, level, fast);
    if (!b->at || (codec != BP_CODEC_NONE && !b->z)) {
        bp_builder_done(b);
        return -ENOMEM;
    }
    return 0;
}

void bp_builder_done(struct bp_builder *b) {
    bp_compressor_free(b->z);
    free(b->at);
    *b = (struct bp_builder){ 0 };
}

static uint64_t tail_bytes(uint32_t nmsg, unsigned nch, uint32_t nruns) {
    return (uint64_t) BP_INDEX_ENTRY * nmsg + (uint64_t) BP_INDEX_HEAD * nch + BP_COMMIT_BYTES +
           (uint64_t) BP_RUN_BYTES * nruns + BP_BLOCK;
}

uint64_t bp_group_bound(uint64_t raw, uint32_t nmsg, unsigned nch, uint32_t nruns, uint64_t lead) {
    uint64_t body =
        BP_MAX(bp_compress_bound(BP_CODEC_ZSTD, raw), bp_compress_bound(BP_CODEC_LZ4, raw));

    return BP_ALIGN(lead + BP_CHUNK_HEAD + 8 + body + tail_bytes(nmsg, nch, nruns),
                    (uint64_t) BP_BLOCK);
}

/* MessageIndex heads at p, and where each channel's entries go. Returns the end of all of them. */
static uint8_t *place_indexes(struct bp_builder *b, const struct bp_group_in *in, uint8_t *p,
                              const uint8_t *base) {
    for (unsigned i = 0; i < in->nch; i++) {
        struct bp_group_channel *c = &in->ch[i];
        uint32_t bytes = c->count * BP_INDEX_ENTRY;

        c->index_at = (uint64_t) (p - base);
        p = bp_put_rec(p, BP_MCAP_MESSAGE_INDEX, 6 + (uint64_t) bytes);
        p = bp_put32(bp_put16(p, c->id), bytes);
        b->at[c->id] = p;
        p += bytes;
    }
    return p;
}

struct sums {
    uint32_t crc32;
    uint32_t crc32c; /* when asked for */
};

static void add_sums(struct sums *s, const uint8_t *p, uint64_t n, bool both) {
    for (uint64_t o = 0; o < n; o += STRETCH) {
        size_t k = (size_t) BP_MIN(n - o, (uint64_t) STRETCH);

        s->crc32 = bp_crc32(s->crc32, p + o, k);
        if (both)
            s->crc32c = bp_crc32c(s->crc32c, p + o, k);
    }
}

/* Index entries, time range and CRCs of all records. */
static struct sums index_records(struct bp_builder *b, const struct bp_group_in *in, bool both,
                                 struct bp_group *g) {
    const uint8_t *r = in->records;
    uint64_t first = UINT64_MAX, last = 0, o = 0, summed = 0;
    struct sums sums = { 0 };

    while (o < in->raw) {
        uint64_t stop = BP_MIN(in->raw, summed + STRETCH);

        while (o < stop) {
            uint64_t t = bp_ld_le64(r + o + 15);
            uint16_t id = bp_ld_le16(r + o + 9);

            first = BP_MIN(first, t);
            last = BP_MAX(last, t);
            b->at[id] = bp_put64(bp_put64(b->at[id], t), o);
            o += BP_REC_HEAD + bp_ld_le64(r + o + 1);
        }
        add_sums(&sums, r + summed, o - summed, both);
        summed = o;
    }
    g->t_first = in->raw ? first : 0;
    g->t_last = last;
    return sums;
}

/* CRC-32C of the whole group up to its commit block. */
static uint32_t group_crc(const uint8_t *out, const uint8_t *chunk, const struct bp_group *g,
                          const struct sums *sums) {
    const uint8_t *body = chunk + g->chunk_len - g->stored, *index = chunk + g->chunk_len;
    uint32_t crc = bp_crc32c(0, out, (size_t) (body - out));

    crc = g->codec == BP_CODEC_NONE ? bp_crc32c_join(crc, sums->crc32c, g->stored)
                                    : bp_crc32c(crc, body, (size_t) g->stored);
    return bp_crc32c(crc, index, (size_t) (out + g->commit_at - index));
}

/* Runs that go to disk behind the commit block. */
static uint32_t put_runs(uint8_t *p, const struct bp_run *runs, uint32_t n) {
    uint8_t *start = p;

    for (uint32_t i = 0; i < n; i++) {
        if (runs[i].kind == BP_RUN_LATCHED)
            continue;
        bp_run_encode(p, &runs[i]);
        p += BP_RUN_BYTES;
    }
    return (uint32_t) (p - start);
}

static uint8_t *put_chunk_head(uint8_t *p, const struct bp_group *g, uint32_t crc) {
    const char *name = bp_codec_name(g->codec);
    size_t n = strlen(name);

    p = bp_put_rec(p, BP_MCAP_CHUNK, 40 + n + g->stored);
    p = bp_put64(bp_put64(p, g->t_first), g->t_last);
    p = bp_put32(bp_put64(p, g->raw), crc);
    p = bp_put32(p, (uint32_t) n);
    memcpy(p, name, n); /* NOLINT(bugprone-not-null-terminated-result): its length stands before */
    return bp_put64(p + n, g->stored);
}

/* Compresses into its place; falls back to storing when that does not pay. */
static int put_body(struct bp_builder *b, const struct bp_group_in *in, bool store, uint8_t *chunk,
                    struct bp_group *g) {
    if (!store && b->codec != BP_CODEC_NONE) {
        size_t head = BP_CHUNK_HEAD + strlen(bp_codec_name(b->codec));
        size_t cap = bp_compress_bound(b->codec, in->raw);
        int64_t n = bp_compress(b->z, in->records, in->raw, chunk + head, cap);

        if (n < 0)
            return (int) n;
        if ((uint64_t) n < in->raw) {
            g->codec = b->codec;
            g->stored = (uint64_t) n;
            return 0;
        }
    }
    g->codec = BP_CODEC_NONE;
    g->stored = in->raw;
    if (in->records != chunk + BP_CHUNK_HEAD)
        memcpy(chunk + BP_CHUNK_HEAD, in->records, in->raw);
    return 0;
}

int bp_group_build(struct bp_builder *b, const struct bp_group_in *in, bool store, uint8_t *out,
                   uint64_t lead, struct bp_group *ret) {
    struct bp_group g = { .buf = out, .lead = lead, .raw = in->raw, .ch = in->ch, .nch = in->nch };
    uint8_t *chunk = out + lead, *index, *end, *trail;
    const struct bp_group_channel *last;
    struct sums sums;
    int r;

    r = put_body(b, in, store, chunk, &g);
    if (r < 0)
        return r;

    g.chunk_len = BP_CHUNK_HEAD + strlen(bp_codec_name(g.codec)) + g.stored;
    index = chunk + g.chunk_len;
    end = place_indexes(b, in, index, out);
    /* In place, the indexes lie behind the records and never over them. */
    sums = index_records(b, in, g.codec == BP_CODEC_NONE, &g);
    (void) put_chunk_head(chunk, &g, sums.crc32);

    g.commit_at = (uint64_t) (end - out);
    trail = end + BP_COMMIT_BYTES;
    g.runs_bytes = put_runs(trail, in->runs, in->nruns);
    g.runs_crc = bp_crc32c(0, trail, g.runs_bytes);
    g.len = BP_ALIGN(g.commit_at + BP_COMMIT_BYTES + g.runs_bytes, (uint64_t) BP_BLOCK);
    memset(trail + g.runs_bytes, 0,
           (size_t) (g.len - g.commit_at - BP_COMMIT_BYTES - g.runs_bytes));
    g.index_len = g.len - lead - g.chunk_len;

    last = &in->ch[in->nch - 1];
    bp_st_le64(out + last->index_at + 1, g.len - last->index_at - BP_REC_HEAD);
    g.crc = group_crc(out, chunk, &g, &sums);
    *ret = g;
    return 0;
}

void bp_group_commit(struct bp_group *g, const uint8_t session[16], uint64_t at, uint32_t lane,
                     uint64_t first, uint64_t last) {
    struct bp_commit c = {
        .start = at,
        .len = g->commit_at,
        .first = first,
        .last = last,
        .lane = lane,
        .crc = g->crc,
        .runs_bytes = g->runs_bytes,
        .runs_crc = g->runs_crc,
    };

    memcpy(c.session, session, 16);
    bp_commit_encode(g->buf + g->commit_at, &c);
}

void bp_group_seal(struct bp_buf *b, size_t last_rec, const uint8_t session[16], uint64_t at,
                   const struct bp_run *runs, uint32_t nruns) {
    size_t commit_at = b->n;
    size_t want =
        BP_ALIGN(commit_at + BP_COMMIT_BYTES + (size_t) nruns * BP_RUN_BYTES, (size_t) BP_BLOCK);
    uint8_t *p = bp_buf_grow(b, want - commit_at);
    struct bp_commit c = { .start = at, .len = commit_at, .lane = BP_LANE_NONE };

    if (!p)
        return;
    memset(p, 0, want - commit_at);
    bp_rec_end(b, last_rec);
    c.runs_bytes = put_runs(p + BP_COMMIT_BYTES, runs, nruns);
    c.runs_crc = bp_crc32c(0, p + BP_COMMIT_BYTES, c.runs_bytes);
    c.crc = bp_crc32c(0, b->p, commit_at);
    memcpy(c.session, session, 16);
    bp_commit_encode(p, &c);
}

int bp_group_count(const uint8_t *records, uint64_t n, struct bp_group_channel *ch, unsigned cap,
                   uint32_t *ret_nmsg) {
    unsigned nch = 0, hit = 0;
    uint32_t nmsg = 0;

    for (uint64_t o = 0; o < n; nmsg++) {
        uint64_t len;
        uint16_t id;

        if (n - o < BP_MESSAGE_HEAD || records[o] != BP_MCAP_MESSAGE)
            return BP_ECORRUPT;
        len = bp_ld_le64(records + o + 1);
        if (len < BP_MESSAGE_HEAD - BP_REC_HEAD || len > n - o - BP_REC_HEAD)
            return BP_ECORRUPT;

        id = bp_ld_le16(records + o + 9);
        for (hit = hit < nch && ch[hit].id == id ? hit : 0; hit < nch && ch[hit].id != id;)
            hit++;
        if (hit == nch) {
            if (nch == cap)
                return BP_ELIMIT;
            ch[nch++] = (struct bp_group_channel){ .id = id };
        }
        ch[hit].count++;
        ch[hit].bytes += len - (BP_MESSAGE_HEAD - BP_REC_HEAD);
        o += BP_REC_HEAD + len;
    }
    *ret_nmsg = nmsg;
    return (int) nch;
}
