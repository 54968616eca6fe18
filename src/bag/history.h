#pragma once

#include "bag/writer.h"

/* The history: what was received lately, so that a snapshot can save what came before a fault. A
 * fixed stretch of memory holds the newest messages; on demand they go on to files of a bounded
 * size, which outlive the process (docs/formats/history.md). Nobody reads it but readers that
 * follow it: a snapshot reads from the moment it wants on, and goes on reading what arrives, so
 * there is no seam between "before" and "after".
 *
 * Threads: bp_history_accept() and bp_history_note_loss() from any number of receive threads: a
 * short lock to reserve room, the copy outside of it, no allocation, no disk. A reader belongs to
 * one thread; everything else from any thread. */
struct bp_history_store;

struct bp_history_opts {
    uint64_t max_bytes; /* of memory, all reserved at open; 1 MiB at least */
    bp_ns_t max_ns;     /* older blocks are let go; 0 = by bytes alone */

    const char *dir;         /* of the files, made when missing; NULL = memory alone */
    uint64_t disk_max_bytes; /* of all files; 16 MiB at least */
    bp_ns_t disk_max_ns;     /* older files are removed; 0 = by bytes alone */
    bp_ns_t write_interval;  /* how often memory goes to files; 0 = 100 ms: what kill -9 may lose */
    bp_ns_t sync_interval;   /* how often files are synced; 0 = 1 s: what a power cut may lose */
    const struct bp_io *io;  /* borrowed, constant; NULL = bp_io_posix */
    struct bp_keyring *seal; /* whom files are sealed to, and what reads those that are; borrowed;
                                NULL = in the clear */
    void (*notice)(void *ctx, const char *text); /* own thread, or at open; may be NULL */
    void *ctx;
};

/**
 * Reserves the memory, and takes up the files of an earlier life: what is whole in them is part of
 * the history.
 *
 * @return 0, -ENOMEM, -EINVAL for limits that are too small, BP_EBUSY when another process has the
 *         files, or an errno of the files
 */
BP_MUST_CHECK int bp_history_open(const struct bp_history_opts *o, struct bp_history_store **ret,
                                  struct bp_error *err);
/** Writes what memory still holds to the files, if there are any. Readers must be closed. Takes
 *  NULL. */
void bp_history_close(struct bp_history_store *h);
BP_DEFINE_CLEANUP(struct bp_history_store, bp_history_close)

/* ---- what is received; as in bag/writer.h ---- */

/** Adds or finds a channel. @return its id from 1, or -ENOSPC, -ENOMEM */
int bp_history_channel(struct bp_history_store *h, const struct bp_channel_def *d,
                       struct bp_error *err);
int bp_history_channel_update(struct bp_history_store *h, uint16_t channel,
                              const struct bp_channel_def *d);
/** Adds or finds (same guid and channel, also from an earlier life). @return index or negative */
int bp_history_source(struct bp_history_store *h, const struct bp_source_def *d,
                      struct bp_error *err);

/**
 * Keeps one message; the oldest ones make room.
 *
 * @return 0; -ENOBUFS when the oldest block is being read just now, -EMSGSIZE when it is larger
 * than a quarter of the memory: both are kept as losses; -EINVAL: no such source
 */
int bp_history_accept(struct bp_history_store *h, const struct bp_accept *m);
void bp_history_note_loss(struct bp_history_store *h, uint32_t source, enum bp_loss why,
                          uint64_t first, uint64_t last);

/** Lets go of what is too old even when nothing arrives; called about once a second. */
void bp_history_tick(struct bp_history_store *h);

/* ---- what it holds ---- */

struct bp_history_stats {
    uint64_t memory_bytes, memory_used; /* size; in blocks that are held */
    uint64_t held;                      /* messages in memory */
    uint64_t messages, bytes;           /* accepted since open */
    uint64_t evicted, dropped;          /* messages let go since open; refused */
    uint64_t latched, latched_bytes;    /* kept beside the blocks */
    bp_ns_t oldest_ns, newest_ns;       /* log times in memory; 0 = empty */
    bool on_disk;
    uint64_t disk_bytes, disk_files;     /* files that are held */
    uint64_t disk_written, disk_removed; /* bytes since open */
    uint64_t disk_missed;                /* entries that were let go before they were written */
    uint64_t disk_locked;   /* of the files: sealed by an earlier life, nothing here opens them */
    bp_ns_t disk_oldest_ns; /* log time of what can be read; 0 = empty */
    int disk_error;         /* what keeps it from writing, 0 = nothing */
    uint32_t channels, sources;
};
void bp_history_stats(struct bp_history_store *h, struct bp_history_stats *ret);

struct bp_history_topic {
    uint64_t messages, bytes; /* accepted since open */
    bp_ns_t last_ns;
};
/** Counts of a channel, or zeros. */
void bp_history_channel_stats(struct bp_history_store *h, uint16_t channel,
                              struct bp_history_topic *ret);

/* A source with its channel, copied out. Zero-initialise; texts point into `memory`. */
struct bp_history_source_info {
    struct bp_channel_def channel;
    struct bp_source_def source; /* `channel` is that of the history */
    uint64_t version;            /* of the channel's definition: it changed when this did */
    struct bp_buf memory;        /* owned */
};
void bp_history_source_info_done(struct bp_history_source_info *i);
/** @return 0, -ENOENT, -ENOMEM */
BP_MUST_CHECK int bp_history_describe(struct bp_history_store *h, uint32_t source,
                                      struct bp_history_source_info *ret);
/** The channel's version alone: cheap. 0 = no such source. */
uint64_t bp_history_version(struct bp_history_store *h, uint32_t source);

/* ---- reading ---- */

struct bp_history_reader;

enum bp_history_kind {
    BP_HISTORY_MESSAGE,
    BP_HISTORY_LOSS,    /* numbers `seq` to `last` were noted with cause `why` */
    BP_HISTORY_LATCHED, /* a latched message from before the start: state, not an event */
    BP_HISTORY_MISSED,  /* `last` entries were let go before this reader came to them */
};

struct bp_history_entry {
    enum bp_history_kind kind;
    uint32_t source;
    uint64_t seq, last;
    enum bp_loss why;
    bp_ns_t log_ns, publish_ns;
    bp_ns_t mono_ns; /* log time by the monotonic clock: steps of the wall clock do not matter */
    uint32_t size;
    const uint8_t *data; /* borrowed until the next call */
};

/** What a wall time of now is on the monotonic clock of entries: exact while the clock is not put.
 */
bp_ns_t bp_history_mono(struct bp_history_store *h, bp_ns_t wall_ns);

/**
 * Begins to read: first latched messages older than `from_mono`, then every entry in the order of
 * arrival, for ever. The first ones may be a little older: a block is found, not an entry.
 *
 * @return 0, -ENOMEM
 */
BP_MUST_CHECK int bp_history_read(struct bp_history_store *h, bp_ns_t from_mono,
                                  struct bp_history_reader **ret, struct bp_error *err);
/** @return 1 and an entry, 0: no more for now, or negative: memory, or a file that cannot be read
 *  (what is behind it can be: call again) */
int bp_history_next(struct bp_history_reader *r, struct bp_history_entry *ret);
/** Losses that wait for their source's next message are told to readers from now on. */
void bp_history_flush(struct bp_history_store *h);
/** Takes NULL. */
void bp_history_reader_close(struct bp_history_reader *r);
BP_DEFINE_CLEANUP(struct bp_history_reader, bp_history_reader_close)
