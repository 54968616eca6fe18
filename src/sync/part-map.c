#include "sync/part-map.h"

#include <errno.h>
#include <string.h>

/* ---- ranges ---- */

static int read_number(struct bp_str *text, uint32_t *ret) {
    uint64_t v = 0;
    size_t i = 0;

    for (; i < text->n && text->p[i] >= '0' && text->p[i] <= '9'; i++) {
        v = v * 10 + (uint64_t) (text->p[i] - '0');
        if (v > UINT32_MAX)
            return -EINVAL;
    }
    if (i == 0)
        return -EINVAL;
    *text = (struct bp_str){ text->p + i, text->n - i };
    *ret = (uint32_t) v;
    return 0;
}

static bool take(struct bp_str *text, char c) {
    if (!text->n || *text->p != c)
        return false;
    *text = (struct bp_str){ text->p + 1, text->n - 1 };
    return true;
}

int64_t bp_sync_part_map_read(struct bp_str text, uint32_t nparts,
                              void (*mark)(void *ctx, uint32_t n), void *ctx) {
    uint64_t next = 0, named = 0;

    while (text.n) {
        uint32_t from, to;

        if (next && !take(&text, ','))
            return -EINVAL;
        if (read_number(&text, &from) < 0)
            return -EINVAL;
        to = from;
        if (take(&text, '-') && read_number(&text, &to) < 0)
            return -EINVAL;
        if (from < next || to < from || to >= nparts)
            return -EINVAL;
        for (uint32_t n = from; n <= to; n++)
            mark(ctx, n);
        named += (uint64_t) to - from + 1;
        next = (uint64_t) to + 1;
    }
    return (int64_t) named;
}

/* ---- digests ---- */

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *bp_sync_digest_text(const uint8_t sha256[static 32], char ret[static BP_SYNC_DIGEST_TEXT]) {
    size_t n = 0;

    memcpy(ret, "sha-256=:", 9);
    n = 9;
    for (size_t i = 0; i < 33; i += 3) {
        uint32_t v = (uint32_t) sha256[i] << 16 | (uint32_t) sha256[i + 1] << 8 |
                     (i + 2 < 32 ? sha256[i + 2] : 0U);

        ret[n++] = alphabet[v >> 18];
        ret[n++] = alphabet[v >> 12 & 63];
        ret[n++] = alphabet[v >> 6 & 63];
        ret[n++] = i + 2 < 32 ? alphabet[v & 63] : '=';
    }
    ret[n++] = ':';
    ret[n] = '\0';
    return ret;
}

static int value_of(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -EINVAL;
}

/* 43 characters and one '=' for 32 bytes. */
static int read_base64(const char *p, uint8_t ret[static 32]) {
    uint8_t out[33];

    if (p[43] != '=')
        return -EINVAL;
    for (size_t i = 0; i < 44; i += 4) {
        uint32_t v = 0;

        for (size_t k = 0; k < 4; k++) {
            int x = i + k == 43 ? 0 : value_of(p[i + k]);

            if (x < 0)
                return x;
            v = v << 6 | (uint32_t) x;
        }
        out[i / 4 * 3] = (uint8_t) (v >> 16);
        out[i / 4 * 3 + 1] = (uint8_t) (v >> 8);
        out[i / 4 * 3 + 2] = (uint8_t) v;
    }
    if (out[32]) /* bits behind the last byte */
        return -EINVAL;
    memcpy(ret, out, 32);
    return 0;
}

int bp_sync_digest_read(const char *field, uint8_t ret[static 32]) {
    while (*field) {
        field += strspn(field, " \t,");
        if (strncmp(field, "sha-256=", 8) == 0) {
            const char *p = field + 8;
            const char *end = *p == ':' ? strchr(p + 1, ':') : NULL;

            return end && end - p == 45 ? read_base64(p + 1, ret) : -EINVAL;
        }
        field += strcspn(field, ",");
    }
    return -ENOENT;
}
