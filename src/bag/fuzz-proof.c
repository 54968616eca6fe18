#include <stdint.h>

#include "bag/proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* One text for one meaning: what was understood is written as the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_AUTO_PROOF proof = { 0 };
    BP_AUTO_BUF out = { 0 };
    struct bp_error err;

    if (bp_proof_parse((struct bp_str){ (const char *) p, n }, &proof, &err) < 0)
        return 0;
    if (bp_proof_format(&proof, &out) < 0 || out.n != n || memcmp(out.p, p, n) != 0 ||
        proof.signed_bytes >= n)
        abort();
    return 0;
}
