#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "access/access.h"
#include "access/throttle.h"
#include "base/mutex.h"
#include "catalog/accounts.h"
#include "crypt/jwt.h"

/* What the files of access/ share.
 *
 * The catalogue is the truth and `rows` its copy, so that a request never waits for a disk. Who
 * changes accounts takes `turn`, writes to the catalogue and reads all of it anew. Lock order:
 * turn → catalogue's lock; `lock` and `keys_lock` are leaves. */

enum { BP_ACCESS_MAX_USERS = 1000, BP_ACCESS_MAX_TOKENS = 1000, BP_ACCESS_MAX_LOGINS = 1000 };

struct bp_access {
    enum bp_access_mode mode; /* constant, as those below */
    bp_ns_t session_time, session_idle;
    struct bp_catalog *catalog;
    bool scopes;
    char *jwt_path, *jwt_issuer, *jwt_audience, *jwt_role; /* owned; path NULL: no keys */
    char *jwt_scope;                                       /* owned; "": none */
    char **proxies;                                        /* owned texts up to a NULL */
    char cookie[32];                                       /* its name */

    struct bp_mutex turn;   /* taken by who changes accounts */
    int64_t outside_writes; /* [turn] */
    bp_ns_t flushed_ns;     /* [turn] wall: later uses are not in the catalogue */

    struct bp_mutex lock;            /* leaf */
    struct bp_catalog_accounts rows; /* [lock] */
    struct bp_throttle *throttle;    /* [lock] */
    unsigned hashing;                /* [lock] logins that are at it, or wait */

    _Atomic uint64_t version, keys_version; /* rows, keys were read anew so often */

    struct bp_mutex hash_lock; /* one password at a time: it takes 32 MiB. Nothing under it */

    pthread_rwlock_t keys_lock; /* leaf */
    struct bp_jwt_keys *keys;   /* [keys_lock] or NULL */
    struct stat keys_stat;      /* [turn] of the file they are from */
};

/** Finds out. @return 0; -EACCES when what was shown is no good, `err` saying why */
BP_MUST_CHECK int bp_access_who(struct bp_access *a, struct bp_http_req *req, struct bp_who *ret,
                                struct bp_error *err);
/** "viewer" … "admin" as a role, else BP_HTTP_PUBLIC. */
enum bp_http_access bp_access_role(const char *text);

/* Before the token in the cookie it was changed for: a token by itself is no cookie. */
#define BP_ACCESS_TOKEN_COOKIE "api."

/** Who an API token is of. @return 0; -EACCES: it is unknown or has expired */
BP_MUST_CHECK int bp_access_by_token(struct bp_access *a, const char *token, struct bp_who *ret,
                                     struct bp_error *err);
/** Has a login ended at `now`? */
bool bp_access_login_over(const struct bp_access *a, const struct bp_catalog_login *l, bp_ns_t now);
/** When it will have, unused. */
bp_ns_t bp_access_login_end(const struct bp_access *a, const struct bp_catalog_login *l);
/** Reads the accounts again. [turn] */
BP_MUST_CHECK int bp_access_reload(struct bp_access *a, struct bp_error *err) BP_REQUIRES(a->turn);

/* --- peer.c: how a request came --- */

/** A proxy passes it on: it says so itself. */
bool bp_access_forwarded(struct bp_http_req *req);
/** Its client spoke TLS to the proxy. */
bool bp_access_by_tls(struct bp_http_req *req);
/** The client's address, for limits: of IPv6 its /64; what a trusted proxy says it is. */
void bp_access_client(const struct bp_access *a, const struct bp_http_req *req,
                      char ret[static BP_THROTTLE_KEY]);
/** The same of texts: peer as bp_http_peer() has it, proxies up to a NULL, the header or NULL. */
void bp_access_client_of(const char *peer, const char *const *proxies, const char *forwarded_for,
                         char ret[static BP_THROTTLE_KEY]);

struct bp_access_stats {
    struct bp_counter unknown, too_little,
        bad; /* requests refused: nobody, role, bad credentials */
    struct bp_counter logins, wrong, throttled, busy;
};
extern struct bp_access_stats bp_access_stats;
