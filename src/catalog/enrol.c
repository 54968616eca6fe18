#include "catalog/enrol.h"

#include <errno.h>
#include <stdio.h>

#include "catalog/catalog-priv.h"

static void finalizep(sqlite3_stmt **s) {
    (void) sqlite3_finalize(*s);
}
#define AUTO_STMT BP_CLEANUP(finalizep) sqlite3_stmt

static int prepare_locked(struct bp_catalog *c, const char *sql, sqlite3_stmt **ret,
                          struct bp_error *err) BP_REQUIRES(c->lock) {
    return sqlite3_prepare_v2(c->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : bp_catalog_fail(c, err);
}

static int expire_locked(struct bp_catalog *c, bp_ns_t now, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    AUTO_STMT *s = NULL;
    int r = prepare_locked(c, "DELETE FROM enrolments WHERE expires_ns <= ?1", &s, err);

    if (r < 0)
        return r;
    (void) sqlite3_bind_int64(s, 1, now);
    return sqlite3_step(s) == SQLITE_DONE ? 0 : bp_catalog_fail(c, err);
}

static int insert_locked(struct bp_catalog *c, const struct bp_catalog_enrolment *e,
                         struct bp_error *err) BP_REQUIRES(c->lock) {
    AUTO_STMT *s = NULL;
    int r = prepare_locked(c,
                           "INSERT INTO enrolments (digest, name, groups, created_ns, expires_ns)"
                           " SELECT ?1, ?2, ?3, ?4, ?5"
                           " WHERE (SELECT count(*) FROM enrolments) < ?6",
                           &s, err);

    if (r < 0)
        return r;
    (void) sqlite3_bind_blob(s, 1, e->digest, BP_ACCOUNT_DIGEST, SQLITE_STATIC);
    (void) sqlite3_bind_text(s, 2, e->name, -1, SQLITE_STATIC);
    (void) sqlite3_bind_text(s, 3, e->groups, -1, SQLITE_STATIC);
    (void) sqlite3_bind_int64(s, 4, e->created_ns);
    (void) sqlite3_bind_int64(s, 5, e->expires_ns);
    (void) sqlite3_bind_int64(s, 6, BP_ENROLMENTS_MAX);
    if (sqlite3_step(s) != SQLITE_DONE)
        return sqlite3_errcode(c->db) == SQLITE_CONSTRAINT
                   ? bp_fail(err, -EEXIST, "there is one called '%s' already", e->name)
                   : bp_catalog_fail(c, err);
    return sqlite3_changes(c->db) == 1
               ? 0
               : bp_fail(err, BP_ELIMIT, "there are %d, and no more fit", BP_ENROLMENTS_MAX);
}

int bp_catalog_put_enrolment(struct bp_catalog *c, const struct bp_catalog_enrolment *e,
                             struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = expire_locked(c, e->created_ns, err);
    if (r >= 0)
        r = insert_locked(c, e, err);
    bp_mutex_unlock(&c->lock);
    return r;
}

static void read_row(sqlite3_stmt *s, struct bp_catalog_enrolment *ret) {
    const char *name = (const char *) sqlite3_column_text(s, 1);
    const char *groups = (const char *) sqlite3_column_text(s, 2);
    const void *digest = sqlite3_column_blob(s, 0);

    *ret = (struct bp_catalog_enrolment){ .created_ns = sqlite3_column_int64(s, 3),
                                          .expires_ns = sqlite3_column_int64(s, 4) };
    if (digest && sqlite3_column_bytes(s, 0) == BP_ACCOUNT_DIGEST)
        memcpy(ret->digest, digest, BP_ACCOUNT_DIGEST);
    (void) snprintf(ret->name, sizeof ret->name, "%s", name ? name : "");
    (void) snprintf(ret->groups, sizeof ret->groups, "%s", groups ? groups : "[]");
}

/* The row that is gone now, in one statement: two who bring the same token cannot both have it. */
static int take_locked(struct bp_catalog *c, const uint8_t *digest,
                       struct bp_catalog_enrolment *ret, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    AUTO_STMT *s = NULL;
    int r = prepare_locked(c,
                           "DELETE FROM enrolments WHERE digest = ?1"
                           " RETURNING digest, name, groups, created_ns, expires_ns",
                           &s, err);
    int step;

    if (r < 0)
        return r;
    (void) sqlite3_bind_blob(s, 1, digest, BP_ACCOUNT_DIGEST, SQLITE_STATIC);
    step = sqlite3_step(s);
    if (step == SQLITE_DONE)
        return bp_fail(err, -ENOENT, "the one-time token is not known here, or was used");
    if (step == SQLITE_ROW) {
        read_row(s, ret);
        step = sqlite3_step(s);
    }
    return step == SQLITE_DONE ? 0 : bp_catalog_fail(c, err);
}

int bp_catalog_take_enrolment(struct bp_catalog *c, const uint8_t digest[static BP_ACCOUNT_DIGEST],
                              bp_ns_t wall_now, struct bp_catalog_enrolment *ret,
                              struct bp_error *err) {
    struct bp_catalog_enrolment e;
    int r;

    bp_mutex_lock(&c->lock);
    r = take_locked(c, digest, &e, err);
    bp_mutex_unlock(&c->lock);
    if (r < 0)
        return r;
    if (wall_now >= e.expires_ns)
        return bp_fail(err, BP_EGONE, "the one-time token has expired");
    *ret = e;
    return 0;
}

int bp_catalog_each_enrolment(struct bp_catalog *c,
                              void (*fn)(void *ctx, const struct bp_catalog_enrolment *e),
                              void *ctx, struct bp_error *err) {
    struct bp_catalog_enrolment e;
    sqlite3_stmt *s = NULL;
    int r, step = SQLITE_DONE;

    bp_mutex_lock(&c->lock);
    r = prepare_locked(c,
                       "SELECT digest, name, groups, created_ns, expires_ns FROM enrolments"
                       " ORDER BY created_ns, name",
                       &s, err);
    while (r >= 0 && (step = sqlite3_step(s)) == SQLITE_ROW) {
        read_row(s, &e);
        fn(ctx, &e);
    }
    if (r >= 0 && step != SQLITE_DONE)
        r = bp_catalog_fail(c, err);
    finalizep(&s);
    bp_mutex_unlock(&c->lock);
    return r;
}

int bp_catalog_remove_enrolment(struct bp_catalog *c, const char *name, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r;

    bp_mutex_lock(&c->lock);
    r = prepare_locked(c, "DELETE FROM enrolments WHERE name = ?1", &s, err);
    if (r >= 0) {
        (void) sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        if (sqlite3_step(s) != SQLITE_DONE)
            r = bp_catalog_fail(c, err);
        else if (sqlite3_changes(c->db) == 0)
            r = bp_fail(err, -ENOENT, "there is none called '%s'", name);
    }
    finalizep(&s);
    bp_mutex_unlock(&c->lock);
    return r;
}
