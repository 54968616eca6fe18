/* An MCAP file against itself.
 *
 * The walk goes from record head to record head and cuts the data section into units: a chunk with
 * its message indexes, or up to 4 MiB of other records, in our own files exactly one group. Workers
 * check units (verify-unit.c); their results are taken in file order, where everything is compared
 * that spans units: definitions before use, statistics, chunk index, metadata index, summary.
 * One reader goes over the whole file beside them when a SHA-256 or the data section's CRC is to be
 * checked. All reading is pread: the file may be on a disk that is failing. */
#include "bag/verify-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/group.h"
#include "base/crc.h"
#include "base/mutex.h"
#include "base/pool.h"
#include "crypt/digest.h"

enum {
    WINDOW = 64 << 10,
    LOOSE_UNIT = 4 << 20,
    SUMMARY_MAX = 1 << 30,
    SLOTS_PER_THREAD = 2,
    SLOTS_MAX = 32,
};

static const char recover[] = "`bagpipe recover` saves what is intact";
static const char reindex[] = "`bagpipe recover` makes a new index";

/* What the data section holds, in file order. */
struct def {
    uint8_t op;
    uint16_t id;
    uint8_t *p; /* owned */
    uint64_t n;
};

struct chunk {
    uint64_t at, len, start, end, raw, stored, index_len;
    uint64_t index_first; /* into `offsets` */
    uint32_t nindexes, nmsg_channels;
    bool indexed, intact;
    char compression[16];
};

struct span {
    uint64_t at, len;
    char *name; /* owned */
};

struct offset {
    uint16_t channel;
    uint64_t at;
};

struct slot { /* [lock] busy; the rest belongs to whoever has the slot */
    struct unit u;
    struct walk *w;
    bool busy, used;
};

struct walk {
    struct verify *v;
    struct verify_file *f;
    int fd;
    uint64_t size;
    /* walking */
    uint8_t *window; /* owned */
    uint64_t window_at, window_n;
    uint64_t unit_at;
    bool unit_first, unit_chunk;
    uint64_t data_end; /* offset of the DataEnd record; 0 = the walk did not get there */
    uint32_t data_crc;
    /* slots, handed out round robin and taken back in order */
    struct bp_pool *pool; /* NULL: units are checked by this thread */
    struct slot *slots;   /* owned */
    size_t nslots, next_slot, oldest_slot;
    struct bp_mutex lock; /* leaf */
    pthread_cond_t freed;
    /* taken so far */
    struct def *defs; /* owned */
    size_t ndefs, cap_defs;
    bool *schema_known, *channel_known; /* owned; by id */
    uint64_t *messages, *repeated;      /* owned; by channel id */
    struct chunk *chunks;               /* owned */
    size_t nchunks, cap_chunks;
    struct offset *offsets; /* owned */
    size_t noffsets, cap_offsets;
    struct span *metadata, *attachments; /* owned */
    size_t nmetadata, cap_metadata, nattachments, cap_attachments;
    uint64_t min_log, max_log;
    bool damaged, no_memory;
    uint64_t uncommitted_at; /* first group without commit */
    uint64_t closing_at;     /* our closing records, which have a CRC of their own; 0 = none */
    bool has_uncommitted;
};

BP_PRINTF(5, 6)
static void say(struct walk *w, enum bp_finding_level level, uint64_t at, const char *remedy,
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

static bool read_at(const struct walk *w, uint64_t at, uint8_t *p, uint64_t n) {
    while (n > 0) {
        ssize_t r = pread(w->fd, p, (size_t) n, (off_t) at);

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        p += r;
        at += (uint64_t) r;
        n -= (uint64_t) r;
    }
    return true;
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
                say(w, BP_FINDING_DAMAGE, k->at == UINT64_MAX ? w->unit_at : k->at, NULL,
                    "%s %u is defined twice, differently", bp_mcap_op_name(d->op), d->id);
            w->ndefs--; /* the first one stands */
            free(d->p);
            return;
        }
}

static void check_def(struct walk *w, const struct def *d) {
    struct bp_mcap_record r = { .op = d->op, .p = d->p, .n = d->n };
    struct bp_mcap_channel c;
    struct bp_mcap_schema s;

    if (d->op == BP_MCAP_SCHEMA && bp_mcap_schema(&r, &s) < 0)
        say(w, BP_FINDING_DAMAGE, 0, recover, "schema %u is shorter than its fields", d->id);
    if (d->op != BP_MCAP_CHANNEL)
        return;
    if (bp_mcap_channel(&r, &c) < 0)
        say(w, BP_FINDING_DAMAGE, 0, recover, "channel %u is shorter than its fields", d->id);
    else if (c.schema_id && !w->schema_known[c.schema_id])
        say(w, BP_FINDING_DAMAGE, 0, recover, "channel %u uses schema %u, which is nowhere defined",
            d->id, c.schema_id);
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
            say(w, BP_FINDING_DAMAGE, k->at, recover, "the ledger cannot be read: %s", err.text);
    if (c < 0)
        say(w, BP_FINDING_DAMAGE, k->at, recover, "the ledger cannot be read");
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
        say(w, BP_FINDING_DAMAGE, k->at, recover, "the closing records are damaged");
        return;
    }
    p = malloc((size_t) (end - start));
    if (!p || !read_at(w, start, p, end - start)) {
        w->no_memory |= !p;
        return;
    }
    (void) snprintf(hex, sizeof hex, "%08x", bp_crc32c(0, p, (size_t) (end - start)));
    if (memcmp(hex, crc.p, 8) != 0)
        say(w, BP_FINDING_DAMAGE, start, recover, "the closing records fail their CRC");
}

static void take_metadata(struct walk *w, const struct unit_record *k) {
    struct bp_mcap_record r = { .op = k->op, .p = k->p, .n = k->n };
    struct bp_mcap_metadata m;
    struct bp_mcap_map all;
    int c;

    if (bp_mcap_metadata(&r, &m) < 0) {
        say(w, BP_FINDING_DAMAGE, k->at, recover, "a metadata record is shorter than its fields");
        return;
    }
    if (!ROOM(w, w->metadata, w->nmetadata, w->cap_metadata))
        return;
    w->metadata[w->nmetadata] = (struct span){ k->at, k->len, copy_str(m.name) };
    w->no_memory |= !w->metadata[w->nmetadata++].name;
    all = m.map;
    for (struct bp_str a, b; (c = bp_mcap_map_next(&all, &a, &b)) != 0;)
        if (c < 0) {
            say(w, BP_FINDING_DAMAGE, k->at, recover, "a metadata record's map overruns it");
            return;
        }
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
            say(w, BP_FINDING_DAMAGE, u->at, recover,
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
    do
        r = pread(w->fd, w->window, WINDOW, (off_t) at);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        say(w, BP_FINDING_DAMAGE, at, "copy the file to another disk first", "cannot be read: %s",
            bp_strerror(-errno));
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
    say(w, BP_FINDING_DAMAGE, at, recover, "%s", what);
    return 0;
}

/* Walks the data section. @return 1 when DataEnd was reached, 0 when the file breaks off */
static int walk_data(struct walk *w) {
    uint64_t at = BP_MCAP_MAGIC_LEN;

    w->unit_first = true;
    while (!w->no_memory) {
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
            say(w, BP_FINDING_DAMAGE, at, recover, "the file does not begin with a header");
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
        if (op == BP_MCAP_CHUNK && w->unit_chunk)
            hand_out(w, at);
        if (n > (uint64_t) 1 << 30)
            return torn(w, at, "a record claims more than 1 GiB");
        w->unit_chunk |= op == BP_MCAP_CHUNK;
        if (ends_group(w, op, at, n) || (!w->unit_chunk && end - w->unit_at >= LOOSE_UNIT))
            hand_out(w, end);
        at = end;
    }
    return 0;
}

/* ---- the summary ---- */

struct summary {
    uint8_t *p; /* owned: from behind DataEnd to the end of the file */
    uint64_t at, n;
    struct bp_mcap_footer footer;
    uint64_t footer_at;
    uint64_t first[16], last_end[16]; /* by opcode: where its group lies */
    uint64_t count[16];
    uint64_t only_here[16];           /* definitions that the data section does not have */
    struct bp_mcap_record statistics; /* op 0 = none */
    uint64_t statistics_at;
};

static const struct def *find_def(const struct walk *w, uint8_t op, uint16_t id) {
    for (size_t i = 0; i < w->ndefs; i++)
        if (w->defs[i].op == op && w->defs[i].id == id)
            return &w->defs[i];
    return NULL;
}

/* A definition in the summary must be that of the data section. */
static void summary_def(struct walk *w, struct summary *s, const struct bp_mcap_record *r,
                        uint64_t at) {
    uint16_t id = r->n >= 2 ? bp_ld_le16(r->p) : 0;
    const struct def *d = find_def(w, r->op, id);

    s->only_here[r->op] += !d; /* libmcap writes a definition into the data with its first use */
    if (d && (d->n != r->n || memcmp(d->p, r->p, (size_t) d->n) != 0))
        say(w, BP_FINDING_DAMAGE, at, reindex,
            "%s %u in the summary differs from that in the data section",
            r->op == BP_MCAP_SCHEMA ? "schema" : "channel", id);
}

static void stat_differs(struct walk *w, uint64_t at, const char *what, uint64_t says,
                         uint64_t is) {
    if (says != is)
        say(w, BP_FINDING_DAMAGE, at, reindex, "the statistics say %llu %s, there are %llu",
            (unsigned long long) says, what, (unsigned long long) is);
}

static void check_statistics(struct walk *w, const struct summary *all) {
    uint64_t counted = 0, at = all->statistics_at;
    uint64_t schemas = 0, channels = 0;
    struct bp_mcap_statistics s;

    if (all->statistics.op == 0)
        return;
    if (bp_mcap_statistics(&all->statistics, &s) < 0) {
        say(w, BP_FINDING_DAMAGE, at, reindex, "the statistics are shorter than their fields");
        return;
    }
    if (w->damaged)
        return; /* what is damaged was not counted */
    for (size_t i = 0; i < w->ndefs; i++)
        *(w->defs[i].op == BP_MCAP_SCHEMA ? &schemas : &channels) += 1;
    stat_differs(w, at, "messages", s.messages, w->f->messages);
    if (s.schemas != schemas + all->only_here[BP_MCAP_SCHEMA]) /* writers count either way */
        stat_differs(w, at, "schemas", s.schemas, schemas);
    if (s.channels != channels + all->only_here[BP_MCAP_CHANNEL])
        stat_differs(w, at, "channels", s.channels, channels);
    stat_differs(w, at, "attachments", s.attachments, w->nattachments);
    stat_differs(w, at, "metadata records", s.metadata, w->nmetadata);
    stat_differs(w, at, "chunks", s.chunks, w->nchunks);
    if (w->f->messages > 0) {
        if (w->min_log > 0) /* libmcap takes a time of 0 for none */
            stat_differs(w, at, "as first log time", s.start, w->min_log);
        stat_differs(w, at, "as last log time", s.end, w->max_log);
    }
    for (uint32_t i = 0; i < s.ncounts; i++) {
        uint16_t id = bp_ld_le16(s.counts + 10 * (size_t) i);
        uint64_t n = bp_ld_le64(s.counts + 10 * (size_t) i + 2);

        counted += n;
        if (n != w->messages[id])
            say(w, BP_FINDING_DAMAGE, at, reindex,
                "the statistics say %llu messages of channel %u, there are %llu",
                (unsigned long long) n, id, (unsigned long long) w->messages[id]);
    }
    if (s.ncounts > 0 && counted != w->f->messages && counted != s.messages)
        say(w, BP_FINDING_DAMAGE, at, reindex, "the statistics leave out channels");
}

static struct chunk *find_chunk(const struct walk *w, uint64_t at) {
    size_t lo = 0, hi = w->nchunks;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (w->chunks[mid].at < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < w->nchunks && w->chunks[lo].at == at ? &w->chunks[lo] : NULL;
}

static bool offsets_agree(const struct walk *w, const struct chunk *c,
                          const struct bp_mcap_chunk_index *x) {
    uint32_t found = 0;

    for (uint32_t i = 0; i < x->noffsets; i++) {
        uint16_t id = bp_ld_le16(x->offsets + 10 * (size_t) i);
        uint64_t at = bp_ld_le64(x->offsets + 10 * (size_t) i + 2);

        for (uint32_t k = 0; k < c->nindexes; k++)
            found += w->offsets[c->index_first + k].channel == id &&
                     w->offsets[c->index_first + k].at == at;
    }
    return found == c->nindexes && x->noffsets >= found;
}

static void summary_chunk_index(struct walk *w, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_mcap_chunk_index x;
    struct chunk *c;

    if (bp_mcap_chunk_index(r, &x) < 0) {
        say(w, BP_FINDING_DAMAGE, at, reindex, "a chunk index is shorter than its fields");
        return;
    }
    c = find_chunk(w, x.chunk_start);
    if (!c || c->indexed) {
        say(w, BP_FINDING_DAMAGE, at, reindex, "a chunk index points at byte %llu, where %s",
            (unsigned long long) x.chunk_start, c ? "another one points too" : "no chunk begins");
        return;
    }
    c->indexed = true;
    if (!c->intact)
        return; /* was reported */
    if (c->len != x.chunk_length || c->start != x.start || c->end != x.end ||
        c->raw != x.uncompressed_size || c->stored != x.compressed_size ||
        !bp_str_eq(bp_str_of(c->compression), x.compression))
        say(w, BP_FINDING_DAMAGE, at, reindex,
            "the chunk index of the chunk at byte %llu has other sizes, times or compression than "
            "the chunk",
            (unsigned long long) c->at);
    else if (c->index_len != x.message_index_length || !offsets_agree(w, c, &x))
        say(w, BP_FINDING_DAMAGE, at, reindex,
            "the chunk index of the chunk at byte %llu does not point at its message indexes",
            (unsigned long long) c->at);
}

static void check_span(struct walk *w, uint64_t at, const struct span *v, size_t n, uint64_t offset,
                       uint64_t length, struct bp_str name, const char *what) {
    for (size_t i = 0; i < n; i++)
        if (v[i].at == offset && v[i].name && bp_str_eq(bp_str_of(v[i].name), name)) {
            if (v[i].len != length)
                say(w, w->f->ours ? BP_FINDING_DAMAGE : BP_FINDING_NOTE, at, reindex,
                    "the index gives %s '%.*s' a length of %llu, it has %llu", what,
                    (int) BP_MIN(name.n, 60), name.p ? name.p : "", (unsigned long long) length,
                    (unsigned long long) v[i].len);
            return;
        }
    say(w, BP_FINDING_DAMAGE, at, reindex, "the index of %s '%.*s' does not point at one", what,
        (int) BP_MIN(name.n, 60), name.p ? name.p : "");
}

static void summary_attachment_index(struct walk *w, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_cur c = bp_cur_of(r->p, (size_t) r->n);
    uint64_t offset = bp_rd_le64(&c), length = bp_rd_le64(&c);
    struct bp_str name;

    (void) bp_rd_bytes(&c, 24); /* log time, create time, data size */
    name = bp_rd_str32(&c);
    if (!bp_cur_ok(&c))
        say(w, BP_FINDING_DAMAGE, at, reindex, "an attachment index is shorter than its fields");
    else
        check_span(w, at, w->attachments, w->nattachments, offset, length, name, "attachment");
}

static void summary_metadata_index(struct walk *w, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_mcap_metadata_index x;

    if (bp_mcap_metadata_index(r, &x) < 0)
        say(w, BP_FINDING_DAMAGE, at, reindex, "a metadata index is shorter than its fields");
    else
        check_span(w, at, w->metadata, w->nmetadata, x.offset, x.length, x.name, "metadata record");
}

/* The groups of the summary, as the summary offsets must give them. */
static void summary_offset(struct walk *w, const struct summary *s, const struct bp_mcap_record *r,
                           uint64_t at) {
    struct bp_cur c = bp_cur_of(r->p, (size_t) r->n);
    uint8_t op = bp_rd_u8(&c);
    uint64_t start = bp_rd_le64(&c), length = bp_rd_le64(&c);

    if (!bp_cur_ok(&c) || op >= BP_COUNT(s->first) || s->count[op] == 0 || s->first[op] != start ||
        s->last_end[op] - s->first[op] != length)
        say(w, BP_FINDING_DAMAGE, at, reindex,
            "a summary offset does not point at the records it names");
}

static void summary_record(struct walk *w, struct summary *s, const struct bp_mcap_record *r,
                           uint64_t at) {
    switch (r->op) {
    case BP_MCAP_SCHEMA:
    case BP_MCAP_CHANNEL:
        summary_def(w, s, r, at);
        break;
    case BP_MCAP_STATISTICS:
        s->statistics = *r; /* compared when all definitions have been seen */
        s->statistics_at = at;
        break;
    case BP_MCAP_CHUNK_INDEX:
        summary_chunk_index(w, r, at);
        break;
    case BP_MCAP_ATTACHMENT_INDEX:
        summary_attachment_index(w, r, at);
        break;
    case BP_MCAP_METADATA_INDEX:
        summary_metadata_index(w, r, at);
        break;
    case BP_MCAP_SUMMARY_OFFSET:
        summary_offset(w, s, r, at);
        break;
    default:
        if (r->op < 0x80)
            say(w, BP_FINDING_DAMAGE, at, reindex, "a %s record does not belong in the summary",
                bp_mcap_op_name(r->op) ? bp_mcap_op_name(r->op) : "unknown");
        return;
    }
    if (r->op < BP_COUNT(s->first)) {
        if (s->count[r->op]++ == 0)
            s->first[r->op] = at;
        s->last_end[r->op] = at + BP_MCAP_HEAD + r->n;
    }
}

/* Every chunk indexed, if any is; and for each kind of record that has an index the same. */
static void check_summary_complete(struct walk *w, const struct summary *s) {
    uint64_t missing = 0;

    if (s->footer.summary_start == 0) {
        say(w, BP_FINDING_NOTE, s->footer_at, reindex,
            "the file has no summary; opening it means reading it whole");
        return;
    }
    for (size_t i = 0; i < w->nchunks; i++)
        missing += !w->chunks[i].indexed;
    if (s->count[BP_MCAP_CHUNK_INDEX] > 0 && missing > 0)
        say(w, BP_FINDING_DAMAGE, s->at, reindex, "%llu of %zu chunks are not in the chunk index",
            (unsigned long long) missing, w->nchunks);
    if (s->count[BP_MCAP_METADATA_INDEX] > 0 && s->count[BP_MCAP_METADATA_INDEX] != w->nmetadata)
        say(w, BP_FINDING_DAMAGE, s->at, reindex, "%llu of %zu metadata records are indexed",
            (unsigned long long) s->count[BP_MCAP_METADATA_INDEX], w->nmetadata);
    if (s->count[BP_MCAP_ATTACHMENT_INDEX] > 0 &&
        s->count[BP_MCAP_ATTACHMENT_INDEX] != w->nattachments)
        say(w, BP_FINDING_DAMAGE, s->at, reindex, "%llu of %zu attachments are indexed",
            (unsigned long long) s->count[BP_MCAP_ATTACHMENT_INDEX], w->nattachments);
}

static void check_footer(struct walk *w, const struct summary *s, const struct bp_mcap_record *r) {
    const struct bp_mcap_footer *f = &s->footer;
    uint64_t crc_from = f->summary_start ? f->summary_start - s->at : s->footer_at - s->at;
    uint64_t offsets = s->count[BP_MCAP_SUMMARY_OFFSET] ? s->first[BP_MCAP_SUMMARY_OFFSET] : 0;
    uint64_t crc_to = (uint64_t) (r->p - s->p) + 16;

    if ((f->summary_start == 0) != (s->footer_at == s->at) ||
        (f->summary_start != 0 && f->summary_start != s->at) ||
        (f->summary_offset_start != 0 && f->summary_offset_start != offsets)) {
        say(w, BP_FINDING_DAMAGE, s->footer_at, reindex,
            "the footer does not point at the summary");
        return;
    }
    if (f->summary_crc != 0 &&
        bp_crc32(0, s->p + crc_from, (size_t) (crc_to - crc_from)) != f->summary_crc)
        say(w, BP_FINDING_DAMAGE, s->at, reindex, "the summary fails its CRC");
    else if (f->summary_crc == 0)
        say(w, BP_FINDING_NOTE, s->footer_at, NULL, "the summary carries no CRC");
}

static void check_end(struct walk *w, const struct summary *s, uint64_t at) {
    if (s->at + s->n - at < BP_MCAP_MAGIC_LEN ||
        memcmp(s->p + (at - s->at), BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) != 0)
        say(w, BP_FINDING_DAMAGE, at, reindex, "the file does not end with MCAP's magic bytes");
    else if (s->at + s->n - at > BP_MCAP_MAGIC_LEN)
        say(w, BP_FINDING_DAMAGE, at + BP_MCAP_MAGIC_LEN, reindex,
            "%llu bytes stand behind the end of the recording",
            (unsigned long long) (s->at + s->n - at - BP_MCAP_MAGIC_LEN));
}

static void walk_summary(struct walk *w, struct summary *s) {
    struct bp_cur c = bp_cur_of(s->p, (size_t) s->n);
    struct bp_mcap_record r;
    int k;

    while ((k = bp_mcap_next(&c, &r)) > 0) {
        uint64_t at = s->at + (uint64_t) (r.p - s->p) - BP_MCAP_HEAD;

        if (r.op != BP_MCAP_FOOTER) {
            summary_record(w, s, &r, at);
            continue;
        }
        s->footer_at = at;
        if (bp_mcap_footer(&r, &s->footer) < 0) {
            say(w, BP_FINDING_DAMAGE, at, reindex, "the footer is not as long as a footer");
            return;
        }
        check_footer(w, s, &r);
        check_statistics(w, s);
        check_summary_complete(w, s);
        check_end(w, s, at + BP_MCAP_HEAD + r.n);
        return;
    }
    say(w, BP_FINDING_DAMAGE, s->at + (uint64_t) (c.p - s->p), reindex,
        "the summary breaks off before its footer");
}

static void check_summary(struct walk *w) {
    struct summary s = { .at = w->data_end + BP_MCAP_HEAD + 4 };
    const uint8_t *p = look(w, w->data_end, BP_MCAP_HEAD);

    if (!p)
        return;
    s.at = w->data_end + BP_MCAP_HEAD + bp_ld_le64(p + 1);
    s.n = w->size - s.at;
    if (s.n > SUMMARY_MAX) {
        say(w, BP_FINDING_DAMAGE, s.at, reindex, "the summary claims more than 1 GiB");
        return;
    }
    s.p = malloc((size_t) s.n + 1);
    if (!s.p)
        w->no_memory = true;
    else if (!read_at(w, s.at, s.p, s.n))
        say(w, BP_FINDING_DAMAGE, s.at, "copy the file to another disk first",
            "the summary cannot be read");
    else
        walk_summary(w, &s);
    free(s.p);
    verify_progress(w->v, s.n);
}

/* ---- SHA-256 and the CRC of the data section: over the whole file in order ---- */

struct stream {
    int fd;
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
        return NULL;
    }
    while ((n = pread(s->fd, buf, PIECE, (off_t) at)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            s->error = -errno;
            return NULL;
        }
        if (s->sha)
            bp_sha256_add(h, buf, (size_t) n);
        if (s->crc && at < s->crc_end)
            s->crc_value =
                bp_crc32(s->crc_value, buf, (size_t) BP_MIN((uint64_t) n, s->crc_end - at));
        at += (uint64_t) n;
    }
    bp_sha256_end(h, digest);
    if (s->sha)
        (void) bp_sha256_hex(digest, s->hex);
    return NULL;
}

static void check_data_crc(struct walk *w) {
    struct stream s = { .fd = w->fd, .crc = true, .crc_end = w->data_end };

    if (!w->data_end || w->data_crc == 0)
        return;
    (void) run_stream(&s);
    if (s.error)
        say(w, BP_FINDING_DAMAGE, 0, NULL, "cannot be read again: %s", bp_strerror(s.error));
    else if (s.crc_value != w->data_crc)
        say(w, BP_FINDING_DAMAGE, w->data_end, recover, "the data section fails its CRC");
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
    if (w->size < 2 * LOOSE_UNIT) /* not worth a thread */
        threads = 1;
    w->nslots = threads > 1 ? BP_MIN(threads * SLOTS_PER_THREAD, (unsigned) SLOTS_MAX) : 1;
    w->slots = calloc(w->nslots, sizeof *w->slots);
    w->window = malloc(WINDOW);
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
        sd = find_def(w, BP_MCAP_SCHEMA, c.schema_id);
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

    return p && memcmp(p, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) == 0;
}

static void run(struct walk *w) {
    int whole = walk_data(w);

    while (take_oldest(w))
        ;
    if (w->f->ours && w->has_uncommitted && w->uncommitted_at != w->closing_at)
        say(w, BP_FINDING_DAMAGE, w->uncommitted_at, recover,
            "a group of records has no commit block");
    count_topics(w);
    if (whole > 0) {
        check_summary(w);
        check_data_crc(w);
    }
}

int verify_mcap(struct verify *v, const char *path, bool want_sha256, struct verify_file *f,
                struct bp_error *err) {
    BP_CLEANUP(walk_done) struct walk w = { .v = v, .f = f, .fd = -1 };
    struct stream s = { .sha = want_sha256, .hex = f->sha256 };
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
    if (is_mcap(&w))
        run(&w);
    else
        say(&w, BP_FINDING_UNUSABLE, 0, NULL, "%s",
            w.size ? "not an MCAP file" : "the file is empty");
    bp_pool_free(w.pool);
    if (streaming)
        (void) pthread_join(thread, NULL);
    else if (want_sha256)
        (void) run_stream(&s);
    if (s.error)
        say(&w, BP_FINDING_DAMAGE, 0, "copy the file to another disk first", "cannot be read: %s",
            bp_strerror(s.error));
    f->damaged = w.damaged;
    if (f->messages > 0) {
        f->start_ns = (bp_ns_t) w.min_log;
        f->end_ns = (bp_ns_t) w.max_log;
    }
    return w.no_memory ? bp_fail(err, -ENOMEM, "no memory to verify '%s'", path) : 0;
}
