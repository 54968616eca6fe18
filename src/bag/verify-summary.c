/* The summary of an MCAP file against its data section: definitions, statistics, the indexes of
 * chunks, metadata and attachments, summary offsets, footer, end. */
#include "bag/verify-walk.h"

#include "base/crc.h"

enum { SUMMARY_MAX = 1 << 30 };

static const char reindex[] = "`bagpipe recover` makes a new index";

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

/* A definition in the summary must be that of the data section. */
static void summary_def(struct walk *w, struct summary *s, const struct bp_mcap_record *r,
                        uint64_t at) {
    uint16_t id = r->n >= 2 ? bp_ld_le16(r->p) : 0;
    const struct def *d = walk_def(w, r->op, id);

    s->only_here[r->op] += !d; /* libmcap writes a definition into the data with its first use */
    if (d && (d->n != r->n || memcmp(d->p, r->p, (size_t) d->n) != 0))
        walk_say(w, BP_FINDING_DAMAGE, at, reindex,
                 "%s %u in the summary differs from that in the data section",
                 r->op == BP_MCAP_SCHEMA ? "schema" : "channel", id);
}

static void stat_differs(struct walk *w, uint64_t at, const char *what, uint64_t says,
                         uint64_t is) {
    if (says != is)
        walk_say(w, BP_FINDING_DAMAGE, at, reindex, "the statistics say %llu %s, there are %llu",
                 (unsigned long long) says, what, (unsigned long long) is);
}

static void check_statistics(struct walk *w, const struct summary *all) {
    uint64_t counted = 0, at = all->statistics_at;
    uint64_t schemas = 0, channels = 0;
    struct bp_mcap_statistics s;

    if (all->statistics.op == 0)
        return;
    if (bp_mcap_statistics(&all->statistics, &s) < 0) {
        walk_say(w, BP_FINDING_DAMAGE, at, reindex, "the statistics are shorter than their fields");
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
            walk_say(w, BP_FINDING_DAMAGE, at, reindex,
                     "the statistics say %llu messages of channel %u, there are %llu",
                     (unsigned long long) n, id, (unsigned long long) w->messages[id]);
    }
    if (s.ncounts > 0 && counted != w->f->messages && counted != s.messages)
        walk_say(w, BP_FINDING_DAMAGE, at, reindex, "the statistics leave out channels");
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
        walk_say(w, BP_FINDING_DAMAGE, at, reindex, "a chunk index is shorter than its fields");
        return;
    }
    c = find_chunk(w, x.chunk_start);
    if (!c || c->indexed) {
        walk_say(w, BP_FINDING_DAMAGE, at, reindex, "a chunk index points at byte %llu, where %s",
                 (unsigned long long) x.chunk_start,
                 c ? "another one points too" : "no chunk begins");
        return;
    }
    c->indexed = true;
    if (!c->intact)
        return; /* was reported */
    if (c->len != x.chunk_length || c->start != x.start || c->end != x.end ||
        c->raw != x.uncompressed_size || c->stored != x.compressed_size ||
        !bp_str_eq(bp_str_of(c->compression), x.compression))
        walk_say(
            w, BP_FINDING_DAMAGE, at, reindex,
            "the chunk index of the chunk at byte %llu has other sizes, times or compression than "
            "the chunk",
            (unsigned long long) c->at);
    else if (c->index_len != x.message_index_length || !offsets_agree(w, c, &x))
        walk_say(w, BP_FINDING_DAMAGE, at, reindex,
                 "the chunk index of the chunk at byte %llu does not point at its message indexes",
                 (unsigned long long) c->at);
}

static void check_span(struct walk *w, uint64_t at, const struct span *v, size_t n, uint64_t offset,
                       uint64_t length, struct bp_str name, const char *what) {
    for (size_t i = 0; i < n; i++)
        if (v[i].at == offset && v[i].name && bp_str_eq(bp_str_of(v[i].name), name)) {
            if (v[i].len != length)
                walk_say(w, w->f->ours ? BP_FINDING_DAMAGE : BP_FINDING_NOTE, at, reindex,
                         "the index gives %s '%.*s' a length of %llu, it has %llu", what,
                         (int) BP_MIN(name.n, 60), name.p ? name.p : "",
                         (unsigned long long) length, (unsigned long long) v[i].len);
            return;
        }
    walk_say(w, BP_FINDING_DAMAGE, at, reindex, "the index of %s '%.*s' does not point at one",
             what, (int) BP_MIN(name.n, 60), name.p ? name.p : "");
}

static void summary_attachment_index(struct walk *w, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_cur c = bp_cur_of(r->p, (size_t) r->n);
    uint64_t offset = bp_rd_le64(&c), length = bp_rd_le64(&c);
    struct bp_str name;

    (void) bp_rd_bytes(&c, 24); /* log time, create time, data size */
    name = bp_rd_str32(&c);
    if (!bp_cur_ok(&c))
        walk_say(w, BP_FINDING_DAMAGE, at, reindex,
                 "an attachment index is shorter than its fields");
    else
        check_span(w, at, w->attachments, w->nattachments, offset, length, name, "attachment");
}

static void summary_metadata_index(struct walk *w, const struct bp_mcap_record *r, uint64_t at) {
    struct bp_mcap_metadata_index x;

    if (bp_mcap_metadata_index(r, &x) < 0)
        walk_say(w, BP_FINDING_DAMAGE, at, reindex, "a metadata index is shorter than its fields");
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
        walk_say(w, BP_FINDING_DAMAGE, at, reindex,
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
            walk_say(w, BP_FINDING_DAMAGE, at, reindex,
                     "a %s record does not belong in the summary",
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
        walk_say(w, BP_FINDING_NOTE, s->footer_at, reindex,
                 "the file has no summary; opening it means reading it whole");
        return;
    }
    for (size_t i = 0; i < w->nchunks; i++)
        missing += !w->chunks[i].indexed;
    if (s->count[BP_MCAP_CHUNK_INDEX] > 0 && missing > 0)
        walk_say(w, BP_FINDING_DAMAGE, s->at, reindex,
                 "%llu of %zu chunks are not in the chunk index", (unsigned long long) missing,
                 w->nchunks);
    if (s->count[BP_MCAP_METADATA_INDEX] > 0 && s->count[BP_MCAP_METADATA_INDEX] != w->nmetadata)
        walk_say(w, BP_FINDING_DAMAGE, s->at, reindex, "%llu of %zu metadata records are indexed",
                 (unsigned long long) s->count[BP_MCAP_METADATA_INDEX], w->nmetadata);
    if (s->count[BP_MCAP_ATTACHMENT_INDEX] > 0 &&
        s->count[BP_MCAP_ATTACHMENT_INDEX] != w->nattachments)
        walk_say(w, BP_FINDING_DAMAGE, s->at, reindex, "%llu of %zu attachments are indexed",
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
        walk_say(w, BP_FINDING_DAMAGE, s->footer_at, reindex,
                 "the footer does not point at the summary");
        return;
    }
    if (f->summary_crc != 0 &&
        bp_crc32(0, s->p + crc_from, (size_t) (crc_to - crc_from)) != f->summary_crc)
        walk_say(w, BP_FINDING_DAMAGE, s->at, reindex, "the summary fails its CRC");
    else if (f->summary_crc == 0)
        walk_say(w, BP_FINDING_NOTE, s->footer_at, NULL, "the summary carries no CRC");
}

static void check_end(struct walk *w, const struct summary *s, uint64_t at) {
    if (s->at + s->n - at < BP_MCAP_MAGIC_LEN ||
        memcmp(s->p + (at - s->at), BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) != 0)
        walk_say(w, BP_FINDING_DAMAGE, at, reindex,
                 "the file does not end with MCAP's magic bytes");
    else if (s->at + s->n - at > BP_MCAP_MAGIC_LEN)
        walk_say(w, BP_FINDING_DAMAGE, at + BP_MCAP_MAGIC_LEN, reindex,
                 "%llu bytes stand behind the end of the recording",
                 (unsigned long long) (s->at + s->n - at - BP_MCAP_MAGIC_LEN));
}

static void walk_summary(struct walk *w, struct summary *s) {
    struct bp_cur c = bp_cur_of(s->p, (size_t) s->n);
    struct bp_mcap_record r;

    while (bp_mcap_next(&c, &r) > 0) {
        uint64_t at = s->at + (uint64_t) (r.p - s->p) - BP_MCAP_HEAD;

        if (r.op != BP_MCAP_FOOTER) {
            summary_record(w, s, &r, at);
            continue;
        }
        s->footer_at = at;
        if (bp_mcap_footer(&r, &s->footer) < 0) {
            walk_say(w, BP_FINDING_DAMAGE, at, reindex, "the footer is not as long as a footer");
            return;
        }
        check_footer(w, s, &r);
        check_statistics(w, s);
        check_summary_complete(w, s);
        check_end(w, s, at + BP_MCAP_HEAD + r.n);
        return;
    }
    walk_say(w, BP_FINDING_DAMAGE, s->at + (uint64_t) (c.p - s->p), reindex,
             "the summary breaks off before its footer");
}

void walk_check_summary(struct walk *w) {
    struct summary s = { .at = w->data_end + BP_MCAP_HEAD + 4 };
    uint8_t head[BP_MCAP_HEAD];

    if (!walk_read(w, w->data_end, head, sizeof head))
        return;
    s.at = w->data_end + BP_MCAP_HEAD + bp_ld_le64(head + 1);
    s.n = w->size - s.at;
    if (s.n > SUMMARY_MAX) {
        walk_say(w, BP_FINDING_DAMAGE, s.at, reindex, "the summary claims more than 1 GiB");
        return;
    }
    s.p = malloc((size_t) s.n + 1);
    if (!s.p)
        w->no_memory = true;
    else if (!walk_read(w, s.at, s.p, s.n))
        walk_say(w, BP_FINDING_DAMAGE, s.at, "copy the file to another disk first",
                 "the summary cannot be read");
    else
        walk_summary(w, &s);
    free(s.p);
    verify_progress(w->v, s.n);
}
