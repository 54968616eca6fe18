#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/metrics.h"
#include "catalog/accounts.h"
#include "catalog/catalog.h"
#include "net/http.h"

/* Who may come in by HTTP, and as what. Ways to prove it: the unix socket (its file's mode has
 * judged), a bearer token, the cookie of a login with a password, a JSON Web Token of somebody we
 * trust. Roles include those before them: viewer looks, operator starts, stops and marks, admin
 * does everything else. Without a single account whoever is on this machine is admin; a request
 * that a proxy passes on never counts as from this machine. Any thread. */
struct bp_access;

enum bp_access_mode {
    BP_ACCESS_AUTO,     /* loopback is admin as long as there is no account */
    BP_ACCESS_REQUIRED, /* everybody proves who they are, except on the unix socket */
    BP_ACCESS_OFF,      /* whoever reaches us is admin, accounts or not */
};

/* Borrowed for bp_access_open(); NULL or "" = none. */
struct bp_access_options {
    struct bp_catalog *catalog; /* must outlive it */
    enum bp_access_mode mode;
    bp_ns_t session_time, session_idle; /* of a login: since it began, since it was used */
    const char *jwt_keys;               /* path of a JSON Web Key Set (crypt/jwt.h) */
    const char *jwt_issuer, *jwt_audience;
    const char *jwt_role;       /* the claim that says the role ["role"] */
    const char *jwt_scope;      /* and the one that says the scope; none: no limit */
    const char *const *proxies; /* addresses whose X-Forwarded-For is believed; NULL at the end */
    bool scopes;                /* accounts may have a scope: whoever opens it keeps to them */
    const char *instance;       /* tells apart cookies of several agents on one host */
};

/**
 * @param ret  owned by the caller, release with bp_access_close()
 * @return 0; BP_ECONFIG naming what is wrong with keys or proxies; what the catalogue or the key
 *         file fails with; -ENOMEM
 */
BP_MUST_CHECK int bp_access_open(const struct bp_access_options *options, struct bp_access **ret,
                                 struct bp_error *err);
/** Writes what was used last. Takes NULL. */
void bp_access_close(struct bp_access *a);
BP_DEFINE_CLEANUP(struct bp_access, bp_access_close)

/** Is there a user, a token or a key, so that others than this machine may be let in? Also when
 *  accounts were lost: nobody gets in then, but a robot that starts records. */
bool bp_access_configured(struct bp_access *a);
/** Accounts there were are gone with a damaged catalogue. */
bool bp_access_lost(struct bp_access *a);
/** Once a second or so: accounts and keys changed by others, last uses, logins that ended. */
void bp_access_tick(struct bp_access *a);

/** The `authorize` of net/http.h; `ctx` is ours. */
int bp_access_authorize(struct bp_access *a, struct bp_http_req *req, enum bp_http_access need,
                        struct bp_http_reply *reply, struct bp_error *err);

enum bp_how { BP_HOW_NOBODY, BP_HOW_SOCKET, BP_HOW_LOCAL, BP_HOW_TOKEN, BP_HOW_LOGIN, BP_HOW_JWT };

/* Who asks. */
struct bp_who {
    enum bp_how how;
    enum bp_http_access role; /* BP_HTTP_PUBLIC: nobody */
    char scope[BP_SCOPE];     /* catalog/scope.h; "" = everything */
    char name[BP_ACCOUNT_NAME];
    uint8_t digest[BP_ACCOUNT_DIGEST]; /* of the token or the cookie */
    bp_ns_t until_ns;                  /* wall: it ends then by itself; 0 = never */
};

/* What let somebody in, for connections that stay: to look again whether it still would. */
struct bp_pass {
    struct bp_who who;
    uint64_t version; /* of the accounts it was last judged by */
};

/** The pass of a request that was let in. @return 0; -EACCES when that has changed meanwhile */
BP_MUST_CHECK int bp_access_pass(struct bp_access *a, struct bp_http_req *req, struct bp_pass *ret,
                                 struct bp_error *err);
/** False when the token was removed or has expired, the user was removed, disabled or given another
 *  role or scope, or the login has ended. Does not wait, and is cheap while nothing has changed. A
 * connection that is open is no use of its login. One thread at a time for a pass. */
bool bp_access_still(struct bp_access *a, struct bp_pass *pass);

/** Which devices somebody who was let in may see: catalog/scope.h. "" = all. @return 0; -EACCES
 * when what let him in has changed meanwhile */
BP_MUST_CHECK int bp_access_scope(struct bp_access *a, struct bp_http_req *req,
                                  char ret[static BP_SCOPE], struct bp_error *err);

/** Did the connection come from a proxy that is believed? What others say of themselves is not. */
bool bp_access_by_proxy(const struct bp_access *a, const struct bp_http_req *req);

enum { BP_ACCESS_PEER = 72 };
/** The client's address, for limits and logs: of IPv6 its /64; behind a trusted proxy what that
 * says it is. */
void bp_access_peer(const struct bp_access *a, const struct bp_http_req *req,
                    char ret[static BP_ACCESS_PEER]);
/** Nobody has an account, so that whoever is on this machine is admin; or nobody needs one. */
bool bp_access_is_open(struct bp_access *a);

/* Handlers for routes of a server: POST /api/v1/login {"user", "password"} or {"token"}, POST
 * /api/v1/logout, GET /api/v1/whoami. They are public. */
int bp_access_login(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                    struct bp_error *err);
int bp_access_logout(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                     struct bp_error *err);
int bp_access_whoami(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                     struct bp_error *err);

/**
 * Accounts, for routes of admins and for a verb while no server runs:
 *
 *     GET users                       POST users {"name", "role", "password", "scope"}
 *     PATCH users NAME {"role", "password", "disabled", "scope"}    DELETE users NAME
 *     GET tokens                      POST tokens {"name", "role", "lifetime_s", "scope"}
 *     DELETE tokens NAME
 *
 * @param kind  "users" or "tokens"
 * @param name  or NULL
 * @param body  borrowed, or NULL
 * @param ret   owned by the caller, NULL where there is nothing to say; a new token's "token" is
 *              told here and never again
 * @return the status, 200, 201 or 204; BP_EUSAGE, -ENOENT, -EEXIST, BP_ELIMIT, or what the
 *         catalogue fails with
 */
BP_MUST_CHECK int bp_access_manage(struct bp_access *a, const char *method, const char *kind,
                                   const char *name, const json_t *body, json_t **ret,
                                   struct bp_error *err);

/* What was let in and what was not, for bp_metrics_render(). */
extern const struct bp_metric bp_access_metrics[];
extern const size_t bp_access_metrics_count;
