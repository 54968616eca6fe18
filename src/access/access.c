#include "access/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "access/access-priv.h"
#include "base/io.h"
#include "base/log.h"
#include "crypt/secret.h"

enum { KEYS_MAX = 256 * 1024, THROTTLE_MAX = 2048 };

static const bp_ns_t FLUSH = 60 * BP_SEC; /* how often last uses are written */
static const bp_ns_t CLOCK_STEP = 86400 * BP_SEC;
static const bp_ns_t JWT_LEEWAY = 30 * BP_SEC; /* clocks of robot and issuer may be apart */

struct bp_access_stats bp_access_stats;

#define REFUSED(value, field)                                                               \
    {                                                                                       \
        .name = "bagpipe_access_refused_total",                                             \
        .help = "Requests refused, by reason: nobody known, credentials no good, role too " \
                "small; is somebody trying?",                                               \
        .type = BP_METRIC_COUNTER, .label = "reason", .label_value = (value),               \
        .counter = &bp_access_stats.field                                                   \
    }
#define LOGIN(value, field)                                                                      \
    {                                                                                            \
        .name = "bagpipe_access_logins_total",                                                   \
        .help = "Logins with a password, by result; many that are wrong or throttled: somebody " \
                "guesses.",                                                                      \
        .type = BP_METRIC_COUNTER, .label = "result", .label_value = (value),                    \
        .counter = &bp_access_stats.field                                                        \
    }

const struct bp_metric bp_access_metrics[] = {
    REFUSED("nobody", unknown), REFUSED("credentials", bad), REFUSED("role", too_little),
    LOGIN("ok", logins),        LOGIN("wrong", wrong),       LOGIN("throttled", throttled),
    LOGIN("busy", busy),
};
const size_t bp_access_metrics_count = BP_COUNT(bp_access_metrics);

enum bp_http_access bp_access_role(const char *text) {
    for (int i = BP_HTTP_VIEWER; text && i < BP_HTTP_ACCESS_COUNT_; i++)
        if (bp_streq(text, bp_http_access_text((enum bp_http_access) i)))
            return (enum bp_http_access) i;
    return BP_HTTP_PUBLIC;
}

/* ---- the copy in memory ---- */

/* Has a login ended? One that is yet to begin is of another clock than ours: it has, too. */
bool bp_access_login_over(const struct bp_access *a, const struct bp_catalog_login *l,
                          bp_ns_t now) {
    return now >= bp_access_login_end(a, l) || now < l->created_ns - CLOCK_STEP;
}

bp_ns_t bp_access_login_end(const struct bp_access *a, const struct bp_catalog_login *l) {
    return BP_MIN(l->created_ns + a->session_time, l->used_ns + a->session_idle);
}

/* Rows used since they were last written. How many rows there are changes in a turn only. */
static int take_used(struct bp_access *a, struct bp_catalog_accounts *ret) BP_REQUIRES(a->turn) {
    const struct bp_catalog_accounts *all = &a->rows;

    ret->users = calloc(all->nusers + 1, sizeof *ret->users);
    ret->tokens = calloc(all->ntokens + 1, sizeof *ret->tokens);
    ret->logins = calloc(all->nlogins + 1, sizeof *ret->logins);
    if (!ret->users || !ret->tokens || !ret->logins)
        return -ENOMEM;
    bp_mutex_lock(&a->lock);
    for (size_t i = 0; i < all->nusers; i++)
        if (all->users[i].used_ns > a->flushed_ns)
            ret->users[ret->nusers++] = all->users[i];
    for (size_t i = 0; i < all->ntokens; i++)
        if (all->tokens[i].used_ns > a->flushed_ns)
            ret->tokens[ret->ntokens++] = all->tokens[i];
    for (size_t i = 0; i < all->nlogins; i++)
        if (all->logins[i].used_ns > a->flushed_ns)
            ret->logins[ret->nlogins++] = all->logins[i];
    bp_mutex_unlock(&a->lock);
    return 0;
}

static int flush_used(struct bp_access *a, struct bp_error *err) BP_REQUIRES(a->turn) {
    BP_CLEANUP(bp_catalog_accounts_done) struct bp_catalog_accounts used = { 0 };
    bp_ns_t now = bp_wall_ns();
    int r = take_used(a, &used);

    if (r == 0)
        r = bp_catalog_used(a->catalog, &used, err);
    if (r == 0)
        a->flushed_ns = now;
    return r;
}

int bp_access_reload(struct bp_access *a, struct bp_error *err) {
    struct bp_catalog_accounts fresh = { 0 };
    int r = flush_used(a, err);

    if (r == 0)
        r = bp_catalog_accounts(a->catalog, &fresh, err);
    if (r < 0)
        return r;
    bp_mutex_lock(&a->lock);
    struct bp_catalog_accounts old = a->rows;

    a->rows = fresh;
    bp_mutex_unlock(&a->lock);
    atomic_fetch_add(&a->version, 1);
    bp_catalog_accounts_done(&old);
    return 0;
}

bool bp_access_configured(struct bp_access *a) {
    bool yes;

    bp_mutex_lock(&a->lock);
    yes = a->rows.nusers + a->rows.ntokens > 0 || a->rows.lost;
    bp_mutex_unlock(&a->lock);
    return yes || a->jwt_path;
}

bool bp_access_lost(struct bp_access *a) {
    bool yes;

    bp_mutex_lock(&a->lock);
    yes = a->rows.lost;
    bp_mutex_unlock(&a->lock);
    return yes;
}

bool bp_access_is_open(struct bp_access *a) {
    return a->mode == BP_ACCESS_OFF || (a->mode == BP_ACCESS_AUTO && !bp_access_configured(a));
}

/* ---- keys of JSON Web Tokens ---- */

/* Reads the file when it is another than before. */
static int read_keys(struct bp_access *a, struct bp_error *err) BP_REQUIRES(a->turn) {
    BP_AUTO_FREE char *text = NULL;
    struct bp_jwt_keys *keys = NULL;
    struct stat st;
    size_t n;
    int r;

    if (!a->jwt_path)
        return 0;
    if (stat(a->jwt_path, &st) < 0)
        return bp_fail(err, -errno, "cannot read '%s': %s", a->jwt_path, bp_strerror(-errno));
    if (st.st_mtim.tv_sec == a->keys_stat.st_mtim.tv_sec &&
        st.st_mtim.tv_nsec == a->keys_stat.st_mtim.tv_nsec && st.st_ino == a->keys_stat.st_ino &&
        st.st_size == a->keys_stat.st_size)
        return 0;
    a->keys_stat = st;
    r = bp_io_read_file(&bp_io_posix, a->jwt_path, KEYS_MAX, &text, &n, err);
    if (r < 0)
        return r;
    r = bp_jwt_keys_read((struct bp_str){ text, n }, &keys, err);
    bp_wipe(text, n);
    if (r < 0)
        return bp_prefix(err, r, "'%s'", a->jwt_path);
    if (bp_jwt_keys_secret(keys) && (st.st_mode & S_IRWXO)) {
        bp_jwt_keys_free(keys);
        return bp_fail(err, BP_ECONFIG,
                       "'%s' holds a secret key and everybody may read it: chmod o= it",
                       a->jwt_path);
    }
    (void) pthread_rwlock_wrlock(&a->keys_lock);
    struct bp_jwt_keys *old = a->keys;

    a->keys = keys;
    (void) pthread_rwlock_unlock(&a->keys_lock);
    atomic_fetch_add(&a->keys_version, 1);
    bp_jwt_keys_free(old);
    return 0;
}

/* ---- who asks ---- */

static void set_who(struct bp_who *who, enum bp_how how, enum bp_http_access role, const char *name,
                    const char *scope) {
    *who = (struct bp_who){ .how = how, .role = role };
    (void) snprintf(who->name, sizeof who->name, "%s", name);
    (void) snprintf(who->scope, sizeof who->scope, "%s", scope);
}

static int by_token(struct bp_access *a, const uint8_t digest[static BP_ACCOUNT_DIGEST],
                    struct bp_who *ret, struct bp_error *err) {
    bp_ns_t now = bp_wall_ns();
    int r = -ENOENT;

    bp_mutex_lock(&a->lock);
    for (size_t i = 0; r == -ENOENT && i < a->rows.ntokens; i++) {
        struct bp_catalog_token *t = &a->rows.tokens[i];

        if (memcmp(t->digest, digest, sizeof t->digest) != 0)
            continue;
        r = t->expires_ns && now >= t->expires_ns ? -ETIMEDOUT : 0;
        if (r < 0)
            continue;
        set_who(ret, BP_HOW_TOKEN, bp_access_role(t->role), t->name, t->scope);
        memcpy(ret->digest, digest, sizeof ret->digest);
        ret->until_ns = t->expires_ns;
        t->used_ns = now;
    }
    bp_mutex_unlock(&a->lock);
    return r == 0            ? 0
           : r == -ETIMEDOUT ? bp_fail(err, -EACCES, "the token has expired")
                             : bp_fail(err, -EACCES, "the token is not known here");
}

/* The highest role that a claim, a text or a list of texts, gives. */
static enum bp_http_access role_of_claim(const json_t *claim) {
    enum bp_http_access best = bp_access_role(json_string_value(claim)), one;

    for (size_t i = 0; i < json_array_size(claim); i++) {
        one = bp_access_role(json_string_value(json_array_get(claim, i)));
        best = BP_MAX(best, one);
    }
    return best;
}

/* What a claim, a text or a list of texts, limits somebody to. It has to be there: who forgets it
 * must not be shown everything. */
static int scope_of_claim(const struct bp_access *a, const json_t *claim, char ret[static BP_SCOPE],
                          struct bp_error *err) {
    BP_AUTO_BUF words = { 0 };
    int r;

    bp_buf_put_str(&words, json_is_string(claim) ? json_string_value(claim) : "");
    for (size_t i = 0; i < json_array_size(claim); i++) {
        const char *word = json_string_value(json_array_get(claim, i));

        bp_buf_printf(&words, " %s", word ? word : "");
    }
    if (!bp_buf_cstr(&words))
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_scope_read(bp_buf_cstr(&words), ret, err);
    if (r < 0)
        return bp_prefix(err, -EACCES, "the token's claim '%s'", a->jwt_scope);
    return *ret ? 0
                : bp_fail(err, -EACCES, "the token's claim '%s' names no devices", a->jwt_scope);
}

static int by_jwt(struct bp_access *a, struct bp_str token, struct bp_who *ret,
                  struct bp_error *err) {
    const struct bp_jwt_rules rules = { a->jwt_issuer, a->jwt_audience, JWT_LEEWAY };
    enum bp_http_access role;
    const char *sub;
    json_t *claims = NULL;
    int r;

    (void) pthread_rwlock_rdlock(&a->keys_lock);
    r = a->keys ? bp_jwt_verify(a->keys, &rules, bp_wall_ns(), token, &claims, err)
                : bp_fail(err, -EACCES, "the token is not known here");
    (void) pthread_rwlock_unlock(&a->keys_lock);
    if (r < 0)
        return r == -ENOMEM ? r : -EACCES;
    sub = json_string_value(json_object_get(claims, "sub"));
    role = role_of_claim(json_object_get(claims, a->jwt_role));
    set_who(ret, BP_HOW_JWT, role, sub ? sub : "", "");
    if (*a->jwt_scope && role < BP_HTTP_ADMIN)
        r = scope_of_claim(a, json_object_get(claims, a->jwt_scope), ret->scope, err);
    ret->until_ns = BP_SEC * (bp_ns_t) BP_MIN(json_number_value(json_object_get(claims, "exp")),
                                              (double) (INT64_MAX / BP_SEC - 3600)) +
                    JWT_LEEWAY;
    json_decref(claims);
    if (r < 0)
        return r;
    return role == BP_HTTP_PUBLIC
               ? bp_fail(err, -EACCES,
                         "the token's claim '%s' names no role: expected viewer, "
                         "operator or admin",
                         a->jwt_role)
               : 0;
}

static int by_header(struct bp_access *a, const char *header, struct bp_who *ret,
                     struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];

    if (strncasecmp(header, "Bearer ", 7) != 0)
        return bp_fail(err, -EACCES, "the only authorization understood is 'Bearer TOKEN'");
    header += 7;
    header += strspn(header, " ");
    if (bp_token_digest(header, digest) == 0)
        return by_token(a, digest, ret, err);
    return by_jwt(a, bp_str_of(header), ret, err);
}

int bp_access_by_token(struct bp_access *a, const char *token, struct bp_who *ret,
                       struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];

    return bp_token_digest(token, digest) == 0
               ? by_token(a, digest, ret, err)
               : bp_fail(err, -EACCES, "the token is none of this program's");
}

/* A cookie that has ended or was made up is as none: browsers keep old ones. One that a token was
 * changed for counts as long as the token does. */
static void by_cookie(struct bp_access *a, const char *cookie, struct bp_who *ret) {
    uint8_t digest[BP_SHA256_LEN];
    bp_ns_t now = bp_wall_ns();
    struct bp_catalog_login *login = NULL;
    struct bp_error unknown;

    if (bp_starts_with(cookie, BP_ACCESS_TOKEN_COOKIE)) {
        (void) !bp_access_by_token(a, cookie + strlen(BP_ACCESS_TOKEN_COOKIE), ret, &unknown);
        return;
    }
    if (bp_token_digest(cookie, digest) < 0)
        return;
    bp_mutex_lock(&a->lock);
    for (size_t i = 0; !login && i < a->rows.nlogins; i++)
        if (memcmp(a->rows.logins[i].digest, digest, sizeof digest) == 0)
            login = &a->rows.logins[i];
    for (size_t i = 0; login && !bp_access_login_over(a, login, now) && i < a->rows.nusers; i++) {
        struct bp_catalog_user *u = &a->rows.users[i];

        if (u->disabled || !bp_streq(u->name, login->user))
            continue;
        set_who(ret, BP_HOW_LOGIN, bp_access_role(u->role), u->name, u->scope);
        login->used_ns = u->used_ns = now;
        memcpy(ret->digest, digest, sizeof ret->digest);
        ret->until_ns = bp_access_login_end(a, login);
    }
    bp_mutex_unlock(&a->lock);
}

int bp_access_who(struct bp_access *a, struct bp_http_req *req, struct bp_who *ret,
                  struct bp_error *err) {
    const char *header = bp_http_header(req, "Authorization"), *cookie;
    bool forwarded = bp_access_forwarded(req);

    set_who(ret, BP_HOW_NOBODY, BP_HTTP_PUBLIC, "", "");
    if (bp_http_by_unix(req) && !forwarded) {
        set_who(ret, BP_HOW_SOCKET, BP_HTTP_ADMIN, "socket", "");
        return 0;
    }
    if (bp_access_is_open(a) &&
        (a->mode == BP_ACCESS_OFF || (bp_http_is_local(req) && !forwarded))) {
        set_who(ret, BP_HOW_LOCAL, BP_HTTP_ADMIN, "local", "");
        return 0;
    }
    if (header)
        return by_header(a, header, ret, err);
    cookie = bp_http_cookie(req, a->cookie);
    if (cookie)
        by_cookie(a, cookie, ret);
    return 0;
}

int bp_access_scope(struct bp_access *a, struct bp_http_req *req, char ret[static BP_SCOPE],
                    struct bp_error *err) {
    struct bp_who who;
    int r = bp_access_who(a, req, &who, err);

    if (r == 0 && who.how == BP_HOW_NOBODY)
        r = bp_fail(err, -EACCES, "log in, or send a token");
    if (r == 0)
        memcpy(ret, who.scope, sizeof who.scope);
    return r;
}

static int refuse_nobody(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    bool empty = !bp_access_configured(a);

    bp_counter_add(&bp_access_stats.unknown, 1);
    bp_http_reply_header(reply, "WWW-Authenticate", "Bearer realm=\"bagpipe\"");
    if (empty && bp_access_forwarded(req))
        (void) bp_fail(err, -EACCES,
                       "a proxy passes this on, and nobody has an account yet: 'bagpipe user add' "
                       "on the machine itself makes one");
    else if (empty || bp_access_lost(a))
        (void) bp_fail(err, -EACCES,
                       "nobody has an account yet: 'bagpipe user add' on the machine itself makes "
                       "one");
    else
        (void) bp_fail(err, -EACCES, "log in, or send a token");
    return 401;
}

int bp_access_authorize(struct bp_access *a, struct bp_http_req *req, enum bp_http_access need,
                        struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_who who;
    int r = bp_access_who(a, req, &who, err);

    if (r == -ENOMEM)
        return 503;
    if (r < 0) {
        bp_counter_add(&bp_access_stats.bad, 1);
        bp_http_reply_header(reply, "WWW-Authenticate",
                             "Bearer realm=\"bagpipe\", error=\"invalid_token\"");
        return 401;
    }
    if (who.role == BP_HTTP_PUBLIC)
        return refuse_nobody(a, req, reply, err);
    bp_http_set_user(req, who.name);
    if (who.role >= need)
        return 0;
    bp_counter_add(&bp_access_stats.too_little, 1);
    (void) bp_fail(err, -EACCES, "this is for role %s, and '%s' is %s", bp_http_access_text(need),
                   who.name, bp_http_access_text(who.role));
    return 403;
}

/* ---- life ---- */

/* Logins that have ended go from the catalogue. */
static int remove_ended(struct bp_access *a, struct bp_error *err) BP_REQUIRES(a->turn) {
    for (;;) {
        struct bp_catalog_login over;
        bp_ns_t now = bp_wall_ns();
        bool found = false;
        int r;

        bp_mutex_lock(&a->lock);
        for (size_t i = 0; !found && i < a->rows.nlogins; i++) {
            found = bp_access_login_over(a, &a->rows.logins[i], now);
            if (found) {
                over = a->rows.logins[i];
                a->rows.logins[i] = a->rows.logins[--a->rows.nlogins];
            }
        }
        bp_mutex_unlock(&a->lock);
        if (!found)
            return 0;
        r = bp_catalog_remove_login(a->catalog, over.digest, err);
        if (r < 0)
            return r;
    }
}

static int tick_locked(struct bp_access *a, struct bp_error *err) BP_REQUIRES(a->turn) {
    int64_t writes = a->outside_writes;
    bp_ns_t now = bp_wall_ns();
    int r = bp_catalog_outside_writes(a->catalog, &writes, err);

    if (r == 0 && writes != a->outside_writes) {
        r = bp_access_reload(a, err);
        if (r == 0)
            a->outside_writes = writes;
    }
    if (now < a->flushed_ns) /* the clock was set back */
        a->flushed_ns = now;
    if (r == 0 && now >= a->flushed_ns + FLUSH) {
        r = flush_used(a, err);
        if (r == 0)
            r = remove_ended(a, err);
    }
    return r == 0 ? read_keys(a, err) : r;
}

void bp_access_tick(struct bp_access *a) {
    static struct bp_log_limit limit;
    struct bp_error err = { 0 };
    uint64_t held;
    int r;

    bp_mutex_lock(&a->turn);
    r = tick_locked(a, &err);
    bp_mutex_unlock(&a->turn);
    if (r < 0 && bp_log_allowed(&limit, 60 * BP_SEC, &held))
        bp_log(BP_LOG_WARNING, "accounts or keys could not be read or written, those before stay",
               BP_F_TEXT("error", err.text), BP_F_UINT("suppressed", held));
}

static int copy_text(const char *from, const char *otherwise, char **ret, struct bp_error *err) {
    *ret = strdup(from && *from ? from : otherwise);
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

/* Addresses as peers are written. */
static int copy_proxy(const char *text, char **ret, struct bp_error *err) {
    char plain[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;

    if (bp_streq(text, "unix"))
        return copy_text(text, "", ret, err);
    if (inet_pton(family, text, ip) != 1 || !inet_ntop(family, ip, plain, sizeof plain))
        return bp_fail(err, BP_ECONFIG,
                       "http.trusted_proxies: '%s' is no address: write 127.0.0.1, ::1 or unix",
                       text);
    return copy_text(plain, "", ret, err);
}

static int copy_proxies(struct bp_access *a, const char *const *v, struct bp_error *err) {
    size_t n = 0;
    int r = 0;

    while (v && v[n])
        n++;
    a->proxies = calloc(n + 1, sizeof *a->proxies);
    if (!a->proxies)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (size_t i = 0; r == 0 && i < n; i++)
        r = copy_proxy(v[i], &a->proxies[i], err);
    return r;
}

static int copy_options(struct bp_access *a, const struct bp_access_options *o,
                        struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];
    const char *instance = o->instance ? o->instance : "";
    int r;

    a->mode = o->mode;
    a->scopes = o->scopes;
    a->catalog = o->catalog;
    a->session_time = o->session_time;
    a->session_idle = o->session_idle;
    bp_sha256_of(instance, strlen(instance), digest);
    (void) snprintf(a->cookie, sizeof a->cookie, "bagpipe_login_%02x%02x%02x%02x", digest[0],
                    digest[1], digest[2], digest[3]);
    r = copy_text(o->jwt_issuer, "", &a->jwt_issuer, err);
    if (r == 0)
        r = copy_text(o->jwt_audience, "", &a->jwt_audience, err);
    if (r == 0)
        r = copy_text(o->jwt_role, "role", &a->jwt_role, err);
    if (r == 0)
        r = copy_text(o->jwt_scope, "", &a->jwt_scope, err);
    if (r == 0 && o->jwt_keys && *o->jwt_keys)
        r = copy_text(o->jwt_keys, "", &a->jwt_path, err);
    return r == 0 ? copy_proxies(a, o->proxies, err) : r;
}

int bp_access_open(const struct bp_access_options *options, struct bp_access **ret,
                   struct bp_error *err) {
    BP_CLEANUP(bp_access_closep) struct bp_access *a = calloc(1, sizeof *a);
    int r;

    if (!a)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_mutex_init(&a->turn);
    bp_mutex_init(&a->lock);
    bp_mutex_init(&a->hash_lock);
    (void) pthread_rwlock_init(&a->keys_lock, NULL);
    a->flushed_ns = bp_wall_ns();
    a->throttle = bp_throttle_new(THROTTLE_MAX);
    r = a->throttle ? copy_options(a, options, err) : bp_fail(err, -ENOMEM, "out of memory");
    if (r < 0)
        return r;
    bp_mutex_lock(&a->turn);
    r = bp_catalog_outside_writes(a->catalog, &a->outside_writes, err);
    if (r == 0)
        r = bp_access_reload(a, err);
    if (r == 0)
        r = read_keys(a, err);
    bp_mutex_unlock(&a->turn);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(a);
    return 0;
}

void bp_access_close(struct bp_access *a) {
    if (!a)
        return;
    if (a->catalog) {
        bp_mutex_lock(&a->turn);
        (void) flush_used(a, NULL);
        bp_mutex_unlock(&a->turn);
    }
    bp_catalog_accounts_done(&a->rows);
    bp_jwt_keys_free(a->keys);
    bp_throttle_free(a->throttle);
    for (char **p = a->proxies; p && *p; p++)
        free(*p);
    free(a->proxies);
    free(a->jwt_path);
    free(a->jwt_issuer);
    free(a->jwt_audience);
    free(a->jwt_role);
    free(a->jwt_scope);
    (void) pthread_rwlock_destroy(&a->keys_lock);
    bp_mutex_done(&a->hash_lock);
    bp_mutex_done(&a->lock);
    bp_mutex_done(&a->turn);
    free(a);
}
