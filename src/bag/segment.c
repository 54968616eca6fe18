#include "bag/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bag/sealed.h"
#include "base/crc.h"
#include "base/ulid.h"

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000U
#endif

void bp_segment_path(const char *dir, const char *name, uint32_t number, bool sealed, char *ret,
                     size_t cap) {
    (void) snprintf(ret, cap, "%s/%s_%u.mcap%s", dir, name, number, sealed ? BP_SEALED_SUFFIX : "");
}

/* glibc's struct statx may be older than the kernel's; the two fields lie behind stx_dev_minor. */
static bool kernel_says_direct(const char *path) {
    union {
        struct statx x;
        uint8_t bytes[256];
    } u = { 0 };
    uint32_t mem_align, offset_align;

    if (statx(AT_FDCWD, path, 0, STATX_DIOALIGN, &u.x) < 0 || !(u.x.stx_mask & STATX_DIOALIGN))
        return false;
    memcpy(&mem_align, u.bytes + 0x98, 4);
    memcpy(&offset_align, u.bytes + 0x9c, 4);
    return mem_align && offset_align && mem_align <= BP_BLOCK && offset_align <= BP_BLOCK;
}

bool bp_segment_can_direct(const struct bp_io *io, const char *dir) {
    BP_AUTO_FREE void *block = NULL;
    char path[1024];
    bool ok = false;
    int fd;

    (void) snprintf(path, sizeof path, "%s/.direct", dir);
    if (posix_memalign(&block, BP_BLOCK, BP_BLOCK))
        return false;
    memset(block, 0, BP_BLOCK);
    fd = io->open(io->ctx, path, O_RDWR | O_CREAT | O_DIRECT, 0644);
    if (fd < 0)
        return false;
    /* tmpfs and overlay accept the flag without meaning it: success alone proves nothing. */
    ok = kernel_says_direct(path) && io->pwrite(io->ctx, fd, block, BP_BLOCK, 0) == 0;
    (void) io->close(io->ctx, fd);
    (void) io->unlink(io->ctx, path);
    return ok;
}

/* Group 0 as whole blocks in aligned memory, because O_DIRECT wants that. */
static int append_buf(struct bp_segment *s, const struct bp_buf *b) {
    BP_AUTO_FREE void *aligned = NULL;

    if (b->failed || posix_memalign(&aligned, BP_BLOCK, b->n))
        return -ENOMEM;
    memcpy(aligned, b->p, b->n);
    return bp_segment_append(s, aligned, b->n);
}

static int write_head(struct bp_segment *s, const struct bp_segment_opts *o,
                      const struct bp_defs *defs) {
    struct bp_head_info head = { o->name, o->id, o->number, o->wall_ns, o->custom };
    BP_AUTO_BUF b = { 0 };
    int r = bp_defs_group(defs, &s->defined, &head, s->session, 0, &b, &s->index);

    if (r == 0)
        r = append_buf(s, &b);
    if (r == 0)
        r = s->io->sync(s->io->ctx, s->fd);
    if (r == 0)
        r = s->io->sync_dir(s->io->ctx, o->dir); /* the name must survive what it will hold */
    if (r == 0) {
        s->durable = s->off;
        s->defined_durable = s->defined;
    }
    return r;
}

int bp_segment_create(const struct bp_segment_opts *o, const uint8_t session[16],
                      const struct bp_defs *defs, struct bp_segment **ret, struct bp_error *err) {
    BP_CLEANUP(bp_segment_freep) struct bp_segment *s = calloc(1, sizeof *s);
    int64_t got;
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory for a segment");
    s->io = o->io;
    s->number = o->number;
    s->direct = o->direct;
    s->made = true;
    memcpy(s->session, session, 16);
    if (o->path)
        (void) snprintf(s->path, sizeof s->path, "%s", o->path);
    else
        bp_segment_path(o->dir, o->name, o->number, o->sealed, s->path, sizeof s->path);
    /* without, or where the file is not what is appended, somebody reads it later */
    s->sha = o->hash && !o->sealed ? bp_sha256_new() : NULL;

    r = s->fd = o->io->open(o->io->ctx, s->path,
                            O_RDWR | O_CREAT | O_EXCL | (o->direct ? O_DIRECT : 0), 0644);
    if (r < 0)
        return bp_fail(err, r, "cannot create '%s': %s", s->path, bp_strerror(r));

    got = bp_segment_extend(s, o->ahead, o->min_free);
    r = got > 0 ? write_head(s, o, defs) : got < 0 ? (int) got : -ENOSPC;
    if (r < 0) {
        (void) o->io->unlink(o->io->ctx, s->path);
        return bp_fail(err, r, "cannot prepare '%s': %s", s->path, bp_strerror(r));
    }
    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_segment_free(struct bp_segment *s) {
    if (!s)
        return;
    if (s->fd >= 0 && s->io)
        (void) s->io->close(s->io->ctx, s->fd);
    bp_buf_done(&s->staged);
    bp_index_done(&s->index);
    bp_ledger_done(&s->ledger);
    for (size_t i = 0; i < BP_LANES; i++)
        bp_spans_done(&s->ranges[i]);
    bp_sha256_free(s->sha);
    free(s->sources);
    free(s);
}

int64_t bp_segment_extend(struct bp_segment *s, uint64_t want, uint64_t min_free) {
    enum { SMALLEST = 256 << 10 };
    char dir[1024];
    int64_t left;

    bp_io_dirname(s->path, dir, sizeof dir);
    left = s->io->free_bytes(s->io->ctx, dir);
    if (left < 0)
        return left;
    if ((uint64_t) left <= min_free)
        return 0;

    want = BP_MIN(want, (uint64_t) left - min_free) & ~((uint64_t) BP_BLOCK - 1);
    for (; want >= SMALLEST; want = (want / 2) & ~((uint64_t) BP_BLOCK - 1)) {
        int r = s->io->allocate(s->io->ctx, s->fd, s->alloc, want);

        /* Where blocks cannot be taken ahead, free space is all the promise there is. */
        if (r == 0 || r == -EOPNOTSUPP) {
            __atomic_store_n(&s->alloc, s->alloc + want, __ATOMIC_RELAXED);
            return (int64_t) want;
        }
        if (r != -ENOSPC && r != -EDQUOT)
            return r;
    }
    return 0;
}

int bp_segment_append(struct bp_segment *s, const void *p, size_t n) {
    int r = s->io->pwrite(s->io->ctx, s->fd, p, n, s->off);

    if (r == 0 && s->sha && s->hashed == s->off) {
        bp_sha256_add(s->sha, p, n);
        s->hashed += n;
    }
    if (r == 0)
        s->off += n;
    return r;
}

bool bp_segment_lacks(const struct bp_segment *s, const struct bp_defs *defs) {
    const struct bp_defined *h = &s->defined;

    return h->schemas < defs->nschemas || h->channels < defs->nchannels ||
           h->sources < defs->nsources;
}

bool bp_segment_is_empty(const struct bp_segment *s) {
    return s->groups == 0 && s->ledger.n == 0 && s->marks == 0;
}

static void begin_stage(struct bp_segment *s) {
    s->unstaged.defined = s->defined;
    s->unstaged.index = bp_index_at(&s->index);
    s->unstaged.marks = s->marks;
}

static void unstage(struct bp_segment *s) {
    bp_buf_clear(&s->staged);
    s->staged.failed = false;
    s->defined = s->unstaged.defined;
    bp_index_back(&s->index, &s->unstaged.index);
    s->marks = s->unstaged.marks;
}

int bp_segment_stage_defs(struct bp_segment *s, const struct bp_defs *defs) {
    int r;

    if (!bp_segment_lacks(s, defs))
        return 0;
    begin_stage(s);
    r = bp_defs_group(defs, &s->defined, NULL, s->session, s->off, &s->staged, &s->index);
    if (r < 0)
        unstage(s);
    return r;
}

int bp_segment_stage_metadata(struct bp_segment *s, const void *rec, size_t n, struct bp_str name) {
    begin_stage(s);
    bp_buf_put(&s->staged, rec, n);
    bp_group_seal(&s->staged, 0, s->session, s->off, NULL, 0);
    bp_index_add_metadata(&s->index, s->off, s->staged.n, name);
    s->marks++;
    if (!s->staged.failed)
        return 0;
    unstage(s);
    return -ENOMEM;
}

int bp_segment_flush(struct bp_segment *s) {
    int r;

    if (!s->staged.n)
        return 0;
    r = append_buf(s, &s->staged);
    if (r == 0)
        bp_buf_clear(&s->staged);
    else
        unstage(s);
    return r;
}

static struct bp_ledger_source *source_of(struct bp_segment *s, const struct bp_defs *defs,
                                          uint32_t id) {
    const struct bp_def_source *d;

    if (id < s->nsources && s->sources[id])
        return s->sources[id];
    if (id >= defs->nsources || !defs->sources[id])
        return NULL;
    if (id >= s->nsources) {
        uint32_t n = BP_MAX(id + 1, 2 * s->nsources);
        struct bp_ledger_source **v = realloc(s->sources, n * sizeof(struct bp_ledger_source *));

        if (!v)
            return NULL;
        memset(v + s->nsources, 0, (n - s->nsources) * sizeof(struct bp_ledger_source *));
        s->sources = v;
        s->nsources = n;
    }
    d = defs->sources[id];
    if (d->channel < defs->nchannels && defs->topics[d->channel])
        s->sources[id] =
            bp_ledger_get(&s->ledger, d->guid, defs->topics[d->channel], d->vendor, d->node);
    return s->sources[id];
}

int bp_segment_add_runs(struct bp_segment *s, const struct bp_defs *defs, const struct bp_run *runs,
                        uint32_t n) {
    int r = 0;

    for (uint32_t i = 0; i < n && r == 0; i++) {
        struct bp_ledger_source *src;

        if (runs[i].kind == BP_RUN_LATCHED)
            continue;
        src = source_of(s, defs, runs[i].source);
        r = src ? bp_ledger_add(&s->ledger, src, runs[i].kind, runs[i].first, runs[i].last)
                : -ENOENT;
    }
    return r;
}

/* "1-500,600-900" of one lane as a map entry. */
static void put_range(const char *key, const struct bp_spans *v, struct bp_buf *b) {
    BP_AUTO_BUF text = { 0 };

    bp_spans_text(v, &text);
    bp_put_cstr(b, key);
    bp_put_text(b, text.p, text.n);
}

static void put_number(const char *key, uint64_t v, struct bp_buf *b) {
    char text[24];

    (void) snprintf(text, sizeof text, "%" PRIu64, v);
    bp_put_cstr(b, key);
    bp_put_cstr(b, text);
}

/* What recovery wants to know of a closed segment without reading it. */
static void put_segment_record(const struct bp_segment *s, struct bp_buf *b) {
    size_t rec = bp_rec_begin(b, BP_MCAP_METADATA), map;
    char hex[33];

    bp_put_cstr(b, "bagpipe.segment");
    map = bp_map_begin(b);
    bp_put_cstr(b, "run");
    bp_put_cstr(b, bp_hex16(s->session, hex));
    put_number("segment", s->number, b);
    put_number("groups", s->groups, b);
    put_number("repeated", s->repeated, b);
    put_number("data_bytes", s->durable, b);
    put_range("lane0", &s->ranges[BP_LANE_MAIN], b);
    put_range("lane1", &s->ranges[BP_LANE_PLAIN], b);
    bp_put_cstr(b, "crc32c"); /* last: what it covers ends where its value begins */
    bp_put_cstr(b, "00000000");
    bp_map_end(b, map);
    bp_rec_end(b, rec);
    if (!b->failed) { /* no commit block and, with DataEnd's 0, no other CRC covers these records */
        (void) snprintf(hex, sizeof hex, "%08x", bp_crc32c(0, b->p, b->n - 8));
        memcpy(b->p + b->n - 8, hex, 8);
    }
}

static void put_ledger_record(struct bp_ledger *l, struct bp_buf *b) {
    size_t rec = bp_rec_begin(b, BP_MCAP_METADATA), map;

    bp_put_cstr(b, BP_LEDGER_NAME);
    map = bp_map_begin(b);
    for (size_t i = 0; i < l->n; i++) {
        BP_AUTO_BUF text = { 0 };

        bp_ledger_encode_key(l->v[i], &text);
        bp_put_text(b, text.p, text.n);
        bp_buf_clear(&text);
        bp_ledger_encode_value(l->v[i], &text);
        bp_put_text(b, text.p, text.n);
    }
    bp_map_end(b, map);
    bp_rec_end(b, rec);
}

static int build_closing(struct bp_segment *s, struct bp_buf *b) {
    size_t at;

    (void) bp_ledger_settle(&s->ledger);
    put_ledger_record(&s->ledger, b);
    bp_index_add_metadata(&s->index, s->durable, b->n, BP_STR(BP_LEDGER_NAME));
    at = b->n;
    put_segment_record(s, b);
    bp_index_add_metadata(&s->index, s->durable + at, b->n - at, BP_STR("bagpipe.segment"));
    return bp_index_summary(&s->index, s->durable + b->n, b);
}

/* What the folder's files say of a segment's size is that of the file on disk. */
static int note_bytes(struct bp_segment *s, int fd) {
    const struct bp_io *below = bp_io_below(s->io);
    int64_t size = below->size(below->ctx, fd);

    s->bytes = (uint64_t) BP_MAX(size, 0);
    return size < 0 ? (int) size : 0;
}

int bp_segment_finish(struct bp_segment *s, struct bp_error *err) {
    const struct bp_io *io = s->io;
    size_t metadata = s->index.metadata.n;
    uint32_t nmetadata = s->index.nmetadata;
    BP_AUTO_BUF b = { 0 };
    bool sealed;
    int fd, r;

    r = build_closing(s, &b);
    s->index.metadata.n = metadata; /* a failed close can be tried again */
    s->index.nmetadata = nmetadata;
    if (r < 0)
        return bp_fail(err, r, "cannot build the summary of '%s': %s", s->path, bp_strerror(r));

    /* The end is not aligned: a second descriptor without O_DIRECT. First the bytes, into blocks we
     * have, then the cut that gives the others back. A sealed file is all blocks, and what is known
     * of its frames hangs on the descriptor that wrote them. */
    sealed = s->made && bp_sealed_of(io, s->fd);
    fd = sealed ? s->fd : io->open(io->ctx, s->path, O_WRONLY, 0);
    if (fd < 0)
        return bp_fail(err, fd, "cannot open '%s': %s", s->path, bp_strerror(fd));
    r = io->pwrite(io->ctx, fd, b.p, b.n, s->durable);
    if (r == 0)
        r = bp_sealed_io_end(io, fd);
    if (r == 0)
        r = io->truncate(io->ctx, fd, s->durable + b.n);
    if (r == 0)
        r = io->sync(io->ctx, fd);
    if (r == 0)
        r = note_bytes(s, fd);
    if (!sealed)
        (void) io->close(io->ctx, fd);
    if (r < 0)
        return bp_fail(err, r, "cannot close '%s': %s", s->path, bp_strerror(r));

    if (s->sha && s->hashed == s->durable) {
        uint8_t digest[BP_SHA256_LEN];

        bp_sha256_add(s->sha, b.p, b.n);
        bp_sha256_end(s->sha, digest);
        (void) bp_sha256_hex(digest, s->sha256);
    }
    s->off = s->durable + b.n;
    (void) io->close(io->ctx, s->fd);
    s->fd = -1;
    return 0;
}

void bp_segment_take_id(struct bp_segment *s, struct bp_str id) {
    if (bp_ulid_parse(id.p, id.n, NULL) == 0)
        (void) snprintf(s->id, sizeof s->id, "%.*s", (int) id.n, id.p);
}
