#include "base/json.h"

#include <math.h>
#include <stdio.h>

size_t bp_utf8_char(const char *p, size_t n) {
    const unsigned char *s = (const unsigned char *) p;
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
    size_t more;

    if (n == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;

    more = s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : 3;
    if (s[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (s[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    if (n <= more || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return more + 1;
}

static void put_escaped(struct bp_buf *b, char c) {
    static const char plain[] = "\"\\\b\f\n\r\t", escaped[] = "\"\\bfnrt";
    const char *at = c ? strchr(plain, c) : NULL;

    if (at) {
        bp_buf_put_u8(b, '\\');
        bp_buf_put_u8(b, (uint8_t) escaped[at - plain]);
    } else {
        bp_buf_printf(b, "\\u%04x", (unsigned) (unsigned char) c);
    }
}

void bp_json_put_text(struct bp_buf *b, const char *s, size_t n) {
    size_t done = 0;

    bp_buf_put_u8(b, '"');
    for (size_t i = 0; i < n;) {
        size_t length = bp_utf8_char(s + i, n - i);
        unsigned char c = (unsigned char) s[i];

        if (length > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            i += length;
            continue;
        }
        bp_buf_put(b, s + done, i - done);
        if (length == 0)
            bp_buf_put_str(b, "\xef\xbf\xbd");
        else
            put_escaped(b, s[i]);
        done = ++i;
    }
    bp_buf_put(b, s + done, n - done);
    bp_buf_put_u8(b, '"');
}

void bp_json_put_real(struct bp_buf *b, double v) {
    char text[32];

    if (!isfinite(v)) {
        bp_buf_put_str(b, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void) snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    bp_buf_put_str(b, text);
}
