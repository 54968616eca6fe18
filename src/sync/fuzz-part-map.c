#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "sync/part-map.h"

/* What a server says of an upload's parts, and a digest field. */

enum { PARTS = 100 };

struct seen {
    uint32_t last;
    uint32_t n;
};

static void mark(void *ctx, uint32_t n) {
    struct seen *s = ctx;

    if (n >= PARTS || (s->n && n <= s->last))
        abort();
    s->last = n;
    s->n++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct seen s = { 0 };
    struct bp_str text = { (const char *) data, size };
    int64_t n = bp_sync_part_map_read(text, PARTS, mark, &s);
    char *field = malloc(size + 1), again[BP_SYNC_DIGEST_TEXT];
    uint8_t digest[32], twice[32];

    if (n >= 0 && n != s.n)
        abort();
    if (!field)
        return 0;
    if (size)
        memcpy(field, data, size);
    field[size] = '\0';
    if (bp_sync_digest_read(field, digest) == 0 &&
        (bp_sync_digest_read(bp_sync_digest_text(digest, again), twice) < 0 ||
         memcmp(digest, twice, sizeof digest) != 0))
        abort();
    free(field);
    return 0;
}
