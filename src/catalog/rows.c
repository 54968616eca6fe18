/* Rows of the catalogue: every statement, and structs from and to them. */
#include "catalog/catalog-priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

static const char *const status_names[] = {
    [BP_STATUS_RECORDING] = "recording", [BP_STATUS_PAUSED] = "paused",
    [BP_STATUS_FINISHED] = "finished",   [BP_STATUS_FAILED] = "failed",
    [BP_STATUS_DELETED] = "deleted",
};
static_assert(BP_COUNT(status_names) == BP_STATUS_N_, "every status has a name");

static const char *const class_names[] = {
    [BP_CLASS_SESSION] = "session",
    [BP_CLASS_SNAPSHOT] = "snapshot",
};
static_assert(BP_COUNT(class_names) == BP_CLASS_N_, "every class has a name");

#define COLUMNS                                                                           \
    "id, status, name, dir, request, mission, operator, notes, tags, error, started_ns, " \
    "ended_ns, messages, bytes, lost, segments, outages, class"

/* Ids rise with time, so "older than" is "smaller than". */
#define LIST(status)                                                                              \
    "SELECT " COLUMNS " FROM sessions WHERE " status " AND id < ?2 AND started_ns >= ?3"          \
    " AND (?4 = 0 OR started_ns < ?4) AND (?5 IS NULL OR instr(lower(name || char(10) || mission" \
    " || char(10) || notes || char(10) || tags), lower(?5)) > 0) ORDER BY id DESC LIMIT ?6"

static const char *const statements[] = {
    [BP_SQL_PUT] =
        "INSERT INTO sessions (" COLUMNS ")"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,"
        " ?18)"
        " ON CONFLICT (id) DO UPDATE SET status = excluded.status, name = excluded.name,"
        " dir = excluded.dir, request = excluded.request, mission = excluded.mission,"
        " operator = excluded.operator, notes = excluded.notes, tags = excluded.tags,"
        " error = excluded.error, started_ns = excluded.started_ns, ended_ns = excluded.ended_ns,"
        " messages = excluded.messages, bytes = excluded.bytes, lost = excluded.lost,"
        " segments = excluded.segments, outages = excluded.outages, class = excluded.class",
    [BP_SQL_GET] = "SELECT " COLUMNS " FROM sessions WHERE id = ?1",
    [BP_SQL_GET_BY_NAME] = "SELECT " COLUMNS " FROM sessions WHERE name = ?1"
                           " ORDER BY status = 'deleted', id DESC LIMIT 1",
    [BP_SQL_LIST_ANY] = LIST("status <> 'deleted'"),
    [BP_SQL_LIST_STATUS] = LIST("status = ?1"),
    [BP_SQL_ADD_MARK] = "INSERT INTO marks (session, wall_ns, text, vals) VALUES (?1, ?2, ?3, ?4)",
    [BP_SQL_MARKS] =
        "SELECT wall_ns, text, vals FROM marks WHERE session = ?1 ORDER BY wall_ns, mark",
};
static_assert(BP_COUNT(statements) == BP_SQL_N_, "every statement has its text");

const char *bp_status_name(enum bp_session_status s) {
    return (unsigned) s < BP_STATUS_N_ ? status_names[s] : "unknown";
}

int bp_status_from_name(const char *name) {
    for (int i = 0; i < BP_STATUS_N_; i++)
        if (bp_streq(status_names[i], name))
            return i;
    return -EINVAL;
}

const char *bp_class_name(enum bp_session_class c) {
    return (unsigned) c < BP_CLASS_N_ ? class_names[c] : "unknown";
}

int bp_class_from_name(const char *name) {
    for (int i = 0; i < BP_CLASS_N_; i++)
        if (bp_streq(class_names[i], name))
            return i;
    return -EINVAL;
}

/* The texts in the order of COLUMNS, from `name`. */
enum { TEXTS = 8, FIRST_TEXT = 2, FIRST_NUMBER = FIRST_TEXT + TEXTS };

static void texts_of(struct bp_catalog_session *s, char **ret[static TEXTS]) {
    char **all[TEXTS] = { &s->name,      &s->dir,   &s->request, &s->mission,
                          &s->operator_, &s->notes, &s->tags,    &s->error };

    memcpy(ret, all, sizeof all);
}

void bp_catalog_session_done(struct bp_catalog_session *s) {
    char **texts[TEXTS];

    texts_of(s, texts);
    for (size_t i = 0; i < TEXTS; i++)
        free(*texts[i]);
    *s = (struct bp_catalog_session){ 0 };
}

static void mark_done(struct bp_catalog_mark *m) {
    free(m->text);
    free(m->values);
}

/* ---- statements ---- */

static int take_locked(struct bp_catalog *c, enum bp_catalog_sql which, sqlite3_stmt **ret,
                       struct bp_error *err) BP_REQUIRES(c->lock) {
    if (!c->stmts[which] &&
        sqlite3_prepare_v3(c->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                           &c->stmts[which], NULL) != SQLITE_OK)
        return bp_catalog_fail(c, err);
    *ret = c->stmts[which];
    return 0;
}

/* Ends the transaction that a statement stands in and forgets what was bound to it. */
static void put_back(sqlite3_stmt *s) {
    (void) sqlite3_reset(s);
    (void) sqlite3_clear_bindings(s);
}

/* 1 and a row, 0 at the end. */
static int step_locked(struct bp_catalog *c, sqlite3_stmt *s, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    switch (sqlite3_step(s)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return bp_catalog_fail(c, err);
    }
}

/* Borrowed until put_back(). */
static bool bind_text(sqlite3_stmt *s, int i, const char *text) {
    return sqlite3_bind_text(s, i, text ? text : "", -1, SQLITE_STATIC) == SQLITE_OK;
}

static bool bind_int(sqlite3_stmt *s, int i, int64_t v) {
    return sqlite3_bind_int64(s, i, v) == SQLITE_OK;
}

static char *column_copy(sqlite3_stmt *s, int i) {
    const unsigned char *p = sqlite3_column_text(s, i);

    return strdup(p ? (const char *) p : "");
}

/* ---- sessions ---- */

static int read_session(const struct bp_catalog *c, sqlite3_stmt *row,
                        struct bp_catalog_session *ret, struct bp_error *err) {
    const char *id = (const char *) sqlite3_column_text(row, 0);
    const char *status_name = (const char *) sqlite3_column_text(row, 1);
    int status = status_name ? bp_status_from_name(status_name) : -EINVAL, i = FIRST_NUMBER;
    BP_AUTO_CATALOG_SESSION s = { 0 };
    const char *class_name;
    char **texts[TEXTS];
    int class;

    if (!id || status < 0)
        return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: session '%s' is '%s'", c->path,
                       id ? id : "", status_name ? status_name : "");

    texts_of(&s, texts);
    for (int k = 0; k < TEXTS; k++) {
        *texts[k] = column_copy(row, FIRST_TEXT + k);
        if (!*texts[k])
            return bp_fail(err, -ENOMEM, "no memory for a session");
    }
    (void) snprintf(s.id, sizeof s.id, "%s", id);
    s.status = (enum bp_session_status) status;
    s.started_ns = sqlite3_column_int64(row, i++);
    s.ended_ns = sqlite3_column_int64(row, i++);
    s.messages = (uint64_t) sqlite3_column_int64(row, i++);
    s.bytes = (uint64_t) sqlite3_column_int64(row, i++);
    s.lost = (uint64_t) sqlite3_column_int64(row, i++);
    s.segments = (uint32_t) sqlite3_column_int64(row, i++);
    s.outages = (uint32_t) sqlite3_column_int64(row, i++);
    class_name = (const char *) sqlite3_column_text(row, i);
    class = class_name ? bp_class_from_name(class_name) : -EINVAL;
    s.class = class < 0 ? BP_CLASS_SESSION : (enum bp_session_class) class; /* of a later version */

    *ret = BP_TAKE(s, ((struct bp_catalog_session){ 0 }));
    return 0;
}

static bool bind_session(sqlite3_stmt *st, const struct bp_catalog_session *s) {
    const char *texts[] = { s->id,        bp_status_name(s->status),
                            s->name,      s->dir,
                            s->request,   s->mission,
                            s->operator_, s->notes,
                            s->tags,      s->error };
    int64_t numbers[] = { s->started_ns,      s->ended_ns,       (int64_t) s->messages,
                          (int64_t) s->bytes, (int64_t) s->lost, s->segments,
                          s->outages };
    bool ok = true;
    int at = 1;

    static_assert(BP_COUNT(texts) == FIRST_NUMBER, "id, status and the texts");
    for (size_t i = 0; i < BP_COUNT(texts); i++)
        ok = bind_text(st, at++, texts[i]) && ok;
    for (size_t i = 0; i < BP_COUNT(numbers); i++)
        ok = bind_int(st, at++, numbers[i]) && ok;
    return bind_text(st, at, bp_class_name(s->class)) && ok;
}

int bp_catalog_put(struct bp_catalog *c, const struct bp_catalog_session *s, struct bp_error *err) {
    sqlite3_stmt *st = NULL;
    int r;

    if (strnlen(s->id, sizeof s->id) != sizeof s->id - 1 || (unsigned) s->status >= BP_STATUS_N_ ||
        (unsigned) s->class >= BP_CLASS_N_)
        return bp_fail(err, -EINVAL, "'%.26s' is not the id of a session", s->id);

    bp_mutex_lock(&c->lock);
    r = take_locked(c, BP_SQL_PUT, &st, err);
    if (r >= 0) {
        r = bind_session(st, s) ? step_locked(c, st, err) : bp_catalog_fail(c, err);
        put_back(st);
    }
    bp_mutex_unlock(&c->lock);
    return r;
}

/* 1 when there is one. */
static int find_locked(struct bp_catalog *c, enum bp_catalog_sql by, const char *key,
                       struct bp_catalog_session *ret, struct bp_error *err) BP_REQUIRES(c->lock) {
    sqlite3_stmt *st = NULL;
    int r = take_locked(c, by, &st, err);

    if (r < 0)
        return r;
    r = bind_text(st, 1, key) ? step_locked(c, st, err) : bp_catalog_fail(c, err);
    if (r > 0) {
        r = read_session(c, st, ret, err);
        r = r < 0 ? r : 1;
    }
    put_back(st);
    return r;
}

int bp_catalog_get(struct bp_catalog *c, const char *key, struct bp_catalog_session *ret,
                   struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = find_locked(c, BP_SQL_GET, key, ret, err);
    if (r == 0)
        r = find_locked(c, BP_SQL_GET_BY_NAME, key, ret, err);
    bp_mutex_unlock(&c->lock);
    if (r == 0)
        return bp_fail(err, -ENOENT, "there is no session '%s'", key);
    return r < 0 ? r : 0;
}

static bool bind_query(sqlite3_stmt *st, const struct bp_catalog_query *q) {
    uint32_t limit = q->limit ? BP_MIN(q->limit, (uint32_t) LIMIT_MAX) : LIMIT_DEFAULT;

    return bind_text(st, 1, q->status >= 0 ? status_names[q->status] : "") &&
           bind_text(st, 2, q->before ? q->before : "~") && bind_int(st, 3, q->from) &&
           bind_int(st, 4, q->to) && (!q->text || bind_text(st, 5, q->text)) &&
           bind_int(st, 6, limit);
}

static int list_locked(struct bp_catalog *c, const struct bp_catalog_query *q,
                       int (*fn)(void *ctx, const struct bp_catalog_session *s), void *ctx,
                       struct bp_error *err) BP_REQUIRES(c->lock) {
    sqlite3_stmt *st = NULL;
    int r = take_locked(c, q->status < 0 ? BP_SQL_LIST_ANY : BP_SQL_LIST_STATUS, &st, err);

    if (r < 0)
        return r;
    r = bind_query(st, q) ? 0 : bp_catalog_fail(c, err);
    while (r == 0 && (r = step_locked(c, st, err)) > 0) {
        BP_AUTO_CATALOG_SESSION s = { 0 };

        r = read_session(c, st, &s, err);
        if (r == 0)
            r = fn(ctx, &s);
    }
    put_back(st);
    return r;
}

int bp_catalog_list(struct bp_catalog *c, const struct bp_catalog_query *q,
                    int (*fn)(void *ctx, const struct bp_catalog_session *s), void *ctx,
                    struct bp_error *err) {
    int r;

    if (q->status >= BP_STATUS_N_)
        return bp_fail(err, -EINVAL, "there is no status %d", q->status);

    bp_mutex_lock(&c->lock);
    r = list_locked(c, q, fn, ctx, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

/* ---- marks ---- */

static int add_mark_locked(struct bp_catalog *c, const char *id, const struct bp_catalog_mark *m,
                           struct bp_error *err) BP_REQUIRES(c->lock) {
    sqlite3_stmt *st = NULL;
    int r = take_locked(c, BP_SQL_ADD_MARK, &st, err);

    if (r < 0)
        return r;
    r = bind_text(st, 1, id) && bind_int(st, 2, m->wall_ns) && bind_text(st, 3, m->text) &&
                bind_text(st, 4, m->values)
            ? step_locked(c, st, err)
            : bp_catalog_fail(c, err);
    if (r < 0 && sqlite3_extended_errcode(c->db) == SQLITE_CONSTRAINT_FOREIGNKEY)
        r = bp_fail(err, -ENOENT, "there is no session '%s'", id);
    put_back(st);
    return r;
}

int bp_catalog_add_mark(struct bp_catalog *c, const char *id, const struct bp_catalog_mark *m,
                        struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = add_mark_locked(c, id, m, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

static int marks_locked(struct bp_catalog *c, const char *id,
                        int (*fn)(void *ctx, const struct bp_catalog_mark *m), void *ctx,
                        struct bp_error *err) BP_REQUIRES(c->lock) {
    sqlite3_stmt *st = NULL;
    int r = take_locked(c, BP_SQL_MARKS, &st, err);

    if (r < 0)
        return r;
    r = bind_text(st, 1, id) ? 0 : bp_catalog_fail(c, err);
    while (r == 0 && (r = step_locked(c, st, err)) > 0) {
        BP_CLEANUP(mark_done)
        struct bp_catalog_mark m = {
            .wall_ns = sqlite3_column_int64(st, 0),
            .text = column_copy(st, 1),
            .values = column_copy(st, 2),
        };

        r = m.text && m.values ? fn(ctx, &m) : bp_fail(err, -ENOMEM, "no memory for a mark");
    }
    put_back(st);
    return r;
}

int bp_catalog_marks(struct bp_catalog *c, const char *id,
                     int (*fn)(void *ctx, const struct bp_catalog_mark *m), void *ctx,
                     struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = marks_locked(c, id, fn, ctx, err);
    bp_mutex_unlock(&c->lock);
    return r;
}
