#pragma once

#include "crypt/vault.h"

/* The two parsers of the vault, for its test and fuzzer: vault-file.c. */

enum {
    BP_VAULT_HEAD = 44, /* bytes before the ciphertext; authenticated with it */
    BP_VAULT_TAG = 16,
    BP_VAULT_SALT = 16,
    BP_VAULT_NONCE = 12,
    BP_VAULT_KEY = 32,
    BP_VAULT_LOG_N_MAX = 17, /* scrypt then takes 128 MiB: a file must not ask for more */
};

enum bp_vault_kdf { BP_VAULT_HKDF = 1, BP_VAULT_SCRYPT = 2 };

struct bp_vault_head {
    enum bp_vault_kdf kdf;
    unsigned log_n; /* scrypt: log2 of N; r 8, p 1. 0 with HKDF */
    uint8_t salt[BP_VAULT_SALT], nonce[BP_VAULT_NONCE];
    uint32_t n; /* bytes of ciphertext, without the tag */
};

/** @param n  bytes of the whole file, which must be as long as its head says. @return 0, BP_EFORMAT
 */
int bp_vault_head_parse(const uint8_t *p, size_t n, struct bp_vault_head *ret);
void bp_vault_head_put(const struct bp_vault_head *h, uint8_t ret[static BP_VAULT_HEAD]);

/* One entry of the decrypted text: views of it. */
struct bp_vault_entry {
    struct bp_str name, value;
    int64_t set_ns;
};

bool bp_vault_name_ok(struct bp_str name);
/** The next entry. @param at  where; 0 at first. @return 1, 0 at the end, BP_EFORMAT */
int bp_vault_next(const uint8_t *p, size_t n, size_t *at, struct bp_vault_entry *ret);
/** Bytes an entry takes. */
size_t bp_vault_entry_size(const struct bp_vault_entry *e);
/** Writes it. @return where the next one goes */
uint8_t *bp_vault_entry_put(const struct bp_vault_entry *e, uint8_t *p);
