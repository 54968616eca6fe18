#pragma once

#include "bag/reads.h"
#include "bag/sealed-file.h"
#include "bag/source-priv.h"
#include "base/buf.h"
#include "base/compress.h"
#include "wire/mcap.h"

/* An MCAP file is seen as units: chunks, and runs of messages that lie outside chunks. The units
 * come from the summary (mcap-summary.c) or, when there is none or it is not whole, from a walk
 * over the file that gets past damage (mcap-scan.c). Messages are read from units, merged by log
 * time (mcap-iter.c). */

enum {
    BP_MCAP_RECORD_MAX = 1 << 30, /* content of any one record, and of a decompressed chunk */
    BP_MCAP_LOOSE_MAX = 4 << 20,  /* a run of loose messages is cut here */
};

struct mcap_unit {
    uint64_t at, len;    /* whole records in the file */
    uint64_t start, end; /* log time of first and last message */
    uint64_t raw;        /* bytes of records, uncompressed, as the file claims */
    bool chunk;          /* else loose messages */
    bool repeated;       /* latched messages repeated at a segment's head */
    uint32_t ids, nids;  /* channels in it: ids[ids..ids+nids); nids 0 = not known */
    uint64_t index_len;  /* of the MessageIndex records behind a chunk; 0 = none, or not known */
};

struct mcap_source {
    struct bp_source s; /* first */
    int fd;
    struct bp_sealed *sealed; /* owned; NULL = the file is plain */
    struct bp_reads reads;    /* instead of fd when its `read` is not NULL */
    struct bp_buf *records;  /* owned: Channel records as they stand, by index; with `reads` only */
    uint64_t size;           /* of the MCAP file, which is what is inside a sealed one */
    struct mcap_unit *units; /* owned, sorted by start */
    size_t nunits, cap_units;
    uint16_t *ids; /* owned: channel ids of the units */
    size_t nids, cap_ids;
    int32_t *by_id;                   /* owned: channel id -> index + 1, 0 = unknown; 65,536 */
    struct mcap_schema_copy *schemas; /* owned: by id, room for 65,536, lazily */
    uint16_t max_schema;              /* highest id there */
    struct mcap_span {                /* metadata records in the file */
        uint64_t at, len;
    } * meta; /* owned */
    size_t nmeta, cap_meta;
    uint64_t damaged_bytes, damaged_places; /* passed over by the walk */
    uint32_t codecs_seen;                   /* bit per enum bp_codec */
};

struct mcap_schema_copy {
    char *name, *encoding; /* owned; NULL = no such schema */
    struct bp_str data;    /* owned */
};

struct mcap_source *mcap_source_of(struct bp_source *s);

/** Index of the channel with this id, or -1. */
static inline int32_t mcap_channel(const struct mcap_source *m, uint16_t id) {
    return m->by_id[id] - 1;
}

/** Reads exactly n bytes. @return 0, BP_ETRUNCATED, or an errno */
int mcap_read(const struct mcap_source *m, uint64_t at, void *p, uint64_t n);
/** Grows buf by n bytes that are about to be filled. @return NULL when out of memory */
uint8_t *mcap_buf_room(struct bp_buf *b, uint64_t n);
/** Reads the whole record at `at`, at most BP_MCAP_RECORD_MAX, into buf (cleared before). */
int mcap_read_record(const struct mcap_source *m, uint64_t at, struct bp_buf *buf,
                     struct bp_mcap_record *ret);

int mcap_add_schema(struct mcap_source *m, const struct bp_mcap_record *r);
int mcap_add_channel(struct mcap_source *m, const struct bp_mcap_record *r);
int mcap_add_unit(struct mcap_source *m, const struct mcap_unit *u);
int mcap_add_meta(struct mcap_source *m, uint64_t at, uint64_t len);

/**
 * Opens what is read by `reads`, by its summary alone.
 *
 * @param name  for errors; borrowed until it is closed, as `reads` and its ctx
 * @param ret   release by ret->s.ops->close()
 * @return 0, BP_EFORMAT (no MCAP file, or none with a usable summary), BP_EKEY for a sealed one, or
 *         what reading failed with
 */
BP_MUST_CHECK int mcap_open_reads(const char *name, const struct bp_reads *reads,
                                  struct mcap_source **ret, struct bp_error *err);

/** @return 1 when the summary is whole and enough to read by, 0 when a walk is needed, or an error
 *  of the machine */
int mcap_load_summary(struct mcap_source *m, struct bp_error *err);
/** Walks the file; what is damaged is passed over and counted. */
int mcap_scan(struct mcap_source *m, struct bp_error *err);

/* A chunk's records, uncompressed and checked. Buffers are reused from call to call. */
struct mcap_chunk_buf {
    struct bp_buf file; /* the record as stored */
    struct bp_buf raw;  /* decompressed, unless stored plain */
    struct bp_decompressor *z;
    const uint8_t *records; /* into one of them */
    uint64_t n;
};
void mcap_chunk_buf_done(struct mcap_chunk_buf *b);
/** @return 0; BP_ECORRUPT (CRC, codec), BP_EFORMAT, BP_ELIMIT, BP_ETRUNCATED, -ENOTSUP, errno */
int mcap_load_chunk(const struct mcap_source *m, uint64_t at, bool check_crc,
                    struct mcap_chunk_buf *b, struct bp_mcap_chunk *ret);

/* ---- reading (mcap-unit.c): a unit with its messages, one after the other by log time ---- */

struct mcap_entry {
    uint64_t time;
    uint64_t at; /* of the record in the unit's records */
};

struct mcap_open_unit {
    struct mcap_chunk_buf buf;
    const uint8_t *p, *end; /* the next wanted record, and the end of all */
    uint64_t time;          /* of the next wanted message */
    struct mcap_entry *v;   /* owned: the wanted ones by time, only where the file has them out of
                               order; n = 0 otherwise */
    size_t n, cap, next;
    size_t order; /* of the unit, to keep equal times stable */
    bool repeated;
};

void mcap_unit_free(struct mcap_open_unit *u);
/**
 * Loads a unit and goes to its first wanted message. Only reads `m`, so that several threads may.
 *
 * @return 1, 0 when it holds no wanted message, or what is wrong with it
 */
int mcap_unit_load(const struct mcap_source *m, const struct bp_source_filter *f,
                   const struct mcap_unit *x, struct mcap_open_unit *u);
/** Goes to the next wanted message; false at the end. Everything was checked by the load. */
bool mcap_unit_step(const struct mcap_source *m, const struct bp_source_filter *f,
                    struct mcap_open_unit *u);

/* ---- reading ahead (mcap-ahead.c): threads that load the next units of a plan ---- */

struct mcap_ahead;

/**
 * Starts threads where that pays: compressed units, enough of them, a core to spare.
 *
 * @param plan  indexes of the units in the order they will be taken; borrowed
 * @return NULL when it does not pay (or no thread can be had): load by yourself
 */
struct mcap_ahead *mcap_ahead_new(const struct mcap_source *m, const struct bp_source_filter *f,
                                  const uint32_t *plan, size_t n);
void mcap_ahead_free(struct mcap_ahead *a);
/**
 * The next unit of the plan, waited for or loaded here.
 *
 * @param u  in: one to be used again, or NULL; out: owned by the caller, NULL when out of memory
 * @return as mcap_unit_load()
 */
int mcap_ahead_take(struct mcap_ahead *a, struct mcap_open_unit **u);

int mcap_iterate(struct bp_source *s, const struct bp_source_filter *f, struct bp_source_iter **ret,
                 struct bp_error *err);
int mcap_next(struct bp_source_iter *it, struct bp_source_msg *ret, struct bp_error *err);
void mcap_skipped(const struct bp_source_iter *it, uint64_t *chunks, uint64_t *bytes);
void mcap_iter_free(struct bp_source_iter *it);
