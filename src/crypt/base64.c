#include "crypt/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void bp_base64_put(struct bp_buf *out, const void *p, size_t n) {
    const uint8_t *from = p;

    for (size_t at = 0; at < n; at += 3) {
        size_t left = BP_MIN(n - at, (size_t) 3);
        unsigned long bits = (unsigned long) from[at] << 16 |
                             (left > 1 ? (unsigned long) from[at + 1] << 8 : 0) |
                             (left > 2 ? from[at + 2] : 0);

        for (size_t i = 0; i <= left; i++)
            bp_buf_put_u8(out, (uint8_t) alphabet[bits >> (18 - 6 * i) & 63]);
    }
}

static int value_of(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '-'             ? 62
           : c == '_'             ? 63
                                  : -1;
}

ssize_t bp_base64_read(struct bp_str text, uint8_t *ret, size_t cap) {
    size_t n = text.n / 4 * 3 + (text.n % 4 ? text.n % 4 - 1 : 0), at = 0;
    unsigned long bits = 0;
    unsigned have = 0;

    if (text.n % 4 == 1)
        return -EINVAL;
    if (n > cap)
        return -EOVERFLOW;
    for (size_t i = 0; i < text.n; i++) {
        int v = value_of(text.p[i]);

        if (v < 0)
            return -EINVAL;
        bits = (bits << 6 | (unsigned) v) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            ret[at++] = (uint8_t) (bits >> have);
        }
    }
    return (bits & ((1UL << have) - 1)) ? -EINVAL : (ssize_t) n;
}
