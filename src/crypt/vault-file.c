/* Bytes of the vault: the head of the file, and the entries of the decrypted text. */
#include <string.h>

#include "base/cursor.h"
#include "crypt/vault-priv.h"

static const char magic[8] = { 'B', 'P', 'V', 'A', 'U', 'L', 'T', '1' };

int bp_vault_head_parse(const uint8_t *p, size_t n, struct bp_vault_head *ret) {
    struct bp_cur c = bp_cur_of(p, n);
    struct bp_str m = bp_rd_view(&c, sizeof magic);
    struct bp_vault_head h = { 0 };
    uint8_t kdf = bp_rd_u8(&c);
    const uint8_t *salt, *nonce;
    uint16_t zero;

    h.log_n = bp_rd_u8(&c);
    zero = bp_rd_le16(&c);
    salt = bp_rd_bytes(&c, sizeof h.salt);
    nonce = bp_rd_bytes(&c, sizeof h.nonce);
    h.n = bp_rd_le32(&c);
    if (!bp_cur_ok(&c) || memcmp(m.p, magic, sizeof magic) != 0 || zero != 0)
        return BP_EFORMAT;
    if (n > BP_VAULT_FILE_MAX || n != (size_t) BP_VAULT_HEAD + h.n + BP_VAULT_TAG)
        return BP_EFORMAT;
    if (!(kdf == BP_VAULT_HKDF && h.log_n == 0) &&
        !(kdf == BP_VAULT_SCRYPT && h.log_n >= 10 && h.log_n <= BP_VAULT_LOG_N_MAX))
        return BP_EFORMAT;
    h.kdf = (enum bp_vault_kdf) kdf;
    memcpy(h.salt, salt, sizeof h.salt);
    memcpy(h.nonce, nonce, sizeof h.nonce);
    *ret = h;
    return 0;
}

void bp_vault_head_put(const struct bp_vault_head *h, uint8_t ret[static BP_VAULT_HEAD]) {
    memcpy(ret, magic, 8);
    ret[8] = (uint8_t) h->kdf;
    ret[9] = (uint8_t) h->log_n;
    bp_st_le16(ret + 10, 0);
    memcpy(ret + 12, h->salt, sizeof h->salt);
    memcpy(ret + 28, h->nonce, sizeof h->nonce);
    bp_st_le32(ret + 40, h->n);
}

bool bp_vault_name_ok(struct bp_str name) {
    if (name.n == 0 || name.n > BP_VAULT_NAME_MAX || name.p[0] == '.')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* Names rise: none is there twice. The caller compares with the one before. */
int bp_vault_next(const uint8_t *p, size_t n, size_t *at, struct bp_vault_entry *ret) {
    struct bp_cur c = bp_cur_of(p + *at, n - *at);
    struct bp_vault_entry e;

    if (*at == n)
        return 0;
    e.name = bp_rd_view(&c, bp_rd_u8(&c));
    e.set_ns = (int64_t) bp_rd_le64(&c);
    e.value = bp_rd_str32(&c);
    if (!bp_cur_ok(&c) || !bp_vault_name_ok(e.name) || e.value.n > BP_VAULT_VALUE_MAX)
        return BP_EFORMAT;
    *at = n - bp_cur_left(&c);
    *ret = e;
    return 1;
}

size_t bp_vault_entry_size(const struct bp_vault_entry *e) {
    return 1 + e->name.n + 8 + 4 + e->value.n;
}

uint8_t *bp_vault_entry_put(const struct bp_vault_entry *e, uint8_t *p) {
    *p++ = (uint8_t) e->name.n;
    memcpy(p, e->name.p, e->name.n);
    p += e->name.n;
    bp_st_le64(p, (uint64_t) e->set_ns);
    bp_st_le32(p + 8, (uint32_t) e->value.n);
    if (e->value.n)
        memcpy(p + 12, e->value.p, e->value.n);
    return p + 12 + e->value.n;
}
