#include "bag/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/crc.h"
#include "base/cursor.h"

enum { WINDOW = 4 << 20 };

/* A window on the file: bytes [at, at + n). */
struct window {
    const struct bp_io *io;
    int fd;
    uint64_t size; /* of the file */
    uint64_t at;
    struct bp_buf buf;
};

/* What was found in one group. */
struct group {
    uint64_t start, end;
    struct bp_commit commit;
    struct bp_chunk_info chunk;
    struct bp_group_channel *ch; /* owned */
    uint32_t nch, cap, nmsg;
    const uint8_t *runs;
    bool closing; /* DataEnd instead of a group */
    char codec[16];
};

void bp_walk_done(struct bp_walk *w) {
    bp_segment_free(w->s);
    *w = (struct bp_walk){ 0 };
}

/* Pointer to file bytes [off, off + n), valid until the next call; NULL beyond the end, on an I/O
 * error or without memory. The window keeps everything from `keep` on. */
static const uint8_t *bytes_at(struct window *w, uint64_t keep, uint64_t off, uint64_t n) {
    uint64_t have = w->at + w->buf.n, want;
    uint8_t *p;
    ssize_t r;

    if (off > w->size || n > w->size - off)
        return NULL;
    if (off >= w->at && off + n <= have)
        return w->buf.p + (off - w->at);

    if (keep > w->at && keep <= have) {
        memmove(w->buf.p, w->buf.p + (keep - w->at), (size_t) (have - keep));
        w->buf.n = (size_t) (have - keep);
        w->at = keep;
    } else if (keep != w->at) {
        w->buf.n = 0;
        w->at = keep;
    }
    want = BP_MIN(w->size, BP_MAX(off + n, keep + WINDOW));
    have = w->at + w->buf.n;
    p = bp_buf_reserve(&w->buf, (size_t) (want - have));
    r = p ? w->io->pread(w->io->ctx, w->fd, p, (size_t) (want - have), have) : -ENOMEM;
    if (r < (ssize_t) (off + n > have ? off + n - have : 0))
        return NULL;
    w->buf.n += (size_t) r;
    return w->buf.p + (off - w->at);
}

static int add_channel_index(struct group *g, const struct bp_mcap_record *rec, uint64_t at) {
    struct bp_mcap_message_index x;

    if (bp_mcap_message_index(rec, &x) < 0)
        return BP_ECORRUPT;
    if (g->nch == g->cap) {
        uint32_t cap = g->cap ? 2 * g->cap : 64;
        struct bp_group_channel *v = realloc(g->ch, cap * sizeof *v);

        if (!v)
            return -ENOMEM;
        g->ch = v;
        g->cap = cap;
    }
    g->ch[g->nch++] =
        (struct bp_group_channel){ .id = x.channel_id, .count = x.count, .index_at = at };
    g->nmsg += x.count;
    return 0;
}

static int set_chunk(struct group *g, const struct bp_mcap_record *rec, uint64_t at) {
    struct bp_mcap_chunk c;

    if (bp_mcap_chunk(rec, &c) < 0 || c.compression.n >= sizeof g->codec)
        return BP_ECORRUPT;
    memcpy(g->codec, c.compression.p, c.compression.n);
    g->codec[c.compression.n] = 0;
    g->chunk = (struct bp_chunk_info){
        .at = at,
        .len = BP_REC_HEAD + rec->n,
        .stored = c.records_size,
        .raw = c.uncompressed_size,
        .t_first = c.start,
        .t_last = c.end,
    };
    return 0;
}

/* Bytes of a record's content that its fields take; what follows may be a commit block. */
static uint64_t fields_end(const struct bp_mcap_record *rec) {
    struct bp_cur c = bp_cur_of(rec->p, rec->n);

    if (rec->op == BP_MCAP_MESSAGE_INDEX) {
        (void) bp_rd_le16(&c);
        (void) bp_rd_str32(&c);
    } else {
        (void) bp_rd_str32(&c);
        (void) bp_rd_str32(&c);
    }
    return bp_cur_ok(&c) ? (uint64_t) (c.p - rec->p) : rec->n;
}

/* A commit block in the record's trailing bytes ends the group. @return 1 yes, 0 no, negative bad
 */
static int try_commit(struct window *w, struct group *g, const struct bp_mcap_record *rec,
                      uint64_t at) {
    uint64_t used = fields_end(rec), commit_at = at + BP_REC_HEAD + used;
    const uint8_t *p = rec->p + used, *group;
    struct bp_commit *c = &g->commit;

    if (rec->n - used < BP_COMMIT_BYTES || bp_commit_decode(p, rec->n - used, c) < 0)
        return 0;
    g->end = at + BP_REC_HEAD + rec->n;
    group = bytes_at(w, g->start, g->start, g->end - g->start);
    if (!group || c->start != g->start || c->len != commit_at - g->start ||
        c->runs_bytes > g->end - commit_at - BP_COMMIT_BYTES || c->runs_bytes % BP_RUN_BYTES ||
        c->crc != bp_crc32c(0, group, (size_t) c->len))
        return BP_ECORRUPT;
    g->runs = group + c->len + BP_COMMIT_BYTES;
    if (c->runs_crc != bp_crc32c(0, g->runs, c->runs_bytes))
        return BP_ECORRUPT;
    if (g->chunk.at)
        g->chunk.index_len = g->end - g->chunk.at - g->chunk.len;
    return 1;
}

/* Reads the records of one group up to its commit block. @return 1 a good group, 0 the file's
 * closing part or end, BP_ECORRUPT */
static int read_group(struct window *w, struct group *g) {
    uint64_t at = g->start + (g->start == 0 ? BP_MCAP_MAGIC_LEN : 0);

    if (g->start == w->size)
        return 0;
    if (g->start == 0) {
        const uint8_t *magic = bytes_at(w, 0, 0, BP_MCAP_MAGIC_LEN);

        if (!magic || memcmp(magic, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) != 0)
            return BP_ECORRUPT;
    }
    for (;;) {
        const uint8_t *p = bytes_at(w, g->start, at, BP_REC_HEAD);
        struct bp_mcap_record rec;
        int r = 0;

        if (!p)
            return BP_ECORRUPT;
        rec = (struct bp_mcap_record){ .op = p[0], .n = bp_ld_le64(p + 1) };
        if (rec.op == BP_MCAP_DATA_END && at == g->start) {
            g->closing = true;
            return 0;
        }
        if (rec.n > w->size - at - BP_REC_HEAD)
            return BP_ECORRUPT;
        p = bytes_at(w, g->start, at, BP_REC_HEAD + rec.n);
        if (!p)
            return BP_ECORRUPT;
        rec.p = p + BP_REC_HEAD;
        switch (rec.op) {
        case BP_MCAP_HEADER:
        case BP_MCAP_SCHEMA:
        case BP_MCAP_CHANNEL:
            break;
        case BP_MCAP_CHUNK:
            r = set_chunk(g, &rec, at);
            break;
        case BP_MCAP_MESSAGE_INDEX:
            r = add_channel_index(g, &rec, at);
            if (r == 0)
                r = try_commit(w, g, &rec, at);
            break;
        case BP_MCAP_METADATA:
            r = try_commit(w, g, &rec, at);
            break;
        default:
            return BP_ECORRUPT;
        }
        if (r)
            return r;
        at += BP_REC_HEAD + rec.n;
    }
}

/* ---- from a good group into the segment ---- */

static int take_sources(const struct bp_mcap_metadata *md, struct bp_defs *defs) {
    struct bp_mcap_map map = md->map;
    struct bp_str key, value;
    int r = 0;

    while (r == 0 && bp_mcap_map_next(&map, &key, &value) > 0) {
        struct bp_def_source s = { 0 };
        char id[16] = "";

        memcpy(id, key.p, BP_MIN(key.n, sizeof id - 1));
        r = bp_source_decode(value, &s);
        if (r == 0)
            r = bp_defs_put_source(defs, (uint32_t) strtoul(id, NULL, 10), &s);
        free(s.node);
    }
    return r;
}

static void take_session(const struct bp_mcap_metadata *md, struct bp_segment *s) {
    struct bp_str number = bp_mcap_map_get(md->map, "segment");
    char text[16] = "";

    memcpy(text, number.p, BP_MIN(number.n, sizeof text - 1));
    s->number = (uint32_t) strtoul(text, NULL, 10);
    bp_segment_take_id(s, bp_mcap_map_get(md->map, "session"));
}

static int take_metadata(const struct bp_mcap_record *rec, uint64_t at, struct bp_segment *s,
                         struct bp_defs *defs) {
    struct bp_mcap_metadata md;

    if (bp_mcap_metadata(rec, &md) < 0)
        return BP_ECORRUPT;
    bp_index_add_metadata(&s->index, at, BP_REC_HEAD + rec->n, md.name);
    if (bp_str_eq(md.name, BP_STR("bagpipe.sources")))
        return take_sources(&md, defs);
    if (bp_str_eq(md.name, BP_STR("bagpipe.session")))
        take_session(&md, s);
    else if (!bp_str_eq(md.name, BP_STR("bagpipe.custom")) &&
             !bp_str_eq(md.name, BP_STR("bagpipe.repeated")))
        s->marks++;
    return 0;
}

/* Definitions and metadata of a group whose CRC was right. */
static int take_records(struct window *w, const struct group *g, struct bp_segment *s,
                        struct bp_defs *defs) {
    const uint8_t *p = bytes_at(w, g->start, g->start, g->end - g->start);
    struct bp_cur c;
    struct bp_mcap_record rec;
    int r = 0;

    if (!p)
        return -EIO;
    c = bp_cur_of(p, (size_t) (g->end - g->start));
    if (g->start == 0)
        (void) bp_rd_bytes(&c, BP_MCAP_MAGIC_LEN);
    while (r == 0 && bp_mcap_next(&c, &rec) > 0) {
        const uint8_t *head = rec.p - BP_REC_HEAD;
        size_t n = (size_t) rec.n + BP_REC_HEAD;

        if (rec.op == BP_MCAP_SCHEMA) {
            bp_index_add_schema(&s->index, head, n);
            r = bp_defs_put_schema(defs, head, n);
        } else if (rec.op == BP_MCAP_CHANNEL) {
            bp_index_add_channel(&s->index, bp_ld_le16(rec.p), head, n);
            r = bp_defs_put_channel(defs, head, n);
        } else if (rec.op == BP_MCAP_METADATA) {
            r = take_metadata(&rec, g->start + (uint64_t) (head - p), s, defs);
        }
    }
    return r;
}

static int take_chunk(const struct group *g, struct bp_walk *ret, struct bp_defs *defs) {
    struct bp_segment *s = ret->s;
    struct bp_chunk_info c = g->chunk;
    int r = 0;

    c.codec = bp_str_of(g->codec);
    c.ch = g->ch;
    c.nch = g->nch;
    bp_index_add_chunk(&s->index, &c);
    if (g->commit.lane == BP_LANE_REPEAT)
        s->repeated += g->nmsg;
    if (g->commit.lane >= BP_LANES)
        return 0;
    s->groups++;
    ret->messages += g->nmsg;
    r = bp_spans_add(&s->ranges[g->commit.lane], g->commit.first, g->commit.last);
    for (uint32_t i = 0; r == 0 && i < g->commit.runs_bytes; i += BP_RUN_BYTES) {
        struct bp_run run;

        bp_run_decode(g->runs + i, &run);
        r = bp_segment_add_runs(s, defs, &run, 1);
        if (r == -ENOENT)
            r = 0; /* a source whose definition rotted away: its messages still count */
    }
    return r;
}

/* A good group that starts behind `from`, on a block boundary; 0 when there is none. */
static uint64_t find_good(struct window *w, uint64_t from) {
    for (uint64_t at = BP_ALIGN(from + 1, (uint64_t) BP_BLOCK); at + BP_BLOCK <= w->size;
         at += BP_BLOCK) {
        const uint8_t *p = bytes_at(w, at, at, BP_REC_HEAD);
        struct group g = { .start = at };
        bool good;

        if (!p)
            return 0;
        if (p[0] != BP_MCAP_CHUNK && p[0] != BP_MCAP_METADATA && p[0] != BP_MCAP_SCHEMA &&
            p[0] != BP_MCAP_CHANNEL)
            continue;
        good = read_group(w, &g) == 1;
        free(g.ch);
        if (good)
            return at;
    }
    return 0;
}

static bool is_taken(const struct bp_spans *taken, const struct bp_commit *c) {
    return taken && c->lane < BP_LANES && bp_spans_has(&taken[c->lane], c->first);
}

static int walk_groups(struct window *w, const struct bp_spans *taken, struct bp_defs *defs,
                       struct bp_walk *ret) {
    struct bp_segment *s = ret->s;
    uint64_t start = 0;
    bool first = true;

    for (;;) {
        struct group g = { .start = start };
        int r = read_group(w, &g);

        if (r == 1 && !first && memcmp(g.commit.session, s->session, 16) != 0)
            r = BP_ECORRUPT; /* of an older recording whose blocks this file got */
        if (r == 1 && is_taken(taken, &g.commit)) {
            free(g.ch);
            return 0;
        }
        if (r == 1) {
            memcpy(s->session, g.commit.session, 16);
            first = false;
            r = take_records(w, &g, s, defs);
            if (r == 0 && g.chunk.at)
                r = take_chunk(&g, ret, defs);
            if (r == 0) {
                s->off = s->durable = start = g.end;
                free(g.ch);
                continue;
            }
        }
        free(g.ch);
        ret->ended = g.closing;
        if (r != BP_ECORRUPT)
            return r;
        ret->bad_at = BP_MAX(start, 1u);
        ret->resumes_at = find_good(w, start);
        return 0;
    }
}

int bp_walk(const struct bp_io *io, const char *path, const struct bp_spans *taken,
            struct bp_defs *defs, struct bp_walk *ret, struct bp_error *err) {
    struct bp_walk found = { .s = calloc(1, sizeof *found.s) };
    struct window w = { .io = io };
    int64_t size;
    int r;

    if (!found.s)
        return bp_fail(err, -ENOMEM, "out of memory");
    found.s->io = io;
    (void) snprintf(found.s->path, sizeof found.s->path, "%s", path);
    w.fd = found.s->fd = io->open(io->ctx, path, O_RDONLY, 0);
    size = w.fd < 0 ? w.fd : io->size(io->ctx, w.fd);
    if (size < 0) {
        bp_walk_done(&found);
        return bp_fail(err, (int) size, "cannot open '%s': %s", path, bp_strerror((int) size));
    }
    w.size = found.size = (uint64_t) size;
    r = walk_groups(&w, taken, defs, &found);
    bp_buf_done(&w.buf);
    if (r < 0) {
        bp_walk_done(&found);
        return bp_fail(err, r, "cannot read '%s': %s", path, bp_strerror(r));
    }
    *ret = found;
    return 0;
}

int bp_walk_rebuild(struct bp_segment **s, uint64_t durable, struct bp_error *err) {
    const struct bp_io *io = (*s)->io;
    struct bp_defs defs = { 0 };
    struct bp_walk w = { 0 };
    int fd = io->open(io->ctx, (*s)->path, O_WRONLY, 0), r = fd;

    if (fd >= 0) {
        r = io->truncate(io->ctx, fd, durable);
        (void) io->close(io->ctx, fd);
    }
    if (r < 0)
        return bp_fail(err, r, "cannot cut '%s': %s", (*s)->path, bp_strerror(r));
    r = bp_walk(io, (*s)->path, NULL, &defs, &w, err);
    bp_defs_done(&defs);
    if (r < 0)
        return r;
    bp_segment_free(*s);
    *s = BP_TAKE_PTR(w.s);
    return 0;
}
