/* Opening a database of ours: SQLite in WAL mode with synchronous=FULL, so that a commit is on the
 * disk when it returns and a kill or power cut in the middle of one leaves what was before.
 *
 * `PRAGMA user_version` says which of the migrations have been run; each runs in one transaction
 * with its number. A database of a later version is refused, as we would not know what it means.
 * One that is damaged is set aside, never repaired: everything in a catalogue can be had from what
 * was recorded, and neither robot nor server must stay at home because of it. */
#include "catalog/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/aside.h"
#include "base/buf.h"
#include "base/io.h"

enum { BUSY_MS = 5000, TEXT_MAX = 256 << 20 };

/* ---- sqlite's errors as ours ---- */

/* A database while it is opened. */
struct opening {
    const struct bp_db_kind *kind;
    sqlite3 *db;
    const char *path;
};

/* What the system said, when sqlite passes on that it said no. */
static int system_code(sqlite3 *db, int otherwise) {
    int e = sqlite3_system_errno(db);

    return e > 0 ? -e : otherwise;
}

int bp_db_fail(sqlite3 *db, const char *path, const char *what, struct bp_error *err) {
    const char *text = sqlite3_errmsg(db);

    switch (sqlite3_errcode(db) & 0xff) {
    case SQLITE_NOMEM:
        return bp_fail(err, -ENOMEM, "no memory for '%s'", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return bp_fail(err, -EBUSY, "'%s' is locked by another program", path);
    case SQLITE_FULL:
        return bp_fail(err, -ENOSPC, "no space left to write '%s'", path);
    case SQLITE_READONLY:
        return bp_fail(err, -EACCES, "'%s' cannot be written to", path);
    case SQLITE_IOERR:
        return bp_fail(err, system_code(db, -EIO), "cannot read or write '%s': %s", path, text);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return bp_fail(err, system_code(db, -EACCES), "cannot open '%s': %s", path,
                       bp_strerror(system_code(db, -EACCES)));
    case SQLITE_TOOBIG:
        return bp_fail(err, BP_ELIMIT, "too large for '%s': %s", path, text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: %s", path, text);
    default: /* a table or column is not as we made it */
        return bp_fail(err, BP_EFORMAT, "'%s' is not a usable %s: %s", path, what, text);
    }
}

static int db_fail(const struct opening *c, struct bp_error *err) {
    return bp_db_fail(c->db, c->path, c->kind->what, err);
}

static int exec(const struct opening *c, const char *sql, struct bp_error *err) {
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(c, err);
}

/* The number that a statement gives. */
static int ask_number(const struct opening *c, const char *sql, int64_t *ret,
                      struct bp_error *err) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;

    if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
        return db_fail(c, err);
    *ret = sqlite3_column_int64(s, 0);
    return 0;
}

/* ---- versions ---- */

static int read_version(const struct opening *c, int64_t *ret, struct bp_error *err) {
    int64_t objects = 0;
    int r = ask_number(c, "PRAGMA user_version", ret, err);

    if (r >= 0)
        r = ask_number(c, "SELECT count(*) FROM sqlite_schema", &objects, err);
    if (r < 0)
        return r;
    if (*ret == 0 && objects > 0)
        return bp_fail(err, BP_EFORMAT, "'%s' is a database of something else", c->path);
    if (*ret < 0 || *ret > (int64_t) c->kind->nmigrations)
        return bp_fail(err, BP_EUNSUPPORTED,
                       "'%s' was made by a later bagpipe (its version is %lld, known is %zu): use "
                       "that one, or move the file away",
                       c->path, (long long) *ret, c->kind->nmigrations);
    return 0;
}

/* Under an immediate transaction: nobody else migrates meanwhile. */
static int migrate_begun(const struct opening *c, struct bp_error *err) {
    char set[64];
    int64_t version = 0;
    int r = read_version(c, &version, err);

    for (size_t i = r < 0 ? 0 : (size_t) version; r >= 0 && i < c->kind->nmigrations; i++) {
        (void) snprintf(set, sizeof set, "PRAGMA user_version = %zu", i + 1);
        r = exec(c, c->kind->migrations[i], err);
        if (r >= 0)
            r = exec(c, set, err);
    }
    return r < 0 ? r : exec(c, "COMMIT", err);
}

static int migrate(const struct opening *c, struct bp_error *err) {
    int64_t version = 0;
    int r = read_version(c, &version, err);

    if (r < 0 || version == (int64_t) c->kind->nmigrations)
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

/* A file beside the database says that somebody has it open, or had when it ended badly. */
static void open_name(const char *path, char ret[static 4096]) {
    (void) snprintf(ret, 4096, "%s.open", path);
}

static bool need_check(const struct bp_db_kind *kind, const char *path) {
    char mark[4096];
    struct stat st;

    open_name(path, mark);
    return kind->check_below == 0 || stat(path, &st) < 0 || st.st_size < kind->check_below ||
           access(mark, F_OK) == 0;
}

/* On the disk before anything is changed: after a power cut, too, it is found. */
static int mark_open(const struct bp_db_kind *kind, const char *path, struct bp_error *err) {
    const struct bp_io *io = &bp_io_posix;
    char mark[4096], dir[4096];
    int fd, r;

    if (kind->check_below == 0)
        return 0;
    open_name(path, mark);
    bp_io_dirname(path, dir, sizeof dir);
    fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    r = fd < 0 ? -errno : io->sync_dir(io->ctx, dir);
    if (fd >= 0)
        (void) close(fd);
    return r < 0 ? bp_fail(err, r, "cannot write '%s': %s", mark, bp_strerror(r)) : 0;
}

void bp_db_closed(const struct bp_db_kind *kind, const char *path) {
    char mark[4096];

    open_name(path, mark);
    if (kind->check_below > 0)
        (void) unlink(mark);
}

static int quick_check(const struct opening *c, struct bp_error *err) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;
    const char *text;

    if (sqlite3_prepare_v2(c->db, "PRAGMA quick_check(1)", -1, &s, NULL) != SQLITE_OK ||
        sqlite3_step(s) != SQLITE_ROW)
        return db_fail(c, err);
    text = (const char *) sqlite3_column_text(s, 0);
    if (text && bp_streq(text, "ok"))
        return 0;
    return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: %s", c->path, text ? text : "no answer");
}

static void set_limits(sqlite3 *db) {
    (void) sqlite3_extended_result_codes(db, 1);
    (void) sqlite3_busy_timeout(db, BUSY_MS);
    (void) sqlite3_limit(db, SQLITE_LIMIT_LENGTH, TEXT_MAX);
    (void) sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void) sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
}

static int prepare_db(const struct opening *c, struct bp_error *err) {
    bool check = need_check(c->kind, c->path);
    int r;

    set_limits(c->db);
    r = exec(c,
             "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
             "PRAGMA journal_size_limit = 4194304",
             err);
    if (r >= 0 && c->kind->pragmas)
        r = exec(c, c->kind->pragmas, err);
    if (r >= 0)
        r = migrate(c, err);
    if (r >= 0 && check)
        r = quick_check(c, err);
    return r < 0 ? r : mark_open(c->kind, c->path, err);
}

static void closep(sqlite3 **db) {
    (void) sqlite3_close(*db);
}

static int open_once(const struct bp_db_kind *kind, const char *path, sqlite3 **ret,
                     struct bp_error *err) {
    BP_CLEANUP(closep) sqlite3 *db = NULL;
    struct opening c = { .kind = kind, .path = path };
    int r = sqlite3_open_v2(path, &db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    c.db = db;
    if (!db)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    r = r == SQLITE_OK ? prepare_db(&c, err) : db_fail(&c, err);
    if (r < 0) { /* what is damaged is left as it is, for whoever wants to save something of it */
        (void) sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return r;
    }
    *ret = BP_TAKE_PTR(db);
    return 0;
}

int bp_db_open(const struct bp_db_kind *kind, const char *path, sqlite3 **ret, bool *ret_renewed,
               struct bp_error *err) {
    int r = open_once(kind, path, ret, err);
    bool renewed = r == BP_ECORRUPT;

    if (renewed) {
        r = bp_set_aside(path, err);
        if (r >= 0)
            r = open_once(kind, path, ret, err);
    }
    if (r < 0)
        return r;
    if (ret_renewed)
        *ret_renewed = renewed;
    return 0;
}

int bp_db_open_reader(const struct bp_db_kind *kind, const char *path, sqlite3 **ret,
                      struct bp_error *err) {
    BP_CLEANUP(closep) sqlite3 *db = NULL;
    struct opening c = { .kind = kind, .path = path };
    int r = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    c.db = db;
    if (!db)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    if (r != SQLITE_OK)
        return db_fail(&c, err);
    set_limits(db);
    r = exec(&c, "PRAGMA query_only = ON", err);
    if (r >= 0 && kind->pragmas)
        r = exec(&c, kind->pragmas, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(db);
    return 0;
}
