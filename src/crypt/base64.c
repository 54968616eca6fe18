#include "crypt/base64.h"

#include <errno.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
static const char alphabet[] = LETTERS "-_", std_alphabet[] = LETTERS "+/";

static void put_in(struct bp_buf *out, const void *p, size_t n, const char *letters) {
    const uint8_t *from = p;

    for (size_t at = 0; at < n; at += 3) {
        size_t left = BP_MIN(n - at, (size_t) 3);
        unsigned long bits = (unsigned long) from[at] << 16 |
                             (left > 1 ? (unsigned long) from[at + 1] << 8 : 0) |
                             (left > 2 ? from[at + 2] : 0);

        for (size_t i = 0; i <= left; i++)
            bp_buf_put_u8(out, (uint8_t) letters[bits >> (18 - 6 * i) & 63]);
    }
}

void bp_base64_put(struct bp_buf *out, const void *p, size_t n) {
    put_in(out, p, n, alphabet);
}

void bp_base64_std_put(struct bp_buf *out, const void *p, size_t n) {
    put_in(out, p, n, std_alphabet);
    bp_buf_put(out, "==", (3 - n % 3) % 3);
}

static int value_of(char c, const char *last) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == last[0]         ? 62
           : c == last[1]         ? 63
                                  : -1;
}

static ssize_t read_with(struct bp_str text, const char *last, uint8_t *ret, size_t cap) {
    size_t n = text.n / 4 * 3 + (text.n % 4 ? text.n % 4 - 1 : 0), at = 0;
    unsigned long bits = 0;
    unsigned have = 0;

    if (text.n % 4 == 1)
        return -EINVAL;
    if (n > cap)
        return -EOVERFLOW;
    for (size_t i = 0; i < text.n; i++) {
        int v = value_of(text.p[i], last);

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

ssize_t bp_base64_read(struct bp_str text, uint8_t *ret, size_t cap) {
    return read_with(text, alphabet + 62, ret, cap);
}

ssize_t bp_base64_std_read(struct bp_str text, uint8_t *ret, size_t cap) {
    if (text.n % 4)
        return -EINVAL;
    for (int i = 0; i < 2 && text.n > 0 && text.p[text.n - 1] == '='; i++)
        text.n--;
    return read_with(text, std_alphabet + 62, ret, cap);
}
