/* Opening the catalogue: one SQLite database in WAL mode with synchronous=FULL, so that a commit is
 * on the disk when it returns and a kill or power cut in the middle of one leaves what was before.
 *
 * `PRAGMA user_version` says which of `migrations` have been run; each runs in one transaction with
 * its number. A database of a later version is refused, as we would not know what it means. One
 * that is damaged is set aside, never repaired: everything in it can be had from the session
 * folders, and a robot must not stay at home because of it. */
#include "catalog/catalog-priv.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/io.h"

enum { BUSY_MS = 5000, TEXT_MAX = 256 << 20 };

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
};

/* ---- sqlite's errors as ours ---- */

/* What the system said, when sqlite passes on that it said no. */
static int system_code(const struct bp_catalog *c, int otherwise) {
    int e = sqlite3_system_errno(c->db);

    return e > 0 ? -e : otherwise;
}

int bp_catalog_fail(const struct bp_catalog *c, struct bp_error *err) {
    const char *text = sqlite3_errmsg(c->db);

    switch (sqlite3_errcode(c->db) & 0xff) {
    case SQLITE_NOMEM:
        return bp_fail(err, -ENOMEM, "no memory for '%s'", c->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return bp_fail(err, -EBUSY, "'%s' is locked by another program", c->path);
    case SQLITE_FULL:
        return bp_fail(err, -ENOSPC, "no space left to write '%s'", c->path);
    case SQLITE_READONLY:
        return bp_fail(err, -EACCES, "'%s' cannot be written to", c->path);
    case SQLITE_IOERR:
        return bp_fail(err, system_code(c, -EIO), "cannot read or write '%s': %s", c->path, text);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return bp_fail(err, system_code(c, -EACCES), "cannot open '%s': %s", c->path,
                       bp_strerror(system_code(c, -EACCES)));
    case SQLITE_TOOBIG:
        return bp_fail(err, BP_ELIMIT, "too large for '%s': %s", c->path, text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: %s", c->path, text);
    default: /* a table or column is not as we made it */
        return bp_fail(err, BP_EFORMAT, "'%s' is not a catalogue: %s", c->path, text);
    }
}

static int exec(const struct bp_catalog *c, const char *sql, struct bp_error *err) {
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : bp_catalog_fail(c, err);
}

static void finalizep(sqlite3_stmt **s) {
    (void) sqlite3_finalize(*s);
}

/* The number that a statement gives. */
static int ask_number(const struct bp_catalog *c, const char *sql, int64_t *ret,
                      struct bp_error *err) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;

    if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
        return bp_catalog_fail(c, err);
    *ret = sqlite3_column_int64(s, 0);
    return 0;
}

/* ---- versions ---- */

static int read_version(const struct bp_catalog *c, int64_t *ret, struct bp_error *err) {
    int64_t objects = 0;
    int r = ask_number(c, "PRAGMA user_version", ret, err);

    if (r >= 0)
        r = ask_number(c, "SELECT count(*) FROM sqlite_schema", &objects, err);
    if (r < 0)
        return r;
    if (*ret == 0 && objects > 0)
        return bp_fail(err, BP_EFORMAT, "'%s' is a database of something else", c->path);
    if (*ret < 0 || *ret > (int64_t) BP_COUNT(migrations))
        return bp_fail(err, BP_EUNSUPPORTED,
                       "'%s' was made by a later bagpipe (its version is %lld, known is %zu): use "
                       "that one, or move the file away",
                       c->path, (long long) *ret, BP_COUNT(migrations));
    return 0;
}

/* Under an immediate transaction: nobody else migrates meanwhile. */
static int migrate_begun(const struct bp_catalog *c, struct bp_error *err) {
    char set[64];
    int64_t version = 0;
    int r = read_version(c, &version, err);

    for (size_t i = r < 0 ? 0 : (size_t) version; r >= 0 && i < BP_COUNT(migrations); i++) {
        (void) snprintf(set, sizeof set, "PRAGMA user_version = %zu", i + 1);
        r = exec(c, migrations[i], err);
        if (r >= 0)
            r = exec(c, set, err);
    }
    return r < 0 ? r : exec(c, "COMMIT", err);
}

static int migrate(const struct bp_catalog *c, struct bp_error *err) {
    int64_t version = 0;
    int r = read_version(c, &version, err);

    if (r < 0 || version == (int64_t) BP_COUNT(migrations))
        return r;
    r = exec(c, "BEGIN IMMEDIATE", err);
    if (r < 0)
        return r;
    r = migrate_begun(c, err);
    if (r < 0)
        (void) sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

/* ---- opening ---- */

static int quick_check(const struct bp_catalog *c, struct bp_error *err) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    const char *text;

    if (sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &s, NULL) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW)
        return bp_catalog_fail(c, err);
    text = (const char *) sqlite3_column_text(s, 0);
    if (text && bp_streq(text, "ok"))
        return 0;
    return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: %s", c->path, text ? text : "no answer");
}

static int prepare_db(const struct bp_catalog *c, struct bp_error *err) {
    int r;

    (void) sqlite3_extended_result_codes(c->db, 1);
    (void) sqlite3_busy_timeout(c->db, BUSY_MS);
    (void) sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, TEXT_MAX);
    (void) sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void) sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    r = exec(c,
             "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
             "PRAGMA journal_size_limit = 4194304",
             err);
    if (r >= 0)
        r = migrate(c, err);
    return r < 0 ? r : quick_check(c, err);
}

static int open_once(const char *path, struct bp_catalog **ret, struct bp_error *err) {
    BP_CLEANUP(bp_catalog_closep) struct bp_catalog *c = calloc(1, sizeof *c);
    int r;

    if (!c)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    bp_mutex_init(&c->lock);
    c->path = strdup(path);
    if (!c->path)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);

    r = sqlite3_open_v2(path, &c->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!c->db)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    r = r == SQLITE_OK ? prepare_db(c, err) : bp_catalog_fail(c, err);
    if (r < 0) { /* what is damaged is left as it is, for whoever wants to save something of it */
        (void) sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return r;
    }

    *ret = BP_TAKE_PTR(c);
    return 0;
}

/* The database goes first: a log without one is thrown away by sqlite, should we not get further.
 */
static int set_aside(const char *path, struct bp_error *err) {
    static const char *const suffixes[] = { "", "-wal", "-journal" };
    const struct bp_io *io = &bp_io_posix;
    char stamp[32], from[4096], to[4096];
    time_t now = (time_t) (bp_wall_ns() / BP_SEC);
    struct tm tm;
    int r = 0;

    if (!gmtime_r(&now, &tm) || !strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm))
        return bp_fail(err, -EOVERFLOW, "the clock is beyond all calendars");
    for (size_t i = 0; i < BP_COUNT(suffixes); i++) {
        (void) snprintf(from, sizeof from, "%s%s", path, suffixes[i]);
        if (snprintf(to, sizeof to, "%s.damaged-%s%s", path, stamp, suffixes[i]) >= (int) sizeof to)
            return bp_fail(err, -ENAMETOOLONG, "'%s' is too long", path);
        r = io->rename(io->ctx, from, to);
        if (r < 0 && !(r == -ENOENT && i > 0))
            return bp_prefix(err, r, "it cannot be set aside (%s)", bp_strerror(r));
    }
    (void) snprintf(from, sizeof from, "%s-shm", path);
    (void) io->unlink(io->ctx, from);
    bp_io_dirname(path, from, sizeof from);
    (void) io->sync_dir(io->ctx, from); /* undone by a power cut, it is found damaged again */
    return 0;
}

int bp_catalog_open(const char *path, struct bp_catalog **ret, bool *ret_renewed,
                    struct bp_error *err) {
    int r = open_once(path, ret, err);
    bool renewed = r == BP_ECORRUPT;

    if (renewed) {
        r = set_aside(path, err);
        if (r >= 0)
            r = open_once(path, ret, err);
    }
    if (r < 0)
        return r;
    if (ret_renewed)
        *ret_renewed = renewed;
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
