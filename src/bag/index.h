#pragma once

#include "bag/group.h"

/* What the summary of one MCAP file needs to know, gathered while the file is written (or walked).
 * Not for several threads. */
struct bp_index {
    struct bp_buf schemas, channels, chunks, metadata; /* encoded records of the summary */
    struct bp_buf attachments;
    uint32_t nschemas, nchannels, nchunks, nmetadata, nattachments;
    uint64_t messages, t_first, t_last;
    uint64_t *counts; /* messages by channel id; 65,536 once the first channel came; owned */
    uint16_t max_channel;
    bool failed; /* out of memory */
};

/* How much of it there was at some moment, but for chunks. */
struct bp_index_at {
    size_t schemas, channels, metadata;
    uint32_t nschemas, nchannels, nmetadata;
};

struct bp_chunk_info {
    uint64_t at, len;   /* of the Chunk record in the file */
    uint64_t index_len; /* of the MessageIndex records behind it */
    uint64_t stored, raw, t_first, t_last;
    struct bp_str codec;               /* as MCAP names it */
    const struct bp_group_channel *ch; /* index_at: offset in the file, 0 = has none */
    unsigned nch;
};

void bp_index_done(struct bp_index *x);
struct bp_index_at bp_index_at(const struct bp_index *x);
/** Takes back what was added since; chunks and attachments stay. */
void bp_index_back(struct bp_index *x, const struct bp_index_at *at);
/** `rec`: the whole record as it lies in the file. */
void bp_index_add_schema(struct bp_index *x, const void *rec, size_t n);
void bp_index_add_channel(struct bp_index *x, uint16_t id, const void *rec, size_t n);
void bp_index_add_chunk(struct bp_index *x, const struct bp_chunk_info *c);
/** Chunk of a group that lies at byte `at` of its file. */
void bp_index_add_group(struct bp_index *x, const struct bp_group *g, uint64_t at);
/** Attachment record of `len` bytes at byte `at`; only recovery meets them, in files of others. */
void bp_index_add_attachment(struct bp_index *x, uint64_t at, uint64_t len,
                             const struct bp_mcap_attachment *a);
void bp_index_add_metadata(struct bp_index *x, uint64_t at, uint64_t len, struct bp_str name);

/**
 * Appends DataEnd, summary, summary offsets, footer and magic for a file whose data ends at byte
 * `data_end`. The first byte appended goes there.
 *
 * @return 0 or -ENOMEM
 */
BP_MUST_CHECK int bp_index_summary(const struct bp_index *x, uint64_t data_end, struct bp_buf *out);
