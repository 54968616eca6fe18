#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "bag/sealed-walk.h"
#include "bag/segment.h"
#include "base/crc.h"
#include "base/cursor.h"

/* What a finished segment says of itself: its summary, ledger and message numbers, without reading
 * its payload. */

struct file {
    const struct bp_io *io;
    int fd;
    uint64_t size;
};

/* @return 0, BP_ECORRUPT when the file has not that much */
static int read_at(const struct file *f, uint64_t at, uint64_t n, struct bp_buf *out) {
    uint8_t *p;

    bp_buf_clear(out);
    if (at > f->size || n > f->size - at)
        return BP_ECORRUPT;
    p = bp_buf_grow(out, (size_t) n);
    if (!p)
        return -ENOMEM;
    return f->io->pread(f->io->ctx, f->fd, p, (size_t) n, at) == (ssize_t) n ? 0 : -EIO;
}

/* Summary section into `out`, its CRC checked. */
static int read_summary(const struct file *f, struct bp_buf *out) {
    enum { TAIL = BP_REC_HEAD + BP_MCAP_FOOTER_LEN + BP_MCAP_MAGIC_LEN };
    struct bp_mcap_footer foot;
    struct bp_mcap_record rec;
    struct bp_cur c;
    size_t covered;
    int r;

    if (f->size < TAIL)
        return BP_ECORRUPT;
    r = read_at(f, f->size - TAIL, TAIL, out);
    if (r < 0)
        return r;
    c = bp_cur_of(out->p, TAIL - BP_MCAP_MAGIC_LEN);
    if (memcmp(out->p + TAIL - BP_MCAP_MAGIC_LEN, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) != 0 ||
        bp_mcap_next(&c, &rec) <= 0 || rec.op != BP_MCAP_FOOTER ||
        bp_mcap_footer(&rec, &foot) < 0 || foot.summary_start == 0 ||
        foot.summary_start > f->size - TAIL)
        return BP_ECORRUPT;
    r = read_at(f, foot.summary_start, f->size - foot.summary_start, out);
    if (r < 0)
        return r;
    covered = out->n - BP_MCAP_MAGIC_LEN - 4;
    if (foot.summary_crc != bp_crc32(0, out->p, covered))
        return BP_ECORRUPT;
    out->n -= TAIL;
    return 0;
}

static int parse_ranges(const struct bp_mcap_metadata *md, struct bp_segment *s) {
    static const char *const lanes[BP_LANES] = { "lane0", "lane1" };
    struct bp_str run = bp_mcap_map_get(md->map, "run");
    struct bp_str repeated = bp_mcap_map_get(md->map, "repeated");
    struct bp_spans number = { 0 };
    int r = 0;

    for (size_t i = 0; i < 16 && run.n == 32; i++) {
        char hex[3] = { run.p[2 * i], run.p[2 * i + 1], 0 };

        s->session[i] = (uint8_t) strtoul(hex, NULL, 16);
    }
    for (size_t i = 0; i < BP_LANES && r == 0; i++)
        r = bp_spans_parse(bp_mcap_map_get(md->map, lanes[i]), &s->ranges[i]);
    if (r == 0)
        r = bp_spans_parse(repeated, &number);
    s->repeated = r == 0 && number.n ? number.v[0].first : 0;
    bp_spans_done(&number);
    return r;
}

static int parse_ledger(const struct bp_mcap_metadata *md, struct bp_segment *s) {
    struct bp_mcap_map map = md->map;
    struct bp_str key, value;
    int r = 0;

    while (r == 0 && bp_mcap_map_next(&map, &key, &value) > 0)
        r = bp_ledger_decode(&s->ledger, key, value, NULL);
    return r;
}

/* Follows the index to one of the records that closing wrote. */
static int take_metadata(const struct file *f, const struct bp_mcap_record *index,
                         struct bp_segment *s) {
    struct bp_mcap_metadata_index x;
    struct bp_mcap_metadata md;
    struct bp_mcap_record rec;
    BP_AUTO_BUF b = { 0 };
    struct bp_cur c;
    bool ledger, session;
    int r;

    if (bp_mcap_metadata_index(index, &x) < 0)
        return BP_ECORRUPT;
    ledger = bp_str_eq(x.name, BP_STR(BP_LEDGER_NAME));
    session = bp_str_eq(x.name, BP_STR("bagpipe.session"));
    if (!ledger && !session && !bp_str_eq(x.name, BP_STR("bagpipe.segment")))
        return 0;
    r = read_at(f, x.offset, x.length, &b);
    if (r < 0)
        return r;
    c = bp_cur_of(b.p, b.n);
    if (bp_mcap_next(&c, &rec) <= 0 || rec.op != BP_MCAP_METADATA ||
        bp_mcap_metadata(&rec, &md) < 0)
        return session ? 0 : BP_ECORRUPT; /* nothing but the session's id hangs on it */
    if (session) {
        bp_segment_take_id(s, bp_mcap_map_get(md.map, "session"));
        return 0;
    }
    return ledger ? parse_ledger(&md, s) : parse_ranges(&md, s);
}

static int take_statistics(const struct bp_mcap_record *rec, struct bp_index *x) {
    struct bp_mcap_statistics st;

    if (bp_mcap_statistics(rec, &st) < 0)
        return BP_ECORRUPT;
    x->messages = st.messages;
    x->t_first = st.start;
    x->t_last = st.end;
    if (!x->counts)
        x->counts = calloc(UINT16_MAX + 1, sizeof *x->counts);
    if (!x->counts)
        return -ENOMEM;
    for (uint32_t i = 0; i < st.ncounts; i++) {
        uint16_t id = bp_ld_le16(st.counts + 10 * (size_t) i);

        x->counts[id] = bp_ld_le64(st.counts + 10 * (size_t) i + 2);
        x->max_channel = BP_MAX(x->max_channel, id);
    }
    return 0;
}

static int take_summary(const struct file *f, const struct bp_buf *summary, struct bp_segment *s) {
    struct bp_cur c = bp_cur_of(summary->p, summary->n);
    struct bp_mcap_record rec;
    int r = 0;

    while (r == 0 && bp_mcap_next(&c, &rec) > 0) {
        const uint8_t *head = rec.p - BP_REC_HEAD;
        size_t n = (size_t) rec.n + BP_REC_HEAD;

        if (rec.op == BP_MCAP_SCHEMA)
            bp_index_add_schema(&s->index, head, n);
        else if (rec.op == BP_MCAP_CHANNEL && rec.n >= 2)
            bp_index_add_channel(&s->index, bp_ld_le16(rec.p), head, n);
        else if (rec.op == BP_MCAP_STATISTICS)
            r = take_statistics(&rec, &s->index);
        else if (rec.op == BP_MCAP_METADATA_INDEX)
            r = take_metadata(f, &rec, s);
    }
    return r;
}

/* Sealed to somebody else: closed or not, and what its frames say in the clear. */
static int load_blind(const struct bp_io *io, struct bp_segment **s, struct bp_error *err) {
    struct bp_walk w = { 0 };
    int r = bp_sealed_walk(io, (*s)->path, NULL, &w, err);

    if (r < 0)
        return r;
    if (!w.ended) {
        bp_walk_done(&w);
        return bp_fail(err, BP_ECORRUPT, "'%s' has no end", (*s)->path);
    }
    w.s->bytes = (*s)->bytes;
    (void) io->close(io->ctx, w.s->fd);
    w.s->fd = -1;
    bp_segment_free(*s);
    *s = BP_TAKE_PTR(w.s);
    return 0;
}

int bp_segment_load(const struct bp_io *io, const char *path, struct bp_segment **ret,
                    struct bp_error *err) {
    BP_CLEANUP(bp_segment_freep) struct bp_segment *s = calloc(1, sizeof *s);
    struct file f = { .io = io };
    BP_AUTO_BUF summary = { 0 };
    int64_t size;
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->io = io;
    (void) snprintf(s->path, sizeof s->path, "%s", path);
    s->fd = f.fd = io->open(io->ctx, path, O_RDONLY, 0);
    if (f.fd < 0)
        return bp_fail(err, f.fd, "cannot open '%s': %s", path, bp_strerror(f.fd));
    size = io->size(io->ctx, f.fd);
    f.size = s->off = (uint64_t) BP_MAX(size, 0);
    s->bytes = (uint64_t) BP_MAX(bp_io_below(io)->size(bp_io_below(io)->ctx, f.fd), 0);
    if (size >= 0 && bp_sealed_is_blind(io, f.fd)) {
        r = load_blind(io, &s, err);
        if (r == 0)
            *ret = BP_TAKE_PTR(s);
        return r;
    }
    r = size < 0 ? (int) size : read_summary(&f, &summary);
    if (r == 0)
        r = take_summary(&f, &summary, s);
    (void) io->close(io->ctx, s->fd);
    s->fd = -1;
    if (r < 0)
        return bp_fail(err, r, "summary of '%s': %s", path, bp_strerror(r));
    *ret = BP_TAKE_PTR(s);
    return 0;
}
