/* A message as `ros2 topic echo` prints it: block YAML as PyYAML writes it, long arrays cut. A
 * float32 is written with the digits a float needs, where echo shows the digits of the double it
 * became in Python. */
#include "base/decimal.h"
#include "base/json.h"
#include "wire/field.h"
#include "wire/schema-priv.h"

#include <errno.h>
#include <strings.h>

struct text {
    struct bp_buf *out;
    size_t max_items; /* 0 = all */
    int indent;       /* -2: a struct is entered whose key was left out */
    unsigned muted;   /* > 0: inside items that are cut off; counts enter and leave */
    bool dash;        /* the next key stands behind "- " */
    bool bare;        /* the next key is left out, and what parts it from its value */
};

static void put_indent(struct text *t) {
    for (int i = 0; i < t->indent; i++)
        bp_buf_put_u8(t->out, ' ');
}

/* `gap`, what parts the value from its key, goes with the key. */
static void put_key(struct text *t, const struct bp_op *op, const char *gap) {
    if (t->bare) {
        t->bare = false;
        return;
    }
    if (!t->dash)
        put_indent(t);
    t->dash = false;
    bp_buf_put_str(t->out, op->name);
    bp_buf_put_u8(t->out, ':');
    bp_buf_put_str(t->out, gap);
}

/* ---- strings ---- */

static bool only(const char *s, size_t n, const char *set) {
    for (size_t i = 0; i < n; i++)
        if (s[i] == '\0' || !strchr(set, s[i]))
            return false;
    return n > 0;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Integers in four bases, floats, times of day, dates. */
static bool looks_number(const char *s, size_t n) {
    if (n > 1 && (*s == '+' || *s == '-')) {
        s++;
        n--;
    }
    if (n == 4 && *s == '.')
        return strncasecmp(s, ".inf", 4) == 0 || strncasecmp(s, ".nan", 4) == 0 || is_digit(s[1]);
    if (!is_digit(*s) && !(n > 1 && *s == '.' && is_digit(s[1])))
        return false;
    if (n > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'b'))
        return only(s + 2, n - 2, "0123456789abcdefABCDEF_");
    if (n > 5 && s[4] == '-')
        return only(s, n, "0123456789-+:. \tTtZ");
    for (size_t i = 0; i < n; i++)
        if (!only(s + i, 1, i > 0 && (s[i - 1] | 32) == 'e' ? "0123456789+-" : "0123456789_.:eE"))
            return false;
    return true;
}

/* Would a YAML 1.1 reader take the text for something else than a string? Rather once too often
 * than once too little. */
static bool looks_typed(const char *s, size_t n) {
    static const char *const words[] = { "yes", "no", "true", "false", "on",
                                         "off", "~",  "null", "<<",    "=" };

    for (size_t i = 0; i < BP_COUNT(words); i++)
        if (n == strlen(words[i]) && strncasecmp(s, words[i], n) == 0)
            return true;
    return looks_number(s, n);
}

/* What PyYAML's analyze_scalar() finds out, as far as a block value needs it. */
struct shape {
    bool plain;  /* needs no quotes */
    bool single; /* single quotes will do */
};

static bool is_gap(const char *s, size_t n, size_t i) {
    return i >= n || s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r';
}

/* A character at s[i] that makes the text a YAML token. */
static bool is_indicator(const char *s, size_t n, size_t i) {
    if (i == 0) {
        if (strchr("#,[]{}&*!|>'\"%@`", s[0]))
            return true;
        return (s[0] == '?' || s[0] == ':' || s[0] == '-') && is_gap(s, n, 1);
    }
    return (s[i] == ':' && is_gap(s, n, i + 1)) || (s[i] == '#' && is_gap(s, n, i - 1));
}

static bool is_special(const char *s, size_t n, size_t i, size_t *ret_length) {
    unsigned char c = (unsigned char) s[i];

    *ret_length = 1;
    if (c < 0x80)
        return (c < 0x20 && c != '\n') || c == 0x7f;
    *ret_length = bp_utf8_char(s + i, n - i);
    if (*ret_length == 0) {
        *ret_length = 1;
        return true;
    }
    /* C1 controls; U+2028 and U+2029, which are line breaks to YAML; BOM; non-characters */
    return (c == 0xc2 && (unsigned char) s[i + 1] < 0xa0) ||
           (*ret_length == 3 &&
            (memcmp(s + i, "\xe2\x80\xa8", 3) == 0 || memcmp(s + i, "\xe2\x80\xa9", 3) == 0 ||
             memcmp(s + i, "\xef\xbb\xbf", 3) == 0 || memcmp(s + i, "\xef\xbf\xbe", 3) >= 0));
}

static struct shape analyze(const char *s, size_t n) {
    struct shape r = { true, true };
    size_t length;

    if (n == 0)
        return (struct shape){ false, true };
    if (s[0] == ' ' || s[0] == '\n' || s[n - 1] == ' ' || s[n - 1] == '\n' || looks_typed(s, n) ||
        (n >= 3 && (memcmp(s, "---", 3) == 0 || memcmp(s, "...", 3) == 0)))
        r.plain = false;
    for (size_t i = 0; i < n; i += length) {
        if (is_special(s, n, i, &length))
            return (struct shape){ false, false };
        if (s[i] == '\n') {
            r.plain = false;
            if ((i > 0 && s[i - 1] == ' ') || (i + 1 < n && s[i + 1] == ' '))
                return (struct shape){ false, false };
        }
        if (is_indicator(s, n, i))
            r.plain = false;
    }
    return r;
}

static uint32_t code_point(const char *s, size_t n) {
    const unsigned char *p = (const unsigned char *) s;
    uint32_t c = n == 1 ? p[0] : n == 2 ? p[0] & 0x1fU : n == 3 ? p[0] & 0xfU : p[0] & 7U;

    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3fU);
    return c;
}

static void put_escaped(struct bp_buf *b, uint32_t c) {
    static const char from[] = "\a\b\t\n\v\f\r\x1b\"\\", to[] = "abtnvfre\"\\";
    const char *at = c > 0 && c < 0x80 ? strchr(from, (int) c) : NULL;

    if (at)
        bp_buf_printf(b, "\\%c", to[at - from]);
    else if (c == 0)
        bp_buf_put_str(b, "\\0");
    else if (c == 0x85 || c == 0xa0)
        bp_buf_put_str(b, c == 0x85 ? "\\N" : "\\_");
    else if (c == 0x2028 || c == 0x2029)
        bp_buf_put_str(b, c == 0x2028 ? "\\L" : "\\P");
    else
        bp_buf_printf(b, c < 0x100 ? "\\x%02X" : c < 0x10000 ? "\\u%04X" : "\\U%08X", c);
}

static bool stays(uint32_t c) {
    if (c == '"' || c == '\\' || c == 0x2028 || c == 0x2029 || c == 0xfeff)
        return false;
    return (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c <= 0xfffd);
}

static void put_double_quoted(struct bp_buf *b, const char *s, size_t n) {
    bp_buf_put_u8(b, '"');
    for (size_t i = 0; i < n;) {
        size_t length = bp_utf8_char(s + i, n - i);

        if (length == 0) {
            bp_buf_put_str(b, "\xef\xbf\xbd");
            i++;
            continue;
        }
        if (stays(code_point(s + i, length)))
            bp_buf_put(b, s + i, length);
        else
            put_escaped(b, code_point(s + i, length));
        i += length;
    }
    bp_buf_put_u8(b, '"');
}

/* A run of line breaks is written as itself and one more. */
static void put_single_quoted(struct text *t, const char *s, size_t n) {
    bp_buf_put_u8(t->out, '\'');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\'') {
            bp_buf_put_str(t->out, "''");
        } else if (s[i] == '\n') {
            if (i == 0 || s[i - 1] != '\n')
                bp_buf_put_u8(t->out, '\n');
            bp_buf_put_u8(t->out, '\n');
            if (i + 1 == n || s[i + 1] != '\n') {
                put_indent(t);
                bp_buf_put_str(t->out, "  ");
            }
        } else {
            bp_buf_put_u8(t->out, (uint8_t) s[i]);
        }
    }
    bp_buf_put_u8(t->out, '\'');
}

/* Bytes of the first `max` characters. */
static size_t head_of(const char *s, size_t n, size_t max) {
    size_t i = 0;

    for (size_t k = 0; i < n && k < max; k++)
        i += BP_MAX(bp_utf8_char(s + i, n - i), (size_t) 1);
    return i;
}

static void put_scalar_text(struct text *t, const char *s, size_t n) {
    struct shape shape = analyze(s, n);

    if (shape.plain)
        bp_buf_put(t->out, s, n);
    else if (shape.single)
        put_single_quoted(t, s, n);
    else
        put_double_quoted(t->out, s, n);
}

static void put_string(struct text *t, const char *s, size_t n) {
    size_t head = t->max_items ? head_of(s, n, t->max_items) : n;
    BP_AUTO_BUF cut = { 0 };

    if (head == n) {
        put_scalar_text(t, s, n);
        return;
    }
    bp_buf_put(&cut, s, head);
    bp_buf_put_str(&cut, "...");
    t->out->failed |= cut.failed;
    put_scalar_text(t, (const char *) cut.p, cut.n);
}

static void put_any_string(struct text *t, const struct bp_op *op, const struct bp_value *v) {
    BP_AUTO_BUF narrow = { 0 };

    if (op->prim == BP_PRIM_STRING) {
        put_string(t, (const char *) v->p, v->n);
        return;
    }
    bp_value_utf8(v, &narrow);
    t->out->failed |= narrow.failed;
    put_string(t, (const char *) narrow.p, narrow.n);
}

/* ---- the walk ---- */

static void put_number(struct text *t, const struct bp_op *op, const struct bp_value *v, size_t i) {
    char text[BP_DECIMAL_TEXT];
    size_t n;

    switch (op->prim) {
    case BP_PRIM_BOOL:
        bp_buf_put_str(t->out, v->p[i] ? "true" : "false");
        return;
    case BP_PRIM_FLOAT32:
        n = bp_put_f32_yaml((float) bp_value_f64(v, op->prim, i), text);
        break;
    case BP_PRIM_FLOAT64:
        n = bp_put_f64_yaml(bp_value_f64(v, op->prim, i), text);
        break;
    case BP_PRIM_INT8:
    case BP_PRIM_INT16:
    case BP_PRIM_INT32:
    case BP_PRIM_INT64:
        n = bp_put_i64((int64_t) bp_value_u64(v, op->prim, i), text);
        break;
    default:
        n = bp_put_u64(bp_value_u64(v, op->prim, i), text);
        break;
    }
    bp_buf_put(t->out, text, n);
}

static void put_list(struct text *t, const struct bp_op *op, const struct bp_value *v) {
    size_t shown = t->max_items && v->n > t->max_items ? t->max_items : v->n;

    if (v->n == 0)
        bp_buf_put_str(t->out, "[]\n");
    for (size_t i = 0; i < shown; i++) {
        put_indent(t);
        bp_buf_put_str(t->out, "- ");
        put_number(t, op, v, i);
        bp_buf_put_u8(t->out, '\n');
    }
    if (shown < v->n) {
        put_indent(t);
        bp_buf_put_str(t->out, "- '...'\n");
    }
}

static int failed(const struct text *t) {
    return t->out->failed ? -ENOMEM : 0;
}

static int on_value(void *ctx, const struct bp_op *op, const struct bp_value *v) {
    struct text *t = ctx;

    if (t->muted)
        return 0;
    if (op->size > 0 && op->array != BP_ARRAY_NONE) {
        put_key(t, op, v->n ? "\n" : " ");
        put_list(t, op, v);
        return failed(t);
    }
    put_key(t, op, " ");
    if (op->size > 0)
        put_number(t, op, v, 0);
    else
        put_any_string(t, op, v);
    bp_buf_put_u8(t->out, '\n');
    return failed(t);
}

static int on_enter(void *ctx, const struct bp_op *op, uint32_t count) {
    struct text *t = ctx;
    bool many = op->array != BP_ARRAY_NONE;

    if (t->muted) {
        t->muted++;
        return 0;
    }
    if (many ? count == 0 : op->type->empty) {
        put_key(t, op, " ");
        bp_buf_put_str(t->out, many ? "[]\n" : "{}\n");
    } else {
        put_key(t, op, "\n");
    }
    if (op->prim == BP_PRIM_STRUCT)
        t->indent += 2;
    return failed(t);
}

static int on_item(void *ctx, const struct bp_op *op, uint32_t i, const struct bp_value *string) {
    struct text *t = ctx;
    int in = op->prim == BP_PRIM_STRUCT ? 2 : 0;

    if (t->muted)
        return 0;
    t->indent -= in; /* dashes stand below the key */
    put_indent(t);
    t->indent += in;
    bp_buf_put_str(t->out, "- ");
    if (t->max_items && i >= t->max_items) {
        bp_buf_put_str(t->out, "'...'\n");
        t->muted = 1;
    } else if (string) {
        put_any_string(t, op, string);
        bp_buf_put_u8(t->out, '\n');
    } else if (op->type->empty) {
        bp_buf_put_str(t->out, "{}\n");
    } else {
        t->dash = true;
    }
    return failed(t);
}

static int on_leave(void *ctx, const struct bp_op *op, uint32_t count) {
    struct text *t = ctx;

    (void) count;
    if (t->muted > 1) {
        t->muted--;
        return 0;
    }
    t->muted = 0; /* its own array was cut */
    if (op->prim == BP_PRIM_STRUCT)
        t->indent -= 2;
    return 0;
}

static const struct bp_visitor visitor = { on_value, on_enter, on_item, on_leave };

int bp_schema_to_text(const struct bp_schema *s, const void *cdr, size_t n, size_t max_items,
                      struct bp_buf *out, struct bp_error *err) {
    struct text t = { .out = out, .max_items = max_items };
    int r;

    r = bp_schema_walk(s, cdr, n, &visitor, &t, err);
    if (r == 0 && bp_schema_type(s)->empty)
        bp_buf_put_str(out, "{}\n");
    if (r == -ENOMEM || out->failed)
        return bp_fail(err, -ENOMEM, "%s: out of memory", bp_schema_type(s)->name);
    return r;
}

int bp_field_to_text(const struct bp_field *f, const void *cdr, size_t n, size_t max_items,
                     struct bp_buf *out, struct bp_error *err) {
    const struct bp_op *op = bp_field_op(f);
    bool is_struct = op->prim == BP_PRIM_STRUCT && op->array == BP_ARRAY_NONE;
    struct text t = { .out = out, .max_items = max_items, .bare = true };
    int r;

    t.indent = is_struct ? -2 : 0;
    r = bp_field_walk(f, cdr, n, &visitor, &t, err);
    if (r == 0)
        bp_buf_put_str(out, "null\n");
    if (r == -ENOMEM || out->failed)
        return bp_fail(err, -ENOMEM, "%s: out of memory", bp_schema_type(bp_field_schema(f))->name);
    return r < 0 ? r : 0;
}
