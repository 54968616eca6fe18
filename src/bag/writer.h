#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/io.h"
#include "base/time.h"

struct bp_keyring;

/* The write path of one session: receive threads -> ring -> chunks -> segments, with a journal for
 * what is not yet in a synced chunk. The protocol and its invariants are in
 * docs/design/write-path.md and at the top of writer.c; formats in docs/formats/.
 *
 * Threads: bp_writer_accept() from any number of receive threads, it never waits for a disk;
 * everything else from any thread. The writer, preparer and worker threads are its own. */
struct bp_writer;
struct bp_sign_key;

enum bp_compression { BP_COMPRESS_NONE, BP_COMPRESS_LZ4, BP_COMPRESS_ZSTD };
enum bp_durability_mode { BP_SYNC_FAST, BP_SYNC_COMMIT, BP_SYNC_STRICT };
enum bp_on_full { BP_FULL_WAIT, BP_FULL_STOP, BP_FULL_ROTATE };
enum bp_priority { BP_PRIORITY_LOW, BP_PRIORITY_NORMAL, BP_PRIORITY_HIGH };

/* Why a message that reached us was not accepted, or why one never reached us. */
enum bp_loss {
    BP_LOSS_TRANSPORT, /* sequence gap: sent, never reached us */
    BP_LOSS_RING,      /* ring too full for its priority */
    BP_LOSS_BUDGET,    /* its topic's own budget was used up */
    BP_LOSS_DISK,      /* no allocated space left on the disk */
    BP_LOSS_RATE,      /* --max-rate / --keep-every asked for it: not a loss, but counted */
    BP_LOSS_PAUSED,    /* recording was paused */
    BP_LOSS_BAD,       /* larger than can be stored, or malformed on the wire */
    BP_LOSS_CONTROL,   /* no message: a keyed instance was disposed of or unregistered */
    BP_LOSS_DEGRADED,  /* left out or thinned by its priority, as the host was at a limit */
    BP_LOSS_N_,
};

struct bp_writer_event {
    enum bp_writer_event_kind {
        BP_WRITER_SEGMENT_OPENED,
        BP_WRITER_SEGMENT_CLOSED,
        BP_WRITER_DISK_FULL, /* messages are refused from now on */
        BP_WRITER_DISK_BACK,
        BP_WRITER_IO_ERROR, /* text names operation, file and errno */
        BP_WRITER_NOTICE,   /* O_DIRECT refused, no tmpfs, clock step, … */
    } kind;
    const char *path; /* of the segment, or NULL */
    const char *text; /* a sentence, never NULL */
};

struct bp_writer_opts {
    const struct bp_io *io;  /* borrowed, constant; NULL = bp_io_posix */
    bool hide_names;         /* none in metadata.yaml and manifest.json; for sealed sessions */
    struct bp_keyring *seal; /* borrowed: seal segments and journal for these keys; NULL = plain */
    const char *dir;         /* the session folder; its base name is the session's name */
    uint64_t ring_bytes;     /* 0 = 256 MiB */
    const char *ring_dir;    /* tmpfs folder for the ring; NULL = /dev/shm; "" = no tmpfs ring */
    bp_ns_t commit_interval; /* 0 = 100 ms (flash profile: 1 s) */
    enum bp_durability_mode durability; /* BP_SYNC_COMMIT is what a user gets by default */
    enum bp_compression compression;
    int level;                  /* 0 = the codec's default (zstd 1, lz4 fast) */
    bool fast_preset;           /* zstd: level 1, targetLength 2, minMatch 5 */
    unsigned workers;           /* 0 = by cores, 1..16 */
    uint64_t chunk_bytes;       /* 0 = 4 MiB stored, 1 MiB compressed */
    uint64_t max_segment_bytes; /* 0 = 1 GiB; at least 1 MiB */
    bp_ns_t max_segment_ns;     /* 0 = no limit */
    uint64_t min_free;          /* UINT64_MAX = the smaller of 1 GiB and 5 % of the disk */
    enum bp_on_full on_full;
    enum bp_profile { BP_PROFILE_AUTO, BP_PROFILE_DISK, BP_PROFILE_FLASH } profile;
    const char *const *custom_data;   /* "key=value", NULL-terminated, or NULL */
    const struct bp_sign_key *signer; /* borrowed: signs manifest.json; NULL = unsigned */
    bool resume;                      /* `dir` is an interrupted session: recover it and go on */
    void (*event)(void *ctx, const struct bp_writer_event *e); /* own threads; may be NULL */
    void *ctx;
};

/**
 * Makes the session folder, with missing parents, and starts the threads.
 *
 * @return 0; -EEXIST when `dir` holds a finished session; BP_EBUSY when another process records
 *         into it; -ENOSPC when not even ring, journal and first segment fit; or an errno.
 */
BP_MUST_CHECK int bp_writer_open(const struct bp_writer_opts *o, struct bp_writer **ret,
                                 struct bp_error *err);

/** The session's id (ULID), as in manifest.json; of an interrupted one that goes on, the one it
 * had. */
const char *bp_writer_id(const struct bp_writer *w);

/* A channel = topic with type, as the MCAP file shows it. Strings are copied. */
struct bp_channel_def {
    const char *topic, *type;    /* ROS names */
    const char *schema_encoding; /* "ros2msg", "ros2idl", or "" when the definition is unknown */
    struct bp_str schema;        /* definition text, may be empty */
    const char *type_hash;       /* "RIHS01_…" or "" */
    const char *qos_yaml;        /* offered_qos_profiles */
    const char *robot, *ns;      /* or "" */
    uint32_t domain;
    const char *original_topic; /* when renamed because two robots share a name, else NULL */
    bool keyed;                 /* the DDS topic has keys */
    enum bp_priority priority;
    uint64_t budget_bytes;  /* of the ring; 0 = no own limit */
    uint32_t latched_depth; /* > 0: keep that many last messages per writer and repeat
                               them at the head of each later segment */
    bool sync_first;        /* reserved, false */
};

/** Adds a channel at any time. @return its id from 1, or -ENOSPC (65,535 reached), -ENOMEM. */
int bp_writer_channel(struct bp_writer *w, const struct bp_channel_def *d, struct bp_error *err);

/** The offered QoS or the definition of a channel became known; goes into later segments. */
int bp_writer_channel_update(struct bp_writer *w, uint16_t channel, const struct bp_channel_def *d);

/* A source = one DDS writer on one channel: the unit of the ledger. */
struct bp_source_def {
    uint16_t channel;
    uint8_t guid[16];
    uint16_t vendor;
    const char *node; /* or "" */
};

/** Adds or finds (same guid and channel, also from before a crash). @return index >= 0 or -errno */
int bp_writer_source(struct bp_writer *w, const struct bp_source_def *d, struct bp_error *err);
/** Nothing more comes from this source: its index may be forgotten once all of it is on disk, and
 * is not used again. Sources of latched channels stay. Should its GUID come back after all, it is
 * registered again with bp_writer_source(), and what was missed meanwhile is ledgered. */
void bp_writer_source_gone(struct bp_writer *w, uint32_t source);

struct bp_accept {
    uint32_t source;    /* from bp_writer_source() */
    uint64_t seq;       /* RTPS sequence number; gaps against the source's last are ledgered here */
    bp_ns_t log_ns;     /* receive time, wall */
    bp_ns_t publish_ns; /* source time, wall */
    uint32_t size;
    void (*copy)(const void *ctx, uint8_t *dst); /* writes exactly `size` bytes */
    const void *ctx;
};

/**
 * Takes one message into the ring. Receive threads; never blocks on a disk, allocates nothing.
 * A sequence number at or below one already seen is dropped as a duplicate (returns 1) unless it
 * fills a gap.
 *
 * @return 0 accepted; 1 duplicate; -ENOBUFS ring, -EDQUOT topic budget, -ENOSPC disk,
 *         -EMSGSIZE too large: refused, and noted in the ledger.
 */
int bp_writer_accept(struct bp_writer *w, const struct bp_accept *m);

/** Notes messages that were deliberately or unavoidably not accepted: seq first..last. */
void bp_writer_note_loss(struct bp_writer *w, uint32_t source, enum bp_loss why, uint64_t first,
                         uint64_t last);

/**
 * Appends a metadata record (name, then key/value pairs ending with NULL) to the open segment.
 *
 * It is durable one commit interval later, whatever a disk refuses in between: it is kept until it
 * was synced. Unlike a message it is in no ring, so kill -9 within that interval loses it.
 *
 * @return 0 or -ENOMEM
 */
int bp_writer_mark(struct bp_writer *w, const char *name, const char *const *kv);

/** Stores chunks as they are from now on, whatever codec was asked for, or compresses again. Any
 *  thread. */
void bp_writer_set_plain(struct bp_writer *w, bool plain);

/** Starts a new segment at the next group. */
void bp_writer_split(struct bp_writer *w);

struct bp_writer_stats {
    uint64_t messages, bytes; /* accepted since open */
    uint64_t lost[BP_LOSS_N_];
    uint64_t file_bytes; /* written to segments, all of the session */
    uint64_t ring_used, ring_size, ring_max;
    uint64_t disk_free;
    uint32_t segments;
    bp_ns_t durable_wall_ns; /* everything accepted before this is durable */
    bp_ns_t ticked_mono;     /* when the writer thread last came around its loop */
    uint64_t commits, journal_frames, journal_bytes, forced, rewrites, plain_chunks;
    bp_ns_t commit_p50, commit_p99, commit_max;
    bool disk_full, on_tmpfs, o_direct;
    char segment[256]; /* base name of the current one */
};
void bp_writer_stats(struct bp_writer *w, struct bp_writer_stats *ret);

/* Per channel, for the live table. */
struct bp_channel_stats {
    uint64_t messages, bytes, lost[BP_LOSS_N_];
};
int bp_writer_channel_stats(struct bp_writer *w, uint16_t channel, struct bp_channel_stats *ret);

/**
 * Writes what was accepted, syncs, closes segments, writes metadata.yaml and manifest.json, removes
 * ring and journal. Takes NULL.
 *
 * @return 0, or the error that kept something from the disk; nothing accepted is thrown away: the
 *         folder then is an interrupted session that `recover` completes.
 */
int bp_writer_close(struct bp_writer *w, struct bp_error *err);
