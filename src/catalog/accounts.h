#pragma once

#include "catalog/catalog.h"
#include "catalog/scope.h"

/* Who may come in, as rows: users, tokens, and the logins that cookies stand for. What a row means
 * is access/'s business. Nothing in here lets anybody in: passwords, tokens and cookies are hashes.
 *
 * A catalogue that was lost is made anew from the recordings, but accounts cannot be. So that it
 * does not leave the door open, an empty file PATH.accounts stands beside the database as long as
 * there are users or tokens: it is made before the first and removed with the last. */
enum { BP_ACCOUNT_NAME = 64, BP_ACCOUNT_ROLE = 16, BP_ACCOUNT_HASH = 160, BP_ACCOUNT_DIGEST = 32 };

struct bp_catalog_user {
    char name[BP_ACCOUNT_NAME];
    char role[BP_ACCOUNT_ROLE];
    char hash[BP_ACCOUNT_HASH]; /* of the password */
    bool disabled;
    bp_ns_t created_ns, used_ns; /* wall; used 0 = never */
    char scope[BP_SCOPE];        /* catalog/scope.h; "" = everything */
};

struct bp_catalog_token {
    uint8_t digest[BP_ACCOUNT_DIGEST];
    char name[BP_ACCOUNT_NAME]; /* what it is for */
    char role[BP_ACCOUNT_ROLE];
    bp_ns_t created_ns, expires_ns, used_ns; /* wall; expires 0 = never */
    char scope[BP_SCOPE];
};

struct bp_catalog_login {
    uint8_t digest[BP_ACCOUNT_DIGEST];
    char user[BP_ACCOUNT_NAME];
    bp_ns_t created_ns, used_ns; /* wall */
};

/* All below fail as the functions of catalog.h. */

/**
 * Adds or replaces by name.
 *
 * @param end_logins  the same transaction forgets the user's logins
 */
BP_MUST_CHECK int bp_catalog_put_user(struct bp_catalog *c, const struct bp_catalog_user *u,
                                      bool end_logins, struct bp_error *err);
BP_MUST_CHECK int bp_catalog_put_token(struct bp_catalog *c, const struct bp_catalog_token *t,
                                       struct bp_error *err);
/** @return besides the above -ENOENT when there is no such user */
BP_MUST_CHECK int bp_catalog_put_login(struct bp_catalog *c, const struct bp_catalog_login *l,
                                       struct bp_error *err);
/* What is not there is removed, too. A user's logins go with the user. */
BP_MUST_CHECK int bp_catalog_remove_user(struct bp_catalog *c, const char *name,
                                         struct bp_error *err);
BP_MUST_CHECK int bp_catalog_remove_token(struct bp_catalog *c,
                                          const uint8_t digest[static BP_ACCOUNT_DIGEST],
                                          struct bp_error *err);
BP_MUST_CHECK int bp_catalog_remove_login(struct bp_catalog *c,
                                          const uint8_t digest[static BP_ACCOUNT_DIGEST],
                                          struct bp_error *err);

/* Every row, in the order of time. */
struct bp_catalog_accounts {
    struct bp_catalog_user *users; /* owned, as the others */
    struct bp_catalog_token *tokens;
    struct bp_catalog_login *logins;
    size_t nusers, ntokens, nlogins;
    bool lost; /* there were some, and now there are neither users nor tokens */
};

/** @param ret  release with bp_catalog_accounts_done(); empty after a failure */
BP_MUST_CHECK int bp_catalog_accounts(struct bp_catalog *c, struct bp_catalog_accounts *ret,
                                      struct bp_error *err);
void bp_catalog_accounts_done(struct bp_catalog_accounts *a);

/** Writes `used_ns` of all rows given, in one transaction; rows that have gone stay away. */
BP_MUST_CHECK int bp_catalog_used(struct bp_catalog *c, const struct bp_catalog_accounts *a,
                                  struct bp_error *err);

/** A number that changes when another process has written to the database. */
BP_MUST_CHECK int bp_catalog_outside_writes(struct bp_catalog *c, int64_t *ret,
                                            struct bp_error *err);
