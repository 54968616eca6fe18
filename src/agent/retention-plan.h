#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* What retention would delete, and why, from what is known of the sessions: a pure function, so
 * that it can be asked without anything happening and tested without a disk.
 *
 * Protected from every limit: what runs, what is kept by hand or has a mark (keep_marked), a class
 * that is kept, the newest so many of a class, and what has not been uploaded, unless
 * delete_not_uploaded says that it may go all the same. Of the rest goes
 *   1. what is older than max_age;
 *   2. the oldest of a class that is larger than its own max_size;
 *   3. the oldest, plain sessions before other classes, while all together is larger than max_size;
 *   4. likewise while less than min_free of the disk is free. */

enum bp_retention_verdict {
    BP_RETAIN, /* no limit asks for it */
    BP_RETAIN_RUNNING,
    BP_RETAIN_KEPT,
    BP_RETAIN_MARKED,
    BP_RETAIN_CLASS,
    BP_RETAIN_NEWEST,
    BP_RETAIN_NOT_UPLOADED,
    BP_DELETE_AGE, /* from here on: to be deleted */
    BP_DELETE_CLASS_SIZE,
    BP_DELETE_SIZE,
    BP_DELETE_SPACE,
    BP_RETENTION_VERDICTS_N_
};

/** "running", "not uploaded", "age", …: for people and the API. */
const char *bp_retention_verdict_text(enum bp_retention_verdict v);

/* Limits of one class; 0 = the general one, or none for max_size. */
struct bp_retention_class {
    const char *name;
    bp_ns_t max_age;
    uint64_t max_size;
    uint32_t keep_newest;
    bool keep; /* nothing of it is ever deleted */
};

struct bp_retention_policy {
    bp_ns_t max_age;                          /* 0 = none */
    uint64_t max_size;                        /* of all sessions; 0 = none */
    uint64_t min_free;                        /* of the disk; 0 = none */
    uint32_t keep_newest;                     /* of each class */
    bool keep_marked, delete_not_uploaded;    /* see above */
    const struct bp_retention_class *classes; /* the first is that of plain sessions */
    size_t nclasses;
};

struct bp_retention_row {
    const char *id;     /* ULID, borrowed */
    const char *class_; /* borrowed; an unknown one counts as the first */
    bp_ns_t started_ns; /* wall */
    bp_ns_t ended_ns;   /* 0 = as old as its start */
    uint64_t bytes;
    uint32_t marks;
    bool running, keep, uploaded;
    enum bp_retention_verdict verdict; /* out */
};

struct bp_retention_now {
    bp_ns_t wall_ns;
    bool clock_ok; /* false: nobody's age is to be believed */
    uint64_t free; /* of the disk */
    bool space_ok; /* false: what was deleted last gave no space back, so do not go on */
};

struct bp_retention_sums {
    uint64_t total, deleted; /* bytes */
    uint64_t over; /* bytes that limits still ask for, but all that is left is protected */
    size_t ndeleted;
    size_t nheld; /* not deleted for one reason alone: not uploaded */
};

/**
 * Fills `verdict` of each row. The order of rows does not matter.
 *
 * @param order  n indexes of rows, filled: in the order in which they are to be deleted come first
 *               those that are, then all others; or NULL
 * @return 0 or -ENOMEM
 */
int bp_retention_plan(const struct bp_retention_policy *p, const struct bp_retention_now *now,
                      struct bp_retention_row *rows, size_t n, size_t *order,
                      struct bp_retention_sums *ret);
