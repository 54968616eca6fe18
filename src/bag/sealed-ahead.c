#include <errno.h>

#include "bag/sealed-priv.h"

/* Workers make the ciphertext of a group while the writer still waits for the disk. What they
 * cannot know, the frame's place, is added by the writer (bp_sealed_append_ahead()). */

struct bp_seal_key {
    unsigned refs; /* [atomic] */
    uint8_t file_id[BP_FILE_ID];
    struct bp_aead *aead; /* owned; copied, never used */
};

struct bp_seal_key *bp_sealed_key(struct bp_sealed *s) {
    struct bp_seal_key *k = s->readable ? calloc(1, sizeof *k) : NULL;

    if (!k)
        return NULL;
    k->refs = 1;
    memcpy(k->file_id, s->file_id, BP_FILE_ID);
    bp_mutex_lock(&s->lock);
    k->aead = bp_aead_dup(s->aead);
    bp_mutex_unlock(&s->lock);
    if (k->aead)
        return k;
    free(k);
    return NULL;
}

struct bp_seal_key *bp_seal_key_ref(struct bp_seal_key *k) {
    if (k)
        __atomic_fetch_add(&k->refs, 1, __ATOMIC_RELAXED);
    return k;
}

void bp_seal_key_unref(struct bp_seal_key *k) {
    if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    bp_aead_free(k->aead);
    free(k);
}

void bp_sealer_done(struct bp_sealer *s) {
    bp_aead_free(s->aead);
    *s = (struct bp_sealer){ 0 };
}

uint64_t bp_sealed_ahead_bound(uint64_t n, uint64_t rest) {
    uint64_t frames = n / BP_SEALED_FRAME + 1;

    return n + frames * (BP_SEALED_HEAD + SEALED_BLOCK) + bp_sealed_frame_bytes(rest);
}

int bp_sealer_seal(struct bp_sealer *s, const struct bp_seal_key *k, const void *p, uint64_t n,
                   struct bp_sealed_ahead *ret) {
    size_t step = sealed_step((size_t) n, BP_SEALED_FRAME);
    uint64_t at = 0;
    int r = 0;

    if (!s->aead || memcmp(s->file_id, k->file_id, BP_FILE_ID) != 0) {
        bp_sealer_done(s);
        s->aead = bp_aead_dup(k->aead);
        memcpy(s->file_id, k->file_id, BP_FILE_ID);
    }
    if (!s->aead)
        return -ENOMEM;
    for (uint64_t done = 0; done < n && r == 0;) {
        size_t len = (size_t) BP_MIN((uint64_t) step, n - done);
        struct bp_sealed_frame f = { .type = BP_SEALED_DATA,
                                     .n = (uint32_t) len,
                                     .label.lane = UINT32_MAX };
        uint8_t nonce[BP_NONCE_LEN];

        r = bp_random(nonce, sizeof nonce);
        if (r < 0)
            return r;
        sealed_head_encode(ret->p + at, &f, k->file_id, nonce);
        r = sealed_body(s->aead, ret->p + at, (const uint8_t *) p + done, len);
        at += bp_sealed_frame_bytes(len);
        done += len;
    }
    memcpy(ret->file_id, k->file_id, BP_FILE_ID);
    ret->n = n;
    ret->len = at;
    return r;
}
