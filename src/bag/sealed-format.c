#include <errno.h>

#include "bag/put.h"
#include "bag/sealed-priv.h"
#include "base/crc.h"

static const uint8_t magic[8] = { 0x89, 'B', 'P', 'S', 'E', 'A', 'L', '\n' };
static const char frame_magic[8] = { 'B', 'P', 'S', 'F', 'R', 'A', 'M', '1' };

enum { SESSION_AT = 40, SESSION_BYTES = 32, RECIPIENTS_AT = 128, MAC_AT = 4060, CRC_AT = 4092 };

bool bp_sealed_probe(const uint8_t *head, size_t n) {
    return n >= sizeof magic && memcmp(head, magic, sizeof magic) == 0;
}

bool bp_sealed_name(const char *path) {
    size_t n = strlen(path), k = strlen(BP_SEALED_SUFFIX);

    return n > k && bp_streq(path + n - k, BP_SEALED_SUFFIX);
}

uint64_t bp_sealed_frame_bytes(uint64_t n) {
    return BP_ALIGN(BP_SEALED_HEAD + n, (uint64_t) SEALED_BLOCK);
}

/* Content key -> cipher, and the header's authentication. */
static int unfold(struct bp_sealed *s, const uint8_t content[static BP_KEY_LEN],
                  uint8_t mac[static 32]) {
    uint8_t key[BP_KEY_LEN];
    int r = bp_hkdf(content, BP_KEY_LEN, s->file_id, BP_FILE_ID, "bagpipe seal frames 1", key);

    if (r == 0) {
        s->aead = bp_aead_new(key);
        r = s->aead ? 0 : -ENOMEM;
    }
    if (r == 0)
        r = bp_hkdf(content, BP_KEY_LEN, s->file_id, BP_FILE_ID, "bagpipe seal places 1", key);
    if (r == 0) {
        s->placer = bp_aead_new(key);
        r = s->placer ? 0 : -ENOMEM;
    }
    if (r == 0)
        r = bp_hkdf(content, BP_KEY_LEN, s->file_id, BP_FILE_ID, "bagpipe seal header 1", key);
    if (r == 0)
        r = bp_hmac(key, s->header, MAC_AT, mac);
    bp_wipe(key, sizeof key);
    s->readable = r == 0;
    return r;
}

int sealed_header_make(struct bp_sealed *s, struct bp_keyring *keys, const char *session) {
    uint8_t content[BP_KEY_LEN], *h = s->header;
    int r = bp_keyring_empty(keys) ? BP_EKEY : bp_random(content, sizeof content);

    if (r == 0)
        r = bp_random(s->file_id, sizeof s->file_id);
    if (r < 0)
        return r;
    memset(h, 0, BP_SEALED_HEADER);
    memcpy(h, magic, sizeof magic);
    bp_st_le32(h + 8, 1);
    bp_st_le32(h + 12, BP_SEALED_HEADER);
    memcpy(h + 16, s->file_id, BP_FILE_ID);
    bp_st_le32(h + 32, s->frame_max);
    if (session)
        memcpy(h + SESSION_AT, session, strnlen(session, SESSION_BYTES));
    r = bp_keyring_wrap(keys, s->file_id, content, h + RECIPIENTS_AT);
    if (r > 0) {
        s->nwrapped = (unsigned) r;
        bp_st_le32(h + 36, s->nwrapped);
        r = unfold(s, content, h + MAC_AT);
    }
    if (r == 0) {
        bp_st_le32(h + CRC_AT, bp_crc32c(0, h, CRC_AT));
        bp_keyring_remember(keys, s->file_id, content);
    }
    bp_wipe(content, sizeof content);
    return r;
}

int sealed_header_read(struct bp_sealed *s, struct bp_keyring *keys) {
    uint8_t content[BP_KEY_LEN], mac[32];
    const uint8_t *h = s->header;
    bool known;
    int r = 0;

    if (!bp_sealed_probe(h, BP_SEALED_HEADER))
        return BP_EFORMAT;
    if (bp_ld_le32(h + CRC_AT) != bp_crc32c(0, h, CRC_AT))
        return BP_ECORRUPT;
    if (bp_ld_le32(h + 8) != 1 || bp_ld_le32(h + 12) != BP_SEALED_HEADER)
        return BP_EUNSUPPORTED;
    memcpy(s->file_id, h + 16, BP_FILE_ID);
    s->frame_max = bp_ld_le32(h + 32);
    s->nwrapped = bp_ld_le32(h + 36);
    if (!s->frame_max || s->frame_max > BP_SEALED_FRAME_MOST || !s->nwrapped ||
        s->nwrapped > BP_KEYS_MAX)
        return BP_ECORRUPT;
    if (!keys)
        return 0;
    known = bp_keyring_recall(keys, s->file_id, content) ||
            bp_keyring_unwrap(keys, s->file_id, h + RECIPIENTS_AT, s->nwrapped, content) == 0;
    if (known)
        r = unfold(s, content, mac);
    bp_wipe(content, sizeof content);
    if (known && r == 0 && !bp_same_bytes(mac, h + MAC_AT, sizeof mac))
        r = BP_ECORRUPT;
    return r;
}

struct bp_str bp_sealed_session(const struct bp_sealed *s) {
    const char *p = (const char *) s->header + SESSION_AT;

    return (struct bp_str){ p, strnlen(p, SESSION_BYTES) };
}

void bp_sealed_recipients(const struct bp_sealed *s, char *ret, size_t cap) {
    bp_wrapped_describe(s->header + RECIPIENTS_AT, s->nwrapped, ret, cap);
}

int bp_sealed_add_recipients(const struct bp_sealed *s, struct bp_keyring *k) {
    return bp_keyring_add_wrapped(k, s->header + RECIPIENTS_AT, s->nwrapped);
}

void sealed_head_encode(uint8_t out[static BP_SEALED_HEAD], const struct bp_sealed_frame *f,
                        const uint8_t file_id[static BP_FILE_ID],
                        const uint8_t nonce[static BP_NONCE_LEN]) {
    uint8_t *p = out;

    memset(out, 0, BP_SEALED_HEAD);
    memcpy(p, frame_magic, sizeof frame_magic);
    p = bp_put32(bp_put32(p + 8, f->type), f->n);
    p = bp_put64(bp_put64(p, f->number), f->off);
    memcpy(p, file_id, BP_FILE_ID);
    memcpy(p + 16, nonce, BP_NONCE_LEN);
    p = bp_put32(p + 28, f->label.lane);
    memcpy(p, f->label.run, 16);
    (void) bp_put64(bp_put64(p + 16, f->label.first), f->label.last);
}

int sealed_head_finish(struct bp_sealed *s, uint8_t head[static BP_SEALED_HEAD], bool clear) {
    int r = 0;

    if (!clear)
        r = s->placer ? bp_aead_seal(s->placer, head + SEALED_NONCE_AT, head, SEALED_PLACE_AT, NULL,
                                     0, NULL, head + SEALED_PLACE_AT)
                      : BP_EKEY;
    bp_st_le32(head + SEALED_CRC_AT + 4, bp_crc32c(0, head, SEALED_CRC_AT + 4));
    return r;
}

int sealed_body(struct bp_aead *a, uint8_t *frame, const void *p, size_t n) {
    uint8_t *body = frame + BP_SEALED_HEAD;
    int r = bp_aead_seal(a, frame + SEALED_NONCE_AT, frame + SEALED_ID_AT, BP_FILE_ID, p, n, body,
                         frame + SEALED_TAG_AT);

    bp_st_le32(frame + SEALED_CRC_AT, bp_crc32c(0, body, n));
    memset(body + n, 0, (size_t) (bp_sealed_frame_bytes(n) - BP_SEALED_HEAD - n));
    return r;
}

bool sealed_zeros(const uint8_t *p, size_t n) {
    uint8_t any = 0;

    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return !any;
}

int sealed_head_decode(const struct bp_sealed *s, const uint8_t *p, struct bp_sealed_frame *ret) {
    uint32_t type = bp_ld_le32(p + 8);

    if (memcmp(p, frame_magic, sizeof frame_magic) != 0 ||
        bp_ld_le32(p + SEALED_CRC_AT + 4) != bp_crc32c(0, p, SEALED_CRC_AT + 4) ||
        memcmp(p + SEALED_ID_AT, s->file_id, BP_FILE_ID) != 0 || type < BP_SEALED_DATA ||
        type > BP_SEALED_JOURNAL ||
        !sealed_zeros(p + SEALED_CRC_AT + 8, BP_SEALED_HEAD - SEALED_CRC_AT - 8))
        return BP_ECORRUPT;
    *ret = (struct bp_sealed_frame){
        .type = (enum bp_sealed_type) type,
        .n = bp_ld_le32(p + 12),
        .number = bp_ld_le64(p + 16),
        .off = bp_ld_le64(p + 24),
        .label.lane = bp_ld_le32(p + 60),
        .label.first = bp_ld_le64(p + 80),
        .label.last = bp_ld_le64(p + 88),
        .crc = bp_ld_le32(p + SEALED_CRC_AT),
    };
    memcpy(ret->label.run, p + 64, 16);
    return 0;
}
