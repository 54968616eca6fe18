#pragma once

#include <pthread.h>

#include "bag/verify-priv.h"
#include "base/mutex.h"

/* What the walk over an MCAP file knows (verify-mcap.c), for what compares the summary with it
 * (verify-summary.c). */

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

struct slot; /* a unit that is out for checking */

struct walk {
    struct verify *v;
    struct verify_file *f;
    int fd;
    struct bp_sealed *sealed; /* owned; NULL = plain */
    uint64_t size;            /* of the MCAP file */
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

/** Reports a finding at byte `at` of the file. */
BP_PRINTF(5, 6)
void walk_say(struct walk *w, enum bp_finding_level level, uint64_t at, const char *remedy,
              const char *fmt, ...);
/** Reads exactly n bytes; false when the disk or the file ends. */
bool walk_read(const struct walk *w, uint64_t at, uint8_t *p, uint64_t n);
/** Definition by kind and id, or NULL. */
const struct def *walk_def(const struct walk *w, uint8_t op, uint16_t id);

/** Compares what follows DataEnd with the data section. */
void walk_check_summary(struct walk *w);
