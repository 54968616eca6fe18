#include "catalog/keep.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "catalog/catalog-priv.h"

/* Statements are prepared each time: these run once a minute or when somebody asks. */

#define COLUMNS                                                                                  \
    "id, status, name, dir, class, deleted_why, started_ns, ended_ns, uploaded_ns, deleted_ns, " \
    "bytes, keep, (SELECT count(*) FROM marks WHERE session = sessions.id)"

void bp_catalog_keep_done(struct bp_catalog_keep *k) {
    free(k->name);
    free(k->dir);
    free(k->class_);
    free(k->deleted_why);
    *k = (struct bp_catalog_keep){ 0 };
}

static void finalizep(sqlite3_stmt **s) {
    (void) sqlite3_finalize(*s);
}

static int prepare_locked(struct bp_catalog *c, const char *sql, sqlite3_stmt **ret,
                          struct bp_error *err) BP_REQUIRES(c->lock) {
    return sqlite3_prepare_v2(c->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : bp_catalog_fail(c, err);
}

static char *text_at(sqlite3_stmt *s, int i) {
    return (char *) (uintptr_t) sqlite3_column_text(s, i);
}

/* Texts are those of the statement. */
static int read_row(sqlite3_stmt *s, struct bp_catalog_keep *ret) {
    struct bp_catalog_keep k = { .name = text_at(s, 2),
                                 .dir = text_at(s, 3),
                                 .class_ = text_at(s, 4),
                                 .deleted_why = text_at(s, 5),
                                 .started_ns = sqlite3_column_int64(s, 6),
                                 .ended_ns = sqlite3_column_int64(s, 7),
                                 .uploaded_ns = sqlite3_column_int64(s, 8),
                                 .deleted_ns = sqlite3_column_int64(s, 9),
                                 .bytes = (uint64_t) sqlite3_column_int64(s, 10),
                                 .keep = sqlite3_column_int(s, 11) != 0,
                                 .marks = (uint32_t) sqlite3_column_int64(s, 12) };
    const char *id = text_at(s, 0), *status_text = text_at(s, 1);
    int status = status_text ? bp_status_from_name(status_text) : -EINVAL;

    if (!id || !k.name || !k.dir || !k.class_ || !k.deleted_why)
        return -ENOMEM;
    if (status < 0)
        return BP_ECORRUPT;
    (void) snprintf(k.id, sizeof k.id, "%s", id);
    k.status = (enum bp_session_status) status;
    *ret = k;
    return 0;
}

static int step_locked(struct bp_catalog *c, sqlite3_stmt *s, struct bp_catalog_keep *ret,
                       struct bp_error *err) BP_REQUIRES(c->lock) {
    int r = sqlite3_step(s);

    if (r == SQLITE_DONE)
        return 0;
    if (r != SQLITE_ROW) {
        r = bp_catalog_fail(c, err);
        return r < 0 ? r : -EIO; /* never, but the analyzer does not see it */
    }
    r = read_row(s, ret);
    if (r < 0)
        return bp_fail(err, r, "cannot read a session from '%s': %s", c->path, bp_strerror(r));
    return 1;
}

static int each_locked(struct bp_catalog *c, int (*fn)(void *ctx, const struct bp_catalog_keep *k),
                       void *ctx, struct bp_error *err) BP_REQUIRES(c->lock) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    struct bp_catalog_keep k;
    int r = prepare_locked(
        c, "SELECT " COLUMNS " FROM sessions WHERE status <> 'deleted' ORDER BY id", &s, err);

    while (r == 0 && (r = step_locked(c, s, &k, err)) > 0)
        r = fn(ctx, &k);
    return r;
}

int bp_catalog_each_keep(struct bp_catalog *c,
                         int (*fn)(void *ctx, const struct bp_catalog_keep *k), void *ctx,
                         struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = each_locked(c, fn, ctx, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

static int get_locked(struct bp_catalog *c, const char *id, struct bp_catalog_keep *ret,
                      struct bp_error *err) BP_REQUIRES(c->lock) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    BP_AUTO_CATALOG_KEEP copy = { 0 };
    struct bp_catalog_keep k = { 0 };
    int r = prepare_locked(c, "SELECT " COLUMNS " FROM sessions WHERE id = ?1", &s, err);

    if (r < 0)
        return r;
    if (sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC) != SQLITE_OK)
        return bp_catalog_fail(c, err);
    r = step_locked(c, s, &k, err);
    if (r == 0)
        return bp_fail(err, -ENOENT, "there is no session '%s'", id);
    if (r < 0)
        return r;
    copy = k;
    copy.name = strdup(k.name);
    copy.dir = strdup(k.dir);
    copy.class_ = strdup(k.class_);
    copy.deleted_why = strdup(k.deleted_why);
    if (!copy.name || !copy.dir || !copy.class_ || !copy.deleted_why)
        return bp_fail(err, -ENOMEM, "no memory for a session");
    *ret = BP_TAKE(copy, ((struct bp_catalog_keep){ 0 }));
    return 0;
}

int bp_catalog_get_keep(struct bp_catalog *c, const char *id, struct bp_catalog_keep *ret,
                        struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = get_locked(c, id, ret, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

/* @param text  bound to ?3, or NULL */
static int update_locked(struct bp_catalog *c, const char *sql, const char *id, int64_t number,
                         const char *text, struct bp_error *err) BP_REQUIRES(c->lock) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    int r = prepare_locked(c, sql, &s, err);

    if (r < 0)
        return r;
    if (sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(s, 2, number) != SQLITE_OK ||
        (text && sqlite3_bind_text(s, 3, text, -1, SQLITE_STATIC) != SQLITE_OK) ||
        sqlite3_step(s) != SQLITE_DONE)
        return bp_catalog_fail(c, err);
    return sqlite3_changes(c->db) ? 0 : bp_fail(err, -ENOENT, "there is no session '%s'", id);
}

static int update(struct bp_catalog *c, const char *sql, const char *id, int64_t number,
                  const char *text, struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = update_locked(c, sql, id, number, text, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

int bp_catalog_set_keep(struct bp_catalog *c, const char *id, bool keep, struct bp_error *err) {
    return update(c, "UPDATE sessions SET keep = ?2 WHERE id = ?1", id, keep, NULL, err);
}

int bp_catalog_set_uploaded(struct bp_catalog *c, const char *id, bp_ns_t wall_ns,
                            struct bp_error *err) {
    return update(c, "UPDATE sessions SET uploaded_ns = ?2 WHERE id = ?1", id, wall_ns, NULL, err);
}

int bp_catalog_bury(struct bp_catalog *c, const char *id, bp_ns_t wall_ns, const char *why,
                    struct bp_error *err) {
    return update(c,
                  "UPDATE sessions SET status = 'deleted', deleted_ns = ?2, deleted_why = ?3"
                  " WHERE id = ?1",
                  id, wall_ns, why, err);
}

static int get_sync_locked(struct bp_catalog *c, const char *id, char **ret, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    BP_CLEANUP(finalizep) sqlite3_stmt *s = NULL;
    int r = prepare_locked(c, "SELECT sync FROM sessions WHERE id = ?1", &s, err);

    if (r < 0)
        return r;
    if (sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC) != SQLITE_OK)
        return bp_catalog_fail(c, err);
    r = sqlite3_step(s);
    if (r == SQLITE_DONE)
        return bp_fail(err, -ENOENT, "there is no session '%s'", id);
    if (r != SQLITE_ROW)
        return bp_catalog_fail(c, err);
    *ret = text_at(s, 0) ? strdup(text_at(s, 0)) : NULL;
    return *ret ? 0 : bp_fail(err, -ENOMEM, "no memory for a session");
}

int bp_catalog_get_sync(struct bp_catalog *c, const char *id, char **ret, struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = get_sync_locked(c, id, ret, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

int bp_catalog_set_sync(struct bp_catalog *c, const char *id, const char *text,
                        struct bp_error *err) {
    return update(c, "UPDATE sessions SET sync = ?3 WHERE id = ?1 AND ?2 = 0", id, 0, text, err);
}
