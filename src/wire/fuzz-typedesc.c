#include <stdint.h>

#include "wire/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A node's answer to get_type_description. What comes out of it is a definition. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_CLEANUP(bp_schema_freep) struct bp_schema *s = NULL;
    BP_AUTO_BUF text = { 0 };

    if (bp_schema_from_type_description(p, n, "p/msg/T", "", &text, NULL) == 0 &&
        bp_schema_parse("p/msg/T", "ros2msg", (struct bp_str){ (const char *) text.p, text.n }, &s,
                        NULL) < 0)
        abort();
    return 0;
}
