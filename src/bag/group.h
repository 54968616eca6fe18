#pragma once

#include <stdbool.h>

#include "bag/put.h"
#include "base/compress.h"
#include "base/error.h"
#include "base/time.h"

/* A group is what one write puts on disk: a whole number of 4 KiB blocks that starts on a block
 * boundary and stands for itself. Either a chunk with its message indexes, or definitions (Schema,
 * Channel), or metadata. The last record of a group carries, in its trailing bytes, the commit
 * block, then the runs of the ledger, then zeros to the block's end. Readers ignore bytes at the
 * end of a MessageIndex or Metadata record (MCAP specification, "Records"), recovery lives on them.
 * Layout: docs/formats/session.md. */

enum {
    BP_COMMIT_BYTES = 80,
    BP_RUN_BYTES = 24,
};

/* Messages are numbered per lane, 1, 2, 3 …; chunks of one lane hold consecutive numbers. */
enum bp_lane {
    BP_LANE_MAIN,
    BP_LANE_PLAIN, /* topics that do not compress have chunks of their own */
    BP_LANES,
    BP_LANE_NONE = 0xff,   /* definitions and metadata: no messages */
    BP_LANE_REPEAT = 0xfe, /* latched messages repeated at a segment's head: not counted */
};

struct bp_commit {
    uint8_t session[16];
    uint64_t start;       /* of the group in its file */
    uint64_t len;         /* from there to this block */
    uint64_t first, last; /* message numbers of its lane; 0, 0 = none */
    uint32_t lane;
    uint32_t crc;        /* crc32c of those `len` bytes */
    uint32_t runs_bytes; /* behind this block */
    uint32_t runs_crc;   /* crc32c of them */
};

/* What happened to consecutive sequence numbers of one source (see bag/ledger.h). */
enum bp_run_kind {
    BP_RUN_RECEIVED,
    BP_RUN_LATE,      /* received after a later one: fills a gap */
    BP_RUN_DUPLICATE, /* first = a number, last = how many duplicates */
    BP_RUN_LATCHED,   /* ring only: first = number, last = offset of its record in the slot */
    BP_RUN_LOSS,      /* + enum bp_loss */
};

struct bp_run {
    uint32_t source, kind;
    uint64_t first, last;
};

void bp_commit_encode(uint8_t out[static BP_COMMIT_BYTES], const struct bp_commit *c);
/** @return 0, or BP_ECORRUPT when this is no commit block */
int bp_commit_decode(const uint8_t *p, size_t n, struct bp_commit *ret);

void bp_run_encode(uint8_t out[static BP_RUN_BYTES], const struct bp_run *r);
void bp_run_decode(const uint8_t in[static BP_RUN_BYTES], struct bp_run *ret);

/* One channel's share of a chunk. */
struct bp_group_channel {
    uint16_t id;
    uint32_t count;
    uint64_t bytes;    /* payload */
    uint64_t index_at; /* of its MessageIndex in the group; set by the build */
};

/* A chunk with its indexes, ready for disk. */
struct bp_group {
    uint8_t *buf;  /* block-aligned; the chunk starts at buf + lead */
    uint64_t lead; /* bytes of a Metadata record before the chunk; 0 for all but repeated groups */
    uint64_t chunk_len, index_len; /* index_len includes the trailing bytes */
    uint64_t stored, raw;
    uint64_t commit_at, len; /* of the commit block; of the whole group */
    uint64_t t_first, t_last;
    uint32_t crc; /* crc32c of buf[0..commit_at) */
    uint32_t runs_bytes, runs_crc;
    enum bp_codec codec;
    struct bp_group_channel *ch; /* borrowed */
    unsigned nch;
};

/* What a build starts from. */
struct bp_group_in {
    const uint8_t *records; /* Message records; at out + lead + 49 when stored in place */
    uint64_t raw;
    uint32_t nmsg;
    struct bp_group_channel *ch; /* id, count, bytes are given; index_at comes back */
    unsigned nch;
    const struct bp_run *runs; /* those of kind BP_RUN_LATCHED are left out */
    uint32_t nruns;
};

/* One per thread that builds groups. */
struct bp_builder {
    struct bp_compressor *z; /* owned; NULL = store */
    enum bp_codec codec;
    uint8_t **at; /* by channel id: where its next index entry goes; 65,536, owned */
};

/** @param codec  what bp_group_build() may use; @return 0 or -ENOMEM */
int bp_builder_init(struct bp_builder *b, enum bp_codec codec, int level, bool fast);
void bp_builder_done(struct bp_builder *b);

/** Bytes an output buffer needs, whatever the codec does. */
uint64_t bp_group_bound(uint64_t raw, uint32_t nmsg, unsigned nch, uint32_t nruns, uint64_t lead);

/**
 * Builds a group into `out` (block-aligned, bp_group_bound() bytes, or the slot itself when the
 * records already lie at out + 49). The commit block is left to bp_group_commit(), because it
 * names the place in the file.
 *
 * @param store  do not compress this one
 * @return 0, or -EIO when the codec fails
 */
int bp_group_build(struct bp_builder *b, const struct bp_group_in *in, bool store, uint8_t *out,
                   uint64_t lead, struct bp_group *ret);

/** Fills in the commit block for a group that goes to byte `at` of its file. */
void bp_group_commit(struct bp_group *g, const uint8_t session[16], uint64_t at, uint32_t lane,
                     uint64_t first, uint64_t last);

/**
 * Ends a group of definitions or metadata: `b` holds records from the group's start on, the last
 * one, a Metadata record that begins at `last_rec`, grows by commit block, runs and zeros to the
 * block's end. `at` = where the group goes in its file.
 */
void bp_group_seal(struct bp_buf *b, size_t last_rec, const uint8_t session[16], uint64_t at,
                   const struct bp_run *runs, uint32_t nruns);

/**
 * Counts the channels of `n` bytes of Message records.
 *
 * @param ch   room for `cap`
 * @return number of channels, or BP_ECORRUPT, BP_ELIMIT
 */
int bp_group_count(const uint8_t *records, uint64_t n, struct bp_group_channel *ch, unsigned cap,
                   uint32_t *ret_nmsg);
