/* Lists of shuttle disks, of anybody. */
#include <stddef.h>
#include <stdint.h>

#include "sync/shuttle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bp_str text = { (const char *) data, size };
    BP_AUTO_SHUTTLE s = { 0 };
    struct bp_error err;

    if (bp_shuttle_parse(text, &s, &err) < 0)
        return 0;
    for (size_t i = 0; i < s.n; i++)
        for (size_t k = 0; k < s.v[i].n; k++)
            if (!bp_sync_is_inside(s.v[i].v[k].name))
                __builtin_trap();
    return 0;
}
