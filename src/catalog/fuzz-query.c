#include <stdint.h>
#include <stdlib.h>

#include "catalog/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Whatever is understood keeps to the bounds and has something in each value; whatever is not has a
 * reason. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_AUTO_QUERY q = { 0 };
    struct bp_error err = { 0 };
    uint32_t values = 0;
    int r = bp_query_parse((struct bp_str){ (const char *) p, n }, 1790000000 * BP_SEC, &q, &err);

    if (r < 0) {
        if (!err.text[0] || q.nterms || q.nvalues)
            abort();
        return 0;
    }
    for (uint32_t i = 0; i < q.nterms; i++) {
        if (q.terms[i].first != values || q.terms[i].n == 0)
            abort();
        values += q.terms[i].n;
    }
    for (uint32_t i = 0; i < q.nvalues; i++)
        if (q.values[i].text ? !*q.values[i].text : q.values[i].min < 0)
            abort();
    return values == q.nvalues ? 0 : (abort(), 0);
}
