#include "wire/yaml.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include <libfyaml.h>

/* libfyaml's event parser feeds a flat array of nodes; children are chained by index. The event
 * parser, not its document builder, because events let us stop at the first thing we refuse, before
 * memory is spent on it. */

enum { NONE = 0 }; /* index 0 is a dummy, so that zero means "no node" */

struct bp_yaml {
    struct bp_yaml_node *v; /* owned */
    size_t n, cap;
    struct bp_buf text; /* keys and scalars, each NUL-terminated; offsets until parsing has ended */
};

struct open_node {
    uint32_t index, last; /* the collection and its newest child */
    bool have_key;        /* mapping: the next event is the value of `key` */
    size_t key;           /* offset into text */
    uint32_t key_line;
};

struct builder {
    struct bp_yaml *y;
    struct open_node stack[BP_YAML_DEPTH_MAX];
    unsigned depth;
    bool document_ended;
    struct bp_error *err;
};

void bp_yaml_free(struct bp_yaml *y) {
    if (!y)
        return;
    free(y->v);
    bp_buf_done(&y->text);
    free(y);
}

static int refuse(struct builder *b, int code, const struct fy_event *e, const char *what) {
    const struct fy_mark *m = fy_event_start_mark((struct fy_event *) (uintptr_t) e);

    return bp_fail(b->err, code, "line %d: %s", m ? m->line + 1 : 1, what);
}

/* Appends a node below the open collection; takes the pending key of a mapping. */
static int add_node(struct builder *b, const struct fy_event *e, enum bp_yaml_kind kind,
                    uint32_t *ret) {
    const struct fy_mark *m = fy_event_start_mark((struct fy_event *) (uintptr_t) e);
    struct open_node *o = b->depth ? &b->stack[b->depth - 1] : NULL;
    struct bp_yaml *y = b->y;
    struct bp_yaml_node *n;

    if (y->n >= BP_YAML_NODES_MAX)
        return refuse(b, BP_ELIMIT, e, "more than a million values");

    if (y->n == y->cap) {
        size_t cap = y->cap ? y->cap * 2 : 64;
        struct bp_yaml_node *v = reallocarray(y->v, cap, sizeof *v);

        if (!v)
            return bp_fail(b->err, -ENOMEM, "out of memory");
        y->v = v;
        y->cap = cap;
    }
    n = &y->v[y->n];
    *n = (struct bp_yaml_node){ .kind = kind, .line = m ? (uint32_t) m->line + 1 : 1 };
    if (o && o->have_key) {
        n->key =
            (const char *) (uintptr_t) (o->key + 1); /* offset + 1, made a pointer at the end */
        o->have_key = false;
    }
    if (o) {
        if (o->last)
            y->v[o->last].next = (uint32_t) y->n;
        else
            y->v[o->index].first = (uint32_t) y->n;
        o->last = (uint32_t) y->n;
        y->v[o->index].count++;
    }
    *ret = (uint32_t) y->n++;
    return 0;
}

static size_t keep_text(struct builder *b, struct fy_token *t, size_t *ret_n) {
    size_t n = 0, at = b->y->text.n;
    const char *p = t ? fy_token_get_text(t, &n) : NULL;

    if (p)
        bp_buf_put(&b->y->text, p, n);
    bp_buf_put_u8(&b->y->text, 0);
    *ret_n = p ? n : 0;
    return at;
}

static bool wants_key(const struct builder *b) {
    const struct open_node *o = b->depth ? &b->stack[b->depth - 1] : NULL;

    return o && b->y->v[o->index].kind == BP_YAML_MAPPING && !o->have_key;
}

static int on_scalar(struct builder *b, const struct fy_event *e) {
    struct bp_yaml_node *n;
    uint32_t i;
    size_t len, at;
    int r;

    if (e->scalar.anchor || e->scalar.tag)
        return refuse(b, BP_EFORMAT, e, "anchors and tags are not understood");

    at = keep_text(b, e->scalar.value, &len);
    if (b->y->text.failed)
        return bp_fail(b->err, -ENOMEM, "out of memory");
    if (wants_key(b)) {
        b->stack[b->depth - 1].key = at;
        b->stack[b->depth - 1].have_key = true;
        return 0;
    }
    r = add_node(b, e, BP_YAML_SCALAR, &i);
    if (r < 0)
        return r;

    n = &b->y->v[i];
    n->plain = !e->scalar.value || fy_token_scalar_style(e->scalar.value) == FYSS_PLAIN;
    n->text = (struct bp_str){ (const char *) (uintptr_t) (at + 1), len };
    return 0;
}

static int on_start(struct builder *b, const struct fy_event *e, enum bp_yaml_kind kind,
                    const struct fy_token *anchor, const struct fy_token *tag) {
    uint32_t i;
    int r;

    if (anchor || tag)
        return refuse(b, BP_EFORMAT, e, "anchors and tags are not understood");
    if (wants_key(b))
        return refuse(b, BP_EFORMAT, e, "a key must be a single word or string");
    if (b->depth == BP_YAML_DEPTH_MAX)
        return refuse(b, BP_ELIMIT, e, "nested more than 32 deep");

    r = add_node(b, e, kind, &i);
    if (r < 0)
        return r;

    b->stack[b->depth++] = (struct open_node){ .index = i };
    return 0;
}

static int on_event(struct builder *b, const struct fy_event *e) {
    switch (e->type) {
    case FYET_SCALAR:
        return on_scalar(b, e);
    case FYET_MAPPING_START:
        return on_start(b, e, BP_YAML_MAPPING, e->mapping_start.anchor, e->mapping_start.tag);
    case FYET_SEQUENCE_START:
        return on_start(b, e, BP_YAML_SEQUENCE, e->sequence_start.anchor, e->sequence_start.tag);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        assert(b->depth > 0);
        b->depth--;
        return 0;
    case FYET_ALIAS:
        return refuse(b, BP_EFORMAT, e, "aliases are not understood");
    case FYET_DOCUMENT_START:
        if (b->document_ended)
            return refuse(b, BP_EFORMAT, e, "a second document begins");
        return 0;
    case FYET_DOCUMENT_END:
        b->document_ended = true;
        return 0;
    default:
        return 0;
    }
}

/* The first thing libfyaml found wrong, as one line. */
static int fail_by_diag(struct fy_diag *d, struct bp_error *err) {
    void *prev = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(d, &prev);

    if (!e || !e->msg)
        return bp_fail(err, BP_EFORMAT, "not YAML");

    return bp_fail(err, BP_EFORMAT, "line %d: %.*s", e->line, (int) strcspn(e->msg, "\n"), e->msg);
}

/* Text offsets become pointers once the text no longer moves. */
static void settle(struct bp_yaml *y) {
    const char *base = (const char *) y->text.p;

    for (size_t i = 1; i < y->n; i++) {
        struct bp_yaml_node *n = &y->v[i];

        if (n->key)
            n->key = base + ((uintptr_t) n->key - 1);
        if (n->text.p)
            n->text.p = base + ((uintptr_t) n->text.p - 1);
    }
}

static int parse_events(struct builder *b, struct fy_parser *p) {
    int r = 0;

    while (r >= 0) {
        struct fy_event *e = fy_parser_parse(p);

        if (!e)
            return fy_parser_get_stream_error(p) ? BP_EFORMAT : 0;
        r = on_event(b, e);
        fy_parser_event_free(p, e);
    }
    return r;
}

int bp_yaml_parse(struct bp_str text, struct bp_yaml **ret, struct bp_error *err) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = calloc(1, sizeof *y);
    struct fy_diag *d = NULL;
    struct fy_parser *p = NULL;
    struct bp_error own = { 0 };
    struct builder b = { .y = y, .err = &own };
    int r = -ENOMEM;

    if (text.n > BP_YAML_BYTES_MAX)
        return bp_fail(err, BP_ELIMIT, "%zu bytes of YAML, more than 64 MiB", text.n);

    if (y) {
        struct fy_diag_cfg dc;

        fy_diag_cfg_default(&dc);
        dc.fp = NULL;
        dc.colorize = false;
        d = fy_diag_create(&dc);
        y->n = 1;
        y->cap = 1;
        y->v = calloc(1, sizeof *y->v);
    }
    if (d && y->v) {
        fy_diag_set_collect_errors(d, true);
        p = fy_parser_create(&(struct fy_parse_cfg){ .flags = FYPCF_QUIET, .diag = d });
    }
    if (p && fy_parser_set_string(p, text.n ? text.p : "", text.n) == 0)
        r = parse_events(&b, p);
    if (r == BP_EFORMAT && !own.code)
        r = fail_by_diag(d, &own);
    if (p)
        fy_parser_destroy(p);
    if (d)
        fy_diag_unref(d);
    if (r < 0)
        return bp_fail(err, r, "%s", own.code ? own.text : bp_strerror(r));

    settle(y);
    *ret = BP_TAKE_PTR(y);
    return 0;
}

const struct bp_yaml_node *bp_yaml_root(const struct bp_yaml *y) {
    return y->n > 1 ? &y->v[1] : NULL;
}

const struct bp_yaml_node *bp_yaml_first(const struct bp_yaml *y, const struct bp_yaml_node *n) {
    return n && n->first != NONE ? &y->v[n->first] : NULL;
}

const struct bp_yaml_node *bp_yaml_next(const struct bp_yaml *y, const struct bp_yaml_node *n) {
    return n->next != NONE ? &y->v[n->next] : NULL;
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

/* One code point of UTF-8 at p[0..n): its value and length; 0xFFFD and 1 for anything else. */
static uint32_t utf8_at(const unsigned char *p, size_t n, size_t *ret_len) {
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
        uint32_t c = utf8_at(p + i, s.n - i, &len);

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
