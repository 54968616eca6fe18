/* One unit of an MCAP file: read, checked, its content counted. Units are independent of each
 * other, so workers check several at once; what must hold across units is checked in file order by
 * verify-mcap.c from what is counted here. */
#include "bag/verify-priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "bag/group.h"
#include "base/crc.h"

struct unit_entry {
    uint64_t time, at; /* log time, offset in the uncompressed chunk */
    uint32_t count;    /* index into counts */
};

static const char recover[] = "`bagpipe recover` saves what is intact";
static const char reindex[] = "`bagpipe recover` makes a new index";

BP_PRINTF(5, 6)
static void note(struct unit *u, enum bp_finding_level level, uint64_t at, const char *remedy,
                 const char *fmt, ...) {
    struct unit_note *v = reallocarray(u->notes, u->nnotes + 1, sizeof *v);
    va_list ap;

    if (level != BP_FINDING_NOTE)
        u->intact = false;
    if (!v) {
        u->failed_memory = true;
        return;
    }
    u->notes = v;
    v += u->nnotes++;
    *v = (struct unit_note){ .level = level, .offset = at, .remedy = remedy };
    va_start(ap, fmt);
    (void) vsnprintf(v->text, sizeof v->text, fmt, ap);
    va_end(ap);
}

void unit_clear(struct unit *u) {
    for (size_t i = 0; i < u->ncounts; i++)
        u->slot[u->counts[i].id] = 0;
    for (size_t i = 0; i < u->nrecords; i++) {
        free(u->records[i].p);
        free(u->records[i].names);
    }
    u->nnotes = u->ncounts = u->nentries = u->nrecords = 0;
    u->has_chunk = u->chunk_crc = u->repeated = u->committed = u->failed_memory = false;
    u->chunk_at = u->chunk_len = u->start = u->end = u->raw_size = u->stored_size = 0;
    u->index_len = u->max_log = u->repeat_at = 0;
    u->min_log = UINT64_MAX;
    u->intact = true;
}

void unit_done(struct unit *u) {
    if (u->slot)
        unit_clear(u);
    bp_buf_done(&u->buf);
    bp_buf_done(&u->raw);
    bp_decompressor_free(u->z);
    free(u->notes);
    free(u->counts);
    free(u->slot);
    free(u->entries);
    free(u->records);
    *u = (struct unit){ 0 };
}

/* ---- content ---- */

static struct unit_count *count_of(struct unit *u, uint16_t id) {
    struct unit_count *v;

    if (u->slot[id])
        return &u->counts[u->slot[id] - 1];
    v = reallocarray(u->counts, u->ncounts + 1, sizeof *v);
    if (!v) {
        u->failed_memory = true;
        return NULL;
    }
    u->counts = v;
    v[u->ncounts] = (struct unit_count){ .id = id, .undefined_before = true };
    u->slot[id] = (uint32_t) ++u->ncounts;
    return &v[u->ncounts - 1];
}

static bool keep_record(struct unit *u, const struct bp_mcap_record *r, uint64_t at) {
    struct unit_record *v = reallocarray(u->records, u->nrecords + 1, sizeof *v);

    if (!v) {
        u->failed_memory = true;
        return false;
    }
    u->records = v;
    v += u->nrecords++;
    *v = (struct unit_record){ .op = r->op, .at = at, .len = r->n + BP_MCAP_HEAD, .n = r->n };
    if (r->op == BP_MCAP_ATTACHMENT)
        return true;
    v->p = malloc((size_t) r->n + 1);
    if (v->p)
        memcpy(v->p, r->p, (size_t) r->n);
    else
        u->failed_memory = true;
    return v->p != NULL;
}

static void on_channel(struct unit *u, const struct bp_mcap_record *r) {
    struct bp_mcap_channel c;
    struct unit_count *n;
    bool used;

    if (bp_mcap_channel(r, &c) < 0)
        return;
    used = u->slot[c.id] != 0;
    n = count_of(u, c.id);
    if (n && !used)
        n->undefined_before = false;
}

static void on_message(struct unit *u, const struct bp_mcap_record *r, uint64_t at, bool in_chunk) {
    struct bp_mcap_message m;
    struct unit_count *c;

    if (bp_mcap_message(r, &m) < 0) {
        note(u, BP_FINDING_DAMAGE, at, recover, "a message is shorter than its fields");
        return;
    }
    c = count_of(u, m.channel_id);
    if (!c)
        return;
    c->messages++;
    c->seq_sum += m.sequence;
    u->min_log = BP_MIN(u->min_log, m.log_time);
    u->max_log = BP_MAX(u->max_log, m.log_time);
    if (!in_chunk)
        return;
    if (u->nentries == u->cap_entries) {
        size_t cap = u->cap_entries ? u->cap_entries * 2 : 1024;
        struct unit_entry *v = reallocarray(u->entries, cap, sizeof *v);

        if (!v) {
            u->failed_memory = true;
            return;
        }
        u->entries = v;
        u->cap_entries = cap;
    }
    u->entries[u->nentries++] = (struct unit_entry){ m.log_time, at, (uint32_t) (c - u->counts) };
}

/* Records of a decompressed chunk; `at` in what is noted is the chunk's. */
static void chunk_records(struct unit *u, const uint8_t *p, uint64_t n) {
    struct bp_cur c = bp_cur_of(p, (size_t) n);
    struct bp_mcap_record r;
    int k;

    while ((k = bp_mcap_next(&c, &r)) > 0) {
        uint64_t at = (uint64_t) (r.p - p) - BP_MCAP_HEAD;

        if (r.op == BP_MCAP_MESSAGE)
            on_message(u, &r, at, true);
        else if (r.op == BP_MCAP_CHANNEL || r.op == BP_MCAP_SCHEMA)
            (void) keep_record(u, &r, UINT64_MAX);
        else if (r.op < 0x80)
            note(u, BP_FINDING_DAMAGE, u->chunk_at, recover,
                 "the chunk holds a record (%s, at its byte %llu) that chunks cannot hold",
                 bp_mcap_op_name(r.op) ? bp_mcap_op_name(r.op) : "unknown",
                 (unsigned long long) at);
        if (r.op == BP_MCAP_CHANNEL)
            on_channel(u, &r);
    }
    if (k < 0)
        note(u, BP_FINDING_DAMAGE, u->chunk_at, recover,
             "the chunk's records end in the middle of one");
}

static void check_chunk_times(struct unit *u) {
    uint64_t start = UINT64_MAX, end = 0;

    for (size_t i = 0; i < u->nentries; i++) {
        start = BP_MIN(start, u->entries[i].time);
        end = BP_MAX(end, u->entries[i].time);
    }
    if (u->nentries == 0)
        start = end = 0;
    if (start != u->start || end != u->end)
        note(u, BP_FINDING_DAMAGE, u->chunk_at, reindex,
             "the chunk claims times %llu to %llu, its messages have %llu to %llu",
             (unsigned long long) u->start, (unsigned long long) u->end, (unsigned long long) start,
             (unsigned long long) end);
}

/* The uncompressed records of a chunk, or NULL with a note. */
static const uint8_t *unpack(struct unit *u, const struct bp_mcap_chunk *c) {
    int codec = bp_codec_from_name(c->compression.p, c->compression.n), r;

    if (codec < 0) {
        note(u, BP_FINDING_DAMAGE, u->chunk_at, NULL, "unknown compression '%.*s'",
             (int) BP_MIN(c->compression.n, 20), c->compression.p);
        return NULL;
    }
    if (codec == BP_CODEC_NONE) {
        if (c->records_size == c->uncompressed_size)
            return c->records;
        note(u, BP_FINDING_DAMAGE, u->chunk_at, recover,
             "the chunk claims %llu bytes and holds %llu",
             (unsigned long long) c->uncompressed_size, (unsigned long long) c->records_size);
        return NULL;
    }
    if (c->uncompressed_size > (uint64_t) 1 << 30) {
        note(u, BP_FINDING_DAMAGE, u->chunk_at, NULL, "the chunk claims more than 1 GiB");
        return NULL;
    }
    if (!u->z)
        u->z = bp_decompressor_new();
    bp_buf_clear(&u->raw);
    if (!u->z || !bp_buf_grow(&u->raw, (size_t) c->uncompressed_size)) {
        u->failed_memory = true;
        return NULL;
    }
    r = bp_decompress(u->z, (enum bp_codec) codec, c->records, (size_t) c->records_size, u->raw.p,
                      u->raw.n);
    if (r < 0) {
        note(u, BP_FINDING_DAMAGE, u->chunk_at, recover, "the chunk does not decompress: %s",
             bp_strerror(r));
        return NULL;
    }
    return u->raw.p;
}

static void on_chunk(struct unit *u, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_mcap_chunk c;
    const uint8_t *p;

    u->has_chunk = true;
    u->repeated = u->repeat_at == at;
    u->chunk_at = at;
    u->chunk_len = r->n + BP_MCAP_HEAD;
    if (bp_mcap_chunk(r, &c) < 0) {
        note(u, BP_FINDING_DAMAGE, at, recover, "the chunk is shorter than its fields");
        return;
    }
    u->start = c.start;
    u->end = c.end;
    u->raw_size = c.uncompressed_size;
    u->stored_size = c.records_size;
    u->chunk_crc = c.uncompressed_crc != 0;
    (void) snprintf(u->compression, sizeof u->compression, "%.*s",
                    (int) BP_MIN(c.compression.n, sizeof u->compression - 1), c.compression.p);
    p = unpack(u, &c);
    if (!p)
        return;
    if (u->chunk_crc && bp_crc32(0, p, (size_t) c.uncompressed_size) != c.uncompressed_crc) {
        note(u, BP_FINDING_DAMAGE, at, recover, "the chunk fails its CRC");
        return; /* what its records say is not to be believed */
    }
    chunk_records(u, p, c.uncompressed_size);
    check_chunk_times(u);
}

/* ---- message indexes ---- */

static int by_offset(const void *a, const void *b) {
    const uint8_t *x = a, *y = b;
    uint64_t p = bp_ld_le64(x + 8), q = bp_ld_le64(y + 8);

    return p < q ? -1 : p > q;
}

/* Are the index's entries the chunk's messages of that channel, each with its time and place?
 * Writers order entries by place or by time. */
static bool entries_agree(struct unit *u, const struct bp_mcap_message_index *x, uint32_t count) {
    BP_AUTO_FREE uint8_t *sorted = NULL;
    const uint8_t *e = x->entries;

    for (uint32_t i = 1; i < x->count && !sorted; i++)
        if (bp_ld_le64(e + 16 * (size_t) i + 8) < bp_ld_le64(e + 16 * (size_t) i - 8)) {
            sorted = malloc((size_t) x->count * 16);
            if (!sorted) {
                u->failed_memory = true;
                return true;
            }
            memcpy(sorted, e, (size_t) x->count * 16);
            qsort(sorted, x->count, 16, by_offset);
            e = sorted;
        }
    for (size_t i = 0; i < u->nentries; i++) {
        if (u->entries[i].count != count)
            continue;
        if (bp_ld_le64(e) != u->entries[i].time || bp_ld_le64(e + 8) != u->entries[i].at)
            return false;
        e += 16;
    }
    return true;
}

static void on_index(struct unit *u, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_mcap_message_index x;
    struct unit_count *c;

    if (bp_mcap_message_index(r, &x) < 0) {
        note(u, BP_FINDING_DAMAGE, at, reindex, "a message index is shorter than its fields");
        return;
    }
    if (!u->has_chunk) {
        note(u, BP_FINDING_DAMAGE, at, reindex, "a message index without a chunk before it");
        return;
    }
    u->index_len = at + BP_MCAP_HEAD + r->n - u->chunk_at - u->chunk_len;
    if (!u->intact)
        return; /* the chunk's own messages are not known */
    c = u->slot[x.channel_id] ? &u->counts[u->slot[x.channel_id] - 1] : NULL;
    if (x.count == 0 && !c) {
        note(u, BP_FINDING_NOTE, at, NULL, "an empty message index");
        return;
    }
    if (!c || c->messages != x.count) {
        note(u, BP_FINDING_DAMAGE, at, reindex,
             "the message index of channel %u has %u entries, the chunk has %llu messages of it",
             x.channel_id, x.count, (unsigned long long) (c ? c->messages : 0));
        return;
    }
    if (c->index_at)
        note(u, BP_FINDING_DAMAGE, at, reindex, "channel %u has two message indexes in this chunk",
             x.channel_id);
    c->index_at = at;
    if (!entries_agree(u, &x, (uint32_t) (c - u->counts)))
        note(u, BP_FINDING_DAMAGE, at, reindex,
             "the message index of channel %u does not point at its messages", x.channel_id);
}

/* One index per channel in the chunk, or none at all. */
static void check_index_complete(struct unit *u) {
    if (!u->has_chunk || u->index_len == 0 || !u->intact)
        return;
    for (size_t i = 0; i < u->ncounts; i++)
        if (u->counts[i].messages > 0 && u->counts[i].index_at == 0)
            note(u, BP_FINDING_DAMAGE, u->chunk_at, reindex,
                 "the chunk has messages of channel %u but no message index of it",
                 u->counts[i].id);
}

/* ---- commits of our own files ---- */

uint64_t record_extra(const struct bp_mcap_record *r) {
    struct bp_cur c = bp_cur_of(r->p, (size_t) r->n);

    if (r->op == BP_MCAP_MESSAGE_INDEX)
        (void) bp_rd_le16(&c);
    else if (r->op == BP_MCAP_METADATA)
        (void) bp_rd_str32(&c);
    else
        return r->n;
    (void) bp_rd_str32(&c); /* array or map: u32 byte length, then entries */
    return bp_cur_ok(&c) ? (uint64_t) (c.p - r->p) : r->n;
}

static bool all_zero(const uint8_t *p, uint64_t n) {
    for (uint64_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* `extra` bytes at p, which are at byte `at` of the file, end a group of ours. */
static void on_commit(struct unit *u, const uint8_t *p, uint64_t extra, uint64_t at) {
    struct bp_commit c;

    if (bp_commit_decode(p, (size_t) extra, &c) < 0 || !all_zero(p + 76, 4)) {
        note(u, BP_FINDING_DAMAGE, at, recover, "the commit block is damaged");
        return;
    }
    u->committed = true;
    if (c.start != u->at || c.start + c.len != at) {
        note(u, BP_FINDING_DAMAGE, at, recover,
             "the commit block is of a group at byte %llu, the group begins at byte %llu",
             (unsigned long long) c.start, (unsigned long long) u->at);
        return;
    }
    if (bp_crc32c(0, u->buf.p, (size_t) c.len) != c.crc)
        note(u, BP_FINDING_DAMAGE, u->at, recover, "the group fails its CRC");
    p += BP_COMMIT_BYTES;
    extra -= BP_COMMIT_BYTES;
    if (c.runs_bytes > extra || c.runs_bytes % BP_RUN_BYTES ||
        bp_crc32c(0, p, c.runs_bytes) != c.runs_crc)
        note(u, BP_FINDING_DAMAGE, at + BP_COMMIT_BYTES, recover,
             "the group's ledger runs fail their CRC");
    else if (!all_zero(p + c.runs_bytes, extra - c.runs_bytes))
        note(u, BP_FINDING_DAMAGE, at + BP_COMMIT_BYTES + c.runs_bytes, recover,
             "the padding behind the group is not zero");
}

/* ---- the whole unit ---- */

static void on_attachment(struct unit *u, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_mcap_attachment a;
    struct unit_record *k;

    if (bp_mcap_attachment(r, &a) < 0) {
        note(u, BP_FINDING_DAMAGE, at, NULL, "an attachment is shorter than its fields");
        return;
    }
    if (a.crc && a.crc != a.computed_crc)
        note(u, BP_FINDING_DAMAGE, at, NULL, "the attachment '%.*s' fails its CRC",
             (int) BP_MIN(a.name.n, 80), a.name.p);
    if (!keep_record(u, r, at))
        return;
    k = &u->records[u->nrecords - 1];
    k->names = malloc(a.name.n + a.media_type.n + 1);
    if (!k->names) {
        u->failed_memory = true;
        return;
    }
    k->attachment = a;
    k->attachment.data = NULL;
    if (a.name.n)
        memcpy(k->names, a.name.p, a.name.n);
    if (a.media_type.n)
        memcpy(k->names + a.name.n, a.media_type.p, a.media_type.n);
    k->attachment.name.p = k->names;
    k->attachment.media_type.p = k->names + a.name.n;
}

/* The chunk right behind a `bagpipe.repeated` record holds latched messages of earlier segments. */
static void on_metadata(struct unit *u, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_mcap_metadata m;

    if (bp_mcap_metadata(r, &m) == 0 && bp_str_eq(m.name, BP_STR("bagpipe.repeated")))
        u->repeat_at = at + BP_MCAP_HEAD + r->n;
}

static void on_record(struct unit *u, const struct bp_mcap_record *r, uint64_t at) {
    switch (r->op) {
    case BP_MCAP_CHUNK:
        on_chunk(u, r, at);
        break;
    case BP_MCAP_MESSAGE_INDEX:
        on_index(u, r, at);
        break;
    case BP_MCAP_MESSAGE:
        on_message(u, r, at, false);
        break;
    case BP_MCAP_ATTACHMENT:
        on_attachment(u, r, at);
        break;
    case BP_MCAP_CHANNEL:
    case BP_MCAP_SCHEMA:
    case BP_MCAP_METADATA:
    case BP_MCAP_HEADER:
        (void) keep_record(u, r, at);
        if (r->op == BP_MCAP_CHANNEL)
            on_channel(u, r);
        if (r->op == BP_MCAP_METADATA)
            on_metadata(u, r, at);
        break;
    default:
        if (r->op < 0x80)
            note(u, BP_FINDING_DAMAGE, at, recover, "a %s record does not belong here",
                 bp_mcap_op_name(r->op) ? bp_mcap_op_name(r->op) : "unknown");
    }
}

static bool read_unit(struct unit *u) {
    ssize_t r;

    bp_buf_clear(&u->buf);
    if (!bp_buf_grow(&u->buf, (size_t) u->len)) {
        u->failed_memory = true;
        return false;
    }
    r = bp_sealed_or_pread(u->sealed, u->fd, u->buf.p, u->buf.n, u->at, true);
    if (r == (ssize_t) u->buf.n)
        return true;
    note(u, BP_FINDING_DAMAGE, u->at + (uint64_t) BP_MAX(r, 0),
         "copy the file to another disk first", "cannot be read: %s",
         r < 0 ? bp_strerror((int) r) : "the file became shorter");
    return false;
}

void unit_check(struct unit *u) {
    struct bp_mcap_record r = { 0 };
    struct bp_cur c;
    uint64_t extra, last_at = 0;

    if (!read_unit(u))
        return;
    c = bp_cur_of(u->buf.p, u->buf.n);
    if (u->first)
        (void) bp_rd_bytes(&c, BP_MCAP_MAGIC_LEN);
    while (bp_mcap_next(&c, &r) > 0) {
        last_at = u->at + (uint64_t) (r.p - u->buf.p) - BP_MCAP_HEAD;
        on_record(u, &r, last_at);
    }
    check_index_complete(u);
    extra = r.p ? record_extra(&r) : r.n;
    if (extra < r.n && r.n - extra >= BP_COMMIT_BYTES)
        on_commit(u, r.p + extra, r.n - extra, last_at + BP_MCAP_HEAD + extra);
}
