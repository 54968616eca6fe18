#include <stdint.h>

#include "wire/plan.h"
#include "wire/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* The first byte says what the rest is: 'm' a .msg, 's' a .srv, 'a' an .action, else IDL. What is
 * understood has a size, a bounded depth and a hash. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_CLEANUP(bp_schema_freep) struct bp_schema *s = NULL;
    const char *type = "p/msg/T", *encoding = "ros2msg";
    char hash[72];
    struct bp_error err;

    if (n == 0)
        return 0;
    if (p[0] == 's')
        type = "p/srv/T_Event";
    else if (p[0] == 'a')
        type = "p/action/T_SendGoal_Event";
    else if (p[0] != 'm')
        encoding = "ros2idl";
    if (bp_schema_parse(type, encoding, (struct bp_str){ (const char *) p + 1, n - 1 }, &s, &err) <
        0) {
        if (!*err.text)
            abort();
        return 0;
    }
    if (bp_schema_type(s)->min_size == 0 || bp_schema_type(s)->depth > 64 ||
        bp_schema_type(s)->depth == 0 || !bp_streq(bp_schema_type(s)->name, type) ||
        bp_schema_hash(s, hash, &err) < 0 || strlen(hash) != 71)
        abort();
    return 0;
}
