/* Opening by the summary: what the file says about itself at its end. Anything that does not fit
 * makes us walk the file instead; the summary is a convenience, never the truth. */
#include "bag/mcap-priv.h"

#include <errno.h>

#include "base/crc.h"

enum { TAIL = BP_MCAP_HEAD + BP_MCAP_FOOTER_LEN + BP_MCAP_MAGIC_LEN };

/* The summary section with the footer's first 16 content bytes behind it, as the CRC covers it. */
static int read_summary(const struct mcap_source *m, struct bp_buf *buf, uint64_t *ret_start) {
    uint8_t tail[TAIL];
    struct bp_mcap_record rec = { .op = BP_MCAP_FOOTER,
                                  .p = tail + BP_MCAP_HEAD,
                                  .n = BP_MCAP_FOOTER_LEN };
    struct bp_mcap_footer f;
    uint64_t n;
    int r;

    if (m->size < BP_MCAP_MAGIC_LEN + TAIL)
        return 0;
    r = mcap_read(m, m->size - TAIL, tail, TAIL);
    if (r < 0)
        return r;
    if (tail[0] != BP_MCAP_FOOTER || bp_ld_le64(tail + 1) != BP_MCAP_FOOTER_LEN ||
        memcmp(tail + TAIL - BP_MCAP_MAGIC_LEN, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) != 0)
        return 0;

    (void) bp_mcap_footer(&rec, &f);
    if (f.summary_start < BP_MCAP_MAGIC_LEN || f.summary_start > m->size - TAIL)
        return 0;
    n = m->size - TAIL - f.summary_start;
    if (n > BP_MCAP_RECORD_MAX)
        return 0;

    bp_buf_clear(buf);
    if (!bp_buf_grow(buf, (size_t) n + BP_MCAP_HEAD + 16))
        return -ENOMEM;
    r = mcap_read(m, f.summary_start, buf->p, n + BP_MCAP_HEAD + 16);
    if (r < 0)
        return r;
    if (f.summary_crc != 0 && bp_crc32(0, buf->p, buf->n) != f.summary_crc)
        return 0;

    buf->n = (size_t) n;
    *ret_start = f.summary_start;
    return 1;
}

static int add_chunk_index(struct mcap_source *m, const struct bp_mcap_record *rec,
                           uint64_t summary_start) {
    struct bp_mcap_chunk_index x;
    struct mcap_unit u;
    int codec, r = bp_mcap_chunk_index(rec, &x);

    if (r < 0)
        return r;
    codec = bp_codec_from_name(x.compression.p, x.compression.n);
    if (x.chunk_start < BP_MCAP_MAGIC_LEN || x.chunk_start > summary_start ||
        x.chunk_length > summary_start - x.chunk_start)
        return BP_EFORMAT;

    m->codecs_seen |= codec < 0 ? 0x80u : 1u << codec;
    m->s.chunk_raw += x.uncompressed_size;
    m->s.chunk_stored += x.compressed_size;
    /* chunks that hold only definitions say start = end = 0 and have no index entries */
    if (x.start == 0 && x.end == 0 && x.noffsets == 0 && x.message_index_length == 0 &&
        x.uncompressed_size > 0) {
        u = (struct mcap_unit){
            .at = x.chunk_start, .len = x.chunk_length, .raw = x.uncompressed_size, .chunk = true
        };
        return mcap_add_unit(m, &u);
    }

    if (m->nids + x.noffsets > m->cap_ids) {
        size_t cap = BP_MAX(m->cap_ids * 2, m->nids + x.noffsets);
        uint16_t *ids = realloc(m->ids, cap * sizeof *ids);

        if (!ids)
            return -ENOMEM;
        m->ids = ids;
        m->cap_ids = cap;
    }
    u = (struct mcap_unit){ .at = x.chunk_start,
                            .len = x.chunk_length,
                            .raw = x.uncompressed_size,
                            .start = x.start,
                            .end = x.end,
                            .chunk = true,
                            .ids = (uint32_t) m->nids,
                            .nids = x.noffsets,
                            .index_len = x.message_index_length };
    for (uint32_t i = 0; i < x.noffsets; i++)
        m->ids[m->nids++] = bp_ld_le16(x.offsets + 10 * (size_t) i);
    return mcap_add_unit(m, &u);
}

struct totals {
    bool have_stats;
    struct bp_mcap_statistics stats;
    uint32_t chunks;
};

static int add_statistics(const struct bp_mcap_record *rec, struct totals *t) {
    t->have_stats = true;
    return bp_mcap_statistics(rec, &t->stats);
}

static int add_metadata_index(struct mcap_source *m, const struct bp_mcap_record *rec,
                              uint64_t summary_start) {
    struct bp_mcap_metadata_index x;
    int r = bp_mcap_metadata_index(rec, &x);

    if (r < 0)
        return r;
    if (x.offset < BP_MCAP_MAGIC_LEN || x.offset > summary_start ||
        x.length > summary_start - x.offset)
        return BP_EFORMAT;
    return mcap_add_meta(m, x.offset, x.length);
}

static int add_record(struct mcap_source *m, const struct bp_mcap_record *rec, uint64_t start,
                      struct totals *t) {
    switch (rec->op) {
    case BP_MCAP_SCHEMA:
        return mcap_add_schema(m, rec);
    case BP_MCAP_CHANNEL:
        return mcap_add_channel(m, rec);
    case BP_MCAP_STATISTICS:
        return add_statistics(rec, t);
    case BP_MCAP_CHUNK_INDEX:
        t->chunks++;
        return add_chunk_index(m, rec, start);
    case BP_MCAP_METADATA_INDEX:
        return add_metadata_index(m, rec, start);
    default:
        return 0;
    }
}

/* The statistics count repeated messages like others; which they are, only their chunk tells. */
static int count_repeated(struct mcap_source *m, uint64_t at) {
    struct mcap_chunk_buf b = { 0 };
    struct bp_mcap_record rec;
    struct bp_mcap_message msg;
    struct bp_mcap_chunk chunk;
    struct bp_cur c;
    int r = mcap_load_chunk(m, at, false, &b, &chunk);

    for (c = bp_cur_of(b.records, r < 0 ? 0 : (size_t) b.n); bp_mcap_next(&c, &rec) > 0;) {
        int32_t ch;

        if (rec.op != BP_MCAP_MESSAGE || bp_mcap_message(&rec, &msg) < 0)
            continue;
        m->s.repeated++;
        ch = mcap_channel(m, msg.channel_id);
        if (ch >= 0)
            m->s.channels[ch].repeated++;
    }
    mcap_chunk_buf_done(&b);
    return r == -ENOMEM ? r : 0; /* damage is told when the chunk is read */
}

/* A chunk right behind a `bagpipe.repeated` record holds latched messages repeated from earlier
 * segments. */
static int mark_repeated(struct mcap_source *m, const struct bp_mcap_record *rec) {
    struct bp_mcap_metadata_index x;

    if (bp_mcap_metadata_index(rec, &x) < 0 || !bp_str_eq(x.name, BP_STR("bagpipe.repeated")))
        return 0;
    for (size_t i = 0; i < m->nunits; i++)
        if (m->units[i].at == x.offset + x.length && !m->units[i].repeated) {
            m->units[i].repeated = true;
            return m->reads.read ? 0 : count_repeated(m, m->units[i].at);
        }
    return 0;
}

/* Is what the summary holds enough to find every message? */
static bool enough(const struct mcap_source *m, const struct totals *t) {
    for (size_t i = 0; i < m->nids; i++)
        if (mcap_channel(m, m->ids[i]) < 0)
            return false;
    for (size_t i = 0; i < m->nunits; i++)
        if (m->units[i].nids == 0 && m->units[i].end > 0)
            return false; /* index without offsets: channels are only inside */
    return t->have_stats && t->stats.chunks == t->chunks &&
           (t->chunks > 0 || t->stats.messages == 0);
}

static void forget(struct mcap_source *m) {
    m->nunits = m->nids = m->nmeta = 0;
    m->s.chunk_raw = m->s.chunk_stored = 0;
    m->codecs_seen = 0;
}

int mcap_load_summary(struct mcap_source *m, struct bp_error *err) {
    BP_AUTO_BUF buf = { 0 };
    struct totals t = { 0 };
    struct bp_mcap_record rec;
    struct bp_cur c;
    uint64_t start = 0;
    int r, k;

    r = read_summary(m, &buf, &start);
    if (r <= 0)
        return r < 0 && r != BP_ETRUNCATED ? bp_fail(err, r, "summary: %s", bp_strerror(r)) : 0;

    for (c = bp_cur_of(buf.p, buf.n); (k = bp_mcap_next(&c, &rec)) > 0;) {
        r = add_record(m, &rec, start, &t);
        if (r == -ENOMEM)
            return bp_fail(err, r, "no memory for the summary");
        if (r < 0)
            break;
    }
    if (k < 0 || r < 0 || !enough(m, &t)) {
        forget(m);
        return 0;
    }

    for (c = bp_cur_of(buf.p, buf.n); bp_mcap_next(&c, &rec) > 0;)
        if (rec.op == BP_MCAP_METADATA_INDEX && mark_repeated(m, &rec) < 0)
            return bp_fail(err, -ENOMEM, "no memory for the summary");
    m->s.file.messages = t.stats.messages;
    for (uint32_t i = 0; i < t.stats.ncounts; i++) {
        int32_t ch = mcap_channel(m, bp_ld_le16(t.stats.counts + 10 * (size_t) i));

        if (ch >= 0)
            m->s.channels[ch].messages += bp_ld_le64(t.stats.counts + 10 * (size_t) i + 2);
    }
    return 1;
}
