#pragma once

#include <stdatomic.h>

#include "bag/ledger.h"
#include "bag/metadata.h"
#include "bag/sealed-file.h"
#include "bag/verify.h"
#include "base/buf.h"
#include "base/compress.h"
#include "wire/mcap.h"

struct verify {
    const struct bp_verify_opts *o;
    struct bp_verify_result *ret;
    unsigned threads;
    uint64_t done, total; /* bytes, for progress */
    atomic_bool cancelled;
};

/** Counts and reports one finding. */
void verify_finding(struct verify *v, enum bp_finding_level level, const char *path, bool at_byte,
                    uint64_t offset, const char *text, const char *remedy);
/** The same for what is not as it was signed. */
void verify_unproven(struct verify *v, const char *path, const char *text);
void verify_progress(struct verify *v, uint64_t bytes);
/** Was it told to end? Any thread. */
static inline bool verify_is_cancelled(const struct verify *v) {
    return atomic_load_explicit(&v->cancelled, memory_order_relaxed);
}

/* What a file turned out to hold, for comparison with metadata.yaml and manifest. */
struct verify_topic {
    char *topic, *type; /* owned */
    uint64_t messages, repeated;
};

struct verify_file {
    const char *path; /* borrowed */
    uint64_t bytes, messages, repeated;
    bp_ns_t start_ns, end_ns; /* 0, 0 without messages */
    struct verify_topic *topics;
    size_t ntopics;
    char sha256[65];         /* when it was asked for */
    bool proven;             /* it is one of those that were signed */
    bool damaged;            /* counts may be short */
    bool blind;              /* sealed, and no key opens it: nothing in it is counted */
    bool ours, has_ledger;   /* groups end in commits; a ledger was read */
    bool no_magic;           /* damaged at its very start: readers refuse it, recover does not */
    bool recovered;          /* parts of it are known to be missing */
    struct bp_ledger ledger; /* of this file */
};
void verify_file_done(struct verify_file *f);
/** Adds to the counts of a topic. @return 0 or -ENOMEM */
int verify_file_count(struct verify_file *f, const char *topic, const char *type, uint64_t messages,
                      uint64_t repeated);

/* A folder, once its files were read; what verify-proof.c needs of it. */
struct bp_manifest;
struct verify_folder {
    const char *path;
    struct verify_file *files;
    size_t nfiles;
    const struct bp_manifest *manifest; /* NULL when there is none, or it cannot be read */
    bool has_manifest_file, interrupted;
};
/** What was signed (proof.h), read before the files are. @param r  of bp_proof_read() */
struct bp_proof;
/** Compares with what was signed. */
void verify_proof(struct verify *v, const struct verify_folder *d, const struct bp_proof *p, int r,
                  const char *why);

/* ---- one unit of an MCAP file: at most one chunk with what follows it (verify-unit.c) ---- */

struct unit_note { /* a finding, kept until its unit's turn */
    enum bp_finding_level level;
    uint64_t offset;
    char text[200];
    const char *remedy; /* static */
};

struct unit_count { /* messages of one channel */
    uint16_t id;
    uint64_t messages, seq_sum; /* sum of the 32-bit sequence numbers, modulo 2^64 */
    uint64_t index_at;          /* of its MessageIndex in the file, 0 = none */
    bool undefined_before;      /* used before a definition in this unit */
};

struct unit_record { /* a Schema, Channel, Metadata or Attachment, whole */
    uint8_t op;
    uint64_t at, len; /* in the file; at = UINT64_MAX inside a chunk */
    uint8_t *p;       /* owned copy of its content (of an Attachment: none) */
    uint64_t n;
    struct bp_mcap_attachment attachment; /* strings are views of `names` */
    char *names;                          /* owned */
};

struct unit {
    /* in */
    int fd;
    struct bp_sealed *sealed; /* borrowed, or NULL */
    uint64_t at, len;
    bool first; /* begins with the magic */
    /* out */
    struct bp_buf buf, raw;
    struct bp_decompressor *z;
    struct unit_note *notes;
    size_t nnotes;
    struct unit_count *counts;
    size_t ncounts;
    uint32_t *slot; /* owned: channel id -> index + 1 in counts; 65,536 */
    struct unit_entry *entries;
    size_t nentries, cap_entries;
    struct unit_record *records;
    size_t nrecords;
    bool has_chunk, chunk_crc, repeated, committed, failed_memory;
    uint64_t chunk_at, chunk_len, start, end, raw_size, stored_size, index_len;
    uint64_t repeat_at;        /* where a chunk of repeated messages would start */
    uint64_t min_log, max_log; /* of all messages */
    char compression[16];
    bool intact; /* checksums and indexes of this unit agree */
};

/** Reads and checks the unit's bytes. Any thread. */
void unit_check(struct unit *u);
void unit_clear(struct unit *u);
void unit_done(struct unit *u);

/** A record's trailing bytes: where they start within its content, or n when it has none (or is of
 *  a kind that never carries them). */
uint64_t record_extra(const struct bp_mcap_record *r);

/* ---- files ---- */

/** Verifies one MCAP file. @param path  what to read; f->path is what to call it */
int verify_mcap(struct verify *v, const char *path, bool want_sha256, struct verify_file *f,
                struct bp_error *err);
/** Verifies one sqlite3 file. */
int verify_sqlite(struct verify *v, const char *path, struct verify_file *f, struct bp_error *err);
