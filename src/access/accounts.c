/* Accounts under management: users and tokens, in and out as JSON. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "access/access-priv.h"
#include "base/json-value.h"
#include "base/log.h"
#include "crypt/password.h"
#include "crypt/secret.h"

static const bp_ns_t MAX_LIFETIME = 86400 * BP_SEC * 3650;

/* Names go into logs, paths and tables: plain ones only. */
static int check_name(const char *name, struct bp_error *err) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._@-";
    size_t n = strlen(name);

    if (n == 0 || n >= BP_ACCOUNT_NAME || strspn(name, allowed) != n || name[0] == '-' ||
        name[0] == '.')
        return bp_fail(err, BP_EUSAGE,
                       "'%.100s' is no name: letters, digits, '.', '_', '@' and '-', at most %d, "
                       "not beginning with '.' or '-'",
                       name, BP_ACCOUNT_NAME - 1);
    return 0;
}

static int check_role(const char *role, struct bp_error *err) {
    if (bp_access_role(role) == BP_HTTP_PUBLIC)
        return bp_fail(err, BP_EUSAGE, "role '%.100s': expected viewer, operator or admin",
                       role ? role : "");
    return 0;
}

/* An admin makes accounts, so that a limit would be none. */
static int check_scope(const struct bp_access *a, const char *role, const char *scope,
                       char ret[static BP_SCOPE], struct bp_error *err) {
    int r = bp_scope_read(scope, ret, err);

    if (r == 0 && *ret && !a->scopes)
        r = bp_fail(err, BP_EUSAGE, "'scope' is for accounts of a server");
    if (r == 0 && *ret && bp_access_role(role) == BP_HTTP_ADMIN)
        r = bp_fail(err, BP_EUSAGE, "an admin has no scope: it is for viewers and operators");
    return r;
}

/* What is asked for, as texts of the body. */
struct request {
    const char *name, *role, *password, *scope;
    int disabled; /* -1 = not said */
    double lifetime_s;
};

static int take_text(const json_t *v, const char *key, const char **ret, struct bp_error *err) {
    *ret = json_string_value(v);
    return *ret ? 0 : bp_fail(err, BP_EUSAGE, "'%s' must be a text", key);
}

/* Reads the body; a key that is not in `allowed` ("|name|role|") is an error. */
static int read_body(const json_t *body, const char *allowed, struct request *ret,
                     struct bp_error *err) {
    struct request q = { .disabled = -1 };
    const char *key;
    const json_t *v;
    int r = 0;

    if (!json_is_object(body))
        return bp_fail(err, BP_EUSAGE, "the body must be a JSON object");
    for (void *i = json_object_iter((json_t *) (uintptr_t) body); r == 0 && i;
         i = json_object_iter_next((json_t *) (uintptr_t) body, i)) {
        char word[64];

        key = json_object_iter_key(i);
        v = json_object_iter_value(i);
        (void) snprintf(word, sizeof word, "|%.60s|", key);
        if (!strstr(allowed, word))
            return bp_fail(err, BP_EUSAGE, "'%.60s' is not known here", key);
        if (bp_streq(key, "name"))
            r = take_text(v, key, &q.name, err);
        else if (bp_streq(key, "role"))
            r = take_text(v, key, &q.role, err);
        else if (bp_streq(key, "password"))
            r = take_text(v, key, &q.password, err);
        else if (bp_streq(key, "scope"))
            r = take_text(v, key, &q.scope, err);
        else if (bp_streq(key, "disabled") && json_is_boolean(v))
            q.disabled = json_is_true(v);
        else if (bp_streq(key, "lifetime_s") && json_is_number(v))
            q.lifetime_s = json_number_value(v);
        else
            return bp_fail(err, BP_EUSAGE, "'%s' has a value of the wrong kind", key);
    }
    *ret = q;
    return r;
}

/* ---- users ---- */

static json_t *user_json(const struct bp_catalog_user *u, size_t logins) {
    return json_pack("{s:s, s:s, s:b, s:o, s:o, s:i, s:s*}", "name", u->name, "role", u->role,
                     "disabled", (int) u->disabled, "created_ns", bp_json_time(u->created_ns),
                     "used_ns", bp_json_time(u->used_ns), "logins", (int) logins, "scope",
                     *u->scope ? u->scope : NULL);
}

static bool find_user(struct bp_access *a, const char *name, struct bp_catalog_user *ret) {
    bool found = false;

    bp_mutex_lock(&a->lock);
    for (size_t i = 0; !found && i < a->rows.nusers; i++) {
        found = bp_streq(a->rows.users[i].name, name);
        if (found)
            *ret = a->rows.users[i];
    }
    bp_mutex_unlock(&a->lock);
    return found;
}

static json_t *users_json(const struct bp_catalog_accounts *rows) {
    json_t *list = json_array();

    for (size_t i = 0; i < rows->nusers; i++) {
        size_t logins = 0;

        for (size_t k = 0; k < rows->nlogins; k++)
            logins += bp_streq(rows->logins[k].user, rows->users[i].name);
        (void) json_array_append_new(list, user_json(&rows->users[i], logins));
    }
    return json_pack("{s:o}", "users", list);
}

static int hash_password(struct bp_access *a, const char *password, struct bp_catalog_user *u,
                         struct bp_error *err) {
    int r;

    static_assert(BP_PASSWORD_TEXT <= sizeof u->hash, "it fits");
    bp_mutex_lock(&a->hash_lock);
    r = bp_password_hash(password, u->hash, err);
    bp_mutex_unlock(&a->hash_lock);
    return r == -EINVAL ? BP_EUSAGE : r;
}

static int store_user(struct bp_access *a, const struct bp_catalog_user *u, bool end_logins,
                      json_t **ret, struct bp_error *err) BP_REQUIRES(a->turn) {
    int r = bp_catalog_put_user(a->catalog, u, end_logins, err);

    if (r == 0)
        r = bp_access_reload(a, err);
    if (r == 0)
        *ret = user_json(u, 0);
    return r;
}

static int add_user(struct bp_access *a, const json_t *body, json_t **ret, struct bp_error *err) {
    struct bp_catalog_user u = { .created_ns = bp_wall_ns() }, other;
    struct request q;
    int r = read_body(body, "|name|role|password|scope|", &q, err);

    if (r == 0 && (!q.name || !q.role || !q.password))
        r = bp_fail(err, BP_EUSAGE, "a user needs 'name', 'role' and 'password'");
    if (r == 0)
        r = check_name(q.name, err);
    if (r == 0)
        r = check_role(q.role, err);
    if (r == 0)
        r = check_scope(a, q.role, q.scope ? q.scope : "", u.scope, err);
    if (r == 0)
        r = hash_password(a, q.password, &u, err);
    if (r < 0)
        return r;
    (void) snprintf(u.name, sizeof u.name, "%s", q.name);
    (void) snprintf(u.role, sizeof u.role, "%s", q.role);
    bp_mutex_lock(&a->turn);
    if (find_user(a, u.name, &other))
        r = bp_fail(err, -EEXIST, "there is a user '%s' already", u.name);
    else if (a->rows.nusers >= BP_ACCESS_MAX_USERS)
        r = bp_fail(err, BP_ELIMIT, "there are %d users, and no more fit", BP_ACCESS_MAX_USERS);
    else
        r = store_user(a, &u, false, ret, err);
    bp_mutex_unlock(&a->turn);
    return r < 0 ? r : 201;
}

static int no_user(const char *name, struct bp_error *err) {
    return bp_fail(err, -ENOENT, "there is no user '%s'", name);
}

static int change_user(struct bp_access *a, const char *name, const json_t *body, json_t **ret,
                       struct bp_error *err) {
    struct bp_catalog_user u, fresh;
    struct request q;
    int r = read_body(body, "|role|password|disabled|scope|", &q, err);

    if (r == 0 && q.role)
        r = check_role(q.role, err);
    if (r == 0 && !find_user(a, name, &fresh))
        r = no_user(name, err);
    if (r == 0 && q.password)
        r = hash_password(a, q.password, &fresh, err);
    if (r < 0)
        return r;
    bp_mutex_lock(&a->turn);
    if (find_user(a, name, &u)) {
        if (q.password)
            memcpy(u.hash, fresh.hash, sizeof u.hash);
        if (q.role)
            (void) snprintf(u.role, sizeof u.role, "%s", q.role);
        if (q.disabled >= 0)
            u.disabled = q.disabled;
        r = check_scope(a, u.role, q.scope ? q.scope : u.scope, u.scope, err);
        if (r == 0)
            r = store_user(a, &u, q.password || q.disabled > 0, ret, err);
    } else {
        r = no_user(name, err);
    }
    bp_mutex_unlock(&a->turn);
    return r < 0 ? r : 200;
}

static int remove_user(struct bp_access *a, const char *name, struct bp_error *err) {
    struct bp_catalog_user u;
    int r;

    bp_mutex_lock(&a->turn);
    r = find_user(a, name, &u) ? bp_catalog_remove_user(a->catalog, name, err) : no_user(name, err);
    if (r == 0)
        r = bp_access_reload(a, err);
    bp_mutex_unlock(&a->turn);
    return r < 0 ? r : 204;
}

/* ---- tokens ---- */

static json_t *token_json(const struct bp_catalog_token *t) {
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:s*}", "name", t->name, "role", t->role,
                     "created_ns", bp_json_time(t->created_ns), "expires_ns",
                     bp_json_time(t->expires_ns), "used_ns", bp_json_time(t->used_ns), "scope",
                     *t->scope ? t->scope : NULL);
}

static json_t *tokens_json(const struct bp_catalog_accounts *rows) {
    json_t *list = json_array();

    for (size_t i = 0; i < rows->ntokens; i++)
        (void) json_array_append_new(list, token_json(&rows->tokens[i]));
    return json_pack("{s:o}", "tokens", list);
}

/* Names are unique, so that one can be removed by it. */
static const struct bp_catalog_token *find_token(struct bp_access *a, const char *name)
    BP_REQUIRES(a->turn) {
    for (size_t i = 0; i < a->rows.ntokens; i++)
        if (bp_streq(a->rows.tokens[i].name, name))
            return &a->rows.tokens[i];
    return NULL;
}

static int store_token(struct bp_access *a, const struct bp_catalog_token *t, struct bp_error *err)
    BP_REQUIRES(a->turn) {
    int r;

    if (find_token(a, t->name))
        return bp_fail(err, -EEXIST, "there is a token '%s' already", t->name);
    if (a->rows.ntokens >= BP_ACCESS_MAX_TOKENS)
        return bp_fail(err, BP_ELIMIT, "there are %d tokens, and no more fit",
                       BP_ACCESS_MAX_TOKENS);
    r = bp_catalog_put_token(a->catalog, t, err);
    return r < 0 ? r : bp_access_reload(a, err);
}

static int add_token(struct bp_access *a, const json_t *body, json_t **ret, struct bp_error *err) {
    struct bp_catalog_token t = { .created_ns = bp_wall_ns() };
    char text[BP_TOKEN_TEXT];
    struct request q;
    int r = read_body(body, "|name|role|lifetime_s|scope|", &q, err);

    if (r == 0 && (!q.name || !q.role))
        r = bp_fail(err, BP_EUSAGE, "a token needs 'name' and 'role'");
    if (r == 0)
        r = check_name(q.name, err);
    if (r == 0)
        r = check_role(q.role, err);
    if (r == 0)
        r = check_scope(a, q.role, q.scope ? q.scope : "", t.scope, err);
    if (r == 0 && !(q.lifetime_s >= 0 && q.lifetime_s <= (double) MAX_LIFETIME / 1e9))
        r = bp_fail(err, BP_EUSAGE, "'lifetime_s': expected 0 (never ends) to ten years");
    if (r < 0)
        return r;
    if (bp_token_new(text) < 0 || bp_token_digest(text, t.digest) < 0)
        return bp_fail(err, -EIO, "the system gives no random numbers");
    if (q.lifetime_s > 0)
        t.expires_ns = t.created_ns + (bp_ns_t) (q.lifetime_s * 1e9);
    (void) snprintf(t.name, sizeof t.name, "%s", q.name);
    (void) snprintf(t.role, sizeof t.role, "%s", q.role);
    bp_mutex_lock(&a->turn);
    r = store_token(a, &t, err);
    bp_mutex_unlock(&a->turn);
    if (r == 0) {
        *ret = token_json(&t);
        (void) json_object_set_new(*ret, "token", json_string(text));
    }
    bp_wipe(text, sizeof text);
    return r < 0 ? r : 201;
}

static int remove_token(struct bp_access *a, const char *name, struct bp_error *err) {
    const struct bp_catalog_token *t;
    int r;

    bp_mutex_lock(&a->turn);
    t = find_token(a, name);
    r = t ? bp_catalog_remove_token(a->catalog, t->digest, err)
          : bp_fail(err, -ENOENT, "there is no token '%s'", name);
    if (r == 0)
        r = bp_access_reload(a, err);
    bp_mutex_unlock(&a->turn);
    return r < 0 ? r : 204;
}

/* ---- both ---- */

static int list(struct bp_access *a, bool users, json_t **ret, struct bp_error *err) {
    BP_CLEANUP(bp_catalog_accounts_done) struct bp_catalog_accounts rows = { 0 };
    int r;

    bp_mutex_lock(&a->turn);
    r = bp_access_reload(a, err); /* which writes the last uses, too */
    if (r == 0)
        r = bp_catalog_accounts(a->catalog, &rows, err);
    bp_mutex_unlock(&a->turn);
    if (r < 0)
        return r;
    *ret = users ? users_json(&rows) : tokens_json(&rows);
    return 200;
}

int bp_access_manage(struct bp_access *a, const char *method, const char *kind, const char *name,
                     const json_t *body, json_t **ret, struct bp_error *err) {
    bool users = bp_streq(kind, "users");

    *ret = NULL;
    if (bp_streq(method, "GET") && !name)
        return list(a, users, ret, err);
    if (bp_streq(method, "POST") && !name)
        return users ? add_user(a, body, ret, err) : add_token(a, body, ret, err);
    if (bp_streq(method, "DELETE") && name)
        return users ? remove_user(a, name, err) : remove_token(a, name, err);
    if (bp_streq(method, "PATCH") && name && users)
        return change_user(a, name, body, ret, err);
    return bp_fail(err, BP_EUSAGE, "%s of %s is not known", method, kind);
}
