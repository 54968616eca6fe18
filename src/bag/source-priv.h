#pragma once

#include "bag/reader.h"

/* One file of a recording behind a table of operations, so that MCAP and sqlite3 (and later remote
 * files) look alike to the bag above, which merges them. A source belongs to one thread. */

/* A channel as its file tells it. Strings are owned by the source. */
struct bp_source_channel {
    const char *topic, *type, *message_encoding, *schema_encoding;
    struct bp_str schema;
    const char *type_hash, *qos_yaml, *robot, *original_topic;
    uint32_t domain;
    bool keyed;
    uint64_t messages, repeated;
};

/* Head of every source; a kind embeds it first. The fields are filled by open. */
struct bp_source {
    const struct bp_source_ops *ops;
    struct bp_bag_file file;            /* path borrowed from the bag */
    struct bp_source_channel *channels; /* owned by the source */
    size_t nchannels;
    uint64_t repeated;
    uint64_t chunk_raw, chunk_stored;
    const char *compression; /* "", "lz4", "zstd", "mixed" */
    bool message_zstd;       /* each payload is a zstd frame (rosbag2's message mode) */
    const char *ros_distro;  /* or "" */
};

struct bp_source_filter {
    const bool *channels; /* by index in the source; never NULL */
    uint64_t from, to;    /* log time, [from, to) */
    bool file_order, lenient, no_crc;
};

struct bp_source_msg {
    uint32_t channel; /* index in the source */
    bp_ns_t log_ns, publish_ns;
    uint32_t sequence;
    const uint8_t *data; /* borrowed until the next call on the iterator */
    size_t size;
    bool repeated;
};

struct bp_source_iter; /* of the kind's own making */

struct bp_source_ops {
    const char *storage; /* "mcap", "sqlite3" */
    /* True when a file with these first bytes is ours. */
    bool (*probe)(const uint8_t *head, size_t n);
    int (*open)(const char *path, struct bp_source **ret, struct bp_error *err);
    void (*close)(struct bp_source *s);
    int (*metadata)(struct bp_source *s,
                    int (*fn)(void *ctx, const char *name, struct bp_str key, struct bp_str value),
                    void *ctx, struct bp_error *err);
    int (*iterate)(struct bp_source *s, const struct bp_source_filter *f,
                   struct bp_source_iter **ret, struct bp_error *err);
    /* 1 and a message in log-time (or file) order, 0 at the end, negative code. */
    int (*next)(struct bp_source_iter *it, struct bp_source_msg *ret, struct bp_error *err);
    void (*skipped)(const struct bp_source_iter *it, uint64_t *chunks, uint64_t *bytes);
    void (*iter_free)(struct bp_source_iter *it);
};

extern const struct bp_source_ops bp_source_mcap;
extern const struct bp_source_ops bp_source_sqlite;
/* A zstd-compressed file of either kind: probe and open only. */
extern const struct bp_source_ops bp_source_zstd;

/**
 * sqlite's own check of a database and its indexes, page by page.
 *
 * @param fn       called per fault with sqlite's words
 * @param step_fn  called many times a second; not 0: it ends
 * @return 0, or BP_ECORRUPT when the check itself could not go on
 */
int sqlite_integrity(struct bp_source *s, void (*fn)(void *ctx, const char *fault),
                     int (*step_fn)(void *ctx), void *ctx, struct bp_error *err);
