/* Logins: a password for a cookie. The cookie is a token of its own, kept as its digest, so that
 * neither a copy of the database nor a log lets anybody in. An API token goes into its cookie: what
 * ends the one ends the other. Guessing is slowed down by user and by
 * client; attempts count before their outcome is known. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "access/access-priv.h"
#include "base/log.h"
#include "crypt/password.h"
#include "crypt/secret.h"

/* A user whom others keep from logging in must get through soon, a client need not. */
static const struct bp_throttle_rule by_user = { 5, BP_SEC, 60 * BP_SEC, 900 * BP_SEC };
static const struct bp_throttle_rule by_client = { 10, BP_SEC, 600 * BP_SEC, 900 * BP_SEC };

enum { MAX_HASHING = 2 }; /* one at it and one waiting; workers are for others, too */

struct attempt {
    char user[BP_THROTTLE_KEY], client[BP_THROTTLE_KEY]; /* keys of the throttle */
};

/* Counts it, or says how long to wait. */
static bp_ns_t begin_attempt(struct bp_access *a, const struct attempt *t, bool *ret_busy) {
    bp_ns_t now = bp_mono_ns(), wait;

    bp_mutex_lock(&a->lock);
    wait = BP_MAX(bp_throttle_wait(a->throttle, &by_user, t->user, now),
                  bp_throttle_wait(a->throttle, &by_client, t->client, now));
    *ret_busy = wait == 0 && a->hashing >= MAX_HASHING;
    if (wait == 0 && !*ret_busy) {
        bp_throttle_count(a->throttle, &by_user, t->user, now);
        bp_throttle_count(a->throttle, &by_client, t->client, now);
        a->hashing++;
    }
    bp_mutex_unlock(&a->lock);
    return wait;
}

static void end_attempt(struct bp_access *a, const struct attempt *t, bool good) {
    bp_mutex_lock(&a->lock);
    a->hashing--;
    if (good) {
        bp_throttle_forgive(a->throttle, t->user, true);
        bp_throttle_forgive(a->throttle, t->client, false);
    }
    bp_mutex_unlock(&a->lock);
}

static void retry_after(struct bp_http_reply *reply, int status, bp_ns_t wait, const char *why) {
    struct bp_error err = { 0 };
    char text[24];

    (void) snprintf(text, sizeof text, "%" PRId64, (wait + BP_SEC - 1) / BP_SEC);
    (void) bp_fail(&err, -EAGAIN, "%s; try again in %s s", why, text);
    bp_http_reply_problem(reply, status, &err);
    bp_http_reply_header(reply, "Retry-After", text);
}

/* @return 0 and the user; -EACCES; -ENOMEM */
static int check_password(struct bp_access *a, const char *name, const char *password,
                          struct bp_catalog_user *ret) {
    bool known = false;
    int r;

    bp_mutex_lock(&a->lock);
    for (size_t i = 0; !known && i < a->rows.nusers; i++) {
        known = bp_streq(a->rows.users[i].name, name);
        if (known)
            *ret = a->rows.users[i];
    }
    bp_mutex_unlock(&a->lock);
    bp_mutex_lock(&a->hash_lock);
    r = bp_password_check(password, known ? ret->hash : NULL);
    bp_mutex_unlock(&a->hash_lock);
    if (r == -ENOMEM)
        return r;
    return r == 0 && known && !ret->disabled ? 0 : -EACCES;
}

/* The one used longest ago makes room. */
static int make_room(struct bp_access *a, struct bp_error *err) BP_REQUIRES(a->turn) {
    struct bp_catalog_login oldest = { 0 };
    bool full;

    bp_mutex_lock(&a->lock);
    full = a->rows.nlogins >= BP_ACCESS_MAX_LOGINS;
    for (size_t i = 0; full && i < a->rows.nlogins; i++)
        if (i == 0 || a->rows.logins[i].used_ns < oldest.used_ns)
            oldest = a->rows.logins[i];
    bp_mutex_unlock(&a->lock);
    return full ? bp_catalog_remove_login(a->catalog, oldest.digest, err) : 0;
}

/* @param ret  the cookie's value */
static int new_login(struct bp_access *a, const struct bp_catalog_user *u,
                     char ret[static BP_TOKEN_TEXT], struct bp_error *err) {
    struct bp_catalog_login login = { .created_ns = bp_wall_ns() };
    int r;

    login.used_ns = login.created_ns;
    (void) snprintf(login.user, sizeof login.user, "%s", u->name);
    if (bp_token_new(ret) < 0 || bp_token_digest(ret, login.digest) < 0)
        return bp_fail(err, -EIO, "the system gives no random numbers");
    bp_mutex_lock(&a->turn);
    r = make_room(a, err);
    if (r == 0)
        r = bp_catalog_put_login(a->catalog, &login, err);
    if (r == 0)
        r = bp_access_reload(a, err);
    bp_mutex_unlock(&a->turn);
    return r;
}

static void set_cookie(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                       const char *value, bp_ns_t age) {
    char text[256];

    (void) snprintf(text, sizeof text,
                    "%s=%s; Path=/; Max-Age=%" PRId64 "; HttpOnly; SameSite=Strict%s", a->cookie,
                    value, age / BP_SEC, bp_access_by_tls(req) ? "; Secure" : "");
    bp_http_reply_header(reply, "Set-Cookie", text);
    bp_wipe(text, sizeof text);
}

static json_t *who_json(struct bp_access *a, const struct bp_who *who) {
    static const char *const hows[] = {
        [BP_HOW_NOBODY] = "nobody", [BP_HOW_SOCKET] = "socket", [BP_HOW_LOCAL] = "local",
        [BP_HOW_TOKEN] = "token",   [BP_HOW_LOGIN] = "login",   [BP_HOW_JWT] = "jwt",
    };
    static const char *const modes[] = { "auto", "required", "off" };
    bool known = who->role != BP_HTTP_PUBLIC;
    json_t *o = json_pack("{s:s?, s:s?, s:s, s:s, s:b, s:s*}", "user", known ? who->name : NULL,
                          "role", known ? bp_http_access_text(who->role) : NULL, "by",
                          hows[who->how], "auth", modes[a->mode], "accounts",
                          (int) bp_access_configured(a), "scope", *who->scope ? who->scope : NULL);

    static_assert(BP_COUNT(modes) == BP_ACCESS_OFF + 1, "a name for each");
    if (who->how == BP_HOW_LOCAL)
        (void) json_object_set_new(
            o, "note",
            json_string(a->mode == BP_ACCESS_OFF
                            ? "authentication is off: whoever reaches this is admin"
                            : "there are no accounts: everyone on this machine is admin"));
    return o;
}

/* He has come in, and is told who he is. */
static void welcome(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                    const struct bp_who *who) {
    bp_http_set_user(req, who->name);
    bp_http_reply_json(reply, 200, who_json(a, who));
    bp_counter_add(&bp_access_stats.logins, 1);
    bp_log(BP_LOG_INFO, "somebody has logged in",
           BP_F_TEXT(who->how == BP_HOW_TOKEN ? "token" : "user", who->name),
           BP_F_TEXT("peer", bp_http_peer(req)));
}

static int succeed(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                   const struct bp_catalog_user *u, struct bp_error *err) {
    struct bp_who who = { .how = BP_HOW_LOGIN, .role = bp_access_role(u->role) };
    char cookie[BP_TOKEN_TEXT];
    int r = new_login(a, u, cookie, err);

    if (r < 0)
        return r;
    set_cookie(a, req, reply, cookie, a->session_time);
    bp_wipe(cookie, sizeof cookie);
    (void) snprintf(who.name, sizeof who.name, "%s", u->name);
    (void) snprintf(who.scope, sizeof who.scope, "%s", u->scope);
    welcome(a, req, reply, &who);
    return 0;
}

static void refuse_for_now(struct bp_http_reply *reply, bp_ns_t wait, bool busy) {
    bp_counter_add(busy ? &bp_access_stats.busy : &bp_access_stats.throttled, 1);
    retry_after(reply, busy ? 503 : 429, busy ? BP_SEC : wait,
                busy ? "others are logging in" : "too many attempts");
}

static void refuse(const struct attempt *t, struct bp_http_reply *reply,
                   const struct bp_error *err) {
    static struct bp_log_limit limit;
    uint64_t held;

    bp_counter_add(&bp_access_stats.wrong, 1);
    if (bp_log_allowed(&limit, 10 * BP_SEC, &held))
        bp_log(BP_LOG_WARNING, "a login was refused", BP_F_TEXT("user", t->user + 2),
               BP_F_TEXT("client", t->client + 2), BP_F_UINT("suppressed", held));
    bp_http_reply_problem(reply, 401, err);
}

static int log_in(struct bp_access *a, struct bp_http_req *req, const char *name,
                  const char *password, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_catalog_user u;
    struct attempt t = { 0 };
    char client[BP_THROTTLE_KEY];
    bool busy = false;
    bp_ns_t wait;
    int r;

    bp_access_client(a, req, client);
    (void) snprintf(t.user, sizeof t.user, "u %.63s", name);
    (void) snprintf(t.client, sizeof t.client, "c %.63s", client);
    wait = begin_attempt(a, &t, &busy);
    if (wait > 0 || busy) {
        refuse_for_now(reply, wait, busy);
        return 0;
    }
    r = check_password(a, name, password, &u);
    end_attempt(a, &t, r == 0);
    if (r == -EACCES) {
        /* one answer for a user that does not exist, one that is disabled, and a wrong password */
        (void) bp_fail(err, -EACCES, "wrong user or password");
        refuse(&t, reply, err);
        return 0;
    }
    return r < 0 ? bp_fail(err, r, "no memory to check a password")
                 : succeed(a, req, reply, &u, err);
}

static int log_in_by_token(struct bp_access *a, struct bp_http_req *req, const char *token,
                           struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_who who = { 0 };
    struct attempt t = { 0 };
    char client[BP_THROTTLE_KEY], cookie[sizeof BP_ACCESS_TOKEN_COOKIE + BP_TOKEN_TEXT];
    bool busy = false;
    bp_ns_t wait;
    int r;

    bp_access_client(a, req, client);
    (void) snprintf(t.user, sizeof t.user, "t %.63s", client); /* nobody can keep others out */
    (void) snprintf(t.client, sizeof t.client, "c %.63s", client);
    wait = begin_attempt(a, &t, &busy);
    if (wait > 0 || busy) {
        refuse_for_now(reply, wait, busy);
        return 0;
    }
    r = bp_access_by_token(a, token, &who, err);
    end_attempt(a, &t, r == 0);
    if (r < 0) {
        refuse(&t, reply, err);
        return 0;
    }
    (void) snprintf(cookie, sizeof cookie, "%s%s", BP_ACCESS_TOKEN_COOKIE, token);
    set_cookie(a, req, reply, cookie, a->session_time);
    bp_wipe(cookie, sizeof cookie);
    welcome(a, req, reply, &who);
    return 0;
}

int bp_access_login(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                    struct bp_error *err) {
    const char *user, *password, *token;
    json_t *body = NULL;
    int r = bp_http_json(req, &body, err);

    if (r < 0)
        return r;
    user = json_string_value(json_object_get(body, "user"));
    password = json_string_value(json_object_get(body, "password"));
    token = json_string_value(json_object_get(body, "token"));
    if (user && password && !token)
        r = log_in(a, req, user, password, reply, err);
    else if (token && !user && !password)
        r = log_in_by_token(a, req, token, reply, err);
    else
        r = bp_fail(err, BP_EUSAGE, "expected {\"user\": …, \"password\": …} or {\"token\": …}");
    json_decref(body);
    return r;
}

int bp_access_logout(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                     struct bp_error *err) {
    const char *cookie = bp_http_cookie(req, a->cookie);
    uint8_t digest[BP_SHA256_LEN];
    int r = 0;

    if (cookie && bp_token_digest(cookie, digest) == 0) {
        bp_mutex_lock(&a->turn);
        r = bp_catalog_remove_login(a->catalog, digest, err);
        if (r == 0)
            r = bp_access_reload(a, err);
        bp_mutex_unlock(&a->turn);
    }
    if (r < 0)
        return r;
    set_cookie(a, req, reply, "", 0);
    bp_http_reply_empty(reply, 204);
    return 0;
}

int bp_access_whoami(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                     struct bp_error *err) {
    struct bp_who who;
    int r = bp_access_who(a, req, &who, err);

    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        bp_http_reply_problem(reply, 401, err);
        return 0;
    }
    bp_http_reply_json(reply, 200, who_json(a, &who));
    return 0;
}
