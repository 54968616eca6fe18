#pragma once

#include <sqlite3.h>

#include "base/mutex.h"
#include "catalog/catalog.h"

/* What the files of catalog/ share. */

enum bp_catalog_sql {
    BP_SQL_PUT,
    BP_SQL_GET,
    BP_SQL_GET_BY_NAME,
    BP_SQL_LIST_ANY,
    BP_SQL_LIST_STATUS,
    BP_SQL_ADD_MARK,
    BP_SQL_MARKS,
    BP_SQL_N_
};

struct bp_catalog {
    /* Held over SQL, files included: turns are what it is for. Nothing else is taken under it. */
    struct bp_mutex lock;
    sqlite3 *db;                    /* [lock] */
    sqlite3_stmt *stmts[BP_SQL_N_]; /* [lock] prepared when first used, reset between uses */
    char *path;                     /* constant */
};

/** What sqlite just failed with, as ours. */
int bp_catalog_fail(const struct bp_catalog *c, struct bp_error *err);
