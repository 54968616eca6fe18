#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A frame of somebody else: what is said of it is within it. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    uint8_t *frame = malloc(n + 1); /* a copy of just these bytes: reading beyond them is found */
    uint32_t stream;

    if (!frame)
        abort();
    memcpy(frame, p, n);
    stream = bp_media_stream(frame, n);
    if (stream != 0) {
        if (n < BP_MEDIA_HEAD || bp_ld_le32(frame + 12) > n - BP_MEDIA_HEAD)
            abort();
        bp_media_number(frame, stream + 1, 7);
        if (bp_media_stream(frame, n) != (uint32_t) (stream + 1))
            abort();
    }
    free(frame);
    return 0;
}
