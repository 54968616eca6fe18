#pragma once

#include "catalog/archive-priv.h"
#include "catalog/query.h"

/* Queries as SQL. Values are bound; what stands in the text itself is ours: names of columns, and
 * numbers of labels, which were looked up before. */
enum { BP_ARCHIVE_BINDS = 160 };

struct bp_archive_sql {
    struct bp_buf text;
    struct {
        char *text; /* owned; NULL for a number */
        int64_t number;
    } binds[BP_ARCHIVE_BINDS]; /* ?1, ?2, … */
    size_t nbinds;
    bool failed; /* too many, or out of memory */
};

void bp_archive_sql_done(struct bp_archive_sql *q);
#define BP_AUTO_ARCHIVE_SQL BP_CLEANUP(bp_archive_sql_done) struct bp_archive_sql

/* Where a page begins. */
struct bp_archive_from {
    bool given;
    int64_t key, num; /* of the last row of the page before; key unless by id or name */
    char name[BP_ARCHIVE_NAME_MAX + 1];
};

/**
 * Numbers of sessions that match, in order: a statement with one column `n`.
 *
 * What is rarest of all that must hold is looked up first, and the rest judged row by row, while
 * that gives a few thousand rows to sort at most. Otherwise rows are walked in the order that
 * is asked for, until there are enough.
 *
 * @param s      how they are sorted, and whose they are; what it asks for is in `queries`
 * @param limit  rows
 * @return 0, BP_EUSAGE for a query that asks too much, or negative
 */
BP_MUST_CHECK int bp_archive_compile(struct bp_archive_conn *c,
                                     const struct bp_query *const *queries, size_t nqueries,
                                     const struct bp_archive_search *s,
                                     const struct bp_archive_from *from, uint32_t limit,
                                     struct bp_archive_sql *ret, struct bp_error *err);
/** Prepares it, with `before` and `after` around it, and binds. */
BP_MUST_CHECK int bp_archive_prepare(struct bp_archive_conn *c, struct bp_archive_sql *q,
                                     const char *before, const char *after, sqlite3_stmt **ret,
                                     struct bp_error *err);

/** "s.bytes", "s.num", …: what is sorted by. */
const char *bp_archive_sort_column(enum bp_archive_sort s);
