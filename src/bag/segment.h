#pragma once

#include <stdbool.h>

#include "bag/defs.h"
#include "bag/ledger.h"
#include "base/io.h"
#include "crypt/digest.h"

/* One MCAP file of a session while it is written: group 0 when it is made, then groups, then the
 * closing part. Blocks are allocated ahead. Owner: the preparer makes and closes it, the writer
 * writes in between; fields marked [atomic] are looked at by others. */
struct bp_segment {
    const struct bp_io *io; /* borrowed */
    int fd;
    bool direct; /* O_DIRECT */
    uint32_t number;
    char path[1024];
    uint8_t session[16]; /* of the run: one start of a recorder; a resumed session has several */
    uint64_t off;        /* end of what was written */
    uint64_t alloc;      /* [atomic] bytes allocated from the file's start */
    uint64_t durable;    /* end of what a good sync covers */
    bp_ns_t opened_mono;
    bool made;      /* by us, just now: fd is for writing */
    uint64_t bytes; /* of the file on disk, once it is finished or loaded */
    bool begun;     /* something but group 0 was written */
    struct bp_defined defined;
    struct bp_defined defined_durable;
    struct bp_buf staged;
    struct {
        struct bp_defined defined;
        struct bp_index_at index;
        uint64_t marks;
    } unstaged; /* what it goes back to when `staged` cannot be written */
    struct bp_index index;
    struct bp_ledger ledger;
    struct bp_ledger_source **sources; /* by source id, borrowed from the ledger; owned array */
    uint32_t nsources;
    struct bp_spans ranges[BP_LANES]; /* numbers of the messages in it */
    uint64_t groups, repeated;        /* groups with messages; repeated messages */
    uint64_t marks;                   /* Metadata that is not about the segment itself */
    char id[27];                      /* of its session, "" when it does not tell */
    struct bp_sha256 *sha;            /* of what was written, or NULL: nobody asked for it */
    uint64_t hashed;                  /* bytes in `sha` */
    char sha256[65];                  /* finished: of the whole file, "" when not known */
};

/** Takes the session's id from a `bagpipe.session` record, if it is one. */
void bp_segment_take_id(struct bp_segment *s, struct bp_str id);

struct bp_segment_opts {
    const struct bp_io *io;
    const char *dir, *name;
    const char *path; /* NULL = made of dir, name and number */
    const char *id;   /* of the session: a ULID */
    uint32_t number;
    bool direct;
    bool sealed;       /* io must be a sealing table (bag/sealed.h) */
    uint64_t ahead;    /* bytes to allocate, less when the disk has not that much */
    uint64_t min_free; /* leave this much */
    bp_ns_t wall_ns;
    const char *const *custom;
    bool hash; /* makes the file's SHA-256 from what is written, while it is in memory */
};

/** "<dir>/<name>_<number>.mcap", and ".sealed" where it is. */
void bp_segment_path(const char *dir, const char *name, uint32_t number, bool sealed, char *ret,
                     size_t cap);
/** Does writing with O_DIRECT work in this folder? Asks statx(STATX_DIOALIGN), then tries. */
bool bp_segment_can_direct(const struct bp_io *io, const char *dir);

/**
 * Makes a segment with group 0 on disk, durable, and blocks allocated ahead.
 *
 * @param defs  what is known by now; borrowed for the call
 */
BP_MUST_CHECK int bp_segment_create(const struct bp_segment_opts *o, const uint8_t session[16],
                                    const struct bp_defs *defs, struct bp_segment **ret,
                                    struct bp_error *err);

/**
 * Allocates up to `want` more bytes, less where the disk has not that much.
 *
 * @return bytes gained, 0 when there is no room, or the errno of something else
 */
int64_t bp_segment_extend(struct bp_segment *s, uint64_t want, uint64_t min_free);

/** Writes n bytes (whole blocks) at the end; s->off moves on success only. */
BP_MUST_CHECK int bp_segment_append(struct bp_segment *s, const void *p, size_t n);

/* Small groups are staged, which needs no file, then written by bp_segment_flush() before anything
 * else goes to the segment. When that fails it is as if they had never been staged: neither the
 * summary nor `defined` speaks of what is not in the file. */

/** Stages all definitions it has not yet. Nothing may be staged. @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_segment_stage_defs(struct bp_segment *s, const struct bp_defs *defs);
/** Stages a Metadata record of n bytes (head included). Nothing may be staged. */
BP_MUST_CHECK int bp_segment_stage_metadata(struct bp_segment *s, const void *rec, size_t n,
                                            struct bp_str name);
BP_MUST_CHECK int bp_segment_flush(struct bp_segment *s);
/** Is there nothing in it that anybody would miss? Only what its preparer wrote. */
bool bp_segment_is_empty(const struct bp_segment *s);
/** Are there definitions that it has not yet? */
bool bp_segment_lacks(const struct bp_segment *s, const struct bp_defs *defs);

/** Adds runs to its ledger; sources must be defined in `defs`. */
int bp_segment_add_runs(struct bp_segment *s, const struct bp_defs *defs, const struct bp_run *runs,
                        uint32_t n);

/**
 * Writes ledger, `bagpipe.segment`, DataEnd, summary and footer behind the data, gives back blocks
 * allocated ahead, syncs, closes the descriptor. The segment's data must be durable.
 */
BP_MUST_CHECK int bp_segment_finish(struct bp_segment *s, struct bp_error *err);

/**
 * Reads what a finished segment says of itself: index (without chunks), ledger, numbers of its
 * messages. Its payload is not read; s->off is the size of the file.
 *
 * @return 0, BP_ECORRUPT when it has no whole summary, or an errno
 */
BP_MUST_CHECK int bp_segment_load(const struct bp_io *io, const char *path, struct bp_segment **ret,
                                  struct bp_error *err);

/** Closes the descriptor if open and frees. Takes NULL. */
void bp_segment_free(struct bp_segment *s);
BP_DEFINE_CLEANUP(struct bp_segment, bp_segment_free)
