/* Opening the catalogue: its tables, version by version (catalog/db.h). */
#include "catalog/catalog-priv.h"

#include <errno.h>

#include "catalog/db.h"

/* From one version to the next. Only ever append. */
static const char *const migrations[] = {
    "CREATE TABLE sessions ("
    " id TEXT NOT NULL PRIMARY KEY,"
    " status TEXT NOT NULL,"
    " name TEXT NOT NULL, dir TEXT NOT NULL, request TEXT NOT NULL, mission TEXT NOT NULL,"
    " operator TEXT NOT NULL, notes TEXT NOT NULL, tags TEXT NOT NULL,"
    " started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, bytes INTEGER NOT NULL, lost INTEGER NOT NULL,"
    " segments INTEGER NOT NULL, outages INTEGER NOT NULL,"
    " error TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX sessions_by_name ON sessions (name, id);"
    "CREATE INDEX sessions_by_status ON sessions (status, id);"
    "CREATE TABLE marks ("
    " mark INTEGER PRIMARY KEY,"
    " session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,"
    " wall_ns INTEGER NOT NULL, text TEXT NOT NULL, vals TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX marks_by_session ON marks (session, wall_ns, mark);",

    "ALTER TABLE sessions ADD COLUMN class TEXT NOT NULL DEFAULT 'session'",

    "ALTER TABLE sessions ADD COLUMN uploaded_ns INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sessions ADD COLUMN keep INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sessions ADD COLUMN deleted_ns INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sessions ADD COLUMN deleted_why TEXT NOT NULL DEFAULT '';",

    "CREATE TABLE users ("
    " name TEXT NOT NULL PRIMARY KEY, role TEXT NOT NULL, hash TEXT NOT NULL,"
    " disabled INTEGER NOT NULL, created_ns INTEGER NOT NULL, used_ns INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE tokens ("
    " digest BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, used_ns INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE logins ("
    " digest BLOB NOT NULL PRIMARY KEY,"
    " user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,"
    " created_ns INTEGER NOT NULL, used_ns INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX logins_by_user ON logins (user);",

    "CREATE TABLE IF NOT EXISTS jobs ("
    " id TEXT NOT NULL PRIMARY KEY,"
    " kind TEXT NOT NULL, subject TEXT NOT NULL, state TEXT NOT NULL,"
    " log TEXT NOT NULL, error TEXT NOT NULL, result TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL,"
    " done INTEGER NOT NULL, total INTEGER NOT NULL"
    ") STRICT;",

    "CREATE TABLE enrolments ("
    " digest BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, groups TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL"
    ") STRICT;",

    "ALTER TABLE sessions ADD COLUMN sync TEXT NOT NULL DEFAULT ''",

    "ALTER TABLE users ADD COLUMN scope TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE tokens ADD COLUMN scope TEXT NOT NULL DEFAULT '';",
};

static const struct bp_db_kind kind = {
    .what = "catalogue",
    .migrations = migrations,
    .nmigrations = BP_COUNT(migrations),
};

int bp_catalog_fail(const struct bp_catalog *c, struct bp_error *err) {
    return bp_db_fail(c->db, c->path, kind.what, err);
}

int bp_catalog_open(const char *path, struct bp_catalog **ret, bool *ret_renewed,
                    struct bp_error *err) {
    BP_CLEANUP(bp_catalog_closep) struct bp_catalog *c = calloc(1, sizeof *c);
    int r;

    if (!c)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    bp_mutex_init(&c->lock);
    c->path = strdup(path);
    if (!c->path)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    r = bp_db_open(&kind, path, &c->db, ret_renewed, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(c);
    return 0;
}

void bp_catalog_close(struct bp_catalog *c) {
    if (!c)
        return;
    for (size_t i = 0; i < BP_SQL_N_; i++)
        (void) sqlite3_finalize(c->stmts[i]);
    (void) sqlite3_close(c->db);
    bp_mutex_done(&c->lock);
    free(c->path);
    free(c);
}
