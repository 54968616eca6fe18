#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "bag/manifest.h"
#include "bag/metadata.h"
#include "bag/reader.h"
#include "bag/recover-priv.h"
#include "bag/recover-trust.h"
#include "bag/sealed-walk.h"
#include "bag/verify.h"
#include "base/crc.h"
#include "base/cursor.h"

/* One MCAP file, whoever wrote it: what is good is copied, byte for byte where it can be, into a
 * new file beside it, which gets indexes and a summary; then they change places.
 *
 * Good is: a chunk that decompresses to its size and its CRC and holds whole records; a schema,
 * channel, metadata record or attachment that decodes; a message outside of chunks whose channel is
 * known. Where the chain of records breaks, the next chunk is looked for byte by byte. A chunk that
 * is cut off, or whose CRC is wrong, is lost: nothing in it can be vouched for. */

enum { CHANNELS = 65536 };

struct salvage {
    const struct bp_io *io;
    const uint8_t *p; /* the file; owned by `text` */
    uint64_t n;
    char *text;
    struct bp_buf out; /* what waits to be written */
    uint64_t off;      /* of out.p[0] in the new file */
    int fd;
    struct bp_index index;
    struct bp_group_channel *ch; /* CHANNELS */
    struct bp_builder b;
    struct bp_decompressor *z;
    bool *schema_seen, *channel_seen; /* by id */
    struct bp_buf loose;              /* messages outside of chunks, to be put into one */
    uint8_t *raw;
    uint64_t raw_cap;
    uint64_t messages, lost_chunks, lost_bytes, lost_messages;
    bool ended; /* DataEnd was reached without a break */
    struct bp_trust trust;
};

static int flush(struct salvage *s) {
    int r;

    if (s->out.failed)
        return -ENOMEM;
    if (!s->out.n)
        return 0;
    r = s->io->pwrite(s->io->ctx, s->fd, s->out.p, s->out.n, s->off);
    if (r == 0) {
        s->off += s->out.n;
        bp_buf_clear(&s->out);
    }
    return r;
}

static int flush_large(struct salvage *s) {
    return s->out.n >= (size_t) 4 << 20 ? flush(s) : 0;
}

static uint64_t out_at(const struct salvage *s) {
    return s->off + s->out.n;
}

/* ---- records ---- */

static int put_schema(struct salvage *s, const struct bp_mcap_record *rec, const uint8_t *head) {
    struct bp_mcap_schema x;

    if (bp_mcap_schema(rec, &x) < 0)
        return BP_ECORRUPT;
    if (s->schema_seen[x.id])
        return 0;
    s->schema_seen[x.id] = true;
    bp_buf_put(&s->out, head, (size_t) rec->n + BP_REC_HEAD);
    bp_index_add_schema(&s->index, head, (size_t) rec->n + BP_REC_HEAD);
    return 0;
}

static int put_channel(struct salvage *s, const struct bp_mcap_record *rec, const uint8_t *head) {
    struct bp_mcap_channel x;

    if (bp_mcap_channel(rec, &x) < 0)
        return BP_ECORRUPT;
    if (s->channel_seen[x.id])
        return 0;
    s->channel_seen[x.id] = true;
    bp_buf_put(&s->out, head, (size_t) rec->n + BP_REC_HEAD);
    bp_index_add_channel(&s->index, x.id, head, (size_t) rec->n + BP_REC_HEAD);
    return 0;
}

/* MessageIndex records for the chunk just put, whose raw records are given. */
static int put_indexes(struct salvage *s, const struct bp_mcap_chunk *c, uint64_t chunk_at,
                       uint64_t chunk_len, const uint8_t *raw) {
    struct bp_chunk_info info = { .at = chunk_at,
                                  .len = chunk_len,
                                  .stored = c->records_size,
                                  .raw = c->uncompressed_size,
                                  .codec = c->compression,
                                  .ch = s->ch };
    struct bp_cur cur = bp_cur_of(raw, (size_t) c->uncompressed_size);
    uint64_t first = UINT64_MAX, index_at = out_at(s);
    struct bp_mcap_record rec;
    struct bp_mcap_message m;

    while (bp_mcap_next(&cur, &rec) > 0) {
        unsigned i;

        if (rec.op != BP_MCAP_MESSAGE || bp_mcap_message(&rec, &m) < 0)
            continue;
        for (i = 0; i < info.nch && s->ch[i].id != m.channel_id;)
            i++;
        if (i == info.nch)
            s->ch[info.nch++] = (struct bp_group_channel){ .id = m.channel_id };
        s->ch[i].count++;
        first = BP_MIN(first, m.log_time);
        info.t_last = BP_MAX(info.t_last, m.log_time);
        s->messages++;
    }
    info.t_first = info.nch ? first : 0;
    if (!s->out.failed) { /* the two fields before the records, which the chunk's CRC leaves out */
        uint8_t *times = s->out.p + (chunk_at - s->off) + BP_REC_HEAD;

        bp_st_le64(times, info.t_first);
        bp_st_le64(times + 8, info.t_last);
    }
    for (unsigned i = 0; i < info.nch; i++) {
        uint8_t *p = bp_buf_grow(&s->out, BP_INDEX_HEAD + (size_t) s->ch[i].count * BP_INDEX_ENTRY);

        if (!p)
            return -ENOMEM;
        s->ch[i].index_at = s->off + (uint64_t) (p - s->out.p);
        p = bp_put_rec(p, BP_MCAP_MESSAGE_INDEX, 6 + (uint64_t) s->ch[i].count * BP_INDEX_ENTRY);
        p = bp_put32(bp_put16(p, s->ch[i].id), s->ch[i].count * BP_INDEX_ENTRY);
        cur = bp_cur_of(raw, (size_t) c->uncompressed_size);
        while (bp_mcap_next(&cur, &rec) > 0)
            if (rec.op == BP_MCAP_MESSAGE && bp_mcap_message(&rec, &m) == 0 &&
                m.channel_id == s->ch[i].id)
                p = bp_put64(bp_put64(p, m.log_time), (uint64_t) (rec.p - BP_REC_HEAD - raw));
    }
    info.index_len = out_at(s) - index_at;
    bp_index_add_chunk(&s->index, &info);
    return 0;
}

/* The chunk's records, decompressed and checked. NULL when it is not good. */
static const uint8_t *open_chunk(struct salvage *s, const struct bp_mcap_chunk *c) {
    enum bp_codec codec;
    const uint8_t *raw = c->records;
    struct bp_mcap_record rec;
    struct bp_cur cur;
    int r = bp_codec_from_name(c->compression.p, c->compression.n);

    if (r < 0 || c->uncompressed_size > (uint64_t) 2 << 30)
        return NULL;
    codec = (enum bp_codec) r;
    if (codec == BP_CODEC_NONE && c->records_size != c->uncompressed_size)
        return NULL;
    if (codec != BP_CODEC_NONE) {
        if (s->raw_cap < c->uncompressed_size + 1) {
            free(s->raw);
            s->raw_cap = c->uncompressed_size + 1;
            s->raw = malloc((size_t) s->raw_cap);
            if (!s->raw)
                s->raw_cap = 0;
        }
        if (!s->raw || bp_decompress(s->z, codec, c->records, (size_t) c->records_size, s->raw,
                                     (size_t) c->uncompressed_size) < 0)
            return NULL;
        raw = s->raw;
    }
    if (c->uncompressed_crc &&
        c->uncompressed_crc != bp_crc32(0, raw, (size_t) c->uncompressed_size))
        return NULL;
    cur = bp_cur_of(raw, (size_t) c->uncompressed_size);
    while ((r = bp_mcap_next(&cur, &rec)) > 0)
        ;
    return r == 0 ? raw : NULL;
}

/* Definitions inside the chunk are known from here on, too; those of its messages must be. */
static int definitions_of(struct salvage *s, const uint8_t *raw, uint64_t n) {
    struct bp_cur c = bp_cur_of(raw, (size_t) n);
    struct bp_mcap_record rec;
    struct bp_mcap_message m;
    int r = 0;

    while (r == 0 && bp_mcap_next(&c, &rec) > 0) {
        if (rec.op == BP_MCAP_SCHEMA)
            r = put_schema(s, &rec, rec.p - BP_REC_HEAD);
        else if (rec.op == BP_MCAP_CHANNEL)
            r = put_channel(s, &rec, rec.p - BP_REC_HEAD);
        else if (rec.op == BP_MCAP_MESSAGE &&
                 (bp_mcap_message(&rec, &m) < 0 || !s->channel_seen[m.channel_id]))
            r = BP_ECORRUPT;
    }
    return r;
}

static int put_chunk(struct salvage *s, const struct bp_mcap_record *rec, const uint8_t *head) {
    struct bp_mcap_chunk c;
    const uint8_t *raw;
    uint64_t at;
    int r;

    if (bp_mcap_chunk(rec, &c) < 0)
        return BP_ECORRUPT;
    raw = open_chunk(s, &c);
    if (!raw || definitions_of(s, raw, c.uncompressed_size) < 0)
        return BP_ECORRUPT;
    at = out_at(s);
    bp_buf_put(&s->out, head, (size_t) rec->n + BP_REC_HEAD);
    r = put_indexes(s, &c, at, rec->n + BP_REC_HEAD, raw);
    return r == 0 ? flush_large(s) : r;
}

/* Messages that lay outside of chunks become a stored chunk of their own. */
static int put_loose(struct salvage *s) {
    struct bp_group_in in = { .records = s->loose.p, .raw = s->loose.n, .ch = s->ch };
    BP_AUTO_FREE void *out = NULL;
    uint64_t at = out_at(s);
    struct bp_group g;
    uint64_t end;
    int r;

    if (!s->loose.n)
        return 0;
    r = bp_group_count(s->loose.p, s->loose.n, s->ch, CHANNELS, &in.nmsg);
    if (r < 0)
        return r;
    in.nch = (unsigned) r;
    if (posix_memalign(&out, BP_BLOCK, bp_group_bound(in.raw, in.nmsg, in.nch, 0, 0)))
        return -ENOMEM;
    r = bp_group_build(&s->b, &in, true, out, 0, &g);
    if (r < 0)
        return r;
    /* without commit block and padding: this is no group of a recorder */
    end = g.commit_at;
    bp_st_le64(g.buf + g.ch[g.nch - 1].index_at + 1, end - g.ch[g.nch - 1].index_at - BP_REC_HEAD);
    g.index_len = end - g.chunk_len;
    bp_buf_put(&s->out, g.buf, (size_t) end);
    bp_index_add_group(&s->index, &g, at);
    s->messages += in.nmsg;
    bp_buf_clear(&s->loose);
    return flush_large(s);
}

static int put_metadata(struct salvage *s, const struct bp_mcap_record *rec, const uint8_t *head) {
    struct bp_mcap_metadata md;
    struct bp_str key, value;
    uint64_t at = out_at(s);
    size_t out, map;
    bool closing;
    int r;

    if (bp_mcap_metadata(rec, &md) < 0)
        return BP_ECORRUPT;
    closing = bp_str_eq(md.name, BP_STR("bagpipe.segment"));
    (void) head; /* made anew: without the commit block behind it, and without what it says of the
                    old file's bytes */
    out = bp_rec_begin(&s->out, BP_MCAP_METADATA);
    bp_put_text(&s->out, md.name.p, md.name.n);
    map = bp_map_begin(&s->out);
    while ((r = bp_mcap_map_next(&md.map, &key, &value)) > 0) {
        if (closing && (bp_str_eq(key, BP_STR("data_bytes")) || bp_str_eq(key, BP_STR("crc32c"))))
            continue;
        bp_put_text(&s->out, key.p, key.n);
        bp_put_text(&s->out, value.p, value.n);
    }
    bp_map_end(&s->out, map);
    bp_rec_end(&s->out, out);
    if (r < 0) {
        s->out.n = out;
        return BP_ECORRUPT;
    }
    bp_index_add_metadata(&s->index, at, s->out.n - out, md.name);
    return 0;
}

static int put_attachment(struct salvage *s, const struct bp_mcap_record *rec,
                          const uint8_t *head) {
    struct bp_mcap_attachment a;
    uint64_t at = out_at(s);

    if (bp_mcap_attachment(rec, &a) < 0 || (a.crc && a.crc != a.computed_crc))
        return BP_ECORRUPT;
    bp_buf_put(&s->out, head, (size_t) rec->n + BP_REC_HEAD);
    bp_index_add_attachment(&s->index, at, rec->n + BP_REC_HEAD, &a);
    return flush_large(s);
}

static int put_message(struct salvage *s, const struct bp_mcap_record *rec, const uint8_t *head) {
    struct bp_mcap_message m;

    if (bp_mcap_message(rec, &m) < 0 || !s->channel_seen[m.channel_id])
        return BP_ECORRUPT;
    bp_buf_put(&s->loose, head, (size_t) rec->n + BP_REC_HEAD);
    return s->loose.n >= (size_t) 1 << 20 ? put_loose(s) : 0;
}

/* @return 0 taken or of no interest, 1 DataEnd, BP_ECORRUPT */
static int put_record(struct salvage *s, const struct bp_mcap_record *rec, const uint8_t *head) {
    int r = 0;

    if (rec->op != BP_MCAP_MESSAGE && rec->op != BP_MCAP_SCHEMA && rec->op != BP_MCAP_CHANNEL)
        r = put_loose(s); /* keeps their place in the order */
    if (r < 0)
        return r;
    if ((rec->op == BP_MCAP_SCHEMA || rec->op == BP_MCAP_CHANNEL || rec->op == BP_MCAP_METADATA) &&
        !bp_trust_has(&s->trust, (uint64_t) (head - s->p))) {
        s->lost_bytes += rec->n + BP_REC_HEAD; /* a name with a flipped bit is worse than none */
        return 0;
    }
    switch (rec->op) {
    case BP_MCAP_SCHEMA:
        return put_schema(s, rec, head);
    case BP_MCAP_CHANNEL:
        return put_channel(s, rec, head);
    case BP_MCAP_MESSAGE:
        return put_message(s, rec, head);
    case BP_MCAP_CHUNK:
        return put_chunk(s, rec, head);
    case BP_MCAP_METADATA:
        return put_metadata(s, rec, head);
    case BP_MCAP_ATTACHMENT:
        return put_attachment(s, rec, head);
    case BP_MCAP_DATA_END:
        return 1;
    default:
        return 0; /* header, message indexes: made anew */
    }
}

/* ---- the walk ---- */

/* Could a Chunk record begin here? Its inner lengths must agree with each other. */
static bool looks_like_chunk(const uint8_t *p, uint64_t left) {
    uint64_t len, stored;
    uint32_t name;

    if (left < BP_CHUNK_HEAD + 4 || p[0] != BP_MCAP_CHUNK)
        return false;
    len = bp_ld_le64(p + 1);
    name = bp_ld_le32(p + 37);
    if (len > left - BP_REC_HEAD || name > 4 || len < 40 + (uint64_t) name)
        return false;
    stored = bp_ld_le64(p + 41 + name);
    return stored == len - 40 - name &&
           (name == 0 || (name == 3 && memcmp(p + 41, "lz4", 3) == 0) ||
            (name == 4 && memcmp(p + 41, "zstd", 4) == 0));
}

static uint64_t next_chunk(const struct salvage *s, uint64_t from) {
    while (from < s->n) {
        const uint8_t *p = memchr(s->p + from, BP_MCAP_CHUNK, (size_t) (s->n - from));

        if (!p)
            break;
        from = (uint64_t) (p - s->p);
        if (looks_like_chunk(p, s->n - from))
            return from;
        from++;
    }
    return s->n;
}

static bool plausible(uint8_t op) {
    return op >= BP_MCAP_HEADER && (op <= BP_MCAP_DATA_END || op >= 0x80);
}

/* Where to go on behind a record that is not good: its end, when a record begins there (a flipped
 * bit in a payload), else the next thing that looks like a chunk. */
static uint64_t go_on(const struct salvage *s, uint64_t at, const struct bp_mcap_record *rec) {
    uint64_t left = s->n - at - BP_REC_HEAD, end = at + BP_REC_HEAD + rec->n;

    if (rec->n <= left && s->n - end >= BP_REC_HEAD && plausible(s->p[end]) &&
        bp_ld_le64(s->p + end + 1) <= s->n - end - BP_REC_HEAD)
        return end;
    return next_chunk(s, at + 1);
}

static int walk(struct salvage *s) {
    uint64_t at = BP_MCAP_MAGIC_LEN;
    bool broken = false;

    while (at < s->n) {
        struct bp_mcap_record rec = { .n = UINT64_MAX };
        uint64_t next;
        int r;

        if (s->n - at >= BP_REC_HEAD) {
            rec = (struct bp_mcap_record){ s->p[at], s->p + at + BP_REC_HEAD,
                                           bp_ld_le64(s->p + at + 1) };
            r = plausible(rec.op) && rec.n <= s->n - at - BP_REC_HEAD
                    ? put_record(s, &rec, s->p + at)
                    : BP_ECORRUPT;
            if (r == 0) {
                at += BP_REC_HEAD + rec.n;
                continue;
            }
            if (r == 1) {
                s->ended = !broken;
                break;
            }
            if (r != BP_ECORRUPT)
                return r;
            s->lost_chunks += rec.op == BP_MCAP_CHUNK;
        }
        broken = true;
        next = s->n - at >= BP_REC_HEAD ? go_on(s, at, &rec) : s->n;
        s->lost_bytes += next - at;
        at = next;
    }
    return put_loose(s);
}

/* ---- the whole file ---- */

static int salvage_init(struct salvage *s, const char *path, const char *tmp,
                        struct bp_error *err) {
    size_t n = 0;
    int r = bp_io_read_file(s->io, path, SIZE_MAX, &s->text, &n, err);

    if (r < 0)
        return r;
    s->p = (const uint8_t *) s->text;
    s->n = n;
    if (n < BP_MCAP_MAGIC_LEN || !bp_mcap_magic_nearly(s->p))
        return bp_fail(err, BP_EFORMAT, "'%s' does not begin as an MCAP file", path);
    s->ch = calloc(CHANNELS, sizeof *s->ch);
    s->schema_seen = calloc(CHANNELS, 1);
    s->channel_seen = calloc(CHANNELS, 1);
    s->z = bp_decompressor_new();
    r = bp_builder_init(&s->b, BP_CODEC_NONE, 0, false);
    if (r == 0)
        r = bp_trust_find(s->p, s->n, &s->trust);
    if (r < 0 || !s->ch || !s->schema_seen || !s->channel_seen || !s->z)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->fd = s->io->open(s->io->ctx, tmp, O_RDWR | O_CREAT | O_TRUNC, 0644);
    return s->fd < 0 ? bp_fail(err, s->fd, "cannot make '%s': %s", tmp, bp_strerror(s->fd)) : 0;
}

static void salvage_done(struct salvage *s) {
    if (s->fd >= 0)
        (void) s->io->close(s->io->ctx, s->fd);
    bp_trust_done(&s->trust);
    free(s->text);
    free(s->ch);
    free(s->schema_seen);
    free(s->channel_seen);
    free(s->raw);
    bp_decompressor_free(s->z);
    bp_builder_done(&s->b);
    bp_index_done(&s->index);
    bp_buf_done(&s->out);
    bp_buf_done(&s->loose);
}

/* The header as it was, when it can be read. */
static void put_header(struct salvage *s) {
    struct bp_cur c = bp_cur_of(s->p + BP_MCAP_MAGIC_LEN, (size_t) (s->n - BP_MCAP_MAGIC_LEN));
    struct bp_mcap_header h = { BP_STR("ros2"), BP_STR("bagpipe " BP_VERSION) };
    struct bp_mcap_record rec;
    size_t at;

    if (bp_mcap_next(&c, &rec) <= 0 || rec.op != BP_MCAP_HEADER || bp_mcap_header(&rec, &h) < 0 ||
        !bp_trust_has(&s->trust, BP_MCAP_MAGIC_LEN))
        h = (struct bp_mcap_header){ BP_STR("ros2"), BP_STR("bagpipe " BP_VERSION) };
    bp_buf_put(&s->out, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN);
    at = bp_rec_begin(&s->out, BP_MCAP_HEADER);
    bp_put_text(&s->out, h.profile.p, h.profile.n);
    bp_put_text(&s->out, h.library.p, h.library.n);
    bp_rec_end(&s->out, at);
}

/* Definitions that the summary vouches for come first: those in the data may be damaged. */
static int put_definitions(struct salvage *s) {
    struct bp_cur c = bp_cur_of(s->trust.defs, s->trust.ndefs);
    struct bp_mcap_record rec;
    int r = 0;

    while (r == 0 && bp_mcap_next(&c, &rec) > 0)
        r = rec.op == BP_MCAP_SCHEMA ? put_schema(s, &rec, rec.p - BP_REC_HEAD)
                                     : put_channel(s, &rec, rec.p - BP_REC_HEAD);
    return r == BP_ECORRUPT ? 0 : r;
}

/* Says in the file itself that parts of it are missing, so that nobody takes the ledger, which
 * knows more messages, for a sign of damage. */
static void put_recovered(struct salvage *s) {
    char kept[24], chunks[24], bytes[24];
    const char *const kv[] = { "messages_kept", kept,  "chunks_lost", chunks,
                               "bytes_lost",    bytes, NULL };
    uint64_t at = out_at(s);
    size_t start;

    (void) snprintf(kept, sizeof kept, "%llu", (unsigned long long) s->messages);
    (void) snprintf(chunks, sizeof chunks, "%llu", (unsigned long long) s->lost_chunks);
    (void) snprintf(bytes, sizeof bytes, "%llu", (unsigned long long) s->lost_bytes);
    start = bp_put_metadata(&s->out, "bagpipe.recovered", kv);
    bp_index_add_metadata(&s->index, at, s->out.n - start, BP_STR("bagpipe.recovered"));
}

static int make_copy(struct salvage *s, struct bp_error *err, const char *path) {
    int r;

    put_header(s);
    r = put_definitions(s);
    if (r == 0)
        r = walk(s);
    if (r == 0 && s->lost_bytes)
        put_recovered(s);
    if (r == 0)
        r = flush(s);
    if (r == 0)
        r = bp_index_summary(&s->index, s->off, &s->out);
    if (r == 0)
        r = flush(s);
    if (r == 0)
        r = bp_sealed_io_end(s->io, s->fd);
    if (r == 0)
        r = s->io->sync(s->io->ctx, s->fd);
    return r < 0 ? bp_fail(err, r, "cannot recover '%s': %s", path, bp_strerror(r)) : 0;
}

/* What the summary promised and we could not find. */
static void count_lost(struct salvage *s, const char *path) {
    struct bp_segment *was = NULL;

    if (bp_segment_load(s->io, path, &was, NULL) == 0 && was->index.messages > s->messages)
        s->lost_messages = was->index.messages - s->messages;
    bp_segment_free(was);
}

static int swap(const struct bp_io *io, const char *path, const char *tmp, bool keep,
                struct bp_error *err) {
    char dir[1024];
    int r = keep ? bp_recover_set_aside(io, path, err) : 0;

    if (r < 0)
        return r;
    bp_io_dirname(path, dir, sizeof dir);
    r = io->rename(io->ctx, tmp, path);
    if (r == 0)
        r = io->sync_dir(io->ctx, dir);
    return r < 0 ? bp_fail(err, r, "cannot put '%s' into place: %s", path, bp_strerror(r)) : 0;
}

/* Nothing to do when all that can be compared agrees. @return 1 whole, 0 not, or an errno */
static int is_whole(const char *path, struct bp_recovery *ret, struct bp_error *err) {
    struct bp_verify_result v;
    int r = bp_verify(&path, 1, NULL, &v, err);

    if (r < 0 || v.verdict != BP_VERDICT_WHOLE)
        return r;
    ret->segments++;
    ret->segments_closed++;
    ret->messages_kept += v.messages;
    return 1;
}

static int is_blind(const struct bp_io *io, const char *path) {
    int fd, r;

    if (!bp_sealed_name(path))
        return 0;
    fd = io->open(io->ctx, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    r = bp_sealed_is_blind(io, fd);
    (void) io->close(io->ctx, fd);
    return r;
}

int bp_recover_file(const char *path, const struct bp_recover_opts *o, struct bp_recovery *ret,
                    struct bp_error *err) {
    struct salvage s = { .io = o->io ? o->io : &bp_io_posix, .fd = -1 };
    char tmp[1400];
    bool keep;
    int r = is_whole(path, ret, err);

    if (r != 0)
        return BP_MIN(r, 0);
    r = is_blind(s.io, path);
    if (r != 0) {
        if (r > 0)
            bp_recover_note(ret, "'%s' stays as it is: it takes the key to mend it (--key FILE)",
                            path);
        return BP_MIN(r, 0);
    }
    (void) snprintf(tmp, sizeof tmp, "%s.recovering%s", path,
                    bp_sealed_name(path) ? BP_SEALED_SUFFIX : "");
    r = salvage_init(&s, path, tmp, err);
    if (r == 0)
        r = make_copy(&s, err, path);
    if (r == 0)
        count_lost(&s, path);
    if (r == 0 && s.messages == 0 && s.lost_bytes)
        r = bp_fail(err, BP_EFORMAT, "nothing in '%s' is usable", path);
    keep = (s.lost_bytes > 0 || s.ended) && !o->discard; /* a mere lack of an end is no loss */
    if (r == 0 && !o->dry_run)
        r = swap(s.io, path, tmp, keep, err);
    if (s.fd >= 0)
        (void) s.io->unlink(s.io->ctx, tmp); /* gone already when it was swapped in */
    if (r == 0) {
        ret->needed = true;
        ret->segments++;
        ret->messages_kept += s.messages;
        ret->torn_bytes += s.lost_bytes;
        ret->lost_messages += s.lost_messages;
        bp_recover_note(ret, "%s: %llu messages kept, %llu damaged chunks, %llu bytes unusable",
                        path, (unsigned long long) s.messages, (unsigned long long) s.lost_chunks,
                        (unsigned long long) s.lost_bytes);
    }
    salvage_done(&s);
    return r;
}

/* A mended file has lost the record that tells how many of its messages are repeated ones. */
static int count_repeated(struct bp_folder *f, const char *dir, struct bp_error *err) {
    for (size_t i = 0; i < f->nfiles; i++) {
        BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
        char path[1400];
        const char *paths[] = { path };
        int r;

        (void) snprintf(path, sizeof path, "%s/%s", dir, f->files[i].file);
        r = bp_bag_open(paths, 1, &b, err);
        if (r < 0)
            return r;
        f->files[i].repeated = bp_bag_get_info(b)->repeated;
    }
    return 0;
}

/* manifest.json of a session of ours: must say what the files are now, and that they were mended.
 */
static int mend_manifest(struct bp_folder *f, const char *dir, const struct bp_io *io, bool mended,
                         struct bp_recovery *ret, struct bp_error *err) {
    struct bp_manifest_recovery rec = {
        .wall_ns = bp_wall_ns(),
        .kept = ret->messages_kept,
        .lost = ret->lost_messages,
        .torn_bytes = ret->torn_bytes,
        .report = ret->report ? ret->report : (char[]){ "" },
    };
    BP_AUTO_MANIFEST m = { 0 };
    int r = bp_manifest_read(io, dir, &m, NULL);
    uint64_t was = 0, is = bp_folder_messages(f);

    if (r == -ENOENT || (r == 0 && !mended))
        return 0;
    for (size_t i = 0; i < m.nsegments; i++)
        was += m.segments[i].messages;
    if (was > is)
        ret->lost_messages = rec.lost = BP_MAX(ret->lost_messages, was - is);
    r = count_repeated(f, dir, err);
    if (r < 0)
        return r;
    if (mended && bp_manifest_add_recovery(&f->past, &rec) < 0)
        return bp_fail(err, -ENOMEM, "out of memory");
    return bp_folder_write_manifest(f, io, err);
}

/* Who recovered it had no key, and could not tell of what topics the messages are. Here is one. */
static bool was_blind(const struct bp_metadata *m, const struct bp_folder *f) {
    uint64_t told = 0, known = 0;

    for (size_t i = 0; i < m->ntopics; i++)
        told += m->topics[i].messages;
    for (size_t i = 0; i < f->ntopics; i++)
        known += f->topics[i].messages;
    return m->ntopics > 0 && told < m->messages && known == bp_folder_messages(f);
}

/* metadata.yaml of a folder whose files are whole: made anew when it is missing, cannot be read or
 * says something else than the files. */
static int mend_metadata(const char *dir, const struct bp_recover_opts *o, struct bp_recovery *ret,
                         struct bp_error *err) {
    const struct bp_io *io = o->io ? o->io : &bp_io_posix;
    BP_AUTO_METADATA m = { 0 };
    struct bp_folder f = { 0 };
    bool mended = ret->needed;
    int r = bp_metadata_read(io, dir, &m, NULL), k;

    k = bp_folder_load(&f, io, dir, err);
    if (k == 0 && mended)
        k = bp_recover_sign_with(&f, o, ret, err);
    if (k == 0 && (mended || r < 0 || m.nfiles != f.nfiles ||
                   m.messages != bp_folder_messages(&f) || was_blind(&m, &f))) {
        ret->needed = true;
        k = bp_folder_write_metadata(&f, io, err);
    }
    if (k == 0)
        k = mend_manifest(&f, dir, io, mended, ret, err);
    bp_folder_done(&f);
    return k;
}

static int is_mcap(const struct dirent *e) {
    size_t n = strlen(e->d_name);

    if (bp_sealed_name(e->d_name))
        n -= strlen(BP_SEALED_SUFFIX);
    return e->d_name[0] != '.' && n > 5 && memcmp(e->d_name + n - 5, ".mcap", 5) == 0;
}

/* A session that was interrupted before anything of it reached the disk, once it was recovered. */
static bool holds_nothing(const char *dir, const struct bp_io *io) {
    BP_AUTO_MANIFEST m = { 0 };

    return bp_manifest_read(io, dir, &m, NULL) >= 0 && m.nsegments == 0;
}

int bp_recover_files(const char *dir, const struct bp_recover_opts *o, struct bp_recovery *ret,
                     struct bp_error *err) {
    struct dirent **v = NULL;
    int n = scandir(dir, &v, is_mcap, versionsort), r = 0;

    if (n < 0)
        return bp_fail(err, -errno, "cannot read '%s': %s", dir, bp_strerror(-errno));
    for (int i = 0; i < n; i++) {
        char path[4400];

        (void) snprintf(path, sizeof path, "%s/%s", dir, v[i]->d_name);
        if (r == 0)
            r = bp_recover_file(path, o, ret, err);
        free(v[i]);
    }
    free(v);
    if (r == 0 && n == 0 && holds_nothing(dir, o->io ? o->io : &bp_io_posix))
        return 0;
    if (r == 0 && n == 0)
        return bp_fail(err, BP_EFORMAT, "there is no MCAP file in '%s'", dir);
    if (r == 0 && !o->dry_run)
        r = mend_metadata(dir, o, ret, err);
    return r;
}
