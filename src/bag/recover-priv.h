#pragma once

#include "bag/folder.h"
#include "bag/recover.h"
#include "bag/ring-ref.h"
#include "bag/ring.h"
#include "bag/session.h"
#include "bag/walk.h"

/* Inside of recovery: recover.c (what is it?), recover-session.c (a folder of ours),
 * recover-collect.c (what ring and journal still hold), recover-write.c (the new segment),
 * recover-file.c (one MCAP file, whoever wrote it). */

/* One accepted message that is in no good group. */
struct bp_found {
    uint64_t rseq;
    const uint8_t *record; /* whole Message record, in the ring or the journal */
    uint64_t n;
    uint32_t lane;
};

struct bp_collect {
    uint8_t run[16];
    bool have_run;
    struct bp_ring ring;
    bool have_ring;
    char *journal; /* content; owned */
    size_t journal_n;
    const struct bp_spans *covered; /* by lane, numbers in good groups; borrowed */
    struct bp_defs *defs;           /* borrowed */
    struct bp_found *v;             /* owned; sorted by lane and number, none twice */
    size_t n, cap;
    struct bp_run *runs; /* owned */
    size_t nruns, runs_cap;
    uint64_t from_ring, from_journal;
};

/** Where nothing else told which run it was, the newest frame of the journal does. */
int bp_collect_run(struct bp_collect *c);
/** Gathers definitions, messages and runs from ring and journal. @return 0 or -errno */
int bp_collect(struct bp_collect *c);
void bp_collect_done(struct bp_collect *c);

/**
 * Writes what was collected as segment `number`, complete, by way of a temporary file.
 *
 * @param sealed  io is a sealing table: seal it
 * @return 0; -ENOSPC with what is missing, nothing left behind; or an errno
 */
int bp_recover_write(const struct bp_io *io, const char *dir, const char *name, const char *id,
                     uint32_t number, bool sealed, const struct bp_collect *c,
                     struct bp_error *err);

/** A session folder of ours, which the caller has locked. */
int bp_recover_session(const char *dir, const struct bp_recover_opts *o, struct bp_recovery *ret,
                       struct bp_error *err);

/**
 * Any MCAP file without a usable end, or with damaged parts. Copies what is good into a new file
 * and swaps; the original goes to `.damaged/` unless discarded or only its end was missing.
 */
int bp_recover_file(const char *path, const struct bp_recover_opts *o, struct bp_recovery *ret,
                    struct bp_error *err);

/** Every MCAP file of a folder that needs it, then metadata.yaml. For folders that were not made by
 *  us, and finished ones that were damaged since. */
int bp_recover_files(const char *dir, const struct bp_recover_opts *o, struct bp_recovery *ret,
                     struct bp_error *err);

/** Keeps `path` in `.damaged/` beside it as well, under a name that is free. */
int bp_recover_set_aside(const struct bp_io *io, const char *path, struct bp_error *err);
/** The folder is signed when it is written, and the report tells what is not as it was signed. */
int bp_recover_sign_with(struct bp_folder *f, const struct bp_recover_opts *o,
                         struct bp_recovery *ret, struct bp_error *err);
/** Appends a line to ret->report. */
void bp_recover_note(struct bp_recovery *ret, const char *fmt, ...) BP_PRINTF(2, 3);
