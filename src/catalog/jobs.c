/* Rows of jobs. They are few and rarely written: statements are prepared each time. */
#include "catalog/jobs.h"

#include <errno.h>
#include <stdio.h>

#include "catalog/catalog-priv.h"

#define COLUMNS \
    "id, kind, subject, state, log, error, result, created_ns, started_ns, ended_ns, done, total"

enum { TEXTS = 6, NUMBERS = 5 };

static void texts_of(struct bp_catalog_job *j, char **ret[static TEXTS]) {
    char **all[TEXTS] = { &j->kind, &j->subject, &j->state, &j->log, &j->error, &j->result };

    for (size_t i = 0; i < TEXTS; i++)
        ret[i] = all[i];
}

void bp_catalog_job_done(struct bp_catalog_job *j) {
    char **texts[TEXTS];

    texts_of(j, texts);
    for (size_t i = 0; i < TEXTS; i++)
        free(*texts[i]);
    *j = (struct bp_catalog_job){ 0 };
}

static void finalizep(sqlite3_stmt **s) {
    (void) sqlite3_finalize(*s);
}

static int prepare_locked(struct bp_catalog *c, const char *sql, sqlite3_stmt **ret,
                          struct bp_error *err) BP_REQUIRES(c->lock) {
    return sqlite3_prepare_v2(c->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : bp_catalog_fail(c, err);
}

/* 1 and a row, 0 at the end. */
static int step_locked(struct bp_catalog *c, sqlite3_stmt *s, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    int r = sqlite3_step(s);

    return r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : bp_catalog_fail(c, err);
}

static bool bind_text(sqlite3_stmt *s, int i, const char *text) {
    return sqlite3_bind_text(s, i, text ? text : "", -1, SQLITE_STATIC) == SQLITE_OK;
}

static bool bind_job(sqlite3_stmt *s, const struct bp_catalog_job *j) {
    const char *texts[] = { j->id, j->kind, j->subject, j->state, j->log, j->error, j->result };
    int64_t numbers[NUMBERS] = { j->created_ns, j->started_ns, j->ended_ns, (int64_t) j->done,
                                 (int64_t) j->total };
    bool ok = true;
    int at = 1;

    for (size_t i = 0; i < BP_COUNT(texts); i++)
        ok = bind_text(s, at++, texts[i]) && ok;
    for (size_t i = 0; i < BP_COUNT(numbers); i++)
        ok = sqlite3_bind_int64(s, at++, numbers[i]) == SQLITE_OK && ok;
    return ok;
}

static int put_locked(struct bp_catalog *c, const struct bp_catalog_job *j, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    int r = prepare_locked(c,
                           "INSERT OR REPLACE INTO jobs (" COLUMNS
                           ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                           &s, err);

    if (r < 0)
        return r;
    return bind_job(s, j) ? step_locked(c, s, err) : bp_catalog_fail(c, err);
}

int bp_catalog_put_job(struct bp_catalog *c, const struct bp_catalog_job *j, struct bp_error *err) {
    int r;

    if (strnlen(j->id, sizeof j->id) != sizeof j->id - 1)
        return bp_fail(err, -EINVAL, "'%.26s' is not the id of a job", j->id);
    bp_mutex_lock(&c->lock);
    r = put_locked(c, j, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

static int read_job(sqlite3_stmt *row, struct bp_catalog_job *ret, struct bp_error *err) {
    BP_AUTO_CATALOG_JOB j = { 0 };
    char **texts[TEXTS];
    int at = 0;

    (void) snprintf(j.id, sizeof j.id, "%s", (const char *) sqlite3_column_text(row, at++));
    texts_of(&j, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        const unsigned char *text = sqlite3_column_text(row, at++);

        *texts[i] = strdup(text ? (const char *) text : "");
        if (!*texts[i])
            return bp_fail(err, -ENOMEM, "no memory for a job");
    }
    j.created_ns = sqlite3_column_int64(row, at++);
    j.started_ns = sqlite3_column_int64(row, at++);
    j.ended_ns = sqlite3_column_int64(row, at++);
    j.done = (uint64_t) sqlite3_column_int64(row, at++);
    j.total = (uint64_t) sqlite3_column_int64(row, at);
    *ret = BP_TAKE(j, ((struct bp_catalog_job){ 0 }));
    return 0;
}

static int get_locked(struct bp_catalog *c, const char *id, struct bp_catalog_job *ret,
                      struct bp_error *err) BP_REQUIRES(c->lock) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    int r = prepare_locked(c, "SELECT " COLUMNS " FROM jobs WHERE id = ?1", &s, err);

    if (r < 0)
        return r;
    r = bind_text(s, 1, id) ? step_locked(c, s, err) : bp_catalog_fail(c, err);
    if (r == 0)
        return bp_fail(err, -ENOENT, "there is no job '%s'", id);
    return r < 0 ? r : read_job(s, ret, err);
}

int bp_catalog_get_job(struct bp_catalog *c, const char *id, struct bp_catalog_job *ret,
                       struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = get_locked(c, id, ret, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

static int drop_locked(struct bp_catalog *c, const char *id, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    int r = prepare_locked(c, "DELETE FROM jobs WHERE id = ?1", &s, err);

    if (r < 0)
        return r;
    r = bind_text(s, 1, id) ? step_locked(c, s, err) : bp_catalog_fail(c, err);
    if (r == 0 && sqlite3_changes(c->db) == 0)
        return bp_fail(err, -ENOENT, "there is no job '%s'", id);
    return r;
}

int bp_catalog_drop_job(struct bp_catalog *c, const char *id, struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = drop_locked(c, id, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

static int each_locked(struct bp_catalog *c, const char *before, uint32_t limit,
                       int (*fn)(void *ctx, const struct bp_catalog_job *j), void *ctx,
                       struct bp_error *err) BP_REQUIRES(c->lock) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    int r = prepare_locked(
        c, "SELECT " COLUMNS " FROM jobs WHERE id < ?1 ORDER BY id DESC LIMIT ?2", &s, err);

    if (r >= 0 &&
        !(bind_text(s, 1, before ? before : "~") && sqlite3_bind_int64(s, 2, limit) == SQLITE_OK))
        r = bp_catalog_fail(c, err);
    while (r == 0 && (r = step_locked(c, s, err)) > 0) {
        BP_AUTO_CATALOG_JOB j = { 0 };

        r = read_job(s, &j, err);
        if (r == 0)
            r = fn(ctx, &j);
    }
    return r;
}

int bp_catalog_each_job(struct bp_catalog *c, const char *before, uint32_t limit,
                        int (*fn)(void *ctx, const struct bp_catalog_job *j), void *ctx,
                        struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = each_locked(c, before, limit, fn, ctx, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

static int settle_locked(struct bp_catalog *c, bp_ns_t wall_ns, uint32_t keep, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    static const char *const sqls[] = {
        "UPDATE jobs SET state = 'interrupted', ended_ns = ?1,"
        " error = 'the agent ended before it was done' WHERE state IN ('queued', 'running')",
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs ORDER BY id DESC LIMIT -1 OFFSET ?1)",
    };
    const int64_t values[] = { wall_ns, keep };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < BP_COUNT(sqls); i++) {
        BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;

        r = prepare_locked(c, sqls[i], &s, err);
        if (r >= 0)
            r = sqlite3_bind_int64(s, 1, values[i]) == SQLITE_OK ? step_locked(c, s, err)
                                                                 : bp_catalog_fail(c, err);
    }
    return r;
}

int bp_catalog_settle_jobs(struct bp_catalog *c, bp_ns_t wall_ns, uint32_t keep,
                           struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = settle_locked(c, wall_ns, keep, err);
    bp_mutex_unlock(&c->lock);
    return r;
}
