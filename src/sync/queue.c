/* The queue's database: opening, damage, transactions, statements.
 *
 * WAL mode with synchronous=FULL: a commit is on the disk when it returns, a kill or power cut in
 * the middle of one leaves what was before. locking_mode=EXCLUSIVE: one process has the queue, a
 * second one is told BP_EBUSY, a dead one holds nothing. One that fails `PRAGMA integrity_check` is
 * set aside, never repaired: all of it can be had again from the session folders and from what the
 * targets say they have. */
#include "sync/queue-priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/aside.h"
#include "base/buf.h"

enum { BUSY_MS = 2000, TEXT_MAX = 64 << 20 };

/* From one version to the next. Only ever append. */
static const char *const migrations[] = {
    "CREATE TABLE sessions ("
    " id TEXT NOT NULL PRIMARY KEY, dir TEXT NOT NULL, name TEXT NOT NULL, json TEXT NOT NULL,"
    " robot TEXT NOT NULL, tags TEXT NOT NULL, robots TEXT NOT NULL, topics TEXT NOT NULL,"
    " started_ns INTEGER NOT NULL, marked INTEGER NOT NULL, closed INTEGER NOT NULL DEFAULT 0,"
    " revision INTEGER NOT NULL DEFAULT 1"
    ") STRICT;"
    "CREATE TABLE files ("
    " file INTEGER PRIMARY KEY,"
    " session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,"
    " name TEXT NOT NULL, kind TEXT NOT NULL, bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL, UNIQUE (session, name)"
    ") STRICT;"
    /* a session's way to a target */
    "CREATE TABLE goes ("
    " session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,"
    " target TEXT NOT NULL, manifest_last INTEGER NOT NULL, told INTEGER NOT NULL DEFAULT 0,"
    " forced INTEGER NOT NULL DEFAULT 0, finished_ns INTEGER NOT NULL DEFAULT 0,"
    " tries INTEGER NOT NULL DEFAULT 0, next_mono INTEGER NOT NULL DEFAULT 0,"
    " error TEXT NOT NULL DEFAULT '', PRIMARY KEY (session, target)"
    ") STRICT;"
    "CREATE INDEX goes_open ON goes (target, finished_ns);"
    /* a file's; with copies of what they are ordered by */
    "CREATE TABLE uploads ("
    " upload INTEGER PRIMARY KEY AUTOINCREMENT,"
    " file INTEGER NOT NULL REFERENCES files (file) ON DELETE CASCADE,"
    " session TEXT NOT NULL, target TEXT NOT NULL, state INTEGER NOT NULL DEFAULT 0,"
    " remote TEXT NOT NULL, forced INTEGER NOT NULL DEFAULT 0, token TEXT NOT NULL DEFAULT '',"
    " part_bytes INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL,"
    " done INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,"
    " next_mono INTEGER NOT NULL DEFAULT 0, class INTEGER NOT NULL DEFAULT 0,"
    " error TEXT NOT NULL DEFAULT '', confirmed_ns INTEGER NOT NULL DEFAULT 0,"
    " now INTEGER NOT NULL DEFAULT 0, marked INTEGER NOT NULL, rank INTEGER NOT NULL,"
    " large INTEGER NOT NULL, started_ns INTEGER NOT NULL, UNIQUE (file, target)"
    ") STRICT;"
    "CREATE INDEX uploads_by_order ON uploads"
    " (target, state, now DESC, marked DESC, rank, large, started_ns DESC, file);"
    "CREATE INDEX uploads_by_session ON uploads (session, target, state);"
    "CREATE TABLE parts ("
    " upload INTEGER NOT NULL REFERENCES uploads (upload) ON DELETE CASCADE,"
    " n INTEGER NOT NULL, etag TEXT NOT NULL, PRIMARY KEY (upload, n)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE decisions ("
    " decision INTEGER PRIMARY KEY, wall_ns INTEGER NOT NULL, target TEXT NOT NULL,"
    " session TEXT NOT NULL, file TEXT NOT NULL, policy TEXT NOT NULL, ours TEXT NOT NULL,"
    " theirs TEXT NOT NULL, result TEXT NOT NULL, undone INTEGER NOT NULL DEFAULT 0"
    ") STRICT;"
    "CREATE TABLE settings (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT;",
    /* uploads that nobody goes on with; with copies of what has gone by then */
    "CREATE TABLE aborts ("
    " number INTEGER PRIMARY KEY, target TEXT NOT NULL, session TEXT NOT NULL,"
    " session_name TEXT NOT NULL, robot TEXT NOT NULL, started_ns INTEGER NOT NULL,"
    " remote TEXT NOT NULL, sha256 TEXT NOT NULL, token TEXT NOT NULL,"
    " tries INTEGER NOT NULL DEFAULT 0, next_mono INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE (target, session, remote, sha256, token)"
    ") STRICT;",
};

/* ---- sqlite's errors as ours ---- */

static int system_code(const struct bp_sync_queue *q, int otherwise) {
    int e = sqlite3_system_errno(q->db);

    return e > 0 ? -e : otherwise;
}

int bp_sync_queue_fail(const struct bp_sync_queue *q, struct bp_error *err) {
    const char *text = sqlite3_errmsg(q->db);

    switch (sqlite3_errcode(q->db) & 0xff) {
    case SQLITE_NOMEM:
        return bp_fail(err, -ENOMEM, "no memory for '%s'", q->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return bp_fail(err, BP_EBUSY, "the upload queue '%s' is in use by another process",
                       q->path);
    case SQLITE_FULL:
        return bp_fail(err, -ENOSPC, "no space left to write '%s'", q->path);
    case SQLITE_READONLY:
        return bp_fail(err, -EACCES, "'%s' cannot be written to", q->path);
    case SQLITE_IOERR:
        return bp_fail(err, system_code(q, -EIO), "cannot read or write '%s': %s", q->path, text);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return bp_fail(err, system_code(q, -EACCES), "cannot open '%s': %s", q->path,
                       bp_strerror(system_code(q, -EACCES)));
    case SQLITE_TOOBIG:
        return bp_fail(err, BP_ELIMIT, "too large for '%s': %s", q->path, text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: %s", q->path, text);
    default:
        return bp_fail(err, BP_EFORMAT, "'%s' is not an upload queue: %s", q->path, text);
    }
}

/* ---- statements ---- */

static int find_stmt(struct bp_sync_queue *q, const char *sql, sqlite3_stmt **ret,
                     struct bp_error *err) {
    size_t i = 0;

    while (i < BP_COUNT(q->stmts) && q->stmts[i].sql && q->stmts[i].sql != sql)
        i++;
    if (i == BP_COUNT(q->stmts))
        return bp_fail(err, BP_ELIMIT, "more statements than the queue keeps");
    if (!q->stmts[i].sql) {
        if (sqlite3_prepare_v3(q->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->stmts[i].s, NULL) !=
            SQLITE_OK)
            return bp_sync_queue_fail(q, err);
        q->stmts[i].sql = sql;
    }
    *ret = q->stmts[i].s;
    return 0;
}

static int bind_all(struct bp_sync_queue *q, sqlite3_stmt **ret, struct bp_error *err,
                    const char *sql, const char *types, va_list ap) {
    sqlite3_stmt *s = NULL;
    int r = find_stmt(q, sql, &s, err), e = SQLITE_OK;

    if (r < 0)
        return r;
    for (int i = 0; types[i] && e == SQLITE_OK; i++) {
        if (types[i] == 't')
            e = sqlite3_bind_text(s, i + 1, va_arg(ap, const char *), -1, SQLITE_STATIC);
        else
            e = sqlite3_bind_int64(s, i + 1, va_arg(ap, int64_t));
    }
    if (e != SQLITE_OK) {
        r = bp_sync_queue_fail(q, err);
        bp_sync_queue_reset_stmt(s);
        return r;
    }
    *ret = s;
    return 0;
}

int bp_sync_queue_bind(struct bp_sync_queue *q, sqlite3_stmt **ret, struct bp_error *err,
                       const char *sql, const char *types, ...) {
    va_list ap;
    int r;

    va_start(ap, types);
    r = bind_all(q, ret, err, sql, types, ap);
    va_end(ap);
    return r;
}

int bp_sync_queue_step(struct bp_sync_queue *q, sqlite3_stmt *s, struct bp_error *err) {
    switch (sqlite3_step(s)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return bp_sync_queue_fail(q, err);
    }
}

void bp_sync_queue_reset_stmt(sqlite3_stmt *s) {
    if (!s)
        return;
    (void) sqlite3_reset(s);
    (void) sqlite3_clear_bindings(s);
}

int bp_sync_queue_run(struct bp_sync_queue *q, struct bp_error *err, const char *sql,
                      const char *types, ...) {
    BP_AUTO_STMT *s = NULL;
    va_list ap;
    int r;

    va_start(ap, types);
    r = bind_all(q, &s, err, sql, types, ap);
    va_end(ap);
    return r < 0 ? r : bp_sync_queue_step(q, s, err);
}

int bp_sync_queue_number(struct bp_sync_queue *q, int64_t otherwise, int64_t *ret,
                         struct bp_error *err, const char *sql, const char *types, ...) {
    BP_AUTO_STMT *s = NULL;
    va_list ap;
    int r;

    va_start(ap, types);
    r = bind_all(q, &s, err, sql, types, ap);
    va_end(ap);
    if (r >= 0)
        r = bp_sync_queue_step(q, s, err);
    if (r < 0)
        return r;
    *ret =
        r > 0 && sqlite3_column_type(s, 0) != SQLITE_NULL ? sqlite3_column_int64(s, 0) : otherwise;
    return 0;
}

/* ---- transactions ---- */

static int exec(const struct bp_sync_queue *q, const char *sql, struct bp_error *err) {
    return sqlite3_exec(q->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : bp_sync_queue_fail(q, err);
}

int bp_sync_queue_begin(struct bp_sync_queue *q, struct bp_error *err) {
    int r = 0;

    bp_sync_turn_begin(q);
    if (q->depth == 0)
        r = exec(q, "BEGIN IMMEDIATE", err);
    if (r < 0) {
        bp_sync_turn_end(q);
        return r;
    }
    q->depth++;
    return 0;
}

int bp_sync_queue_end(struct bp_sync_queue *q, int result, struct bp_error *err) {
    if (--q->depth == 0) {
        int r = result < 0 ? 0 : exec(q, "COMMIT", err);

        if (r < 0)
            result = r;
        if (result < 0 && !sqlite3_get_autocommit(q->db))
            (void) sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
    }
    bp_sync_turn_end(q);
    return result;
}

/* ---- opening ---- */

static int ask_text(const struct bp_sync_queue *q, const char *sql, char *ret, size_t cap,
                    struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    const char *text;
    int r = 0;

    if (sqlite3_prepare_v2(q->db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
        r = bp_sync_queue_fail(q, err);
    text = r < 0 ? NULL : (const char *) sqlite3_column_text(s, 0);
    (void) snprintf(ret, cap, "%s", text ? text : "");
    (void) sqlite3_finalize(s);
    return r;
}

static int migrate(const struct bp_sync_queue *q, struct bp_error *err) {
    char text[64], set[64];
    size_t version;
    int r = ask_text(q, "PRAGMA user_version", text, sizeof text, err);

    version = (size_t) strtoull(text, NULL, 10);
    if (r < 0 || version == BP_COUNT(migrations))
        return r;
    if (version > BP_COUNT(migrations))
        return bp_fail(err, BP_EUNSUPPORTED,
                       "'%s' was made by a later bagpipe: use that one, or move the file away",
                       q->path);
    r = ask_text(q, "SELECT count(*) FROM sqlite_schema", text, sizeof text, err);
    if (r < 0)
        return r;
    if (version == 0 && !bp_streq(text, "0"))
        return bp_fail(err, BP_EFORMAT, "'%s' is a database of something else", q->path);
    r = exec(q, "BEGIN IMMEDIATE", err);
    for (size_t i = version; r >= 0 && i < BP_COUNT(migrations); i++)
        r = exec(q, migrations[i], err);
    (void) snprintf(set, sizeof set, "PRAGMA user_version = %zu", BP_COUNT(migrations));
    if (r >= 0)
        r = exec(q, set, err);
    if (r >= 0)
        r = exec(q, "COMMIT", err);
    if (r < 0)
        (void) sqlite3_exec(q->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

static int prepare_db(const struct bp_sync_queue *q, struct bp_error *err) {
    char text[200];
    int r;

    (void) sqlite3_extended_result_codes(q->db, 1);
    (void) sqlite3_busy_timeout(q->db, BUSY_MS);
    (void) sqlite3_limit(q->db, SQLITE_LIMIT_LENGTH, TEXT_MAX);
    (void) sqlite3_db_config(q->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void) sqlite3_db_config(q->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    r = exec(q,
             "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
             "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; "
             "PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -2000",
             err);
    if (r >= 0)
        r = migrate(q, err);
    if (r >= 0)
        r = ask_text(q, "PRAGMA integrity_check(1)", text, sizeof text, err);
    if (r >= 0 && !bp_streq(text, "ok"))
        return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: %s", q->path, text);
    if (r >= 0) /* times of another life */
        r = exec(q,
                 "UPDATE uploads SET next_mono = 0 WHERE next_mono <> 0;"
                 "UPDATE goes SET next_mono = 0 WHERE next_mono <> 0;"
                 "UPDATE aborts SET next_mono = 0 WHERE next_mono <> 0",
                 err);
    return r;
}

static struct bp_sync_queue *new_queue(const char *path) {
    struct bp_sync_queue *q = calloc(1, sizeof *q);
    pthread_mutexattr_t a;

    if (!q)
        return NULL;
    (void) pthread_mutexattr_init(&a);
    (void) pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    (void) pthread_mutex_init(&q->turn, &a);
    (void) pthread_mutexattr_destroy(&a);
    q->path = strdup(path);
    return q;
}

static int open_once(const char *path, struct bp_sync_queue **ret, struct bp_error *err) {
    BP_CLEANUP(bp_sync_queue_closep) struct bp_sync_queue *q = new_queue(path);
    int r;

    if (!q || !q->path)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    r = sqlite3_open_v2(path, &q->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!q->db)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    r = r == SQLITE_OK ? prepare_db(q, err) : bp_sync_queue_fail(q, err);
    if (r < 0) { /* what is damaged is left as it is */
        (void) sqlite3_db_config(q->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return r;
    }
    *ret = BP_TAKE_PTR(q);
    return 0;
}

int bp_sync_queue_open(const char *path, struct bp_sync_queue **ret, bool *ret_renewed,
                       struct bp_error *err) {
    int r = open_once(path, ret, err);
    bool renewed = r == BP_ECORRUPT;

    if (renewed) {
        r = bp_set_aside(path, err);
        if (r >= 0)
            r = open_once(path, ret, err);
    }
    if (r < 0)
        return r;
    if (ret_renewed)
        *ret_renewed = renewed;
    return 0;
}

void bp_sync_queue_close(struct bp_sync_queue *q) {
    if (!q)
        return;
    for (size_t i = 0; i < BP_COUNT(q->stmts); i++)
        (void) sqlite3_finalize(q->stmts[i].s);
    (void) sqlite3_close(q->db);
    (void) pthread_mutex_destroy(&q->turn);
    free(q->path);
    free(q);
}
