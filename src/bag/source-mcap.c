#include "bag/mcap-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"

struct mcap_source *mcap_source_of(struct bp_source *s) {
    return BP_CONTAINER_OF(s, struct mcap_source, s);
}

static bool is_mcap(const uint8_t *head, size_t n) {
    return n >= BP_MCAP_MAGIC_LEN && memcmp(head, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) == 0;
}

static bool probe(const uint8_t *head, size_t n) {
    return is_mcap(head, n) || bp_sealed_probe(head, n);
}

int mcap_read(const struct mcap_source *m, uint64_t at, void *p, uint64_t n) {
    ssize_t r = m->reads.read ? m->reads.read(m->reads.ctx, p, (size_t) n, at, NULL)
                              : bp_sealed_or_pread(m->sealed, m->fd, p, (size_t) n, at, false);

    return r < 0 ? (int) r : (uint64_t) r < n ? BP_ETRUNCATED : 0;
}

/* Page by page faults of a fresh buffer cost more than the copy into it. */
uint8_t *mcap_buf_room(struct bp_buf *b, uint64_t n) {
    enum { PAGE = 4096, WORTH = 256 << 10 };
    size_t cap = b->cap;
    uint8_t *p = n <= SIZE_MAX ? bp_buf_grow(b, (size_t) n) : NULL;
    uintptr_t from = BP_ALIGN((uintptr_t) p, (uintptr_t) PAGE);

    if (p && b->cap > cap && n >= WORTH && n <= BP_MCAP_LOOSE_MAX)
        (void) madvise((void *) from, (size_t) n - PAGE, MADV_POPULATE_WRITE);
    return p;
}

int mcap_read_record(const struct mcap_source *m, uint64_t at, struct bp_buf *buf,
                     struct bp_mcap_record *ret) {
    uint8_t head[BP_MCAP_HEAD];
    uint64_t n;
    int r;

    r = mcap_read(m, at, head, sizeof head);
    if (r < 0)
        return r;

    n = bp_ld_le64(head + 1);
    if (n > m->size - at - BP_MCAP_HEAD)
        return BP_ETRUNCATED;
    if (n > BP_MCAP_RECORD_MAX)
        return BP_ELIMIT;

    bp_buf_clear(buf);
    if (!mcap_buf_room(buf, n))
        return -ENOMEM;
    r = mcap_read(m, at + BP_MCAP_HEAD, buf->p, n);
    if (r < 0)
        return r;

    *ret = (struct bp_mcap_record){ .op = head[0], .p = buf->p, .n = n };
    return 0;
}

/* ---- chunks ---- */

void mcap_chunk_buf_done(struct mcap_chunk_buf *b) {
    bp_buf_done(&b->file);
    bp_buf_done(&b->raw);
    bp_decompressor_free(b->z);
    b->z = NULL;
}

static int decompress(struct mcap_chunk_buf *b, enum bp_codec codec,
                      const struct bp_mcap_chunk *c) {
    if (!b->z)
        b->z = bp_decompressor_new();
    bp_buf_clear(&b->raw);
    if (!b->z || !mcap_buf_room(&b->raw, c->uncompressed_size))
        return -ENOMEM;

    b->records = b->raw.p;
    b->n = c->uncompressed_size;
    return bp_decompress(b->z, codec, c->records, (size_t) c->records_size, b->raw.p,
                         (size_t) b->n);
}

int mcap_load_chunk(const struct mcap_source *m, uint64_t at, bool check_crc,
                    struct mcap_chunk_buf *b, struct bp_mcap_chunk *ret) {
    struct bp_mcap_record rec;
    int r, codec;

    r = mcap_read_record(m, at, &b->file, &rec);
    if (r < 0)
        return r;
    if (rec.op != BP_MCAP_CHUNK)
        return BP_EFORMAT;

    r = bp_mcap_chunk(&rec, ret);
    if (r < 0)
        return r;
    codec = bp_codec_from_name(ret->compression.p, ret->compression.n);
    if (codec < 0)
        return codec;
    if (ret->uncompressed_size > BP_MCAP_RECORD_MAX)
        return BP_ELIMIT;

    if (codec == BP_CODEC_NONE) {
        if (ret->records_size != ret->uncompressed_size)
            return BP_EFORMAT;
        b->records = ret->records;
        b->n = ret->records_size;
    } else {
        r = decompress(b, (enum bp_codec) codec, ret);
        if (r < 0)
            return r;
    }
    if (check_crc && ret->uncompressed_crc != 0 &&
        bp_crc32(0, b->records, (size_t) b->n) != ret->uncompressed_crc)
        return BP_ECORRUPT;
    return 0;
}

/* ---- what the file defines ---- */

static char *copy_str(struct bp_str s) {
    return strndup(s.p ? s.p : "", s.n);
}

int mcap_add_schema(struct mcap_source *m, const struct bp_mcap_record *r) {
    struct mcap_schema_copy *c;
    struct bp_mcap_schema s;
    int k = bp_mcap_schema(r, &s);

    if (k < 0)
        return k;
    if (!m->schemas)
        m->schemas = calloc(UINT16_MAX + 1, sizeof *m->schemas);
    if (!m->schemas)
        return -ENOMEM;

    m->max_schema = BP_MAX(m->max_schema, s.id);
    c = &m->schemas[s.id];
    if (c->name) /* repeated in the summary, or in a later chunk */
        return 0;
    c->name = copy_str(s.name);
    c->encoding = copy_str(s.encoding);
    c->data = (struct bp_str){ copy_str(s.data), s.data.n };
    return c->name && c->encoding && c->data.p ? 0 : -ENOMEM;
}

static void channel_strings(struct bp_source_channel *c, const struct bp_mcap_channel *in) {
    struct bp_str domain = bp_mcap_map_get(in->metadata, "bagpipe.domain");

    c->topic = copy_str(in->topic);
    c->message_encoding = copy_str(in->message_encoding);
    c->type_hash = copy_str(bp_mcap_map_get(in->metadata, "topic_type_hash"));
    c->qos_yaml = copy_str(bp_mcap_map_get(in->metadata, "offered_qos_profiles"));
    c->robot = copy_str(bp_mcap_map_get(in->metadata, "bagpipe.robot"));
    c->original_topic = copy_str(bp_mcap_map_get(in->metadata, "bagpipe.original_topic"));
    c->keyed = bp_str_eq(bp_mcap_map_get(in->metadata, "bagpipe.keyed"), BP_STR("true"));
    for (size_t i = 0; i < domain.n && domain.p[i] >= '0' && domain.p[i] <= '9' && i < 9; i++)
        c->domain = c->domain * 10 + (uint32_t) (domain.p[i] - '0');
}

/* The record as it stands, where slices will want it. */
static int keep_record(struct mcap_source *m, const struct bp_mcap_record *r) {
    struct bp_buf *grown;

    if (!m->reads.read)
        return 0;
    grown = realloc(m->records, (m->s.nchannels + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    m->records = grown;
    grown[m->s.nchannels] = (struct bp_buf){ 0 };
    bp_buf_put(&grown[m->s.nchannels], r->p, (size_t) r->n);
    return grown[m->s.nchannels].failed ? -ENOMEM : 0;
}

int mcap_add_channel(struct mcap_source *m, const struct bp_mcap_record *r) {
    struct bp_source_channel *c, *grown;
    const struct mcap_schema_copy *schema = NULL;
    struct bp_mcap_channel in;
    int k = bp_mcap_channel(r, &in);

    if (k < 0)
        return k;
    if (mcap_channel(m, in.id) >= 0)
        return 0;

    grown = realloc(m->s.channels, (m->s.nchannels + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    m->s.channels = grown;
    k = keep_record(m, r);
    if (k < 0)
        return k;
    c = &grown[m->s.nchannels];
    *c = (struct bp_source_channel){ .type = "", .schema_encoding = "" };
    channel_strings(c, &in);
    if (in.schema_id && m->schemas && m->schemas[in.schema_id].name)
        schema = &m->schemas[in.schema_id];
    if (schema) {
        c->type = schema->name;
        c->schema_encoding = schema->encoding;
        c->schema = schema->data;
    }
    m->by_id[in.id] = (int32_t) ++m->s.nchannels;
    return c->topic && c->message_encoding && c->type_hash && c->qos_yaml && c->robot &&
                   c->original_topic
               ? 0
               : -ENOMEM;
}

/* Room for one more element; doubles. */
static int grow(void **v, size_t n, size_t *cap, size_t size) {
    size_t want = *cap ? *cap * 2 : 64;
    void *p;

    if (n < *cap)
        return 0;
    p = realloc(*v, want * size);
    if (!p)
        return -ENOMEM;
    *v = p;
    *cap = want;
    return 0;
}

int mcap_add_unit(struct mcap_source *m, const struct mcap_unit *u) {
    void *v = m->units;
    int r = grow(&v, m->nunits, &m->cap_units, sizeof *m->units);

    if (r < 0)
        return r;
    m->units = v;
    m->units[m->nunits++] = *u;
    return 0;
}

int mcap_add_meta(struct mcap_source *m, uint64_t at, uint64_t len) {
    void *v = m->meta;
    int r = grow(&v, m->nmeta, &m->cap_meta, sizeof *m->meta);

    if (r < 0)
        return r;
    m->meta = v;
    m->meta[m->nmeta++] = (struct mcap_span){ at, len };
    return 0;
}

/* ---- open and close ---- */

static int by_start(const void *a, const void *b) {
    const struct mcap_unit *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void free_channel(struct bp_source_channel *c) {
    char *v[] = { (char *) (uintptr_t) c->topic,     (char *) (uintptr_t) c->message_encoding,
                  (char *) (uintptr_t) c->type_hash, (char *) (uintptr_t) c->qos_yaml,
                  (char *) (uintptr_t) c->robot,     (char *) (uintptr_t) c->original_topic };

    for (size_t i = 0; i < BP_COUNT(v); i++)
        free(v[i]);
}

static void mcap_close(struct bp_source *s) {
    struct mcap_source *m;

    if (!s)
        return;

    m = mcap_source_of(s);
    bp_sealed_free(m->sealed);
    bp_closep(&m->fd);
    for (size_t i = 0; i < s->nchannels; i++) {
        free_channel(&s->channels[i]);
        if (m->records)
            bp_buf_done(&m->records[i]);
    }
    free(m->records);
    for (uint32_t i = 0; m->schemas && i <= m->max_schema; i++) {
        free(m->schemas[i].name);
        free(m->schemas[i].encoding);
        free((char *) (uintptr_t) m->schemas[i].data.p);
    }
    free(m->schemas);
    free(s->channels);
    free(m->units);
    free(m->ids);
    free(m->by_id);
    free(m->meta);
    free(m);
}

static void sum_up(struct mcap_source *m) {
    struct bp_source *s = &m->s;
    uint32_t codecs = m->codecs_seen & ~(1u << BP_CODEC_NONE); /* what does not shrink is stored */

    if (m->nunits > 1)
        qsort(m->units, m->nunits, sizeof *m->units, by_start);
    s->compression = codecs == 1u << BP_CODEC_ZSTD  ? "zstd"
                     : codecs == 1u << BP_CODEC_LZ4 ? "lz4"
                     : codecs                       ? "mixed"
                                                    : "";
    s->file.start_ns = INT64_MAX;
    for (size_t i = 0; i < m->nunits; i++) {
        if (m->units[i].end == 0) /* definitions only */
            continue;
        s->file.start_ns = BP_MIN(s->file.start_ns, (bp_ns_t) m->units[i].start);
        s->file.end_ns = BP_MAX(s->file.end_ns, (bp_ns_t) m->units[i].end);
    }
    if (s->file.start_ns == INT64_MAX)
        s->file.start_ns = 0;
}

static struct mcap_source *mcap_new(const char *path) {
    struct mcap_source *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->fd = -1;
    m->s = (struct bp_source){
        .ops = &bp_source_mcap, .file.path = path, .compression = "", .ros_distro = ""
    };
    m->by_id = calloc(UINT16_MAX + 1, sizeof *m->by_id);
    if (!m->by_id) {
        free(m);
        return NULL;
    }
    return m;
}

/* A sealed file is read through its container. */
static int open_sealed(struct mcap_source *m, const char *path, struct bp_error *err) {
    int r = bp_sealed_peek(&bp_io_posix, m->fd, bp_keyring_process(), &m->sealed);

    if (r == 0 && !bp_sealed_readable(m->sealed))
        return bp_sealed_no_key(m->sealed, path, err);
    bp_sealed_free(BP_TAKE_PTR(m->sealed));
    if (r == 0)
        r = bp_sealed_open(&bp_io_posix, m->fd, bp_keyring_process(), &m->sealed);
    if (r < 0)
        return bp_fail(err, r, "'%s' as a sealed file: %s", path, bp_strerror(r));
    m->size = bp_sealed_size(m->sealed);
    return 0;
}

static int open_file(struct mcap_source *m, const char *path, struct bp_error *err) {
    uint8_t magic[BP_MCAP_MAGIC_LEN] = { 0 };
    struct stat st;
    int r;

    m->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (m->fd < 0 || fstat(m->fd, &st) < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", path, bp_strerror(-errno));

    m->size = m->s.file.bytes = (uint64_t) st.st_size;
    if (m->size >= sizeof magic && mcap_read(m, 0, magic, sizeof magic) == 0 &&
        bp_sealed_probe(magic, sizeof magic)) {
        r = open_sealed(m, path, err);
        if (r < 0)
            return r;
    }
    if (m->size < sizeof magic || mcap_read(m, 0, magic, sizeof magic) < 0 ||
        !is_mcap(magic, sizeof magic))
        return bp_fail(err, BP_EFORMAT, "'%s' %s an MCAP file%s", path,
                       m->sealed ? "does not hold" : "is not", m->size == 0 ? ": it is empty" : "");
    return 0;
}

static void mcap_closep(struct mcap_source **m) {
    if (*m)
        mcap_close(&(*m)->s);
}

static int mcap_open(const char *path, struct bp_source **ret, struct bp_error *err) {
    BP_CLEANUP(mcap_closep) struct mcap_source *m = mcap_new(path);
    int r;

    if (!m)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);

    r = open_file(m, path, err);
    if (r < 0)
        return r;

    r = mcap_load_summary(m, err);
    if (r == 0)
        r = mcap_scan(m, err);
    else if (r > 0)
        m->s.file.indexed = true;
    if (r < 0)
        return bp_prefix(err, r, "'%s'", path);

    sum_up(m);
    bp_sealed_relax(m->sealed); /* of many files few are read at a time */
    *ret = &BP_TAKE_PTR(m)->s;
    return 0;
}

int mcap_open_reads(const char *name, const struct bp_reads *reads, struct mcap_source **ret,
                    struct bp_error *err) {
    BP_CLEANUP(mcap_closep) struct mcap_source *m = mcap_new(name);
    uint8_t magic[BP_MCAP_MAGIC_LEN] = { 0 };
    int r;

    if (!m)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", name);
    m->reads = *reads;
    m->size = m->s.file.bytes = reads->size;
    r = m->size < sizeof magic ? BP_EFORMAT : mcap_read(m, 0, magic, sizeof magic);
    if (r == 0 && bp_sealed_probe(magic, sizeof magic))
        return bp_fail(err, BP_EKEY, "'%s' is sealed: whoever has a key reads the whole file",
                       name);
    if (r == 0 && !is_mcap(magic, sizeof magic))
        r = BP_EFORMAT;
    if (r < 0)
        return bp_fail(err, r, "'%s' cannot be read as MCAP: %s", name, bp_strerror(r));
    r = mcap_load_summary(m, err);
    if (r == 0)
        return bp_fail(err, BP_EFORMAT, "'%s' has no usable index: download and recover it", name);
    if (r < 0)
        return bp_prefix(err, r, "'%s'", name);
    m->s.file.indexed = true;
    sum_up(m);
    *ret = BP_TAKE_PTR(m);
    return 0;
}

static int mcap_metadata(struct bp_source *s,
                         int (*fn)(void *ctx, const char *name, struct bp_str key,
                                   struct bp_str value),
                         void *ctx, struct bp_error *err) {
    struct mcap_source *m = mcap_source_of(s);
    BP_AUTO_BUF buf = { 0 };

    for (size_t i = 0; i < m->nmeta; i++) {
        BP_AUTO_FREE char *name = NULL;
        struct bp_mcap_metadata md;
        struct bp_mcap_record rec;
        struct bp_str k, v;
        int r = mcap_read_record(m, m->meta[i].at, &buf, &rec);

        if (r >= 0 && rec.op != BP_MCAP_METADATA)
            r = BP_EFORMAT;
        if (r >= 0)
            r = bp_mcap_metadata(&rec, &md);
        if (r < 0)
            return bp_fail(err, r, "'%s': metadata record at byte %llu: %s", s->file.path,
                           (unsigned long long) m->meta[i].at, bp_strerror(r));

        name = copy_str(md.name);
        if (!name)
            return -ENOMEM;
        while (bp_mcap_map_next(&md.map, &k, &v) > 0) {
            int stop = fn(ctx, name, k, v);

            if (stop)
                return stop;
        }
    }
    return 0;
}

const struct bp_source_ops bp_source_mcap = {
    .storage = "mcap",
    .probe = probe,
    .open = mcap_open,
    .close = mcap_close,
    .metadata = mcap_metadata,
    .iterate = mcap_iterate,
    .next = mcap_next,
    .skipped = mcap_skipped,
    .iter_free = mcap_iter_free,
};
