#pragma once

#include "bag/manifest.h"
#include "bag/segment.h"
#include "crypt/sign.h"

/* What the folder's own files say: metadata.yaml, which makes it a rosbag2 recording, and
 * manifest.json. Gathered segment by segment while recording, or from the segments' summaries
 * afterwards. Not for several threads. */

struct bp_folder_file {
    char file[256];
    bp_ns_t start_ns, end_ns;
    uint64_t messages, repeated, bytes;
    char sha256[65];  /* "" = not known yet */
    bool rewritten;   /* by this recovery: what was known of its bytes is of others */
    uint64_t *counts; /* messages by topic, ncounts of them; owned */
    size_t ncounts;
};

struct bp_folder_topic {
    char *topic, *type, *type_hash, *qos, *robot; /* owned */
    uint32_t domain;
    uint64_t messages;
};

/* What became of a topic's messages from sources whose entries are gone. */
struct bp_folder_sum {
    char *topic; /* owned */
    uint64_t received, lost[BP_LOSS_N_];
};

struct bp_folder {
    char dir[1024], name[256], id[27];
    bp_ns_t created_ns;
    enum bp_durability_mode durability;
    bp_ns_t commit_interval;
    bool hide_names;           /* topics, types and robots go into neither of the two files */
    const char *const *custom; /* "key=value", borrowed; or NULL */
    struct bp_folder_file *files;
    size_t nfiles;
    struct bp_folder_topic *topics;
    size_t ntopics;
    struct bp_ledger ledger;
    struct bp_folder_sum *sums; /* what bp_folder_fold() took out of the ledger; owned */
    size_t nsums;
    struct bp_manifest past;           /* recoveries and clock steps to carry on; owned */
    const struct bp_sign_key *signer;  /* borrowed: manifest.sig is written; NULL = it is not */
    uint64_t gone;                     /* segments that were deleted to make room */
    uint8_t gone_chain[BP_SHA256_LEN]; /* chain over them; zeros at 0 */
};

/** Zeroes, sets names; the id is a new one. */
int bp_folder_init(struct bp_folder *f, const char *dir);
void bp_folder_done(struct bp_folder *f);

/** Adds a finished segment (written just now, or loaded). @return 0 or -ENOMEM */
int bp_folder_add(struct bp_folder *f, const struct bp_segment *s);
/**
 * Makes sums of those sources that none of the last segments tells of. While recording only: the
 * ledger then no longer knows which numbers there were, the segments do.
 *
 * @return 0 or -ENOMEM, with nothing lost
 */
int bp_folder_fold(struct bp_folder *f);
/** Takes the oldest file out, and its messages off the topics; the ledger keeps them. */
void bp_folder_drop_first(struct bp_folder *f);

/** Channels without messages are shown, too. */
int bp_folder_add_channels(struct bp_folder *f, const struct bp_defs *defs);

/**
 * Makes the sum of a folder's finished segments, and takes id, recoveries and steps from its
 * manifest, if it has one.
 *
 * @return 0, BP_ECORRUPT when one of them is not finished, or an errno
 */
int bp_folder_load(struct bp_folder *f, const struct bp_io *io, const char *dir,
                   struct bp_error *err);

/** In all files, repeated ones too. */
uint64_t bp_folder_messages(const struct bp_folder *f);

int bp_folder_write_metadata(struct bp_folder *f, const struct bp_io *io, struct bp_error *err);

/** Hashes files that are not hashed yet. @return 0, -ECANCELED, or an errno */
int bp_folder_hash(struct bp_folder *f, const struct bp_io *io,
                   int (*progress)(void *ctx, uint64_t bytes), void *ctx, struct bp_error *err);
/**
 * Signs with `key` from now on, if the recording has been signed with it from its start (NULL: not
 * at all). Digests that were signed are taken from manifest.sig and not made from the files, so
 * that nobody who puts a recording here, or changes one after a crash, gets it signed.
 *
 * @param notes  gets a line for each segment that is no longer as it was signed, and one when
 *               nothing is signed any more
 * @return 0 or -ENOMEM
 */
int bp_folder_sign_with(struct bp_folder *f, const struct bp_io *io, const struct bp_sign_key *key,
                        struct bp_buf *notes, struct bp_error *err);
/** Writes manifest.sig over the files that are hashed, up to the first that is not; nothing without
 *  a signer. @param manifest  SHA-256 of manifest.json when the recording has ended, else NULL */
int bp_folder_prove(struct bp_folder *f, const struct bp_io *io, const uint8_t *manifest,
                    struct bp_error *err);
/** With a signer it hashes what is not hashed yet, and signs. */
int bp_folder_write_manifest(struct bp_folder *f, const struct bp_io *io, struct bp_error *err);
