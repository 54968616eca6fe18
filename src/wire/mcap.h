#pragma once

#include "base/cursor.h"
#include "base/error.h"

/* MCAP records, decoded. Pure bytes in, views out: nothing is copied or allocated, every view
 * borrows from the input. Trailing bytes of a record are ignored, as the specification demands,
 * except of Message (its rest is payload), DataEnd and Footer.
 * Source: MCAP specification, "Records" and "Serialization". */

#define BP_MCAP_MAGIC "\x89MCAP0\r\n"

enum {
    BP_MCAP_MAGIC_LEN = 8,
    BP_MCAP_HEAD = 9,          /* opcode and content length of a record */
    BP_MCAP_MESSAGE_HEAD = 22, /* channel, sequence, log and publish time */
    BP_MCAP_FOOTER_LEN = 20,
};

enum bp_mcap_op {
    BP_MCAP_HEADER = 0x01,
    BP_MCAP_FOOTER,
    BP_MCAP_SCHEMA,
    BP_MCAP_CHANNEL,
    BP_MCAP_MESSAGE,
    BP_MCAP_CHUNK,
    BP_MCAP_MESSAGE_INDEX,
    BP_MCAP_CHUNK_INDEX,
    BP_MCAP_ATTACHMENT,
    BP_MCAP_ATTACHMENT_INDEX,
    BP_MCAP_STATISTICS,
    BP_MCAP_METADATA,
    BP_MCAP_METADATA_INDEX,
    BP_MCAP_SUMMARY_OFFSET,
    BP_MCAP_DATA_END,
};

struct bp_mcap_record {
    uint8_t op;
    const uint8_t *p; /* content */
    uint64_t n;       /* its length */
};

/**
 * The next record.
 *
 * @return 1; 0 at the end; BP_ETRUNCATED when the record is longer than what is left (the cursor
 *         then stays at its start); BP_EFORMAT for opcode 0
 */
int bp_mcap_next(struct bp_cur *c, struct bp_mcap_record *ret);

/* A map of strings: iterate with bp_mcap_map_next(). */
struct bp_mcap_map {
    struct bp_cur at;
};
/** @return 1 and a pair, 0 at the end, BP_EFORMAT when an entry overruns the map */
int bp_mcap_map_next(struct bp_mcap_map *m, struct bp_str *key, struct bp_str *value);
/** The value of `key`, or an empty view. */
struct bp_str bp_mcap_map_get(struct bp_mcap_map m, const char *key);

struct bp_mcap_header {
    struct bp_str profile, library;
};
struct bp_mcap_footer {
    uint64_t summary_start, summary_offset_start;
    uint32_t summary_crc;
};
struct bp_mcap_schema {
    uint16_t id;
    struct bp_str name, encoding, data;
};
struct bp_mcap_channel {
    uint16_t id, schema_id;
    struct bp_str topic, message_encoding;
    struct bp_mcap_map metadata;
};
struct bp_mcap_message {
    uint16_t channel_id;
    uint32_t sequence;
    uint64_t log_time, publish_time;
    const uint8_t *data;
    uint64_t size;
};
struct bp_mcap_chunk {
    uint64_t start, end, uncompressed_size;
    uint32_t uncompressed_crc;
    struct bp_str compression;
    const uint8_t *records; /* compressed */
    uint64_t records_size;
};
struct bp_mcap_message_index {
    uint16_t channel_id;
    const uint8_t *entries; /* pairs of u64 log time, u64 offset */
    uint32_t count;
};
struct bp_mcap_chunk_index {
    uint64_t start, end, chunk_start, chunk_length, message_index_length;
    const uint8_t *offsets; /* pairs of u16 channel, u64 offset: 10 bytes each */
    uint32_t noffsets;
    struct bp_str compression;
    uint64_t compressed_size, uncompressed_size;
};
struct bp_mcap_statistics {
    uint64_t messages, start, end;
    uint16_t schemas;
    uint32_t channels, attachments, metadata, chunks;
    const uint8_t *counts; /* pairs of u16 channel, u64 messages: 10 bytes each */
    uint32_t ncounts;
};
struct bp_mcap_metadata {
    struct bp_str name;
    struct bp_mcap_map map;
};
struct bp_mcap_metadata_index {
    uint64_t offset, length;
    struct bp_str name;
};
struct bp_mcap_attachment {
    uint64_t log_time, create_time;
    struct bp_str name, media_type;
    const uint8_t *data;
    uint64_t size;
    uint32_t crc, computed_crc; /* crc 0 = none was stored */
};

/* Each decodes a record of its type: 0, or BP_EFORMAT when the content is shorter than its fields
 * say or breaks a rule of the specification. */
int bp_mcap_header(const struct bp_mcap_record *r, struct bp_mcap_header *ret);
int bp_mcap_footer(const struct bp_mcap_record *r, struct bp_mcap_footer *ret);
int bp_mcap_schema(const struct bp_mcap_record *r, struct bp_mcap_schema *ret);
int bp_mcap_channel(const struct bp_mcap_record *r, struct bp_mcap_channel *ret);
int bp_mcap_message(const struct bp_mcap_record *r, struct bp_mcap_message *ret);
int bp_mcap_chunk(const struct bp_mcap_record *r, struct bp_mcap_chunk *ret);
int bp_mcap_message_index(const struct bp_mcap_record *r, struct bp_mcap_message_index *ret);
int bp_mcap_chunk_index(const struct bp_mcap_record *r, struct bp_mcap_chunk_index *ret);
int bp_mcap_statistics(const struct bp_mcap_record *r, struct bp_mcap_statistics *ret);
int bp_mcap_metadata(const struct bp_mcap_record *r, struct bp_mcap_metadata *ret);
int bp_mcap_metadata_index(const struct bp_mcap_record *r, struct bp_mcap_metadata_index *ret);
int bp_mcap_attachment(const struct bp_mcap_record *r, struct bp_mcap_attachment *ret);

/** Name of a record type for messages, "record 0x93" style for unknown ones is left to the caller:
 *  NULL then. */
const char *bp_mcap_op_name(uint8_t op);
