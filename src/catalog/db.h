#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/macro.h"

/* What the databases of catalog/ have in common: how they are opened, brought to the version of
 * this program, checked, set aside when damaged, and how their errors become ours. */

struct bp_db_kind {
    const char *what;              /* "catalogue", for errors */
    const char *const *migrations; /* from one version to the next; only ever append */
    size_t nmigrations;
    const char *pragmas; /* more of them, or NULL */
    /* Larger ones are checked only when they were not closed: PATH.open is there. 0 = always. */
    int64_t check_below;
};

/**
 * Opens the database and checks it (`PRAGMA quick_check`). A damaged one is set aside as
 * PATH.damaged-<UTC>, with its log, and an empty one takes its place.
 *
 * @param ret          owned by the caller, release with sqlite3_close(); used by one thread at once
 * @param ret_renewed  true when a damaged one was set aside; or NULL
 * @return 0; BP_EUNSUPPORTED when a later version made it; BP_EFORMAT when it is a database of
 *         something else; -EBUSY when somebody keeps it locked; -ENOSPC, -EACCES, … an errno
 */
BP_MUST_CHECK int bp_db_open(const struct bp_db_kind *kind, const char *path, sqlite3 **ret,
                             bool *ret_renewed, struct bp_error *err);
/** Another connection to a database that is open and checked, for reading alone. */
BP_MUST_CHECK int bp_db_open_reader(const struct bp_db_kind *kind, const char *path, sqlite3 **ret,
                                    struct bp_error *err);

/** It was closed as it should be. */
void bp_db_closed(const struct bp_db_kind *kind, const char *path);

/** What sqlite just failed with, as ours. */
int bp_db_fail(sqlite3 *db, const char *path, const char *what, struct bp_error *err);

/* Bound text is borrowed until the statement is reset. NULL is "". */
static inline bool bp_db_bind_text(sqlite3_stmt *s, int i, const char *text) {
    return sqlite3_bind_text(s, i, text ? text : "", -1, SQLITE_STATIC) == SQLITE_OK;
}

static inline bool bp_db_bind_int(sqlite3_stmt *s, int i, int64_t v) {
    return sqlite3_bind_int64(s, i, v) == SQLITE_OK;
}

static inline bool bp_db_bind_blob(sqlite3_stmt *s, int i, const void *p, size_t n) {
    return sqlite3_bind_blob64(s, i, p, n, SQLITE_STATIC) == SQLITE_OK;
}

/** Never NULL, borrowed until the next step. */
static inline const char *bp_db_text(sqlite3_stmt *s, int i) {
    const unsigned char *p = sqlite3_column_text(s, i);

    return p ? (const char *) p : "";
}

static inline uint64_t bp_db_count(sqlite3_stmt *s, int i) {
    return (uint64_t) sqlite3_column_int64(s, i);
}

/** Ends the transaction that a statement stands in and forgets what was bound to it. */
static inline void bp_db_put_back(sqlite3_stmt *s) {
    (void) sqlite3_reset(s);
    (void) sqlite3_clear_bindings(s);
}

static inline void bp_db_finalizep(sqlite3_stmt **s) {
    (void) sqlite3_finalize(*s);
}
