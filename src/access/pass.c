/* Whether somebody who came in may stay. */
#include <errno.h>
#include <string.h>

#include "access/access-priv.h"

/* Tokens of others stand and fall with the keys, everything else with the accounts. */
static uint64_t version_of(struct bp_access *a, enum bp_how how) {
    return how == BP_HOW_JWT ? atomic_load(&a->keys_version) : atomic_load(&a->version);
}

int bp_access_pass(struct bp_access *a, struct bp_http_req *req, struct bp_pass *ret,
                   struct bp_error *err) {
    uint64_t version = atomic_load(&a->version), keys = atomic_load(&a->keys_version);
    int r = bp_access_who(a, req, &ret->who, err); /* behind: what changes meanwhile is noticed */

    ret->version = ret->who.how == BP_HOW_JWT ? keys : version;
    if (r < 0)
        return r;
    return ret->who.how == BP_HOW_NOBODY ? bp_fail(err, -EACCES, "log in, or send a token") : 0;
}

static bool token_lives_locked(const struct bp_access *a, struct bp_who *w, bp_ns_t now)
    BP_REQUIRES(a->lock) {
    for (size_t i = 0; i < a->rows.ntokens; i++) {
        const struct bp_catalog_token *t = &a->rows.tokens[i];

        if (memcmp(t->digest, w->digest, sizeof t->digest) == 0)
            return bp_access_role(t->role) == w->role && bp_streq(t->scope, w->scope) &&
                   (!t->expires_ns || now < t->expires_ns);
    }
    return false;
}

static bool user_lives_locked(const struct bp_access *a, const struct bp_who *w)
    BP_REQUIRES(a->lock) {
    for (size_t i = 0; i < a->rows.nusers; i++) {
        const struct bp_catalog_user *u = &a->rows.users[i];

        if (bp_streq(u->name, w->name))
            return !u->disabled && bp_access_role(u->role) == w->role &&
                   bp_streq(u->scope, w->scope);
    }
    return false;
}

/* Its end may have moved: other requests use the login. */
static bool login_lives_locked(const struct bp_access *a, struct bp_who *w, bp_ns_t now)
    BP_REQUIRES(a->lock) {
    for (size_t i = 0; i < a->rows.nlogins; i++) {
        const struct bp_catalog_login *l = &a->rows.logins[i];

        if (memcmp(l->digest, w->digest, sizeof l->digest) != 0)
            continue;
        w->until_ns = bp_access_login_end(a, l);
        return !bp_access_login_over(a, l, now) && bp_streq(l->user, w->name) &&
               user_lives_locked(a, w);
    }
    return false;
}

static bool account_lives(struct bp_access *a, struct bp_who *w, bp_ns_t now) {
    bool lives;

    bp_mutex_lock(&a->lock);
    lives = w->how == BP_HOW_TOKEN ? token_lives_locked(a, w, now) : login_lives_locked(a, w, now);
    bp_mutex_unlock(&a->lock);
    return lives;
}

bool bp_access_still(struct bp_access *a, struct bp_pass *pass) {
    struct bp_who *w = &pass->who;
    uint64_t version = version_of(a, w->how);
    bp_ns_t now = bp_wall_ns();

    if (version == pass->version && (!w->until_ns || now < w->until_ns))
        return true;
    pass->version = version;
    switch (w->how) {
    case BP_HOW_SOCKET:
        return true;
    case BP_HOW_LOCAL:
        return bp_access_is_open(a);
    case BP_HOW_TOKEN:
    case BP_HOW_LOGIN:
        return account_lives(a, w, now);
    default: /* the keys are others, or it has expired: whoever has a token shows it again */
        return false;
    }
}
