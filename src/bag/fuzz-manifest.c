#include <stdint.h>

#include "bag/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What was understood is written, and reading that must give the same text again. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_AUTO_MANIFEST m = { 0 }, again = { 0 };
    BP_AUTO_BUF one = { 0 }, two = { 0 };
    struct bp_error err;

    if (bp_manifest_parse((struct bp_str){ (const char *) p, n }, "fuzz", &m, &err) < 0)
        return 0;
    if (bp_manifest_format(&m, &one) < 0 ||
        bp_manifest_parse((struct bp_str){ (const char *) one.p, one.n }, "x", &again, &err) < 0 ||
        bp_manifest_format(&again, &two) < 0)
        abort();
    if (one.n != two.n || memcmp(one.p, two.p, one.n) != 0)
        abort();
    return 0;
}
