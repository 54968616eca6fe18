#pragma once

#include "base/io.h"

/* A bp_io that does what another one does, except where a rule says otherwise. For tests, and for
 * whoever wants to see what a recording does on a failing disk (BAGPIPE_FAULT).
 *
 * A specification is rules separated by ";", each of words separated by ",":
 *     op=NAME        open close pread pwrite datasync sync sync_dir allocate truncate size rename
 *                    unlink mkdir free_bytes, or * (default) for each of them
 *     path=GLOB      only files whose path, or last part of the path, matches; a rename by either
 *                    name; a file that was not opened through this bp_io has the path ""
 *     at=K           only the K-th call that op and path select, counted from 1
 *     every=N        only each N-th
 *     from=K, to=K   only these
 * and what happens then:
 *     errno=NAME     the call fails (EIO, ENOSPC, … or a number) and does nothing
 *     half           with errno, pwrite only: half of the bytes is written before it fails
 *     skip           the call does nothing and says it succeeded (a lying disk)
 *     delay=TIME     the call waits first; alone, it then happens as usual
 *     value=N        free_bytes and size: answer N
 *     kill           the process ends by SIGKILL in place of the call
 * The first rule that selects a call decides, except that a rule with only a delay lets the later
 * ones speak as well. Every rule counts its calls, also those an earlier rule decided.
 *     op=datasync,every=4,errno=EIO;op=pwrite,at=17,errno=ENOSPC;op=sync,path=*.mcap,skip */
struct bp_io_fault;

/* Names and order as in struct bp_io. */
enum bp_io_op {
    BP_IO_OPEN,
    BP_IO_CLOSE,
    BP_IO_PREAD,
    BP_IO_PWRITE,
    BP_IO_DATASYNC,
    BP_IO_SYNC,
    BP_IO_SYNC_DIR,
    BP_IO_ALLOCATE,
    BP_IO_TRUNCATE,
    BP_IO_SIZE,
    BP_IO_RENAME,
    BP_IO_UNLINK,
    BP_IO_MKDIR,
    BP_IO_FREE_BYTES,
    BP_IO_OPS_N_
};

/**
 * @param base  what does the work; borrowed, must outlive the result
 * @param spec  rules, or "" for none (then it only counts); borrowed for the call
 * @param ret   owned by the caller, release with bp_io_fault_free()
 * @return 0, BP_ECONFIG with a sentence that names the rule, -ENOMEM
 */
BP_MUST_CHECK int bp_io_fault_new(const struct bp_io *base, const char *spec,
                                  struct bp_io_fault **ret, struct bp_error *err);
/** Takes NULL. Files opened through it may still be open; they then belong to `base`. */
void bp_io_fault_free(struct bp_io_fault *f);
BP_DEFINE_CLEANUP(struct bp_io_fault, bp_io_fault_free)

/** The table to hand to storage code; borrowed until bp_io_fault_free(). Any thread. */
const struct bp_io *bp_io_fault_io(struct bp_io_fault *f);

/** Other rules from now on, their counts at 0. Any thread, also while calls are under way. */
BP_MUST_CHECK int bp_io_fault_set(struct bp_io_fault *f, const char *spec, struct bp_error *err);

/** Calls of one kind since the start, whatever became of them; BP_IO_OPS_N_ = of all kinds. */
uint64_t bp_io_fault_calls(struct bp_io_fault *f, enum bp_io_op op);
/** Calls since the start that a rule failed, skipped, answered or delayed. */
uint64_t bp_io_fault_hits(struct bp_io_fault *f);

/** The name in specifications: "datasync". */
const char *bp_io_op_name(enum bp_io_op op);

/**
 * bp_io_posix, or one with the rules of the environment variable BAGPIPE_FAULT, made at the first
 * call and announced by a line on stderr. Rules that cannot be read end the process (status 78): a
 * test that believes in faults it does not get would be worthless. Any thread.
 */
const struct bp_io *bp_io_from_env(void);
