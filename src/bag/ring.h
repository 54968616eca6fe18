#pragma once

#include <assert.h>
#include <stdbool.h>

#include "bag/group.h"

/* The ring: a tmpfs file, mapped MAP_SHARED, whose slots are the chunks being built. What has been
 * stored in it survives the process, whatever kills it, but not the machine.
 *
 *   block 0            header (struct bp_ring_hdr)
 *   4096               table of slots (struct bp_ring_slot, 64 bytes each)
 *   pending_off        runs of the ledger that no slot has taken yet (struct bp_run)
 *   data_off           the slots' bytes
 *   data_off+data_size definitions, appended with pwrite: Schema and Channel records and sources
 *
 * In a slot of `size` bytes at `start`: Message records from byte 49 on, as many bytes as
 * `committed` says; the slot's runs from its end downwards. Native byte order: the file never
 * leaves the machine, and boot_id says whether its content can still be believed.
 *
 * Stores that matter after kill -9 are ordered by release stores: a record lies there before
 * `committed` covers it, a run before `nruns` counts it, a slot before slot_head counts it. */

struct bp_ring_hdr {
    char magic[8]; /* stored last */
    uint32_t version, nslots;
    uint8_t session[16];
    char boot_id[40];
    uint64_t data_off, data_size;
    uint64_t pending_off;
    uint32_t pending_cap, pad;
    uint64_t defs_bytes;             /* of definitions, whole ones only */
    _Alignas(64) uint64_t slot_head; /* slots ever opened */
    _Alignas(64) uint64_t slot_tail; /* slots whose content is durable elsewhere */
    _Alignas(64) uint32_t pending_n;
    uint32_t pending_gen; /* counts how often the pending runs were taken over by a slot */
};

struct bp_ring_slot {
    uint64_t start; /* in the data area, block-aligned */
    uint64_t size;
    uint64_t first_rseq; /* number of the first record in its lane */
    uint64_t committed;  /* bytes of whole records */
    uint32_t lane;
    uint32_t nruns;
    uint32_t last_run; /* the run that the newest record extends */
    uint32_t pad32;
    uint64_t pad[2];
};
static_assert(sizeof(struct bp_ring_slot) == 64, "one cache line");
static_assert(sizeof(struct bp_run) == BP_RUN_BYTES, "runs lie in the ring as they are");

enum { BP_RING_SLOTS = 1024 };

struct bp_ring {
    struct bp_ring_hdr *hdr;    /* start of the mapping; owned */
    struct bp_ring_slot *slots; /* BP_RING_SLOTS */
    struct bp_run *pending;
    uint8_t *data;
    size_t map_bytes;
    int fd;         /* -1 when the memory is anonymous */
    char path[512]; /* "" when anonymous */
};

/* Definitions, as kept in the ring so that kill -9 loses no channel. */
enum bp_def_kind { BP_DEF_SCHEMA = 1, BP_DEF_CHANNEL, BP_DEF_SOURCE };

/**
 * Makes the ring and locks it. With `path` NULL the memory is anonymous and survives nothing.
 * Memory is taken at once: a too small tmpfs says so now, not later by SIGBUS.
 *
 * @return 0, BP_EBUSY when another process has it, -EEXIST when an older ring lies there (recover
 *         it first), -ENOSPC, or an errno
 */
BP_MUST_CHECK int bp_ring_create(struct bp_ring *r, const char *path, const uint8_t session[16],
                                 uint64_t data_bytes, struct bp_error *err);

/**
 * Attaches a ring that a dead process left, for reading.
 *
 * @return 0; -ENOENT when there is none; -ESTALE when it is of an earlier boot or was never
 *         complete (it then counts as lost); BP_EBUSY while its owner lives
 */
BP_MUST_CHECK int bp_ring_attach(struct bp_ring *r, const char *path, struct bp_error *err);

/** Unmaps and unlocks; removes the file when `remove`. Copes with a zeroed struct. */
void bp_ring_done(struct bp_ring *r, bool remove);

/** Appends one definition. Any thread, one at a time. @return 0 or -errno */
int bp_ring_add_def(struct bp_ring *r, enum bp_def_kind kind, const void *p, size_t n);

/** Calls fn for each definition in order; stops on nonzero and returns it. */
int bp_ring_each_def(const struct bp_ring *r,
                     int (*fn)(void *ctx, enum bp_def_kind kind, const uint8_t *p, size_t n),
                     void *ctx);

static inline uint8_t *bp_ring_slot_base(const struct bp_ring *r, const struct bp_ring_slot *s) {
    return r->data + s->start;
}

static inline uint8_t *bp_ring_slot_records(const struct bp_ring *r, const struct bp_ring_slot *s) {
    return r->data + s->start + BP_CHUNK_HEAD;
}

/** Run i of a slot: they grow from its end downwards. */
static inline struct bp_run *bp_ring_slot_run(const struct bp_ring *r, const struct bp_ring_slot *s,
                                              uint32_t i) {
    return (struct bp_run *) (void *) (r->data + s->start + s->size) - 1 - i;
}

/** This boot's id, as the kernel tells it; "" when it does not. */
void bp_boot_id(char ret[static 40]);
