#include "wire/mcap-check.h"

#include <stdio.h>

enum { RESERVED_LAST = 0x7f };

static int broken(struct bp_error *err, const struct bp_mcap_record *r, uint64_t offset,
                  const char *rule) {
    const char *name = bp_mcap_op_name(r->op);
    char number[16];

    (void) snprintf(number, sizeof number, "record 0x%02x", r->op);
    return bp_fail(err, BP_EFORMAT, "%s at byte %llu: %s", name ? name : number,
                   (unsigned long long) offset, rule);
}

static bool test_bit(const uint8_t *bits, uint16_t id) {
    return bits[id / 8] >> id % 8 & 1;
}

static void set_bit(uint8_t *bits, uint16_t id) {
    bits[id / 8] = (uint8_t) (bits[id / 8] | 1u << id % 8);
}

/* A map must be whole and name no key twice. Maps are small; the square does not hurt, and a
 * hostile one is cut short. */
static const char *map_rule(struct bp_mcap_map m) {
    enum { KEYS = 256 };
    struct bp_mcap_map rest = m, other;
    struct bp_str k, v, k2, v2;
    int r, n = 0;

    while ((r = bp_mcap_map_next(&rest, &k, &v)) > 0 && n++ < KEYS)
        for (other = rest; bp_mcap_map_next(&other, &k2, &v2) > 0;)
            if (bp_str_eq(k, k2))
                return "a key stands twice in its map";
    return r < 0 ? "a map's entry is longer than the map" : NULL;
}

/* u16 ids of (id, u64) pairs, each once. */
static const char *ids_rule(const uint8_t *pairs, uint32_t n) {
    uint8_t seen[8192] = { 0 };

    for (uint32_t i = 0; i < n; i++) {
        uint16_t id = bp_ld_le16(pairs + 10 * (size_t) i);

        if (test_bit(seen, id))
            return "a channel stands twice in its map";
        set_bit(seen, id);
    }
    return NULL;
}

static const char too_short[] = "its content is shorter than its fields";

static const char *schema_rule(struct bp_mcap_check *k, const struct bp_mcap_record *r) {
    struct bp_mcap_schema s;

    if (bp_mcap_schema(r, &s) < 0)
        return s.id == 0 ? "a schema's id must not be 0" : too_short;
    set_bit(k->schemas, s.id); /* libmcap names channels without messages in the summary only */
    return NULL;
}

static const char *channel_rule(struct bp_mcap_check *k, const struct bp_mcap_record *r) {
    struct bp_mcap_channel c;

    if (bp_mcap_channel(r, &c) < 0)
        return too_short;
    if (c.schema_id != 0 && !test_bit(k->schemas, c.schema_id))
        return "its schema was not defined before";
    if (k->at == BP_MCAP_AT_DATA)
        set_bit(k->channels, c.id);
    return map_rule(c.metadata);
}

static const char *message_rule(const struct bp_mcap_check *k, const struct bp_mcap_record *r) {
    struct bp_mcap_message m;

    if (bp_mcap_message(r, &m) < 0)
        return too_short;
    return test_bit(k->channels, m.channel_id) ? NULL : "its channel was not defined before";
}

static const char *chunk_rule(const struct bp_mcap_record *r) {
    struct bp_mcap_chunk c;

    if (bp_mcap_chunk(r, &c) < 0)
        return too_short;
    if (c.start > c.end)
        return "it ends before it starts";
    return c.compression.n == 0 && c.records_size != c.uncompressed_size
               ? "stored, but its two sizes differ"
               : NULL;
}

static const char *message_index_rule(const struct bp_mcap_record *r) {
    struct bp_mcap_message_index x;

    return bp_mcap_message_index(r, &x) < 0 ? too_short : NULL;
}

static const char *chunk_index_rule(const struct bp_mcap_record *r) {
    struct bp_mcap_chunk_index x;

    if (bp_mcap_chunk_index(r, &x) < 0)
        return too_short;
    if (x.start > x.end)
        return "the chunk ends before it starts";
    return ids_rule(x.offsets, x.noffsets);
}

static const char *attachment_rule(const struct bp_mcap_record *r) {
    struct bp_mcap_attachment a;

    if (bp_mcap_attachment(r, &a) < 0)
        return too_short;
    return a.crc != 0 && a.crc != a.computed_crc ? "its checksum does not fit" : NULL;
}

static const char *statistics_rule(const struct bp_mcap_record *r) {
    struct bp_mcap_statistics s;

    return bp_mcap_statistics(r, &s) < 0 ? too_short : ids_rule(s.counts, s.ncounts);
}

static const char *metadata_rule(const struct bp_mcap_record *r) {
    struct bp_mcap_metadata m;

    return bp_mcap_metadata(r, &m) < 0 ? too_short : map_rule(m.map);
}

static const char *content_rule(struct bp_mcap_check *k, const struct bp_mcap_record *r) {
    struct bp_mcap_metadata_index mi;
    struct bp_mcap_header h;

    switch ((enum bp_mcap_op) r->op) {
    case BP_MCAP_HEADER:
        return bp_mcap_header(r, &h) < 0 ? too_short : NULL;
    case BP_MCAP_FOOTER:
        return r->n != BP_MCAP_FOOTER_LEN ? "its content must be 20 bytes" : NULL;
    case BP_MCAP_SCHEMA:
        return schema_rule(k, r);
    case BP_MCAP_CHANNEL:
        return channel_rule(k, r);
    case BP_MCAP_MESSAGE:
        return message_rule(k, r);
    case BP_MCAP_CHUNK:
        return chunk_rule(r);
    case BP_MCAP_MESSAGE_INDEX:
        return message_index_rule(r);
    case BP_MCAP_CHUNK_INDEX:
        return chunk_index_rule(r);
    case BP_MCAP_ATTACHMENT:
        return attachment_rule(r);
    case BP_MCAP_ATTACHMENT_INDEX:
        return r->n < 5 * 8 + 2 * 4 ? too_short : NULL;
    case BP_MCAP_STATISTICS:
        return statistics_rule(r);
    case BP_MCAP_METADATA:
        return metadata_rule(r);
    case BP_MCAP_METADATA_INDEX:
        return bp_mcap_metadata_index(r, &mi) < 0 ? too_short : NULL;
    case BP_MCAP_SUMMARY_OFFSET:
        return r->n < 1 + 2 * 8 ? too_short : NULL;
    case BP_MCAP_DATA_END:
        return r->n != 4 ? "its content must be 4 bytes" : NULL;
    }
    return NULL;
}

static bool in_data(uint8_t op) {
    switch (op) {
    case BP_MCAP_SCHEMA:
    case BP_MCAP_CHANNEL:
    case BP_MCAP_MESSAGE:
    case BP_MCAP_CHUNK:
    case BP_MCAP_MESSAGE_INDEX:
    case BP_MCAP_ATTACHMENT:
    case BP_MCAP_METADATA:
    case BP_MCAP_DATA_END:
        return true;
    default:
        return false;
    }
}

static bool in_summary(uint8_t op) {
    switch (op) {
    case BP_MCAP_SCHEMA:
    case BP_MCAP_CHANNEL:
    case BP_MCAP_STATISTICS:
    case BP_MCAP_CHUNK_INDEX:
    case BP_MCAP_ATTACHMENT_INDEX:
    case BP_MCAP_METADATA_INDEX:
        return true;
    default:
        return false;
    }
}

/* Records of the summary stand together by opcode. */
static const char *group_rule(struct bp_mcap_check *k, uint8_t op) {
    if (op == k->group)
        return NULL;
    if (k->groups >> op & 1)
        return "the records of a summary group must stand together";
    k->group = op;
    k->groups |= 1u << op;
    return NULL;
}

static const char *order_rule(struct bp_mcap_check *k, uint8_t op) {
    bool foreign = op > RESERVED_LAST;

    switch (k->at) {
    case BP_MCAP_AT_START:
        if (op != BP_MCAP_HEADER)
            return "the first record must be a Header";
        k->at = BP_MCAP_AT_DATA;
        return NULL;
    case BP_MCAP_AT_DATA:
        if (!foreign && !in_data(op))
            return "not allowed in the data section";
        if (op == BP_MCAP_DATA_END)
            k->at = BP_MCAP_AT_SUMMARY;
        return NULL;
    case BP_MCAP_AT_SUMMARY:
        if (op != BP_MCAP_FOOTER && op != BP_MCAP_SUMMARY_OFFSET)
            return foreign          ? NULL
                   : in_summary(op) ? group_rule(k, op)
                                    : "not allowed in the summary";
        k->at = op == BP_MCAP_FOOTER ? BP_MCAP_AT_END : BP_MCAP_AT_OFFSETS;
        return NULL;
    case BP_MCAP_AT_OFFSETS:
        if (op == BP_MCAP_FOOTER)
            k->at = BP_MCAP_AT_END;
        else if (op != BP_MCAP_SUMMARY_OFFSET && !foreign)
            return "not allowed behind the summary offsets";
        return NULL;
    case BP_MCAP_AT_END:
        break;
    }
    return "nothing may follow the Footer";
}

int bp_mcap_check_step(struct bp_mcap_check *k, const struct bp_mcap_record *r, bool inside,
                       uint64_t offset, struct bp_error *err) {
    enum bp_mcap_at before = k->at;
    const char *rule;

    if (r->op == 0 || (r->op > BP_MCAP_DATA_END && r->op <= RESERVED_LAST))
        return broken(err, r, offset, "the opcode is reserved");
    if (inside)
        rule = r->op == BP_MCAP_SCHEMA || r->op == BP_MCAP_CHANNEL || r->op == BP_MCAP_MESSAGE
                   ? NULL
                   : "not allowed inside a chunk";
    else
        rule = order_rule(k, r->op);
    if (!rule && r->op <= BP_MCAP_DATA_END)
        rule = content_rule(k, r);
    if (!rule)
        return 0;

    k->at = before;
    return broken(err, r, offset, rule);
}

int bp_mcap_check_end(const struct bp_mcap_check *k, struct bp_error *err) {
    return k->at == BP_MCAP_AT_END
               ? 0
               : bp_fail(err, BP_ETRUNCATED, "the file ends without a Footer: it was cut off");
}
