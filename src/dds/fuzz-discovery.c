#include <stdlib.h>
#include <string.h>

#include "dds/discovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void names(const char *text, size_t n) {
    BP_AUTO_FREE char *out = malloc(n + 2), *topic_copy = NULL;
    struct bp_str v = bp_discovery_user_data((struct bp_str){ text, n }, "typehash");
    const char *ros;

    if (v.n && (v.p < text || v.p + v.n > text + n))
        abort();
    topic_copy = strndup(text, n);
    if (!out || !topic_copy)
        return;
    (void) bp_discovery_kind(topic_copy, &ros);
    bp_discovery_demangle_type(topic_copy, out, n + 2);
    if (strlen(out) > n)
        abort();
}

/* The first byte chooses. What was understood of ros_discovery_info must survive being written. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_discovery_info i, again;
    BP_AUTO_BUF out = { 0 };

    if (n == 0)
        return 0;
    if (p[0] & 1) {
        names((const char *) p + 1, n - 1);
        return 0;
    }
    if (bp_discovery_info_parse(p + 1, n - 1, &i, NULL) < 0)
        return 0;
    for (size_t k = 0; k < i.ngids; k++) {
        const char *node = bp_discovery_info_node(&i, i.gids[k].guid);

        if (!node || node[strlen(node)] || i.gids[k].node >= i.nnodes)
            abort();
    }
    bp_discovery_info_put(&i, &out);
    if (bp_discovery_info_parse(out.p, out.n, &again, NULL) == 0) {
        /* an empty list of nodes reads as either layout, that is all that may change */
        if (again.nnodes != i.nnodes || again.ngids != i.ngids)
            abort();
        bp_discovery_info_done(&again);
    } else if (i.nnodes && !strstr(i.nodes[0], "//")) {
        for (size_t k = 0; k < i.nnodes; k++)
            if (strlen(i.nodes[k]) > 250) /* namespace and name may not be cut as they were */
                i.ngids = 0;
        if (i.ngids)
            abort();
    }
    bp_discovery_info_done(&i);
    return 0;
}
