#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"
#include "wire/qos.h"

/* Reading recordings: ours, rosbag2 MCAP and sqlite3 (v2-v4, file- and message-zstd), foreign MCAP.
 * One owner thread per bp_bag and its iterators. */
struct bp_bag;
struct bp_bag_iter;

struct bp_bag_channel {
    uint32_t index; /* 0.. within this bp_bag */
    const char *topic, *type;
    const char *message_encoding, *schema_encoding;
    struct bp_str schema;               /* definition text; empty when unknown */
    const char *type_hash;              /* "RIHS01_…" or "" */
    const char *qos_yaml;               /* offered_qos_profiles or "" */
    const char *robot, *original_topic; /* or "" */
    uint32_t domain;
    bool keyed;        /* its DDS topic has keys, as far as the recording says */
    uint64_t messages; /* from statistics, or counted; see bp_bag_info */
    uint64_t repeated; /* of them, latched ones repeated at segment heads */
};

struct bp_bag_file {
    const char *path; /* as opened */
    uint64_t bytes;
    uint64_t messages;
    bp_ns_t start_ns, end_ns; /* log time; 0/0 when empty */
    bool indexed;             /* has a usable summary */
};

struct bp_bag_info {
    const char *path;        /* as given */
    const char *storage;     /* "mcap" or "sqlite3" */
    const char *compression; /* "", "zstd", "lz4", "mixed" */
    uint64_t messages, repeated, bytes;
    uint64_t chunk_raw_bytes, chunk_stored_bytes; /* for the compression ratio */
    bp_ns_t start_ns, end_ns;
    size_t nchannels, nfiles;
    bool complete;          /* every file has its summary and matches metadata.yaml, if any */
    const char *ros_distro; /* or "" */
    int metadata_version;   /* of metadata.yaml; 0 = there was none */
};

/**
 * Opens files, session folders or folders of sessions, in any mix, as one recording merged by log
 * time. A path inside a `.damaged` folder is never picked up by itself.
 *
 * @return 0, -ENOENT, BP_EFORMAT, BP_ECORRUPT, …; the error names the file and place
 */
BP_MUST_CHECK int bp_bag_open(const char *const *paths, size_t n, struct bp_bag **ret,
                              struct bp_error *err);
void bp_bag_close(struct bp_bag *b);
BP_DEFINE_CLEANUP(struct bp_bag, bp_bag_close)

const struct bp_bag_info *bp_bag_get_info(const struct bp_bag *b);
const struct bp_bag_channel *bp_bag_channel(const struct bp_bag *b, size_t i);
const struct bp_bag_file *bp_bag_file(const struct bp_bag *b, size_t i);

/** Calls fn for each metadata record (name, key, value triples) in file order; stops on nonzero. */
int bp_bag_metadata(struct bp_bag *b,
                    int (*fn)(void *ctx, const char *name, struct bp_str key, struct bp_str value),
                    void *ctx, struct bp_error *err);

struct bp_bag_msg {
    const struct bp_bag_channel *channel;
    bp_ns_t log_ns, publish_ns;
    uint32_t sequence;
    const uint8_t *data; /* borrowed until the next call on the iterator */
    size_t size;
    bool repeated; /* a latched message repeated at a segment's head */
};

struct bp_bag_filter {
    const bool *channels;   /* by index, or NULL for all */
    bp_ns_t from_ns, to_ns; /* log time, [from, to); 0/0 = all */
    bool file_order;        /* as stored, instead of merged by log time */
    bool lenient;           /* skip damaged chunks (counted) instead of failing */
    bool skip_repeated;
    bool no_crc; /* do not check chunk CRCs */
};

BP_MUST_CHECK int bp_bag_iterate(struct bp_bag *b, const struct bp_bag_filter *f,
                                 struct bp_bag_iter **ret, struct bp_error *err);
/** @return 1 and a message, 0 at the end, or a negative code (BP_ECORRUPT with file and offset) */
int bp_bag_next(struct bp_bag_iter *it, struct bp_bag_msg *ret, struct bp_error *err);
/** Chunks and bytes skipped so far by `lenient`. */
void bp_bag_skipped(const struct bp_bag_iter *it, uint64_t *chunks, uint64_t *bytes);
void bp_bag_iter_free(struct bp_bag_iter *it);
BP_DEFINE_CLEANUP(struct bp_bag_iter, bp_bag_iter_free)
