/* Accounts in and out. Rows are few and written seldom (access/ keeps a copy in memory), so no
 * statement is kept prepared. */
#include "catalog/accounts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/io.h"
#include "catalog/catalog-priv.h"

enum { MAX_ROWS = 100000 }; /* more are of no agent; keeps a strange database from eating memory */

static void finalizep(sqlite3_stmt **s) {
    (void) sqlite3_finalize(*s);
}
#define AUTO_STMT BP_CLEANUP(finalizep) sqlite3_stmt

/* One value of a statement. */
struct value {
    const char *text; /* or */
    const uint8_t *digest;
    int64_t number;
};
#define TEXT(t)   ((struct value){ .text = (t) })
#define DIGEST(d) ((struct value){ .digest = (d) })
#define NUMBER(n) ((struct value){ .number = (n) })

static int bind_value(sqlite3_stmt *s, int at, const struct value *v) {
    if (v->text)
        return sqlite3_bind_text(s, at, v->text, -1, SQLITE_STATIC);
    if (v->digest)
        return sqlite3_bind_blob(s, at, v->digest, BP_ACCOUNT_DIGEST, SQLITE_STATIC);
    return sqlite3_bind_int64(s, at, v->number);
}

/* Runs a statement that gives no rows. */
static int run_locked(struct bp_catalog *c, const char *sql, const struct value *v, size_t n,
                      struct bp_error *err) BP_REQUIRES(c->lock) {
    AUTO_STMT *s = NULL;

    if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) != SQLITE_OK)
        return bp_catalog_fail(c, err);
    for (size_t i = 0; i < n; i++)
        if (bind_value(s, (int) i + 1, &v[i]) != SQLITE_OK)
            return bp_catalog_fail(c, err);
    return sqlite3_step(s) == SQLITE_DONE ? 0 : bp_catalog_fail(c, err);
}

#define RUN_LOCKED(c, sql, err, ...)                        \
    run_locked((c), (sql), (struct value[]){ __VA_ARGS__ }, \
               sizeof((struct value[]){ __VA_ARGS__ }) / sizeof(struct value), (err))

static int number_locked(struct bp_catalog *c, const char *sql, int64_t *ret, struct bp_error *err)
    BP_REQUIRES(c->lock) {
    AUTO_STMT *s = NULL;

    if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) != SQLITE_OK || sqlite3_step(s) != SQLITE_ROW)
        return bp_catalog_fail(c, err);
    *ret = sqlite3_column_int64(s, 0);
    return 0;
}

/* ---- the file that says there are some ---- */

static char *mark_path(const struct bp_catalog *c) {
    BP_AUTO_BUF b = { 0 };

    bp_buf_printf(&b, "%s.accounts", c->path);
    return bp_buf_take_cstr(&b);
}

static bool is_marked(const struct bp_catalog *c) {
    BP_AUTO_FREE char *path = mark_path(c);

    return !path || access(path, F_OK) == 0;
}

static int mark(const struct bp_catalog *c, struct bp_error *err) {
    BP_AUTO_FREE char *path = mark_path(c);

    if (!path)
        return bp_fail(err, -ENOMEM, "out of memory");
    return is_marked(c) ? 0 : bp_io_replace_file(&bp_io_posix, path, "", 0, err);
}

static void unmark_if_empty_locked(struct bp_catalog *c) BP_REQUIRES(c->lock);
static void unmark_if_empty_locked(struct bp_catalog *c) {
    BP_AUTO_FREE char *path = mark_path(c);
    char dir[4096];
    int64_t n = 1;

    if (!path ||
        number_locked(c, "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM tokens)", &n,
                      NULL) < 0 ||
        n > 0)
        return;
    (void) bp_io_posix.unlink(bp_io_posix.ctx, path); /* left over, it keeps the door shut */
    bp_io_dirname(path, dir, sizeof dir);
    (void) bp_io_posix.sync_dir(bp_io_posix.ctx, dir);
}

/* ---- in ---- */

static int begin_locked(struct bp_catalog *c, struct bp_error *err) BP_REQUIRES(c->lock) {
    return run_locked(c, "BEGIN IMMEDIATE", NULL, 0, err);
}

/* Keeps what was done, or nothing of it. */
static int end_locked(struct bp_catalog *c, int r, struct bp_error *err) BP_REQUIRES(c->lock) {
    if (r >= 0)
        r = run_locked(c, "COMMIT", NULL, 0, err);
    if (r < 0)
        (void) run_locked(c, "ROLLBACK", NULL, 0, NULL);
    return r;
}

int bp_catalog_put_user(struct bp_catalog *c, const struct bp_catalog_user *u, bool end_logins,
                        struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = mark(c, err);
    if (r >= 0)
        r = begin_locked(c, err);
    if (r >= 0) {
        r = RUN_LOCKED(c,
                       "INSERT INTO users (name, role, hash, disabled, created_ns, used_ns, scope)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (name) DO UPDATE SET"
                       " role = excluded.role, hash = excluded.hash, disabled = excluded.disabled,"
                       " created_ns = excluded.created_ns, used_ns = excluded.used_ns,"
                       " scope = excluded.scope",
                       err, TEXT(u->name), TEXT(u->role), TEXT(u->hash), NUMBER(u->disabled),
                       NUMBER(u->created_ns), NUMBER(u->used_ns), TEXT(u->scope));
        if (r >= 0 && end_logins)
            r = RUN_LOCKED(c, "DELETE FROM logins WHERE user = ?1", err, TEXT(u->name));
        r = end_locked(c, r, err);
    }
    bp_mutex_unlock(&c->lock);
    return r;
}

int bp_catalog_put_token(struct bp_catalog *c, const struct bp_catalog_token *t,
                         struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = mark(c, err);
    if (r >= 0)
        r = RUN_LOCKED(c,
                       "INSERT OR REPLACE INTO tokens (digest, name, role, created_ns, expires_ns,"
                       " used_ns, scope) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                       err, DIGEST(t->digest), TEXT(t->name), TEXT(t->role), NUMBER(t->created_ns),
                       NUMBER(t->expires_ns), NUMBER(t->used_ns), TEXT(t->scope));
    bp_mutex_unlock(&c->lock);
    return r;
}

int bp_catalog_put_login(struct bp_catalog *c, const struct bp_catalog_login *l,
                         struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = RUN_LOCKED(c,
                   "INSERT OR REPLACE INTO logins (digest, user, created_ns, used_ns)"
                   " VALUES (?1, ?2, ?3, ?4)",
                   err, DIGEST(l->digest), TEXT(l->user), NUMBER(l->created_ns),
                   NUMBER(l->used_ns));
    if (r < 0 && sqlite3_extended_errcode(c->db) == SQLITE_CONSTRAINT_FOREIGNKEY)
        r = bp_fail(err, -ENOENT, "there is no user '%s'", l->user);
    bp_mutex_unlock(&c->lock);
    return r;
}

/* ---- away ---- */

static int removal(struct bp_catalog *c, const char *sql, struct value key, struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = run_locked(c, sql, &key, 1, err);
    if (r >= 0)
        unmark_if_empty_locked(c);
    bp_mutex_unlock(&c->lock);
    return r;
}

int bp_catalog_remove_user(struct bp_catalog *c, const char *name, struct bp_error *err) {
    return removal(c, "DELETE FROM users WHERE name = ?1", TEXT(name), err);
}

int bp_catalog_remove_token(struct bp_catalog *c, const uint8_t digest[static BP_ACCOUNT_DIGEST],
                            struct bp_error *err) {
    return removal(c, "DELETE FROM tokens WHERE digest = ?1", DIGEST(digest), err);
}

int bp_catalog_remove_login(struct bp_catalog *c, const uint8_t digest[static BP_ACCOUNT_DIGEST],
                            struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = RUN_LOCKED(c, "DELETE FROM logins WHERE digest = ?1", err, DIGEST(digest));
    bp_mutex_unlock(&c->lock);
    return r;
}

/* ---- out ---- */

static void read_text(sqlite3_stmt *s, int i, char *ret, size_t cap) {
    const char *text = (const char *) sqlite3_column_text(s, i);

    (void) snprintf(ret, cap, "%s", text ? text : "");
}

static bool read_digest(sqlite3_stmt *s, int i, uint8_t ret[static BP_ACCOUNT_DIGEST]) {
    const void *p = sqlite3_column_blob(s, i);

    if (!p || sqlite3_column_bytes(s, i) != BP_ACCOUNT_DIGEST)
        return false;
    memcpy(ret, p, BP_ACCOUNT_DIGEST);
    return true;
}

static bool read_user(sqlite3_stmt *s, void *ret) {
    struct bp_catalog_user *u = ret;

    read_text(s, 0, u->name, sizeof u->name);
    read_text(s, 1, u->role, sizeof u->role);
    read_text(s, 2, u->hash, sizeof u->hash);
    u->disabled = sqlite3_column_int64(s, 3) != 0;
    u->created_ns = sqlite3_column_int64(s, 4);
    u->used_ns = sqlite3_column_int64(s, 5);
    read_text(s, 6, u->scope, sizeof u->scope);
    return true;
}

static bool read_token(sqlite3_stmt *s, void *ret) {
    struct bp_catalog_token *t = ret;

    read_text(s, 1, t->name, sizeof t->name);
    read_text(s, 2, t->role, sizeof t->role);
    t->created_ns = sqlite3_column_int64(s, 3);
    t->expires_ns = sqlite3_column_int64(s, 4);
    t->used_ns = sqlite3_column_int64(s, 5);
    read_text(s, 6, t->scope, sizeof t->scope);
    return read_digest(s, 0, t->digest);
}

static bool read_login(sqlite3_stmt *s, void *ret) {
    struct bp_catalog_login *l = ret;

    read_text(s, 1, l->user, sizeof l->user);
    l->created_ns = sqlite3_column_int64(s, 2);
    l->used_ns = sqlite3_column_int64(s, 3);
    return read_digest(s, 0, l->digest);
}

/* All rows of a statement, `size` bytes each, as one heap array. */
static int read_locked(struct bp_catalog *c, const char *sql, size_t size,
                       bool (*read)(sqlite3_stmt *s, void *ret), void **ret, size_t *ret_n,
                       struct bp_error *err) BP_REQUIRES(c->lock) {
    AUTO_STMT *s = NULL;
    BP_AUTO_BUF rows = { 0 };
    size_t n = 0;
    int step = SQLITE_DONE;

    if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) != SQLITE_OK)
        return bp_catalog_fail(c, err);
    while (n < MAX_ROWS && (step = sqlite3_step(s)) == SQLITE_ROW) {
        uint8_t *row = bp_buf_grow(&rows, size);

        if (!row)
            return bp_fail(err, -ENOMEM, "no memory for accounts");
        memset(row, 0, size);
        if (!read(s, row))
            return bp_fail(err, BP_ECORRUPT, "'%s' is damaged: an account's digest", c->path);
        n++;
    }
    if (step != SQLITE_DONE && step != SQLITE_ROW)
        return bp_catalog_fail(c, err);
    *ret = BP_TAKE_PTR(rows.p);
    *ret_n = n;
    return 0;
}

int bp_catalog_accounts(struct bp_catalog *c, struct bp_catalog_accounts *ret,
                        struct bp_error *err) {
    BP_CLEANUP(bp_catalog_accounts_done) struct bp_catalog_accounts a = { 0 };
    void *users = NULL, *tokens = NULL, *logins = NULL;
    int r;

    bp_mutex_lock(&c->lock);
    r = read_locked(c,
                    "SELECT name, role, hash, disabled, created_ns, used_ns, scope FROM users"
                    " ORDER BY created_ns, name",
                    sizeof *a.users, read_user, &users, &a.nusers, err);
    if (r >= 0)
        r = read_locked(
            c,
            "SELECT digest, name, role, created_ns, expires_ns, used_ns, scope FROM tokens"
            " ORDER BY created_ns, name",
            sizeof *a.tokens, read_token, &tokens, &a.ntokens, err);
    if (r >= 0)
        r = read_locked(c,
                        "SELECT digest, user, created_ns, used_ns FROM logins ORDER BY created_ns",
                        sizeof *a.logins, read_login, &logins, &a.nlogins, err);
    bp_mutex_unlock(&c->lock);
    a.users = users;
    a.tokens = tokens;
    a.logins = logins;
    *ret = (struct bp_catalog_accounts){ 0 };
    if (r < 0)
        return r;
    a.lost = a.nusers + a.ntokens == 0 && is_marked(c);
    *ret = BP_TAKE(a, ((struct bp_catalog_accounts){ 0 }));
    return 0;
}

void bp_catalog_accounts_done(struct bp_catalog_accounts *a) {
    free(a->users);
    free(a->tokens);
    free(a->logins);
    *a = (struct bp_catalog_accounts){ 0 };
}

int bp_catalog_used(struct bp_catalog *c, const struct bp_catalog_accounts *a,
                    struct bp_error *err) {
    int r;

    if (a->nusers + a->ntokens + a->nlogins == 0)
        return 0;
    bp_mutex_lock(&c->lock);
    r = begin_locked(c, err);
    if (r >= 0) {
        for (size_t i = 0; r >= 0 && i < a->nusers; i++)
            r = RUN_LOCKED(c, "UPDATE users SET used_ns = ?2 WHERE name = ?1", err,
                           TEXT(a->users[i].name), NUMBER(a->users[i].used_ns));
        for (size_t i = 0; r >= 0 && i < a->ntokens; i++)
            r = RUN_LOCKED(c, "UPDATE tokens SET used_ns = ?2 WHERE digest = ?1", err,
                           DIGEST(a->tokens[i].digest), NUMBER(a->tokens[i].used_ns));
        for (size_t i = 0; r >= 0 && i < a->nlogins; i++)
            r = RUN_LOCKED(c, "UPDATE logins SET used_ns = ?2 WHERE digest = ?1", err,
                           DIGEST(a->logins[i].digest), NUMBER(a->logins[i].used_ns));
        r = end_locked(c, r, err);
    }
    bp_mutex_unlock(&c->lock);
    return r;
}

int bp_catalog_outside_writes(struct bp_catalog *c, int64_t *ret, struct bp_error *err) {
    int r;

    bp_mutex_lock(&c->lock);
    r = number_locked(c, "PRAGMA data_version", ret, err);
    bp_mutex_unlock(&c->lock);
    return r;
}
