#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/io.h"
#include "base/time.h"
#include "wire/qos.h"

/* metadata.yaml of a rosbag2 folder: versions 2 to 9 are read, 9 is written. The versions and what
 * each added are in docs/formats/session.md. One owner thread; all strings are owned by the struct
 * and never NULL in what a function here made. */

#define BP_METADATA_FILE "metadata.yaml"

enum { BP_METADATA_VERSION = 9, BP_METADATA_BYTES_MAX = 64 << 20 };

/* starting_time of a recording without messages, as rosbag2 writes it. */
#define BP_METADATA_NO_START INT64_MAX

struct bp_metadata_topic {
    char *name, *type;
    char *serialization_format; /* "cdr" */
    char *type_hash;            /* "RIHS01_…" or "" */
    struct bp_qos *qos;         /* offered profiles */
    size_t nqos;
    uint64_t messages;
};

struct bp_metadata_file {
    char *path; /* relative to the folder */
    bp_ns_t start_ns, duration_ns;
    uint64_t messages;
};

struct bp_metadata_pair {
    char *key, *value;
};

/* Zero-initialise to build one; the zeroed struct is released by bp_metadata_done() too. */
struct bp_metadata {
    int version;   /* as read; writing always makes 9 */
    char *storage; /* storage_identifier: "mcap", "sqlite3"; "" after a careless reindex */
    bp_ns_t start_ns, duration_ns;
    uint64_t messages;
    struct bp_metadata_topic *topics;
    size_t ntopics;
    char *compression_format, *compression_mode; /* "" or "zstd", "" or "FILE" or "MESSAGE" */
    char **paths;                                /* relative_file_paths */
    size_t npaths;
    struct bp_metadata_file *files; /* none before version 5 */
    size_t nfiles;
    struct bp_metadata_pair *custom;
    size_t ncustom;
    char *ros_distro;
};

/** Frees what the struct owns and zeroes it. Takes NULL. */
void bp_metadata_done(struct bp_metadata *m);
#define BP_AUTO_METADATA BP_CLEANUP(bp_metadata_done) struct bp_metadata

/* ---- reading ---- */

/**
 * @param yaml  the file's content, or the text of an MCAP `rosbag2` metadata record (the same
 *              without the outer key)
 * @param name  of the file, for errors
 * @return 0, BP_EFORMAT with file, line, key and remedy, BP_ELIMIT, -ENOMEM
 */
BP_MUST_CHECK int bp_metadata_parse(struct bp_str yaml, const char *name, struct bp_metadata *ret,
                                    struct bp_error *err);

/** Reads `dir`/metadata.yaml. @return as above, or -ENOENT and other errnos of the file. */
BP_MUST_CHECK int bp_metadata_read(const struct bp_io *io, const char *dir, struct bp_metadata *ret,
                                   struct bp_error *err);

/* ---- building: strings are copied; 0 or -ENOMEM ---- */

/** `storage` "mcap"; `ros_distro` may be "" and so may the compression words. */
BP_MUST_CHECK int bp_metadata_init(struct bp_metadata *m, const char *storage,
                                   const char *ros_distro);
/** @param qos_yaml  offered_qos_profiles as in the channel ("" = none); what cannot be understood
 *                   is left out, so that one strange QoS never costs a recording its metadata */
BP_MUST_CHECK int bp_metadata_add_topic(struct bp_metadata *m, const char *name, const char *type,
                                        const char *serialization_format, const char *type_hash,
                                        const char *qos_yaml, uint64_t messages);
/** Adds to relative_file_paths and files; start 0, duration 0 when it holds no message. */
BP_MUST_CHECK int bp_metadata_add_file(struct bp_metadata *m, const char *path, bp_ns_t start_ns,
                                       bp_ns_t end_ns, uint64_t messages);
BP_MUST_CHECK int bp_metadata_add_custom(struct bp_metadata *m, const char *key, const char *value);
/** Makes start, duration and message count of the whole from its files. */
void bp_metadata_sum_files(struct bp_metadata *m);

/* ---- writing ---- */

/**
 * Appends version 9, byte for byte in rosbag2's layout.
 *
 * @param inner  without the outer `rosbag2_bagfile_information:`, as the `serialized_metadata` of
 *               an MCAP metadata record holds it
 * @return 0 or -ENOMEM
 */
BP_MUST_CHECK int bp_metadata_format(const struct bp_metadata *m, bool inner, struct bp_buf *out);

/** Replaces `dir`/metadata.yaml whole, also across a power cut. @return 0 or an errno */
BP_MUST_CHECK int bp_metadata_write(const struct bp_io *io, const char *dir,
                                    const struct bp_metadata *m, struct bp_error *err);
