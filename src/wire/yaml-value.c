#include "wire/yaml.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "wire/yaml-priv.h"

/* Looking around in a tree, scalars to values, and strings to scalars. */

const struct bp_yaml_node *bp_yaml_root(const struct bp_yaml *y) {
    return y->n > 1 ? &y->v[1] : NULL;
}

const struct bp_yaml_node *bp_yaml_first(const struct bp_yaml *y, const struct bp_yaml_node *n) {
    return n && n->first ? &y->v[n->first] : NULL;
}

const struct bp_yaml_node *bp_yaml_next(const struct bp_yaml *y, const struct bp_yaml_node *n) {
    return n->next ? &y->v[n->next] : NULL;
}

const struct bp_yaml_node *bp_yaml_get(const struct bp_yaml *y, const struct bp_yaml_node *n,
                                       const char *key) {
    if (!n || n->kind != BP_YAML_MAPPING)
        return NULL;
    for (n = bp_yaml_first(y, n); n; n = bp_yaml_next(y, n))
        if (n->key && bp_streq(n->key, key))
            return n;
    return NULL;
}

bool bp_yaml_is_null(const struct bp_yaml_node *n) {
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };

    if (!n)
        return true;
    if (n->kind != BP_YAML_SCALAR || !n->plain)
        return false;
    for (size_t i = 0; i < BP_COUNT(nulls); i++)
        if (bp_str_eq(n->text, bp_str_of(nulls[i])))
            return true;
    return false;
}

int bp_yaml_expected(const struct bp_yaml_node *n, const char *expected, struct bp_error *err) {
    static const char *const found[] = { "", "a list", "a mapping" };
    char text[48];

    if (n->kind == BP_YAML_SCALAR)
        (void) snprintf(text, sizeof text, "'%.*s'", (int) BP_MIN(n->text.n, 40), n->text.p);
    else
        (void) snprintf(text, sizeof text, "%s", found[n->kind]);
    if (n->key)
        return bp_fail(err, BP_EFORMAT, "line %u, key '%.64s': expected %s, found %s", n->line,
                       n->key, expected, text);

    return bp_fail(err, BP_EFORMAT, "line %u: expected %s, found %s", n->line, expected, text);
}

static bool parse_digits(struct bp_str s, uint64_t *ret) {
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!isdigit((unsigned char) s.p[i]) || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t) (s.p[i] - '0'), &v))
            return false;
    *ret = v;
    return true;
}

int bp_yaml_uint(const struct bp_yaml_node *n, uint64_t max, uint64_t *ret, struct bp_error *err) {
    uint64_t v;

    if (n->kind != BP_YAML_SCALAR || !parse_digits(n->text, &v) || v > max)
        return bp_yaml_expected(n, "a whole number from 0", err);

    *ret = v;
    return 0;
}

int bp_yaml_int(const struct bp_yaml_node *n, int64_t min, int64_t max, int64_t *ret,
                struct bp_error *err) {
    bool minus = n->kind == BP_YAML_SCALAR && n->text.n && n->text.p[0] == '-';
    struct bp_str digits = { n->text.p + minus, n->text.n - minus };
    uint64_t v;
    int64_t i;

    if (n->kind != BP_YAML_SCALAR || !parse_digits(digits, &v) || v > (uint64_t) INT64_MAX + minus)
        return bp_yaml_expected(n, "a whole number", err);

    i = minus ? (int64_t) (0 - v) : (int64_t) v;
    if (i < min || i > max)
        return bp_yaml_expected(n, "a whole number within its range", err);

    *ret = i;
    return 0;
}

int bp_yaml_bool(const struct bp_yaml_node *n, bool *ret, struct bp_error *err) {
    static const char *const yes[] = { "true", "True", "TRUE", "yes", "on", "y", "1" };
    static const char *const no[] = { "false", "False", "FALSE", "no", "off", "n", "0" };

    for (size_t i = 0; n->kind == BP_YAML_SCALAR && i < BP_COUNT(yes); i++) {
        if (bp_str_eq(n->text, bp_str_of(yes[i]))) {
            *ret = true;
            return 0;
        }
        if (bp_str_eq(n->text, bp_str_of(no[i]))) {
            *ret = false;
            return 0;
        }
    }
    return bp_yaml_expected(n, "true or false", err);
}

/* Plain only when no YAML 1.1 or 1.2 reader could see a number, date, boolean or null in it. */
static bool may_be_plain(struct bp_str s) {
    static const char *const words[] = { "y",  "n",   "yes",  "no", "true", "false",
                                         "on", "off", "null", "_",  "e" };
    bool beyond_numbers = false; /* a letter that no number or date has */

    if (s.n == 0 || s.n > 1024 || !(isalnum((unsigned char) s.p[0]) || strchr("/_", s.p[0])))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char) s.p[i];

        if (!isascii(c) || !(isalnum(c) || (c && strchr("/_.-+%", c))))
            return false;
        beyond_numbers =
            beyond_numbers || c == '/' || (isalpha(c) && !strchr("abcdefxoABCDEFXO", c));
    }
    for (size_t i = 0; i < BP_COUNT(words); i++)
        if (s.n == strlen(words[i]) && strncasecmp(s.p, words[i], s.n) == 0)
            return false;
    return beyond_numbers || isalpha((unsigned char) s.p[0]);
}

uint32_t bp_utf8_at(const unsigned char *p, size_t n, size_t *ret_len) {
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint32_t c = len == 1 ? p[0] : len ? p[0] & (0x7FU >> len) : 0;

    *ret_len = 1;
    if (len == 0 || len > n || p[0] > 0xF4)
        return 0xFFFD;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0xFFFD;
        c = c << 6 | (p[i] & 0x3F);
    }
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0xFFFD;
    *ret_len = len;
    return c;
}

static bool printable(uint32_t c) {
    return (c >= 0x20 && c < 0x7F) || (c >= 0xA0 && c < 0x2028) || (c > 0x2029 && c < 0xD800) ||
           (c >= 0xE000 && c < 0xFEFF) || (c > 0xFEFF && c < 0xFFFE) || c >= 0x10000;
}

static void put_quoted(struct bp_buf *out, struct bp_str s) {
    const unsigned char *p = (const unsigned char *) s.p;

    bp_buf_put_u8(out, '"');
    for (size_t i = 0, len; i < s.n; i += len) {
        uint32_t c = bp_utf8_at(p + i, s.n - i, &len);

        if (c == '"' || c == '\\')
            bp_buf_printf(out, "\\%c", (char) c);
        else if (c == '\n')
            bp_buf_put_str(out, "\\n");
        else if (c == '\t')
            bp_buf_put_str(out, "\\t");
        else if (c == '\r')
            bp_buf_put_str(out, "\\r");
        else if (!printable(c))
            bp_buf_printf(out, c < 0x100 ? "\\x%02X" : "\\u%04X", c);
        else if (c == 0xFFFD)
            bp_buf_put_str(out, "\xEF\xBF\xBD");
        else
            bp_buf_put(out, p + i, len);
    }
    bp_buf_put_u8(out, '"');
}

void bp_yaml_put_string(struct bp_buf *out, struct bp_str text) {
    if (may_be_plain(text))
        bp_buf_put(out, text.p, text.n);
    else
        put_quoted(out, text);
}
