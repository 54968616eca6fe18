#pragma once

#include "bag/history-frame.h"
#include "bag/history-priv.h"

/* The history's files, see history-disk.c. */
struct disk;

int bp_history_disk_open(struct bp_history_store *h, struct disk **ret, struct bp_error *err);
/** Writes what memory holds. Takes NULL. */
void bp_history_disk_close(struct disk *d);
void bp_history_disk_stats(struct disk *d, struct bp_history_stats *st);

/* A place in the files, of one reader. Zero-initialise. */
struct disk_cursor {
    uint32_t file; /* number of the file it reads; 0 = none yet */
    int fd;        /* of it + 1; 0 = not open */
    uint64_t off;  /* of the next frame */
    uint64_t run;  /* index of the file's run */
    uint8_t *p;    /* owned: payload of the frame it reads */
    size_t cap;
};
void bp_history_disk_cursor_done(struct disk *d, struct disk_cursor *c);

/** Number of the first entry in files that may be at `from_mono` or later; 0 = none at all. */
uint64_t bp_history_disk_find(struct disk *d, bp_ns_t from_mono);
/**
 * The first frame that ends behind entry `at`.
 *
 * @param ret          the frame; its payload is in the cursor
 * @return 1, 0: no such frame (yet), or what kept it from being read (the cursor is behind it)
 */
int bp_history_disk_next(struct disk *d, struct disk_cursor *c, uint64_t at, struct bp_hframe *ret);
/** The history's source for that of the cursor's file, or -ENOENT. */
int64_t bp_history_disk_source(struct disk *d, const struct disk_cursor *c, uint32_t source);
/** wall minus mono clock of the frame's entries, as this process counts. */
bp_ns_t bp_history_disk_offset(struct disk *d, const struct disk_cursor *c,
                               const struct bp_hframe *f);
/** State at `from_mono` as files know it: a list as `kept`. @return 1, 0: files do not reach back
 * so far, -ENOMEM */
int bp_history_disk_latched(struct disk *d, bp_ns_t from_mono, struct kept **ret);
