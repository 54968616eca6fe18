#include "wire/yaml.h"

#include <errno.h>
#include <stdio.h>

#include "wire/yaml-priv.h"

/* A recursive-descent parser of the YAML that recordings hold: what yaml-cpp, PyYAML and ruamel
 * write, and what people write by hand. Not understood, each with a sentence: anchors, aliases,
 * tags, directives, "? " keys, several documents.
 *
 * libfyaml 0.7.12 stood here first: on hostile texts of a hundred bytes it leaked and, on some,
 * never returned.
 *
 * A node function is called with the cursor where its first character may be and leaves it behind
 * the last one, within the line; whoever goes on calls skip_blank(). Columns count bytes: only
 * spaces, dashes and keys of the same line stand before a column that matters. Each byte is looked
 * at a bounded number of times (key_ahead() reads its line once more). */

struct scan {
    const char *p, *end, *line_start;
    uint32_t line;
    unsigned depth;
    struct bp_yaml *y;
    struct bp_error *err;
};

/* A collection that is being filled. */
struct open_node {
    uint32_t index, last; /* it, and its newest child */
};

enum { NO_KEY = 0 };

void bp_yaml_free(struct bp_yaml *y) {
    if (!y)
        return;
    free(y->v);
    bp_buf_done(&y->text);
    free(y);
}

static int wrong(const struct scan *s, const char *what) {
    return bp_fail(s->err, BP_EFORMAT, "line %u: %s", s->line, what);
}

static int column(const struct scan *s) {
    return (int) (s->p - s->line_start);
}

/* ---- characters ---- */

/* 0 beyond the end; the text itself holds no NUL. */
static char at(const struct scan *s, size_t i) {
    return i < (size_t) (s->end - s->p) ? s->p[i] : 0;
}

static bool is_break(char c) {
    return c == '\n' || c == '\r';
}

/* Space, tab, line break or end. */
static bool is_gap(char c) {
    return c == 0 || c == ' ' || c == '\t' || is_break(c);
}

static bool in_set(char c, const char *set) {
    return c != 0 && strchr(set, c) != NULL;
}

static void take_break(struct scan *s) {
    s->p += at(s, 0) == '\r' && at(s, 1) == '\n' ? 2 : 1;
    s->line_start = s->p;
    s->line++;
}

static void skip_spaces(struct scan *s) {
    while (at(s, 0) == ' ' || at(s, 0) == '\t')
        s->p++;
}

/* Spaces, comments and line breaks. @return true when a line ended on the way */
static bool skip_blank(struct scan *s) {
    bool crossed = false;

    for (;;) {
        const char *before = s->p;

        skip_spaces(s);
        if (at(s, 0) == '#' && (s->p > before || s->p == s->line_start || is_gap(s->p[-1])))
            while (s->p < s->end && !is_break(*s->p))
                s->p++;
        if (!is_break(at(s, 0)))
            return crossed;
        take_break(s);
        crossed = true;
    }
}

/* "---" or "..." at the start of a line. */
static bool at_marker(const struct scan *s) {
    return s->p == s->line_start && at(s, 0) && in_set(at(s, 0), "-.") && at(s, 1) == at(s, 0) &&
           at(s, 2) == at(s, 0) && is_gap(at(s, 3));
}

static bool at_end(const struct scan *s) {
    return s->p == s->end || at_marker(s);
}

static bool at_dash(const struct scan *s) {
    return at(s, 0) == '-' && is_gap(at(s, 1)) && !at_marker(s);
}

/* ---- the tree ---- */

static int add_node(struct scan *s, struct open_node *o, size_t key, enum bp_yaml_kind kind,
                    uint32_t *ret) {
    struct bp_yaml *y = s->y;

    if (y->text.failed)
        return bp_fail(s->err, -ENOMEM, "out of memory");
    if (y->n >= BP_YAML_NODES_MAX)
        return bp_fail(s->err, BP_ELIMIT, "line %u: more than a million values", s->line);

    if (y->n == y->cap) {
        size_t cap = y->cap * 2;
        struct bp_yaml_node *v = reallocarray(y->v, cap, sizeof *v);

        if (!v)
            return bp_fail(s->err, -ENOMEM, "out of memory");
        y->v = v;
        y->cap = cap;
    }
    y->v[y->n] = (struct bp_yaml_node){ .kind = kind, .line = s->line, .key_at = (uint32_t) key };
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

/* Keys and scalars are NUL-terminated in y->text, from 1 on; offsets until parsing has ended. */
static size_t begin_text(struct scan *s) {
    if (s->y->text.n == 0)
        bp_buf_put_u8(&s->y->text, 0);
    return s->y->text.n;
}

static void end_text(struct scan *s) {
    bp_buf_put_u8(&s->y->text, 0);
}

static void trim_text(struct scan *s, size_t from) {
    struct bp_buf *t = &s->y->text;

    while (t->n > from && (t->p[t->n - 1] == ' ' || t->p[t->n - 1] == '\t'))
        t->n--;
}

/* Takes the line breaks and indentation at the cursor and appends what folding makes of them: one
 * break a space, more of them one newline fewer. */
static void fold(struct scan *s) {
    unsigned breaks = 0;

    for (skip_spaces(s); is_break(at(s, 0)); skip_spaces(s), breaks++)
        take_break(s);
    if (breaks == 1)
        bp_buf_put_u8(&s->y->text, ' ');
    while (breaks-- > 1)
        bp_buf_put_u8(&s->y->text, '\n');
}

/* ---- scalars ---- */

static int single_quoted(struct scan *s) {
    size_t from = s->y->text.n;

    for (s->p++; s->p < s->end;) {
        if (is_break(*s->p)) {
            trim_text(s, from);
            fold(s);
        } else if (*s->p == '\'' && at(s, 1) != '\'') {
            s->p++;
            return 0;
        } else {
            s->p += *s->p == '\'';
            bp_buf_put_u8(&s->y->text, (uint8_t) *s->p++);
        }
    }
    return wrong(s, "a string in ' does not end");
}

static void put_utf8(struct bp_buf *out, uint32_t c) {
    if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        c = 0xFFFD;
    if (c < 0x80) {
        bp_buf_put_u8(out, (uint8_t) c);
    } else if (c < 0x800) {
        bp_buf_put_u8(out, (uint8_t) (0xC0 | c >> 6));
        bp_buf_put_u8(out, (uint8_t) (0x80 | (c & 0x3F)));
    } else {
        if (c < 0x10000) {
            bp_buf_put_u8(out, (uint8_t) (0xE0 | c >> 12));
        } else {
            bp_buf_put_u8(out, (uint8_t) (0xF0 | c >> 18));
            bp_buf_put_u8(out, (uint8_t) (0x80 | (c >> 12 & 0x3F)));
        }
        bp_buf_put_u8(out, (uint8_t) (0x80 | (c >> 6 & 0x3F)));
        bp_buf_put_u8(out, (uint8_t) (0x80 | (c & 0x3F)));
    }
}

static int hex_digits(struct scan *s, unsigned n, uint32_t *ret) {
    uint32_t v = 0;

    for (unsigned i = 0; i < n; i++, s->p++) {
        char c = at(s, 0);

        if (!in_set(c, "0123456789abcdefABCDEF"))
            return wrong(s, "an escape lacks hexadecimal digits");
        v = v << 4 | (uint32_t) (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    *ret = v;
    return 0;
}

/* The cursor is behind the backslash. */
static int escape(struct scan *s) {
    static const char from[] = "0abt\tnvfre \"/\\";
    static const char to[] = "\0\a\b\t\t\n\v\f\r\x1B \"/\\";
    char c = at(s, 0);
    const char *simple = c ? strchr(from, c) : NULL;
    uint32_t v = 0, low = 0;
    int r;

    if (is_break(c)) { /* the line goes on without a space */
        take_break(s);
        for (skip_spaces(s); is_break(at(s, 0)); skip_spaces(s)) {
            take_break(s);
            bp_buf_put_u8(&s->y->text, '\n');
        }
        return 0;
    }
    s->p++;
    if (simple) {
        bp_buf_put_u8(&s->y->text, (uint8_t) to[simple - from]);
        return 0;
    }
    if (in_set(c, "N_LP")) {
        v = c == 'N' ? 0x85 : c == '_' ? 0xA0 : c == 'L' ? 0x2028 : 0x2029;
    } else if (in_set(c, "xuU")) {
        r = hex_digits(s, c == 'x' ? 2 : c == 'u' ? 4 : 8, &v);
        if (r < 0)
            return r;
    } else {
        return wrong(s, "a backslash is followed by something that is no escape");
    }
    if (v >= 0xD800 && v < 0xDC00 && at(s, 0) == '\\' && at(s, 1) == 'u') { /* as JSON has it */
        s->p += 2;
        r = hex_digits(s, 4, &low);
        if (r < 0)
            return r;
        v = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00)
                                          : 0xFFFD;
    }
    put_utf8(&s->y->text, v);
    return 0;
}

static int double_quoted(struct scan *s) {
    size_t from = s->y->text.n; /* what was escaped is never trimmed */
    int r;

    for (s->p++; s->p < s->end;) {
        char c = *s->p;

        if (c == '"') {
            s->p++;
            return 0;
        }
        if (c == '\\') {
            s->p++;
            r = escape(s);
            if (r < 0)
                return r;
            from = s->y->text.n;
        } else if (is_break(c)) {
            trim_text(s, from);
            fold(s);
        } else {
            bp_buf_put_u8(&s->y->text, (uint8_t) c);
            s->p++;
        }
    }
    return wrong(s, "a string in \" does not end");
}

/* Does a plain scalar end here, before its line does? */
static bool plain_ends(const struct scan *s, bool flow) {
    char c = at(s, 0);

    if (c == ':')
        return is_gap(at(s, 1)) || (flow && in_set(at(s, 1), ",[]{}"));
    return (c == '#' && is_gap(s->p[-1])) || (flow && in_set(c, ",[]{}"));
}

/* One line of a plain scalar, without the space at its end. The cursor stops at what ended it. */
static void plain_line(struct scan *s, bool flow) {
    const char *from = s->p, *to = s->p;

    while (s->p < s->end && !is_break(*s->p) && !(s->p > from && plain_ends(s, flow))) {
        if (*s->p != ' ' && *s->p != '\t')
            to = s->p + 1;
        s->p++;
    }
    bp_buf_put(&s->y->text, from, (size_t) (to - from));
}

static int check_plain_start(const struct scan *s) {
    char c = at(s, 0);

    if (in_set(c, "&*!"))
        return wrong(s, "anchors, aliases and tags are not understood");
    if (in_set(c, "%@`,[]{}|>\"'#") || (in_set(c, "-?:") && is_gap(at(s, 1))))
        return bp_fail(s->err, BP_EFORMAT, "line %u: '%c' does not belong here", s->line, c);
    return 0;
}

/* A plain scalar; lines that are indented deeper than `parent` go on with it. */
static int plain(struct scan *s, int parent, bool flow) {
    int r = check_plain_start(s);

    if (r < 0)
        return r;

    plain_line(s, flow);
    while (is_break(at(s, 0))) {
        struct scan ahead = *s;

        while (is_break(at(&ahead, 0))) {
            take_break(&ahead);
            skip_spaces(&ahead);
        }
        if (at_end(&ahead) || at(&ahead, 0) == '#' || (!flow && column(&ahead) <= parent) ||
            (flow && plain_ends(&ahead, true)))
            return 0;
        fold(s);
        plain_line(s, flow);
        if (!flow && at(s, 0) == ':')
            return wrong(s, "a key stands where the value of the lines above goes on");
    }
    return 0;
}

/* Appends the text of a quoted or plain scalar. */
static int scalar_text(struct scan *s, int parent, bool flow) {
    if (at(s, 0) == '"')
        return double_quoted(s);
    if (at(s, 0) == '\'')
        return single_quoted(s);
    return plain(s, parent, flow);
}

static int add_scalar(struct scan *s, struct open_node *o, size_t key, size_t from, bool is_plain) {
    size_t n = s->y->text.n - from;
    uint32_t i = 0;
    int r;

    end_text(s);
    r = add_node(s, o, key, BP_YAML_SCALAR, &i);
    if (r < 0)
        return r;

    s->y->v[i].plain = is_plain;
    s->y->v[i].text.n = n;
    s->y->v[i].text_at = (uint32_t) from;
    return 0;
}

static int add_null(struct scan *s, struct open_node *o, size_t key) {
    return add_scalar(s, o, key, begin_text(s), true);
}

static int scalar(struct scan *s, struct open_node *o, size_t key, int parent, bool flow) {
    bool is_plain = !in_set(at(s, 0), "\"'");
    size_t from = begin_text(s);
    uint32_t line = s->line;
    int r = scalar_text(s, parent, flow);

    if (r < 0)
        return r;
    r = add_scalar(s, o, key, from, is_plain);
    if (r == 0)
        s->y->v[s->y->n - 1].line = line;
    return r;
}

/* ---- "|" and ">" ---- */

struct block_head {
    bool folded;
    char chomp; /* '-', '+' or 0 */
    int indent; /* of the content; -1 = as its first line */
};

static int block_head(struct scan *s, int parent, struct block_head *h) {
    *h = (struct block_head){ .folded = at(s, 0) == '>', .indent = -1 };
    for (s->p++; in_set(at(s, 0), "+-123456789"); s->p++) {
        if (in_set(at(s, 0), "+-"))
            h->chomp = at(s, 0);
        else
            h->indent = BP_MAX(parent, 0) + (at(s, 0) - '0');
    }
    skip_spaces(s);
    if (at(s, 0) == '#')
        while (s->p < s->end && !is_break(*s->p))
            s->p++;
    if (s->p < s->end && !is_break(*s->p))
        return wrong(s, "something stands behind '|' or '>'");
    return 0;
}

/* Goes to the content of the next line of a block. @return false when the block has ended; the
 * cursor then is at the start of a line. *blank: an empty line. */
static bool block_line(struct scan *s, int parent, struct block_head *h, bool *blank) {
    const char *p = s->line_start;
    int col;

    while (p < s->end && *p == ' ' && (h->indent < 0 || p - s->line_start < h->indent))
        p++;
    col = (int) (p - s->line_start);
    *blank = p == s->end || is_break(*p);
    if (p == s->end || at_marker(s))
        return false;
    if (!*blank && h->indent < 0 && col > parent)
        h->indent = col;
    if (!*blank && (h->indent < 0 || col < h->indent))
        return false;
    s->p = p;
    return true;
}

static int block_scalar(struct scan *s, struct open_node *o, size_t key, int parent) {
    struct bp_buf *t = &s->y->text;
    struct block_head h;
    size_t from, content_end, pending = 0; /* pending: line breaks not yet written */
    bool blank, first = true, was_deep = false;
    int r = block_head(s, parent, &h);

    if (r < 0)
        return r;
    from = content_end = begin_text(s);
    for (;;) {
        const char *start;
        bool deep;

        if (s->p == s->end)
            break;
        take_break(s);
        if (!block_line(s, parent, &h, &blank))
            break;
        if (blank) {
            pending++;
            continue;
        }
        start = s->p;
        while (s->p < s->end && !is_break(*s->p))
            s->p++;
        deep = in_set(*start, " \t");
        if (!first && h.folded && !deep && !was_deep && pending == 0)
            bp_buf_put_u8(t, ' ');
        else if (!first && !(h.folded && !deep && !was_deep))
            bp_buf_put_u8(t, '\n');
        for (; pending > 0; pending--)
            bp_buf_put_u8(t, '\n');
        bp_buf_put(t, start, (size_t) (s->p - start));
        content_end = t->n;
        first = false;
        was_deep = deep;
    }
    if (h.chomp != '-' && content_end > from)
        bp_buf_put_u8(t, '\n');
    for (; h.chomp == '+' && pending > 0; pending--)
        bp_buf_put_u8(t, '\n');
    return add_scalar(s, o, key, from, false);
}

/* ---- collections ---- */

static int enter(struct scan *s, struct open_node *o, size_t key, enum bp_yaml_kind kind,
                 struct open_node *ret) {
    if (s->depth == BP_YAML_DEPTH_MAX)
        return bp_fail(s->err, BP_ELIMIT, "line %u: nested more than %d deep", s->line,
                       BP_YAML_DEPTH_MAX);
    s->depth++;
    ret->last = 0;
    return add_node(s, o, key, kind, &ret->index);
}

static int flow_node(struct scan *s, struct open_node *o, size_t key);

/* One "key: value" of a {…}; the value may be missing. */
static int flow_pair(struct scan *s, struct open_node *o) {
    size_t key = begin_text(s);
    bool quoted = in_set(at(s, 0), "\"'");
    int r = scalar_text(s, -1, true);

    if (r < 0)
        return r;
    end_text(s);
    (void) skip_blank(s);
    if (at(s, 0) != ':' || !(quoted || plain_ends(s, true)))
        return add_null(s, o, key);
    s->p++;
    (void) skip_blank(s);
    if (in_set(at(s, 0), ",}"))
        return add_null(s, o, key);
    return flow_node(s, o, key);
}

static int flow_collection(struct scan *s, struct open_node *parent, size_t key) {
    bool map = at(s, 0) == '{';
    char close = map ? '}' : ']';
    struct open_node o;
    int r = enter(s, parent, key, map ? BP_YAML_MAPPING : BP_YAML_SEQUENCE, &o);

    if (r < 0)
        return r;
    s->p++;
    (void) skip_blank(s);
    while (at(s, 0) != close) {
        r = map ? flow_pair(s, &o) : flow_node(s, &o, NO_KEY);
        if (r < 0)
            return r;
        (void) skip_blank(s);
        if (at(s, 0) == ',') {
            s->p++;
            (void) skip_blank(s);
        } else if (at(s, 0) != close) {
            return bp_fail(s->err, BP_EFORMAT, "line %u: ',' or '%c' is missing", s->line, close);
        }
    }
    s->p++;
    s->depth--;
    return 0;
}

static int flow_node(struct scan *s, struct open_node *o, size_t key) {
    if (s->p == s->end)
        return wrong(s, "the text ends within [ ] or { }");
    if (in_set(at(s, 0), "[{"))
        return flow_collection(s, o, key);
    return scalar(s, o, key, -1, true);
}

/* Does "key:" stand at the cursor, on one line? */
static bool key_ahead(const struct scan *from) {
    struct scan s = *from;
    char quote = at(&s, 0);

    if (in_set(quote, "[{|>"))
        return false;
    if (in_set(quote, "\"'")) {
        for (s.p++; s.p < s.end && !is_break(*s.p); s.p++) {
            if ((*s.p == '\\' && quote == '"' && at(&s, 1) && !is_break(at(&s, 1))) ||
                (*s.p == quote && quote == '\'' && at(&s, 1) == quote))
                s.p++;
            else if (*s.p == quote)
                break;
        }
        if (at(&s, 0) != quote)
            return false;
        s.p++;
        skip_spaces(&s);
        return at(&s, 0) == ':' && is_gap(at(&s, 1));
    }
    for (; s.p < s.end && !is_break(*s.p); s.p++)
        if (s.p > from->p && plain_ends(&s, false))
            return *s.p == ':';
    return false;
}

static int block_node(struct scan *s, struct open_node *o, size_t key, int parent, bool after_dash);

static int block_key(struct scan *s, size_t *ret) {
    int r;

    if (at(s, 0) == '?' && is_gap(at(s, 1)))
        return wrong(s, "keys behind '? ' are not understood");
    if (!key_ahead(s))
        return wrong(s, "expected 'key: value'");

    *ret = begin_text(s);
    if (in_set(at(s, 0), "\"'")) {
        r = scalar_text(s, -1, false);
    } else {
        r = check_plain_start(s);
        if (r == 0)
            plain_line(s, false);
    }
    if (r < 0)
        return r;
    end_text(s);
    skip_spaces(s);
    s->p++; /* ':' */
    return 0;
}

static int block_mapping(struct scan *s, struct open_node *parent, size_t key) {
    struct open_node o;
    int col = column(s);
    int r = enter(s, parent, key, BP_YAML_MAPPING, &o);

    while (r == 0) {
        size_t child = NO_KEY;

        r = block_key(s, &child);
        if (r == 0)
            r = block_node(s, &o, child, col, false);
        if (r < 0)
            return r;
        (void) skip_blank(s);
        if (at_end(s) || column(s) < col)
            break;
        if (column(s) > col)
            return wrong(s, "indented deeper than the lines it belongs to");
    }
    s->depth--;
    return r;
}

static int block_sequence(struct scan *s, struct open_node *parent, size_t key) {
    struct open_node o;
    int col = column(s);
    int r = enter(s, parent, key, BP_YAML_SEQUENCE, &o);

    while (r == 0) {
        s->p++; /* '-' */
        r = block_node(s, &o, NO_KEY, col, true);
        if (r < 0)
            return r;
        (void) skip_blank(s);
        if (at_end(s) || column(s) != col || !at_dash(s))
            break;
    }
    s->depth--;
    return r;
}

/* A scalar or flow collection, which must end its line. */
static int block_leaf(struct scan *s, struct open_node *o, size_t key, int parent) {
    int r;

    if (in_set(at(s, 0), "|>"))
        return block_scalar(s, o, key, parent);
    r = in_set(at(s, 0), "[{") ? flow_collection(s, o, key) : scalar(s, o, key, parent, false);
    if (r < 0)
        return r;

    skip_spaces(s);
    if (s->p < s->end && !is_break(*s->p) && !(*s->p == '#' && is_gap(s->p[-1])))
        return wrong(s, "something stands behind the end of a value");
    return 0;
}

/* The value behind "key:" or "-", or the root: on this line or, indented deeper, below it. */
static int block_node(struct scan *s, struct open_node *o, size_t key, int parent,
                      bool after_dash) {
    bool fresh = skip_blank(s) || parent < 0;

    if (at_end(s))
        return add_null(s, o, key);
    if (fresh && column(s) <= parent) { /* a list may stand as far left as its key */
        if (after_dash || column(s) < parent || !at_dash(s))
            return add_null(s, o, key);
        return block_sequence(s, o, key);
    }
    if (fresh && s->p > s->line_start && memchr(s->line_start, '\t', (size_t) column(s)))
        return wrong(s, "a tab is used to indent; use spaces");
    if (fresh || after_dash) {
        if (at_dash(s))
            return block_sequence(s, o, key);
        if ((at(s, 0) == '?' && is_gap(at(s, 1))) || key_ahead(s))
            return block_mapping(s, o, key);
    } else if (at_dash(s)) {
        return wrong(s, "a list cannot begin on the line of its key");
    }
    return block_leaf(s, o, key, parent);
}

/* ---- the whole ---- */

/* Only text: UTF-8 without control characters. */
static int check_characters(struct bp_str text, struct bp_error *err) {
    const unsigned char *p = (const unsigned char *) text.p;
    unsigned line = 1;

    for (size_t i = 0, len; i < text.n; i += len) {
        uint32_t c = bp_utf8_at(p + i, text.n - i, &len);

        if ((c == 0xFFFD && len == 1) || c == 0 || c == 0x7F ||
            (c < 0x20 && !strchr("\t\n\r", (int) c)))
            return bp_fail(err, BP_EFORMAT, "line %u: byte 0x%02x is not text (UTF-8)", line, p[i]);
        line += c == '\n';
    }
    return 0;
}

static int parse_document(struct scan *s) {
    int r;

    if (s->end - s->p >= 3 && memcmp(s->p, "\xEF\xBB\xBF", 3) == 0)
        s->line_start = s->p += 3;
    (void) skip_blank(s);
    if (at(s, 0) == '%' && s->p == s->line_start)
        return wrong(s, "directives are not understood");
    if (at_marker(s) && at(s, 0) == '-')
        s->p += 3;
    (void) skip_blank(s);
    if (at_end(s))
        return 0;

    r = block_node(s, NULL, NO_KEY, -1, false);
    if (r < 0)
        return r;
    (void) skip_blank(s);
    if (at_marker(s) && at(s, 0) == '.') {
        s->p += 3;
        (void) skip_blank(s);
    }
    if (at_marker(s))
        return wrong(s, "a second document begins");
    if (s->p < s->end)
        return wrong(s, "something stands behind the end of the document");
    return 0;
}

/* Text offsets become pointers once the text no longer moves. */
static void settle(struct bp_yaml *y) {
    const char *base = (const char *) y->text.p;

    for (size_t i = 1; i < y->n; i++) {
        struct bp_yaml_node *n = &y->v[i];

        if (n->key_at)
            n->key = base + n->key_at;
        n->text.p = n->kind == BP_YAML_SCALAR ? base + n->text_at : NULL;
    }
}

int bp_yaml_parse(struct bp_str text, struct bp_yaml **ret, struct bp_error *err) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = calloc(1, sizeof *y);
    const char *p = text.n ? text.p : "";
    struct scan s = { .p = p, .end = p + text.n, .line_start = p, .line = 1, .y = y, .err = err };
    int r;

    if (text.n > BP_YAML_BYTES_MAX)
        return bp_fail(err, BP_ELIMIT, "%zu bytes of YAML, more than 64 MiB", text.n);
    r = check_characters(text, err);
    if (r < 0)
        return r;
    if (y) {
        y->n = 1;
        y->cap = 64;
        y->v = calloc(y->cap, sizeof *y->v);
    }
    if (!y || !y->v)
        return bp_fail(err, -ENOMEM, "out of memory");

    r = parse_document(&s);
    if (r < 0)
        return r;
    if (y->text.failed)
        return bp_fail(err, -ENOMEM, "out of memory");

    settle(y);
    *ret = BP_TAKE_PTR(y);
    return 0;
}
