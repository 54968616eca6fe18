#include <stdint.h>

#include "crypt/sign.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Keys as text. A public key that was understood is written, and must read the same again; a
 * private key that was understood signs for its public one. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *k = NULL;
    struct bp_str text = { (const char *) p, n };
    uint8_t one[BP_PUBLIC_KEY_LEN], two[BP_PUBLIC_KEY_LEN], sig[BP_SIGNATURE_LEN];
    char name[BP_PUBLIC_KEY_TEXT];
    struct bp_error err;

    if (bp_public_key_parse(text, one) == 0 &&
        (bp_public_key_parse(bp_str_of(bp_public_key_text(one, name)), two) < 0 ||
         memcmp(one, two, sizeof one) != 0))
        abort();
    if (bp_sign_key_parse(text, &k, &err) == 0 &&
        (bp_sign(k, p, n, sig) < 0 || bp_sign_check(bp_sign_key_public(k), p, n, sig) < 0))
        abort();
    return 0;
}
