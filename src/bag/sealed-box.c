/* Boxes: bytes sealed by the content key of a header, for formats with frames of their own. */
#include <errno.h>
#include <string.h>

#include "bag/sealed-priv.h"

enum { TAG_AT = BP_NONCE_LEN, BOUND_MOST = 128 };

/* File id and what the caller binds: no box fits another file, or another place that says so. */
static size_t bind(const struct bp_sealed *s, const void *bound, size_t n,
                   uint8_t out[static BP_FILE_ID + BOUND_MOST]) {
    n = BP_MIN(n, (size_t) BOUND_MOST);
    memcpy(out, s->file_id, BP_FILE_ID);
    memcpy(out + BP_FILE_ID, bound, n);
    return BP_FILE_ID + n;
}

/* Nonces are random, as in the container: what failed to be written is sealed anew. */
int bp_sealed_box(struct bp_sealed *s, const void *bound, size_t nbound, uint8_t *p, size_t n) {
    uint8_t aad[BP_FILE_ID + BOUND_MOST];
    size_t naad = bind(s, bound, nbound, aad);
    int r;

    if (!s->readable)
        return BP_EKEY;
    memset(p, 0, BP_SEALED_BOX);
    r = bp_random(p, BP_NONCE_LEN);
    if (r < 0)
        return r;
    bp_mutex_lock(&s->lock);
    r = bp_aead_seal(s->aead, p, aad, naad, p + BP_SEALED_BOX, n, p + BP_SEALED_BOX, p + TAG_AT);
    bp_mutex_unlock(&s->lock);
    return r;
}

int bp_sealed_unbox(struct bp_sealed *s, const void *bound, size_t nbound, uint8_t *p, size_t n) {
    uint8_t aad[BP_FILE_ID + BOUND_MOST];
    size_t naad = bind(s, bound, nbound, aad);
    int r;

    if (!s->readable)
        return BP_EKEY;
    bp_mutex_lock(&s->lock);
    r = bp_aead_open(s->aead, p, aad, naad, p + BP_SEALED_BOX, n, p + BP_SEALED_BOX, p + TAG_AT);
    bp_mutex_unlock(&s->lock);
    return r;
}
