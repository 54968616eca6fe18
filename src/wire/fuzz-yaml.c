#include <stdint.h>

#include "wire/qos.h"
#include "wire/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Parses as a tree and as QoS profiles; what was understood must survive being written again. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = NULL;
    struct bp_str text = { (const char *) p, n };
    struct bp_qos q[4], again[4];
    struct bp_error err;
    BP_AUTO_BUF out = { 0 };
    int r;

    if (bp_yaml_parse(text, &y, &err) < 0)
        return 0;
    r = bp_qos_from_yaml(text, q, BP_COUNT(q), &err);
    if (r <= 0)
        return 0;

    bp_qos_to_yaml(q, (size_t) r, 0, &out);
    if (bp_qos_from_yaml((struct bp_str){ (const char *) out.p, out.n }, again, BP_COUNT(again),
                         &err) != r)
        abort();
    for (int i = 0; i < r; i++)
        if (q[i].history != again[i].history || q[i].deadline != again[i].deadline ||
            q[i].lease != again[i].lease || q[i].depth != again[i].depth)
            abort();
    return 0;
}
