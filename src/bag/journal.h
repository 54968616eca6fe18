#pragma once

#include <stdbool.h>

#include "bag/group.h"
#include "bag/sealed.h"
#include "base/io.h"

/* The journal: what was accepted and is in no synced chunk, for the case that power fails. A file
 * of fixed size, written with zeros once, so that later writes change no metadata; then frames on
 * 4 KiB boundaries, round and round, each written with O_DIRECT|O_DSYNC in one go. A frame may be
 * overwritten only when its slot is durable in a segment. No header, no pointers: recovery scans
 * all of it and believes what passes its checksums. Layout: docs/formats/journal.md.
 * Not for several threads. */

struct bp_frame {
    uint8_t session[16];
    uint64_t number; /* 1, 2, 3 … */
    uint64_t slot;   /* the ring slot it is a copy of */
    uint64_t first_rseq;
    uint32_t count, lane;
    uint64_t records_bytes;
    uint32_t runs_bytes;
    bp_ns_t wall_ns;
    const uint8_t *records, *runs; /* borrowed */
};

struct bp_journal_entry {
    uint64_t at, len, slot;
};

struct bp_journal {
    const struct bp_io *io; /* borrowed */
    char path[1024];
    int fd;
    bool direct, sync_each; /* else only into the page cache; see bp_journal_sync() */
    bool dead;              /* [atomic] a write failed: nothing more goes into this file */
    bool unsynced;          /* [atomic] */
    uint8_t session[16];
    uint64_t size, pos, number;
    uint64_t first;         /* where frames may begin */
    uint64_t bytes, frames; /* written, for the statistics */
    struct bp_journal_entry *live;
    size_t nlive, cap;
    uint8_t *buf; /* block-aligned */
    size_t buf_cap;
    struct bp_sealed *sealed; /* owned; NULL = frames in the clear */
    uint8_t *out;             /* block-aligned: a sealed frame */
    size_t out_cap;
};

/**
 * Makes the file and fills it with zeros, or takes over one that lies there with enough bytes.
 *
 * @param direct     O_DIRECT works in this folder
 * @param sync_each  each frame is durable when bp_journal_append() returns
 * @param seal       frames are sealed one by one for these keys; NULL = not
 */
BP_MUST_CHECK int bp_journal_open(struct bp_journal *j, const struct bp_io *io, const char *path,
                                  const uint8_t session[16], uint64_t size, bool direct,
                                  bool sync_each, struct bp_keyring *seal, struct bp_error *err);
/** Closes; removes the file when `remove`. Copes with a zeroed struct. */
void bp_journal_done(struct bp_journal *j, bool remove);

/** @return 0; -ENOSPC when no room is free of live frames; the errno of a failed write, after which
 *          the journal is dead */
int bp_journal_append(struct bp_journal *j, const struct bp_frame *f);

/** Any thread. */
static inline bool bp_journal_is_dead(const struct bp_journal *j) {
    return __atomic_load_n(&j->dead, __ATOMIC_RELAXED);
}

/** Makes appended frames durable where they are not by themselves. May run beside an append. */
int bp_journal_sync(struct bp_journal *j);

/** Lets go of the frames of slots for which `dead` answers true. */
void bp_journal_release(struct bp_journal *j, bool (*dead)(void *ctx, uint64_t slot), void *ctx);

/**
 * Opens the frames of a sealed journal: replaces its bytes by what they would be in the clear.
 *
 * @param p  heap; replaced
 * @return 0 (also when it is not sealed), BP_EKEY, BP_ECORRUPT, -ENOMEM
 */
BP_MUST_CHECK int bp_journal_unseal(char **p, size_t *n, struct bp_keyring *keys);

/**
 * Finds every frame whose checksums are right in the n bytes of a journal.
 *
 * @param session  only frames of it; NULL = any
 * @param fn       frame with pointers into p; nonzero stops
 */
int bp_journal_scan(const uint8_t *p, size_t n, const uint8_t *session,
                    int (*fn)(void *ctx, const struct bp_frame *f), void *ctx);
