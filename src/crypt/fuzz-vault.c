#include <stdint.h>

#include "crypt/vault-priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void head(const uint8_t *p, size_t n) {
    struct bp_vault_head h;
    uint8_t again[BP_VAULT_HEAD];

    if (bp_vault_head_parse(p, n, &h) < 0)
        return;
    bp_vault_head_put(&h, again);
    if (memcmp(p, again, sizeof again) != 0)
        abort();
}

/* Each entry that was understood is written as the same bytes. */
static void entries(const uint8_t *p, size_t n) {
    struct bp_vault_entry e;
    size_t at = 0, before = 0;

    while (bp_vault_next(p, n, &at, &e) > 0) {
        size_t size = bp_vault_entry_size(&e);
        BP_AUTO_FREE uint8_t *again = malloc(size);

        if (at != before + size || !again || bp_vault_entry_put(&e, again) != again + size ||
            memcmp(again, p + before, size) != 0)
            abort();
        before = at;
    }
}

/* The file's head, and what is encrypted behind it, which only the owner of the key can have made.
 */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    head(p, n);
    entries(p, n);
    return 0;
}
