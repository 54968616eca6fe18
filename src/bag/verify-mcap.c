/* An MCAP file against itself.
 *
 * The walk goes from record head to record head and cuts the data section into units: a chunk with
 * its message indexes, or up to 4 MiB of other records, in our own files exactly one group. Workers
 * check units (verify-unit.c); their results are taken in file order, where everything is compared
 * that spans units: definitions before use, statistics, chunk index, metadata index, summary.
 * One reader goes over the whole file beside them when a SHA-256 or the data section's CRC is to be
 * checked. All reading is pread: the file may be on a disk that is failing. */
#include "bag/verify-walk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/group.h"
#include "bag/recover-trust.h"
#include "base/crc.h"
#include "base/pool.h"
#include "crypt/digest.h"

enum {
    WINDOW = 64 << 10,
    LOOSE_UNIT = 4 << 20,
    SLOTS_PER_THREAD = 2,
    SLOTS_MAX = 32,
};

static const char recover[] = "`bagpipe recover` saves what is intact";

struct slot { /* [lock] busy; the rest belongs to whoever has the slot */
    struct unit u;
    struct walk *w;
    bool busy, used;
};

void walk_say(struct walk *w, enum bp_finding_level level, uint64_t at, const char *remedy,
              const char *fmt, ...) {
    char text[240];
    va_list ap;

    va_start(ap, fmt);
    (void) vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (level != BP_FINDING_NOTE)
        w->damaged = true;
    verify_finding(w->v, level, w->f->path, true, at, text, remedy);
}

/* Room for one more element. */
static bool room(struct walk *w, void **v, size_t n, size_t *cap, size_t size) {
    size_t want = *cap ? *cap * 2 : 32;
    void *p;

    if (n < *cap)
        return true;
    p = reallocarray(*v, want, size);
    if (!p) {
        w->no_memory = true;
        return false;
    }
    *v = p;
    *cap = want;
    return true;
}

#define ROOM(w, v, n, cap)                                       \
    __extension__({                                              \
        void *room_ = (v);                                       \
        bool ok_ = room((w), &room_, (n), &(cap), sizeof(*(v))); \
        (v) = room_;                                             \
        ok_;                                                     \
    })

/* ---- taking units back, in file order ---- */

bool walk_read(const struct walk *w, uint64_t at, uint8_t *p, uint64_t n) {
    return bp_sealed_or_pread(w->sealed, w->fd, p, (size_t) n, at, true) == (ssize_t) n;
}

static char *copy_str(struct bp_str s) {
    return strndup(s.p ? s.p : "", s.n);
}

static void take_def(struct walk *w, struct unit_record *k) {
    struct def *d;

    if (k->n < 2)
        return;
    if (!ROOM(w, w->defs, w->ndefs, w->cap_defs))
        return;
    d = &w->defs[w->ndefs];
    *d = (struct def){ .op = k->op, .id = bp_ld_le16(k->p), .p = k->p, .n = k->n };
    k->p = NULL;
    if (k->op == BP_MCAP_SCHEMA)
        w->schema_known[d->id] = true;
    else
        w->channel_known[d->id] = true;
    w->ndefs++;
    for (size_t i = 0; i + 1 < w->ndefs; i++)
        if (w->defs[i].op == d->op && w->defs[i].id == d->id) {
            if (w->defs[i].n != d->n || memcmp(w->defs[i].p, d->p, (size_t) d->n) != 0)
                walk_say(w, BP_FINDING_DAMAGE, k->at == UINT64_MAX ? w->unit_at : k->at, NULL,
                         "%s %u is defined twice, differently", bp_mcap_op_name(d->op), d->id);
            w->ndefs--; /* the first one stands */
            free(d->p);
            return;
        }
}

const struct def *walk_def(const struct walk *w, uint8_t op, uint16_t id) {
    for (size_t i = 0; i < w->ndefs; i++)
        if (w->defs[i].op == op && w->defs[i].id == id)
            return &w->defs[i];
    return NULL;
}

static void check_def(struct walk *w, const struct def *d) {
    struct bp_mcap_record r = { .op = d->op, .p = d->p, .n = d->n };
    struct bp_mcap_channel c;
    struct bp_mcap_schema s;

    if (d->op == BP_MCAP_SCHEMA && bp_mcap_schema(&r, &s) < 0)
        walk_say(w, BP_FINDING_DAMAGE, 0, recover, "schema %u is shorter than its fields", d->id);
    if (d->op != BP_MCAP_CHANNEL)
        return;
    if (bp_mcap_channel(&r, &c) < 0)
        walk_say(w, BP_FINDING_DAMAGE, 0, recover, "channel %u is shorter than its fields", d->id);
    else if (c.schema_id && !w->schema_known[c.schema_id])
        walk_say(w, BP_FINDING_DAMAGE, 0, recover,
                 "channel %u uses schema %u, which is nowhere defined", d->id, c.schema_id);
}

static void take_ledger(struct walk *w, const struct unit_record *k) {
    struct bp_mcap_record r = { .op = k->op, .p = k->p, .n = k->n };
    struct bp_mcap_metadata m;
    struct bp_str key, value;
    struct bp_error err;
    int c;

    if (bp_mcap_metadata(&r, &m) < 0 || !bp_str_eq(m.name, BP_STR(BP_LEDGER_NAME)))
        return;
    w->f->has_ledger = true;
    while ((c = bp_mcap_map_next(&m.map, &key, &value)) > 0)
        if (bp_ledger_decode(&w->f->ledger, key, value, &err) < 0)
            walk_say(w, BP_FINDING_DAMAGE, k->at, recover, "the ledger cannot be read: %s",
                     err.text);
    if (c < 0)
        walk_say(w, BP_FINDING_DAMAGE, k->at, recover, "the ledger cannot be read");
}

/* Our closing records: from `data_bytes` on, up to the value of `crc32c`, which comes last. */
static void take_closing(struct walk *w, const struct unit_record *k,
                         const struct bp_mcap_metadata *m) {
    struct bp_str crc = bp_mcap_map_get(m->map, "crc32c");
    struct bp_str from = bp_mcap_map_get(m->map, "data_bytes");
    uint64_t start = from.n ? strtoull(from.p, NULL, 10) : 0; /* a length or the end follows */
    uint64_t end = k->at + BP_MCAP_HEAD + (uint64_t) ((const uint8_t *) crc.p - k->p);
    BP_AUTO_FREE uint8_t *p = NULL;
    char hex[9];

    if (!bp_str_eq(m->name, BP_STR("bagpipe.segment")) || crc.n != 8)
        return;
    w->closing_at = start;
    if (start >= k->at || k->at - start > BP_METADATA_BYTES_MAX) {
        walk_say(w, BP_FINDING_DAMAGE, k->at, recover, "the closing records are damaged");
        return;
    }
    p = malloc((size_t) (end - start));
    if (!p || !walk_read(w, start, p, end - start)) {
        w->no_memory |= !p;
        return;
    }
    (void) snprintf(hex, sizeof hex, "%08x", bp_crc32c(0, p, (size_t) (end - start)));
    if (memcmp(hex, crc.p, 8) != 0)
        walk_say(w, BP_FINDING_DAMAGE, start, recover, "the closing records fail their CRC");
}

static void take_metadata(struct walk *w, const struct unit_record *k) {
    struct bp_mcap_record r = { .op = k->op, .p = k->p, .n = k->n };
    struct bp_mcap_metadata m;
    struct bp_mcap_map all;
    int c;

    if (bp_mcap_metadata(&r, &m) < 0) {
        walk_say(w, BP_FINDING_DAMAGE, k->at, recover,
                 "a metadata record is shorter than its fields");
        return;
    }
    if (!ROOM(w, w->metadata, w->nmetadata, w->cap_metadata))
        return;
    w->metadata[w->nmetadata] = (struct span){ k->at, k->len, copy_str(m.name) };
    w->no_memory |= !w->metadata[w->nmetadata++].name;
    all = m.map;
    for (struct bp_str a, b; (c = bp_mcap_map_next(&all, &a, &b)) != 0;)
        if (c < 0) {
            walk_say(w, BP_FINDING_DAMAGE, k->at, recover, "a metadata record's map overruns it");
            return;
        }
    w->f->recovered |= bp_str_eq(m.name, BP_STR("bagpipe.recovered"));
    take_ledger(w, k);
    take_closing(w, k, &m);
}

static void take_chunk(struct walk *w, const struct unit *u) {
    struct chunk *c;

    w->v->ret->chunks++;
    if (!u->chunk_crc)
        w->v->ret->unchecked_chunks++;
    if (!ROOM(w, w->chunks, w->nchunks, w->cap_chunks))
        return;
    c = &w->chunks[w->nchunks++];
    *c = (struct chunk){
        .at = u->chunk_at,
        .len = u->chunk_len,
        .start = u->start,
        .end = u->end,
        .raw = u->raw_size,
        .stored = u->stored_size,
        .index_len = u->index_len,
        .index_first = w->noffsets,
        .intact = u->intact,
    };
    memcpy(c->compression, u->compression, sizeof c->compression);
    for (size_t i = 0; i < u->ncounts; i++) {
        if (u->counts[i].index_at == 0 || !ROOM(w, w->offsets, w->noffsets, w->cap_offsets))
            continue;
        w->offsets[w->noffsets++] = (struct offset){ u->counts[i].id, u->counts[i].index_at };
        c->nindexes++;
    }
}

static void take_records(struct walk *w, struct unit *u) {
    for (size_t i = 0; i < u->nrecords; i++) {
        struct unit_record *k = &u->records[i];

        switch (k->op) {
        case BP_MCAP_SCHEMA:
        case BP_MCAP_CHANNEL:
            take_def(w, k);
            break;
        case BP_MCAP_METADATA:
            take_metadata(w, k);
            break;
        case BP_MCAP_ATTACHMENT:
            if (ROOM(w, w->attachments, w->nattachments, w->cap_attachments))
                w->attachments[w->nattachments++] =
                    (struct span){ k->at, k->len, copy_str(k->attachment.name) };
            break;
        default:
            break;
        }
    }
}

static void take_unit(struct walk *w, struct unit *u) {
    for (size_t i = 0; i < u->nnotes; i++) {
        const struct unit_note *n = &u->notes[i];

        if (n->level != BP_FINDING_NOTE)
            w->damaged = true;
        verify_finding(w->v, n->level, w->f->path, true, n->offset, n->text, n->remedy);
    }
    w->no_memory |= u->failed_memory;
    for (size_t i = 0; i < u->ncounts; i++) { /* before this unit's own definitions count */
        const struct unit_count *c = &u->counts[i];

        if (c->messages > 0 && c->undefined_before && !w->channel_known[c->id])
            walk_say(w, BP_FINDING_DAMAGE, u->at, recover,
                     "messages of channel %u come before its definition", c->id);
        w->messages[c->id] += c->messages;
        w->f->messages += c->messages;
        if (u->repeated) {
            w->repeated[c->id] += c->messages;
            w->f->repeated += c->messages;
        }
    }
    take_records(w, u);
    if (u->has_chunk)
        take_chunk(w, u);
    if (u->committed) {
        w->v->ret->groups++;
        w->f->ours = true;
    } else if (!w->has_uncommitted) {
        w->has_uncommitted = true;
        w->uncommitted_at = u->at;
    }
    w->min_log = BP_MIN(w->min_log, u->min_log);
    w->max_log = BP_MAX(w->max_log, u->max_log);
    verify_progress(w->v, u->len);
}

/* ---- handing units out ---- */

static void run_slot(void *arg) {
    struct slot *s = arg;
    struct walk *w = s->w;

    unit_check(&s->u);
    bp_mutex_lock(&w->lock);
    s->busy = false;
    (void) pthread_cond_broadcast(&w->freed);
    bp_mutex_unlock(&w->lock);
}

/* Waits for the oldest unit that is out and takes it. @return false when none is */
static bool take_oldest(struct walk *w) {
    struct slot *s = &w->slots[w->oldest_slot % w->nslots];

    if (w->oldest_slot == w->next_slot)
        return false;
    bp_mutex_lock(&w->lock);
    while (s->busy)
        bp_mutex_wait(&w->lock, &w->freed);
    bp_mutex_unlock(&w->lock);
    w->oldest_slot++;
    take_unit(w, &s->u);
    unit_clear(&s->u);
    return true;
}

static void hand_out(struct walk *w, uint64_t end) {
    struct slot *s;

    if (end == w->unit_at)
        return;
    if (w->next_slot - w->oldest_slot == w->nslots)
        (void) take_oldest(w);
    s = &w->slots[w->next_slot % w->nslots];
    if (!s->u.slot) {
        s->u.slot = calloc(UINT16_MAX + 1, sizeof *s->u.slot);
        if (!s->u.slot) {
            w->no_memory = true;
            return;
        }
    }
    unit_clear(&s->u);
    s->w = w;
    s->u.fd = w->fd;
    s->u.sealed = w->sealed;
    s->u.at = w->unit_at;
    s->u.len = end - w->unit_at;
    s->u.first = w->unit_first;
    w->next_slot++;
    w->unit_at = end;
    w->unit_first = w->unit_chunk = false;
    if (w->pool) {
        s->busy = true;
        bp_pool_run(w->pool, run_slot, s);
    } else {
        unit_check(&s->u);
    }
}

/* ---- the walk ---- */

/* n bytes at `at` (at most WINDOW), or NULL when the disk fails. */
static const uint8_t *look(struct walk *w, uint64_t at, uint64_t n) {
    ssize_t r;

    if (at >= w->window_at && at + n <= w->window_at + w->window_n)
        return w->window + (at - w->window_at);
    r = bp_sealed_or_pread(w->sealed, w->fd, w->window, WINDOW, at, true);
    if (r < 0)
        walk_say(w, BP_FINDING_DAMAGE, at, "copy the file to another disk first",
                 "cannot be read: %s", bp_strerror((int) r));
    w->window_at = at;
    w->window_n = r > 0 ? (uint64_t) r : 0;
    return n <= w->window_n ? w->window : NULL;
}

/* Does the record at `at` end a group of ours? */
static bool ends_group(struct walk *w, uint8_t op, uint64_t at, uint64_t n) {
    const uint8_t *p;
    uint64_t extra = BP_MCAP_HEAD, k;

    if (op == BP_MCAP_METADATA) {
        p = n >= 4 ? look(w, at + BP_MCAP_HEAD, 4) : NULL;
        k = p ? bp_ld_le32(p) : UINT64_MAX;
        if (k > n - 4)
            return false;
        extra += 4 + k;
    } else if (op == BP_MCAP_MESSAGE_INDEX) {
        extra += 2;
    } else {
        return false;
    }
    if (extra + 4 > n + BP_MCAP_HEAD)
        return false;
    p = look(w, at + extra, 4);
    k = p ? bp_ld_le32(p) : UINT64_MAX;
    if (k > n + BP_MCAP_HEAD - extra - 4)
        return false;
    extra += 4 + k;
    if (n + BP_MCAP_HEAD - extra < BP_COMMIT_BYTES)
        return false;
    p = look(w, at + extra, 8);
    return p && memcmp(p, "BPCOMMIT", 8) == 0;
}

static int torn(struct walk *w, uint64_t at, const char *what) {
    hand_out(w, at);
    walk_say(w, BP_FINDING_DAMAGE, at, recover, "%s", what);
    return 0;
}

/* Walks the data section. @return 1 when DataEnd was reached, 0 when the file breaks off */
static int walk_data(struct walk *w) {
    uint64_t at = BP_MCAP_MAGIC_LEN;

    w->unit_first = true;
    while (!w->no_memory && !verify_is_cancelled(w->v)) {
        const uint8_t *p = at + BP_MCAP_HEAD <= w->size ? look(w, at, BP_MCAP_HEAD) : NULL;
        uint64_t n = p ? bp_ld_le64(p + 1) : 0, end;
        uint8_t op = p ? p[0] : 0;

        if (!p)
            return torn(w, at,
                        at == w->size ? "the file ends without its summary: the recording was "
                                        "interrupted or cut off"
                                      : "the file ends in the middle of a record");
        if (op == 0)
            return torn(w, at, "here should be a record and is none");
        if (n > w->size - at - BP_MCAP_HEAD)
            return torn(w, at, "the file ends in the middle of a record");
        end = at + BP_MCAP_HEAD + n;
        if (at == BP_MCAP_MAGIC_LEN && op != BP_MCAP_HEADER)
            walk_say(w, BP_FINDING_DAMAGE, at, recover, "the file does not begin with a header");
        if (op == BP_MCAP_DATA_END) {
            hand_out(w, at);
            if (n < 4 || !(p = look(w, at + BP_MCAP_HEAD, 4)))
                return torn(w, at, "the end of the data section is shorter than its fields");
            w->data_end = at;
            w->data_crc = bp_ld_le32(p);
            return 1;
        }
        if (op == BP_MCAP_FOOTER)
            return torn(w, at, "the footer comes without an end of the data section");
        if ((op == BP_MCAP_CHUNK || op == BP_MCAP_METADATA) && w->unit_chunk)
            hand_out(w, at); /* what a metadata record says may be about the next chunk */
        if (n > (uint64_t) 1 << 30)
            return torn(w, at, "a record claims more than 1 GiB");
        w->unit_chunk |= op == BP_MCAP_CHUNK;
        if (ends_group(w, op, at, n) || (!w->unit_chunk && end - w->unit_at >= LOOSE_UNIT))
            hand_out(w, end);
        at = end;
    }
    return 0;
}

/* ---- SHA-256 and the CRC of the data section: over the whole file in order ---- */

struct stream {
    struct verify *v;
    bool beside; /* on a thread of its own: another tells of progress */
    atomic_bool done;
    int fd;
    struct bp_sealed *sealed; /* borrowed; NULL = the bytes as they are on disk */
    bool sha, crc;
    uint64_t crc_end; /* 0 = unknown: no CRC */
    char *hex;
    uint32_t crc_value;
    int error;
};

static void *run_stream(void *arg) {
    enum { PIECE = 1 << 20 };
    struct stream *s = arg;
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *h = bp_sha256_new();
    BP_AUTO_FREE uint8_t *buf = malloc(PIECE);
    uint8_t digest[BP_SHA256_LEN];
    uint64_t at = 0;
    ssize_t n;

    if (!h || !buf) {
        s->error = -ENOMEM;
        atomic_store(&s->done, true);
        return NULL;
    }
    while ((n = bp_sealed_or_pread(s->sealed, s->fd, buf, PIECE, at, true)) != 0) {
        if (!s->beside && at % ((size_t) 16 * PIECE) == 0)
            verify_progress(s->v, 0);
        if (n < 0 || verify_is_cancelled(s->v)) {
            s->error = n < 0 ? (int) n : 0;
            break;
        }
        if (s->sha)
            bp_sha256_add(h, buf, (size_t) n);
        if (s->crc && at < s->crc_end)
            s->crc_value =
                bp_crc32(s->crc_value, buf, (size_t) BP_MIN((uint64_t) n, s->crc_end - at));
        at += (uint64_t) n;
    }
    bp_sha256_end(h, digest);
    if (s->sha && n == 0)
        (void) bp_sha256_hex(digest, s->hex);
    atomic_store(&s->done, true);
    return NULL;
}

/* Somebody may lose patience meanwhile. */
static void wait_for_stream(struct stream *s, pthread_t thread) {
    while (!atomic_load(&s->done)) {
        verify_progress(s->v, 0);
        bp_sleep(10 * BP_MS);
    }
    (void) pthread_join(thread, NULL);
}

static void check_data_crc(struct walk *w) {
    struct stream s = {
        .v = w->v, .fd = w->fd, .sealed = w->sealed, .crc = true, .crc_end = w->data_end
    };

    if (!w->data_end || w->data_crc == 0)
        return;
    (void) run_stream(&s);
    if (verify_is_cancelled(w->v))
        return;
    if (s.error)
        walk_say(w, BP_FINDING_DAMAGE, 0, NULL, "cannot be read again: %s", bp_strerror(s.error));
    else if (s.crc_value != w->data_crc)
        walk_say(w, BP_FINDING_DAMAGE, w->data_end, recover, "the data section fails its CRC");
}

/* ---- the whole file ---- */

static void walk_done(struct walk *w) {
    for (size_t i = 0; i < w->nslots; i++)
        unit_done(&w->slots[i].u);
    for (size_t i = 0; i < w->ndefs; i++)
        free(w->defs[i].p);
    for (size_t i = 0; i < w->nmetadata; i++)
        free(w->metadata[i].name);
    for (size_t i = 0; i < w->nattachments; i++)
        free(w->attachments[i].name);
    free(w->slots);
    free(w->window);
    free(w->defs);
    free(w->schema_known);
    free(w->channel_known);
    free(w->messages);
    free(w->repeated);
    free(w->chunks);
    free(w->offsets);
    free(w->metadata);
    free(w->attachments);
    bp_mutex_done(&w->lock);
    (void) pthread_cond_destroy(&w->freed);
    bp_sealed_free(w->sealed);
    bp_closep(&w->fd);
}

static int walk_init(struct walk *w, const char *path, struct bp_error *err) {
    unsigned threads = w->v->threads;
    struct stat st;

    bp_mutex_init(&w->lock);
    (void) pthread_cond_init(&w->freed, NULL);
    w->min_log = UINT64_MAX;
    w->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (w->fd < 0 || fstat(w->fd, &st) < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", path, bp_strerror(-errno));
    (void) posix_fadvise(w->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    w->size = (uint64_t) st.st_size;
    if (w->size < (uint64_t) 2 * LOOSE_UNIT) /* not worth a thread */
        threads = 1;
    w->nslots = threads > 1 ? BP_MIN(threads * SLOTS_PER_THREAD, (unsigned) SLOTS_MAX) : 1;
    w->slots = calloc(w->nslots, sizeof *w->slots);
    w->window = calloc(1, WINDOW);
    w->schema_known = calloc(UINT16_MAX + 1, sizeof *w->schema_known);
    w->channel_known = calloc(UINT16_MAX + 1, sizeof *w->channel_known);
    w->messages = calloc(UINT16_MAX + 1, sizeof *w->messages);
    w->repeated = calloc(UINT16_MAX + 1, sizeof *w->repeated);
    if (threads > 1)
        w->pool = bp_pool_new("verify", threads, (unsigned) w->nslots);
    if (!w->slots || !w->window || !w->schema_known || !w->channel_known || !w->messages ||
        !w->repeated || (threads > 1 && !w->pool))
        return bp_fail(err, -ENOMEM, "no memory to verify '%s'", path);
    return 0;
}

static void count_topics(struct walk *w) {
    for (size_t i = 0; i < w->ndefs; i++) {
        const struct def *d = &w->defs[i];
        struct bp_mcap_record r = { .op = d->op, .p = d->p, .n = d->n };
        struct bp_mcap_channel c;
        struct bp_mcap_schema s = { 0 };
        const struct def *sd;
        BP_AUTO_FREE char *topic = NULL, *type = NULL;

        check_def(w, d);
        if (d->op != BP_MCAP_CHANNEL || bp_mcap_channel(&r, &c) < 0)
            continue;
        sd = walk_def(w, BP_MCAP_SCHEMA, c.schema_id);
        if (sd) {
            r = (struct bp_mcap_record){ .op = sd->op, .p = sd->p, .n = sd->n };
            (void) bp_mcap_schema(&r, &s);
        }
        topic = copy_str(c.topic);
        type = copy_str(s.name);
        if (!topic || !type ||
            verify_file_count(w->f, topic, type, w->messages[d->id], w->repeated[d->id]) < 0)
            w->no_memory = true;
    }
}

static bool is_mcap(struct walk *w) {
    const uint8_t *p = w->size >= BP_MCAP_MAGIC_LEN ? look(w, 0, BP_MCAP_MAGIC_LEN) : NULL;

    if (!p || !bp_mcap_magic_nearly(p))
        return false;
    w->f->no_magic = memcmp(p, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) != 0;
    if (w->f->no_magic)
        walk_say(w, BP_FINDING_DAMAGE, 0, recover, "MCAP's magic bytes are damaged");
    return true;
}

static void run(struct walk *w) {
    int whole = walk_data(w);

    while (take_oldest(w))
        ;
    if (w->f->ours && w->has_uncommitted && w->uncommitted_at != w->closing_at)
        walk_say(w, BP_FINDING_DAMAGE, w->uncommitted_at, recover,
                 "a group of records has no commit block");
    count_topics(w);
    if (whole > 0 && !verify_is_cancelled(w->v)) {
        walk_check_summary(w);
        check_data_crc(w);
    }
}

/* A robot without the key closes what was interrupted, and that is all it can do. */
static bool closed_blind(const struct walk *w) {
    return bp_sealed_state(w->sealed) == BP_SEALED_CUT && !bp_sealed_readable(w->sealed);
}

static void on_seal_fault(void *ctx, const char *fault) {
    struct walk *w = ctx;
    bool mere = closed_blind(w) && bp_starts_with(fault, BP_SEALED_CLOSED_TEXT);

    walk_say(w, mere ? BP_FINDING_NOTE : BP_FINDING_DAMAGE, 0, NULL, "%s", fault);
}

static int on_seal_step(void *ctx) {
    struct walk *w = ctx;

    verify_progress(w->v, 0);
    return verify_is_cancelled(w->v);
}

/* A sealed file: its frames first; what is inside only with a key. */
static int look_inside(struct walk *w, const char *path, struct bp_error *err) {
    struct bp_error why = { 0 };
    const uint8_t *p = w->size >= BP_MCAP_MAGIC_LEN ? look(w, 0, BP_MCAP_MAGIC_LEN) : NULL;
    int r;

    if (!p || !bp_sealed_probe(p, BP_MCAP_MAGIC_LEN))
        return 0;
    r = bp_sealed_open(&bp_io_posix, w->fd, bp_keyring_process(), &w->sealed);
    if (r == BP_ECORRUPT || r == BP_ETRUNCATED || r == BP_EFORMAT) {
        w->f->blind = w->damaged = true;
        walk_say(w, BP_FINDING_UNUSABLE, 0, NULL, "its header as a sealed file: %s",
                 bp_strerror(r));
        return 0;
    }
    if (r == 0)
        r = bp_sealed_verify(w->sealed, on_seal_fault, on_seal_step, w);
    if (r == -ECANCELED)
        return bp_fail(err, r, "cancelled");
    if (r < 0)
        return bp_fail(err, r, "'%s' as a sealed file: %s", path, bp_strerror(r));
    w->damaged |= r > (closed_blind(w) ? 1 : 0);
    w->f->blind = !bp_sealed_readable(w->sealed);
    if (w->f->blind) {
        (void) bp_sealed_no_key(w->sealed, path, &why);
        walk_say(w, BP_FINDING_NOTE, 0, NULL, "only its outside was verified: %s", why.text);
    }
    w->size = bp_sealed_size(w->sealed);
    w->window_n = 0;
    return 0;
}

int verify_mcap(struct verify *v, const char *path, bool want_sha256, struct verify_file *f,
                struct bp_error *err) {
    BP_CLEANUP(walk_done) struct walk w = { .v = v, .f = f, .fd = -1 };
    struct stream s = { .v = v, .sha = want_sha256, .beside = true, .hex = f->sha256 };
    pthread_t thread;
    bool streaming = false;
    int r = walk_init(&w, path, err);

    if (r < 0) {
        bp_pool_free(w.pool);
        return r;
    }
    f->bytes = w.size;
    s.fd = w.fd;
    if (want_sha256)
        streaming = pthread_create(&thread, NULL, run_stream, &s) == 0;
    if (!streaming) /* else it is the thread's already */
        s.beside = false;
    r = look_inside(&w, path, err);
    if (r < 0 || f->blind)
        f->blind = true;
    else if (is_mcap(&w))
        run(&w);
    else
        walk_say(&w, BP_FINDING_UNUSABLE, 0, NULL, "%s",
                 w.size ? "not an MCAP file" : "the file is empty");
    bp_pool_free(w.pool);
    if (streaming)
        wait_for_stream(&s, thread);
    else if (want_sha256)
        (void) run_stream(&s);
    if (s.error)
        walk_say(&w, BP_FINDING_DAMAGE, 0, "copy the file to another disk first",
                 "cannot be read: %s", bp_strerror(s.error));
    f->damaged = w.damaged;
    if (f->messages > 0) {
        f->start_ns = (bp_ns_t) w.min_log;
        f->end_ns = (bp_ns_t) w.max_log;
    }
    if (r < 0)
        return r;
    return w.no_memory ? bp_fail(err, -ENOMEM, "no memory to verify '%s'", path) : 0;
}
