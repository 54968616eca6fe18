#include "wire/mcap.h"

#include "base/crc.h"

static const char *const names[] = {
    [BP_MCAP_HEADER] = "Header",
    [BP_MCAP_FOOTER] = "Footer",
    [BP_MCAP_SCHEMA] = "Schema",
    [BP_MCAP_CHANNEL] = "Channel",
    [BP_MCAP_MESSAGE] = "Message",
    [BP_MCAP_CHUNK] = "Chunk",
    [BP_MCAP_MESSAGE_INDEX] = "MessageIndex",
    [BP_MCAP_CHUNK_INDEX] = "ChunkIndex",
    [BP_MCAP_ATTACHMENT] = "Attachment",
    [BP_MCAP_ATTACHMENT_INDEX] = "AttachmentIndex",
    [BP_MCAP_STATISTICS] = "Statistics",
    [BP_MCAP_METADATA] = "Metadata",
    [BP_MCAP_METADATA_INDEX] = "MetadataIndex",
    [BP_MCAP_SUMMARY_OFFSET] = "SummaryOffset",
    [BP_MCAP_DATA_END] = "DataEnd",
};

const char *bp_mcap_op_name(uint8_t op) {
    return op < BP_COUNT(names) ? names[op] : NULL;
}

int bp_mcap_next(struct bp_cur *c, struct bp_mcap_record *ret) {
    struct bp_cur at = *c;
    uint8_t op;
    uint64_t n;

    if (c->p == c->end)
        return 0;

    op = bp_rd_u8(&at);
    n = bp_rd_le64(&at);
    ret->op = op;
    ret->n = n;
    ret->p = bp_rd_bytes(&at, n);
    if (op == 0)
        return BP_EFORMAT;
    if (!bp_cur_ok(&at))
        return BP_ETRUNCATED;

    *c = at;
    return 1;
}

int bp_mcap_map_next(struct bp_mcap_map *m, struct bp_str *key, struct bp_str *value) {
    if (m->at.p == m->at.end)
        return 0;

    *key = bp_rd_str32(&m->at);
    *value = bp_rd_str32(&m->at);
    return bp_cur_ok(&m->at) ? 1 : BP_EFORMAT;
}

struct bp_str bp_mcap_map_get(struct bp_mcap_map m, const char *key) {
    struct bp_str k, v;

    while (bp_mcap_map_next(&m, &k, &v) > 0)
        if (bp_str_eq(k, bp_str_of(key)))
            return v;

    return (struct bp_str){ NULL, 0 };
}

static struct bp_cur content(const struct bp_mcap_record *r) {
    return bp_cur_of(r->p, (size_t) r->n);
}

static int ok(const struct bp_cur *c) {
    return bp_cur_ok(c) ? 0 : BP_EFORMAT;
}

/* u32 byte length, then entries; the map's own entries are checked while it is iterated. */
static struct bp_mcap_map rd_map(struct bp_cur *c) {
    struct bp_str s = bp_rd_str32(c);

    return (struct bp_mcap_map){ bp_cur_of(s.p, s.n) };
}

/* An array of fixed-size entries; its byte length must be a multiple of one. */
static const uint8_t *rd_array(struct bp_cur *c, size_t entry, uint32_t *ret_count) {
    struct bp_str s = bp_rd_str32(c);

    if (s.n % entry != 0)
        c->bad = true;
    *ret_count = (uint32_t) (s.n / entry);
    return (const uint8_t *) s.p;
}

int bp_mcap_header(const struct bp_mcap_record *r, struct bp_mcap_header *ret) {
    struct bp_cur c = content(r);

    ret->profile = bp_rd_str32(&c);
    ret->library = bp_rd_str32(&c);
    return ok(&c);
}

int bp_mcap_footer(const struct bp_mcap_record *r, struct bp_mcap_footer *ret) {
    struct bp_cur c = content(r);

    ret->summary_start = bp_rd_le64(&c);
    ret->summary_offset_start = bp_rd_le64(&c);
    ret->summary_crc = bp_rd_le32(&c);
    return ok(&c);
}

int bp_mcap_schema(const struct bp_mcap_record *r, struct bp_mcap_schema *ret) {
    struct bp_cur c = content(r);

    ret->id = bp_rd_le16(&c);
    ret->name = bp_rd_str32(&c);
    ret->encoding = bp_rd_str32(&c);
    ret->data = bp_rd_str32(&c);
    return ret->id == 0 ? BP_EFORMAT : ok(&c);
}

int bp_mcap_channel(const struct bp_mcap_record *r, struct bp_mcap_channel *ret) {
    struct bp_cur c = content(r);

    ret->id = bp_rd_le16(&c);
    ret->schema_id = bp_rd_le16(&c);
    ret->topic = bp_rd_str32(&c);
    ret->message_encoding = bp_rd_str32(&c);
    ret->metadata = rd_map(&c);
    return ok(&c);
}

int bp_mcap_message(const struct bp_mcap_record *r, struct bp_mcap_message *ret) {
    if (r->n < BP_MCAP_MESSAGE_HEAD)
        return BP_EFORMAT;

    ret->channel_id = bp_ld_le16(r->p);
    ret->sequence = bp_ld_le32(r->p + 2);
    ret->log_time = bp_ld_le64(r->p + 6);
    ret->publish_time = bp_ld_le64(r->p + 14);
    ret->data = r->p + BP_MCAP_MESSAGE_HEAD;
    ret->size = r->n - BP_MCAP_MESSAGE_HEAD;
    return 0;
}

int bp_mcap_chunk(const struct bp_mcap_record *r, struct bp_mcap_chunk *ret) {
    struct bp_cur c = content(r);

    ret->start = bp_rd_le64(&c);
    ret->end = bp_rd_le64(&c);
    ret->uncompressed_size = bp_rd_le64(&c);
    ret->uncompressed_crc = bp_rd_le32(&c);
    ret->compression = bp_rd_str32(&c);
    ret->records_size = bp_rd_le64(&c);
    ret->records = bp_rd_bytes(&c, ret->records_size);
    return ok(&c);
}

int bp_mcap_message_index(const struct bp_mcap_record *r, struct bp_mcap_message_index *ret) {
    struct bp_cur c = content(r);

    ret->channel_id = bp_rd_le16(&c);
    ret->entries = rd_array(&c, 16, &ret->count);
    return ok(&c);
}

int bp_mcap_chunk_index(const struct bp_mcap_record *r, struct bp_mcap_chunk_index *ret) {
    struct bp_cur c = content(r);

    ret->start = bp_rd_le64(&c);
    ret->end = bp_rd_le64(&c);
    ret->chunk_start = bp_rd_le64(&c);
    ret->chunk_length = bp_rd_le64(&c);
    ret->offsets = rd_array(&c, 10, &ret->noffsets);
    ret->message_index_length = bp_rd_le64(&c);
    ret->compression = bp_rd_str32(&c);
    ret->compressed_size = bp_rd_le64(&c);
    ret->uncompressed_size = bp_rd_le64(&c);
    return ok(&c);
}

int bp_mcap_statistics(const struct bp_mcap_record *r, struct bp_mcap_statistics *ret) {
    struct bp_cur c = content(r);

    ret->messages = bp_rd_le64(&c);
    ret->schemas = bp_rd_le16(&c);
    ret->channels = bp_rd_le32(&c);
    ret->attachments = bp_rd_le32(&c);
    ret->metadata = bp_rd_le32(&c);
    ret->chunks = bp_rd_le32(&c);
    ret->start = bp_rd_le64(&c);
    ret->end = bp_rd_le64(&c);
    ret->counts = rd_array(&c, 10, &ret->ncounts);
    return ok(&c);
}

int bp_mcap_metadata(const struct bp_mcap_record *r, struct bp_mcap_metadata *ret) {
    struct bp_cur c = content(r);

    ret->name = bp_rd_str32(&c);
    ret->map = rd_map(&c);
    return ok(&c);
}

int bp_mcap_metadata_index(const struct bp_mcap_record *r, struct bp_mcap_metadata_index *ret) {
    struct bp_cur c = content(r);

    ret->offset = bp_rd_le64(&c);
    ret->length = bp_rd_le64(&c);
    ret->name = bp_rd_str32(&c);
    return ok(&c);
}

int bp_mcap_attachment(const struct bp_mcap_record *r, struct bp_mcap_attachment *ret) {
    struct bp_cur c = content(r);

    ret->log_time = bp_rd_le64(&c);
    ret->create_time = bp_rd_le64(&c);
    ret->name = bp_rd_str32(&c);
    ret->media_type = bp_rd_str32(&c);
    ret->size = bp_rd_le64(&c);
    ret->data = bp_rd_bytes(&c, ret->size);
    ret->computed_crc = bp_cur_ok(&c) ? bp_crc32(0, r->p, (size_t) (c.p - r->p)) : 0;
    ret->crc = bp_rd_le32(&c);
    return ok(&c);
}
