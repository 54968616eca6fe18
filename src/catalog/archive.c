/* Opening the archive; its connections, statements and transactions. */
#include "catalog/archive-priv.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int bp_archive_fail(const struct bp_archive_conn *c, struct bp_error *err) {
    return bp_db_fail(c->db, c->archive->path, bp_archive_kind.what, err);
}

/* ---- opening ---- */

static void conn_init(struct bp_archive_conn *c, struct bp_archive *a) {
    pthread_mutexattr_t attr;

    (void) pthread_mutexattr_init(&attr);
    (void) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    (void) pthread_mutex_init(&c->lock.m, &attr);
    (void) pthread_mutexattr_destroy(&attr);
    c->archive = a;
}

static void conn_done(struct bp_archive_conn *c) {
    for (size_t i = 0; i < c->ncached; i++)
        (void) sqlite3_finalize(c->cache[i].stmt);
    (void) sqlite3_close(c->db);
    bp_mutex_done(&c->lock);
}

int bp_archive_open(const char *path, struct bp_archive **ret, bool *ret_renewed,
                    struct bp_error *err) {
    BP_CLEANUP(bp_archive_closep) struct bp_archive *a = calloc(1, sizeof *a);
    bool renewed = false;
    int r;

    if (!a)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    conn_init(&a->writer, a);
    for (size_t i = 0; i < BP_ARCHIVE_READERS; i++)
        conn_init(&a->readers[i], a);
    a->path = strdup(path);
    if (!a->path)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);

    r = bp_db_open(&bp_archive_kind, path, &a->writer.db, &renewed, err);
    for (size_t i = 0; r >= 0 && i < BP_ARCHIVE_READERS; i++)
        r = bp_db_open_reader(&bp_archive_kind, path, &a->readers[i].db, err);
    if (r < 0)
        return r;
    if (ret_renewed)
        *ret_renewed = renewed;
    *ret = BP_TAKE_PTR(a);
    return 0;
}

void bp_archive_close(struct bp_archive *a) {
    bool opened;

    if (!a)
        return;
    for (size_t i = 0; i < BP_ARCHIVE_READERS; i++)
        conn_done(&a->readers[i]);
    opened = a->writer.db;
    conn_done(&a->writer);
    if (opened)
        bp_db_closed(&bp_archive_kind, a->path);
    free(a->path);
    free(a);
}

/* ---- connections ---- */

struct bp_archive_conn *bp_archive_reader(struct bp_archive *a) {
    struct bp_archive_conn *c;

    /* always the first that is free: its cache is the warmest */
    for (c = a->readers; c < a->readers + BP_ARCHIVE_READERS; c++)
        if (pthread_mutex_trylock(&c->lock.m) == 0)
            return c;
    c = &a->readers[__atomic_fetch_add(&a->turn, 1, __ATOMIC_RELAXED) % BP_ARCHIVE_READERS];
    bp_mutex_lock(&c->lock);
    return c;
}

void bp_archive_let_go(struct bp_archive_conn *c) {
    bp_mutex_unlock(&c->lock);
}

static int exec(struct bp_archive_conn *c, const char *sql, struct bp_error *err) {
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : bp_archive_fail(c, err);
}

int bp_archive_begin(struct bp_archive *a, struct bp_archive_conn **ret, struct bp_error *err) {
    struct bp_archive_conn *c = &a->writer;
    int r;

    bp_mutex_lock(&c->lock);
    r = exec(c, c->depth == 0 ? "BEGIN IMMEDIATE" : "SAVEPOINT inner", err);
    if (r < 0) {
        bp_mutex_unlock(&c->lock);
        return r;
    }
    c->depth++;
    *ret = c;
    return 0;
}

int bp_archive_end(struct bp_archive_conn *c, int r, struct bp_error *err) {
    bool inner = c->depth > 1;

    if (r >= 0) {
        int done = exec(c, inner ? "RELEASE inner" : "COMMIT", err);

        r = done < 0 ? done : r;
    }
    if (r < 0) /* some failures have rolled back already: then this one says so, and is right */
        (void) sqlite3_exec(c->db, inner ? "ROLLBACK TO inner; RELEASE inner" : "ROLLBACK", NULL,
                            NULL, NULL);
    c->depth--;
    bp_mutex_unlock(&c->lock);
    return r;
}

/* ---- statements ---- */

int bp_archive_take(struct bp_archive_conn *c, const char *sql, sqlite3_stmt **ret,
                    struct bp_error *err) {
    sqlite3_stmt *s = NULL;

    for (size_t i = 0; i < c->ncached; i++)
        if (c->cache[i].sql == sql) {
            *ret = c->cache[i].stmt;
            return 0;
        }
    assert(c->ncached < BP_ARCHIVE_STATEMENTS);
    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
        return bp_archive_fail(c, err);
    c->cache[c->ncached].sql = sql;
    c->cache[c->ncached++].stmt = s;
    *ret = s;
    return 0;
}

int bp_archive_step(struct bp_archive_conn *c, sqlite3_stmt *s, struct bp_error *err) {
    switch (sqlite3_step(s)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return bp_archive_fail(c, err);
    }
}

static bool bind_all(sqlite3_stmt *s, const char *format, va_list ap) {
    bool ok = true;

    for (int i = 1; *format; format++, i++)
        if (*format == 'i')
            ok = bp_db_bind_int(s, i, va_arg(ap, int64_t)) && ok;
        else if (*format == 't')
            ok = bp_db_bind_text(s, i, va_arg(ap, const char *)) && ok;
        else
            ok = bp_db_bind_blob(s, i, va_arg(ap, const uint8_t *), BP_ARCHIVE_DIGEST) && ok;
    return ok;
}

static int run(struct bp_archive_conn *c, int64_t *ret, const char *sql, const char *format,
               va_list ap, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, sql, &s, err);

    if (r < 0)
        return r;
    r = bind_all(s, format, ap) ? bp_archive_step(c, s, err) : bp_archive_fail(c, err);
    if (r > 0 && ret)
        *ret = sqlite3_column_int64(s, 0);
    bp_db_put_back(s);
    return r;
}

int bp_archive_run(struct bp_archive_conn *c, struct bp_error *err, const char *sql,
                   const char *format, ...) {
    va_list ap;
    int r;

    va_start(ap, format);
    r = run(c, NULL, sql, format, ap, err);
    va_end(ap);
    return r < 0 ? r : 0;
}

int bp_archive_ask(struct bp_archive_conn *c, int64_t *ret, struct bp_error *err, const char *sql,
                   const char *format, ...) {
    va_list ap;
    int r;

    va_start(ap, format);
    r = run(c, ret, sql, format, ap, err);
    va_end(ap);
    return r;
}

int bp_archive_find(struct bp_archive_conn *c, const char *id, int64_t *ret, struct bp_error *err) {
    int r = bp_archive_ask(c, ret, err, "SELECT num FROM sessions WHERE id = ?1", "t", id);

    return r == 0 ? bp_fail(err, -ENOENT, "there is no session '%s'", id) : r < 0 ? r : 0;
}

/* ---- made anew ---- */

/* What people wrote, and files that no manifest tells of (signatures, metadata), wait under the ids
 * of the sessions, until those come again. */
static const char set_aside[] =
    "CREATE TEMP TABLE kept_texts AS SELECT s.id, s.keep, s.received_ns, s.state, s.signature,"
    " x.* FROM sessions s JOIN texts x ON x.session = s.num;"
    "CREATE TEMP TABLE kept_marks AS SELECT s.id, m.wall_ns, m.text, m.vals FROM marks m"
    " JOIN sessions s ON s.num = m.session;"
    "CREATE TEMP TABLE kept_files AS SELECT s.id, f.* FROM files f JOIN sessions s"
    " ON s.num = f.session WHERE f.kind > 1 AND f.state <> 0;"
    "DELETE FROM session_labels; DELETE FROM labels; DELETE FROM topics; DELETE FROM marks;"
    "DELETE FROM words; DELETE FROM overviews; DELETE FROM files;"
    "DELETE FROM sessions WHERE state <> 3;";
static const char put_back[] =
    "UPDATE texts SET (device, mission, operator, notes, tags, doc) ="
    " (SELECT k.device, k.mission, k.operator, k.notes, k.tags, k.doc FROM kept_texts k"
    "  JOIN sessions s ON s.id = k.id WHERE s.num = texts.session)"
    " WHERE session IN (SELECT s.num FROM sessions s JOIN kept_texts k ON k.id = s.id"
    "  WHERE k.state <> 3);"
    "UPDATE sessions SET keep = k.keep, received_ns = k.received_ns, signature = k.signature"
    " FROM kept_texts k WHERE k.id = sessions.id AND k.state <> 3;"
    "INSERT OR IGNORE INTO files SELECT s.num, k.file, k.kind, k.state, k.sha256, k.bytes,"
    " k.messages, k.repeated, k.first_ns, k.last_ns, k.stored_ns, k.text FROM kept_files k"
    " JOIN sessions s ON s.id = k.id WHERE s.state <> 3;"
    "INSERT OR IGNORE INTO marks (session, wall_ns, text, vals)"
    " SELECT s.num, k.wall_ns, k.text, k.vals FROM kept_marks k JOIN sessions s ON s.id = k.id;"
    "UPDATE sessions SET marks = (SELECT count(*) FROM marks m WHERE m.session = sessions.num)"
    " WHERE id IN (SELECT id FROM kept_marks);";
static const char forget[] = "DROP TABLE IF EXISTS temp.kept_texts;"
                             "DROP TABLE IF EXISTS temp.kept_marks;"
                             "DROP TABLE IF EXISTS temp.kept_files;";

static int relabel_all(struct bp_archive_conn *c, struct bp_error *err) {
    int64_t num = INT64_MIN;
    int r;

    while ((r = bp_archive_ask(c, &num, err,
                               "SELECT num FROM sessions WHERE num > ?1 ORDER BY num LIMIT 1", "i",
                               num)) > 0) {
        r = bp_archive_relabel(c, num, err);
        if (r < 0)
            return r;
    }
    return r;
}

int bp_archive_reindex(struct bp_archive *a,
                       int (*walk)(void *ctx, struct bp_archive *a, struct bp_error *err),
                       void *ctx, struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int r = bp_archive_begin(a, &c, err);

    if (r < 0)
        return r;
    if (c->depth > 1)
        return bp_archive_end(c, bp_fail(err, -EBUSY, "the archive is being reindexed"), err);
    r = exec(c, set_aside, err);
    c->bulk = true;
    if (r >= 0)
        r = walk(ctx, a, err);
    c->bulk = false;
    if (r > 0)
        r = bp_fail(err, -ECANCELED, "reindexing was given up");
    if (r >= 0)
        r = exec(c, put_back, err);
    if (r >= 0)
        r = relabel_all(c, err);
    if (r >= 0)
        r = exec(c, forget, err);
    return bp_archive_end(c, r, err);
}
