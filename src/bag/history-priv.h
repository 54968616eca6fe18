#pragma once

#include <stdatomic.h>

#include "bag/history.h"
#include "base/mutex.h"

/* Inside of the history:
 *
 *   accept (receive threads) ── history-memory.c ──> blocks of the memory
 *   blocks that are let go   ── their latched messages stay in a list of their own
 *   writer thread            ── history-disk.c ───> frames in files (history-frame.c)
 *   readers                  ── history-read.c ───> from files first, then from blocks
 *
 * Every entry has a number, counted up from open; files of an earlier life have numbers below. A
 * reader knows the number it wants next, so files and blocks meet without a gap.
 *
 * Locks: defs_lock (definitions) and files_lock (the list of files), then lock (blocks, everything
 * marked [lock]). No lock is held over a file operation or an allocation, except that a block with
 * latched messages is let go under lock: they are few. */

enum {
    HISTORY_SOURCES = 1 << 16,
    HISTORY_CHANNELS = 1 << 14,
    HISTORY_LATCHED_BYTES = 64 << 20, /* of latched messages kept beside the blocks */
    HISTORY_LATCHED_DEPTH = 1000,     /* of one source */
};

/* Head of an entry in memory; the payload follows, then zeros up to 8 bytes. */
struct entry {
    uint32_t size; /* of the payload */
    uint32_t source;
    uint16_t kind, why;
    _Atomic uint32_t ready; /* 1: the payload is there */
    uint64_t seq;
    int64_t log_ns;
    int64_t publish_ns; /* of a loss: the last number */
    uint32_t
        latched_before; /* offset of the block's latched entry before + 1; 0 = it is the first */
    uint32_t latched;   /* 1: it is latched */
};

/* A stretch of the memory. [lock] unless noted */
struct block {
    uint64_t no;
    uint64_t vstart, size; /* its place in the memory's endless address space */
    uint64_t used;
    uint64_t first; /* number of its first entry */
    uint32_t n, messages;
    uint32_t latched;       /* offset of its newest latched entry + 1; 0 = none */
    uint32_t pins;          /* readers that copy from it */
    _Atomic uint32_t busy;  /* receive threads that copy into it; counts up under lock */
    bp_ns_t opened, closed; /* mono; 0 = still open */
    bp_ns_t offset;         /* wall minus mono clock of its log times */
    bp_ns_t min_log, max_log;
};

struct kept { /* a latched message whose block was let go */
    struct kept *prev, *next;
    uint32_t source, size;
    uint64_t seq;
    bp_ns_t log_ns, publish_ns, offset;
    uint8_t data[];
};

struct hchannel {
    struct bp_buf encoded;     /* [defs_lock] as in files */
    struct bp_channel_def def; /* [defs_lock] points into `encoded` */
    uint64_t version;          /* [defs_lock] */
    _Atomic uint32_t depth;    /* of latched messages */
    _Atomic uint64_t messages, bytes;
    _Atomic int64_t last_ns;
};

struct hsource {
    struct hchannel *channel;   /* constant */
    struct bp_buf encoded;      /* constant */
    struct bp_source_def def;   /* constant; points into `encoded` */
    uint32_t id;                /* constant */
    bool noted;                 /* [lock] a loss waits: */
    enum bp_loss why;           /* [lock] */
    uint64_t first, last;       /* [lock] */
    bp_ns_t log_ns;             /* [lock] when it was noted */
    struct hsource *next_noted; /* [lock] */
    bool listed;                /* [lock] it is in the list of those */
};

struct disk;

struct bp_history_store {
    struct bp_history_opts o; /* constant */
    const struct bp_io *io;   /* constant */
    uint64_t block_bytes;     /* constant */
    bp_ns_t block_ns;         /* constant: a block is closed after this */
    uint8_t *memory;          /* constant, o.max_bytes */

    struct bp_mutex lock;
    struct block *blocks; /* [lock] nblocks of them; block `no` is at no % nblocks */
    uint32_t nblocks;     /* constant */
    uint64_t head, tail;  /* [lock] block numbers: tail is the oldest, head the next one */
    bool open;            /* [lock] the newest one takes entries */
    uint64_t alloc_pos;   /* [lock] */
    uint64_t next;        /* [lock] number of the next entry */
    bp_ns_t offset;       /* [lock] wall minus mono */
    struct kept *kept;    /* [lock] utlist, oldest first; owned */
    uint64_t kept_bytes, nkept;
    struct hsource *noted;      /* [lock] sources with a loss that waits */
    struct bp_history_stats st; /* [lock] counters */

    struct bp_mutex defs_lock;
    struct hchannel **channels; /* by id; entry constant once nchannels covers it */
    struct hsource **sources;
    _Atomic uint32_t nchannels, nsources;
    _Atomic uint64_t versions; /* counts up with every definition */

    struct disk *disk; /* constant; NULL = memory alone */
};

static inline struct block *history_block(const struct bp_history_store *h, uint64_t no) {
    return &h->blocks[no % h->nblocks];
}

static inline uint8_t *history_bytes(const struct bp_history_store *h, const struct block *b) {
    return h->memory + b->vstart % h->o.max_bytes;
}

static inline uint64_t history_entry_bytes(const struct entry *e) {
    return sizeof *e + BP_ALIGN((uint64_t) e->size, 8ull);
}

/* history-memory.c */
int bp_history_memory_open(struct bp_history_store *h, struct bp_error *err);
void bp_history_memory_done(struct bp_history_store *h);
/** wall minus mono, as it is now; small differences count as none. */
void bp_history_look_at_clock_locked(struct bp_history_store *h) BP_REQUIRES(h->lock);

/* What a reader has copied out of a block. */
struct bp_history_copy {
    uint8_t *p; /* owned */
    size_t n, cap;
    uint64_t first; /* number of its first entry */
    uint32_t count;
    bp_ns_t offset; /* of the block */
};
/**
 * Copies what is there from entry `*at` on, of one block.
 *
 * @param at    number of an entry; moved on when those before it were let go
 * @param hint  offset of entry `*at` in its block when the last copy ended there, else 0
 * @return 1, 0: nothing there yet, -ENOMEM
 */
int bp_history_copy_out(struct bp_history_store *h, uint64_t *at, uint64_t *hint_block,
                        uint64_t *hint, struct bp_history_copy *c);
/** Number of the first entry of the first block that ends at or after `from_mono`. */
uint64_t bp_history_find(struct bp_history_store *h, bp_ns_t from_mono, bool *ret_older);
/** Copies of latched messages older than `from_mono`; a list as `kept`, owned by the caller. */
int bp_history_latched(struct bp_history_store *h, bp_ns_t from_mono, struct kept **ret);
void bp_history_kept_free(struct kept *list);
/** Keeps a latched message of an earlier life. */
void bp_history_keep(struct bp_history_store *h, uint32_t source, const struct bp_history_entry *e);
