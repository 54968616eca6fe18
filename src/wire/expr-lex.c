/* The small parts of the language: words, numbers, texts, topics and fields; and its errors. */
#include "wire/expr-priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"

/* ---- errors ---- */

/* A caret fits in a line: of a long text its surroundings are shown. */
enum { BEFORE = 60, AFTER = 50 };

static bool is_tail(char c) {
    return ((unsigned char) c & 0xc0) == 0x80;
}

#undef bp_expr_fail
int bp_expr_fail(const struct bp_expr *e, size_t at, struct bp_error *err, const char *fmt, ...) {
    const char *text = e->text;
    size_t n = strlen(text), from = at > BEFORE ? at - BEFORE : 0, to, column = 0;
    char why[220];
    va_list ap;

    at = BP_MIN(at, n);
    to = BP_MIN(at + AFTER, n);
    while (from > 0 && is_tail(text[from]))
        from--;
    while (to < n && is_tail(text[to]))
        to++;
    for (size_t i = from; i < at; i++)
        column += !is_tail(text[i]);
    va_start(ap, fmt);
    (void) vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return bp_fail(err, BP_EUSAGE, "%s\n  %s%.*s%s\n  %*s^", why, from ? "…" : "",
                   (int) (to - from), text + from, to < n ? "…" : "", (int) (column + (from > 0)),
                   "");
}

void bp_xp_fail_at(struct parser *s, const char *at, const char *why) {
    if (!s->failed)
        s->failed = bp_expr_fail(s->e, (size_t) (at - s->e->text), s->err, "%s", why);
}

void bp_expr_put_nearest(struct bp_buf *b, const char *typed, const char *const *words, size_t n) {
    const char *best = NULL;
    unsigned least = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        unsigned d = bp_edit_distance(typed, words[i]);

        if (bp_is_likely_typo(typed, words[i]) && d < least) {
            best = words[i];
            least = d;
        }
    }
    if (best)
        bp_buf_printf(b, "; did you mean '%s'?", best);
}

/* ---- nodes ---- */

static uint16_t here(const struct parser *s, const char *p) {
    return (uint16_t) (p - s->e->text);
}

uint16_t bp_xp_add(struct parser *s, struct node n, const char *from, const char *to) {
    struct bp_expr *e = s->e;

    if (s->failed)
        return NONE;
    if (e->n == BP_EXPR_MAX_NODES) {
        s->failed =
            bp_fail(s->err, BP_ELIMIT, "the expression has more than %d parts", BP_EXPR_MAX_NODES);
        return NONE;
    }
    n.at = here(s, from);
    n.len = (uint16_t) (to - from);
    if (n.first == NONE)
        n.first = (uint16_t) e->n;
    e->nodes[e->n] = n;
    return (uint16_t) e->n++;
}

struct node bp_xp_leaf(enum op op) {
    return (struct node){ .op = op, .a = NONE, .b = NONE, .c = NONE, .first = NONE, .topic = NONE };
}

uint16_t bp_xp_add_op(struct parser *s, enum op op, uint16_t a, uint16_t b, uint16_t c,
                      const char *from) {
    struct node n = bp_xp_leaf(op);

    if (s->failed)
        return NONE;
    n.a = a;
    n.b = b;
    n.c = c;
    n.first = s->e->nodes[a].first;
    return bp_xp_add(s, n, from, s->p);
}

/* ---- words ---- */

void bp_xp_skip(struct parser *s) {
    while (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')
        s->p++;
}

bool bp_xp_is_word(char c) {
    return isalnum((unsigned char) c) || c == '_';
}

bool bp_xp_eat(struct parser *s, const char *token) {
    size_t n = strlen(token);

    bp_xp_skip(s);
    if (strncmp(s->p, token, n) != 0 || (bp_xp_is_word(token[n - 1]) && bp_xp_is_word(s->p[n])))
        return false;
    s->p += n;
    return true;
}

bool bp_xp_want(struct parser *s, const char *token, const char *why) {
    if (s->failed || bp_xp_eat(s, token))
        return !s->failed;
    bp_xp_fail_at(s, s->p, why);
    return false;
}

bool bp_xp_enter(struct parser *s) {
    if (s->depth++ < BP_EXPR_MAX_DEPTH)
        return !s->failed;
    if (!s->failed)
        s->failed = bp_fail(s->err, BP_ELIMIT, "the expression is nested deeper than %d",
                            BP_EXPR_MAX_DEPTH);
    return false;
}

/* ---- literals ---- */

static bool take_unit(const char *word, double *num) {
    char text[80];
    uint64_t bytes;
    bp_ns_t span;
    const char *unit = word;

    while (*unit && !isalpha((unsigned char) *unit) && *unit != '%')
        unit++;
    if (bp_streq(unit, "%")) {
        *num /= 100;
        return true;
    }
    if (strlen(word) >= sizeof text || bp_streq(unit, "m"))
        return false;
    if (bp_parse_duration(word, &span) == 0) {
        *num = (double) span / 1e9;
        return true;
    }
    if (bp_parse_size(word, &bytes) == 0) {
        *num = (double) bytes;
        return true;
    }
    return false;
}

/* "8..12" is a range, "8." is nothing: a point belongs to the number when a digit follows. */
static const char *end_of_number(const char *p) {
    while (isdigit((unsigned char) *p))
        p++;
    if (*p == '.' && isdigit((unsigned char) p[1]))
        for (p++; isdigit((unsigned char) *p);)
            p++;
    if ((*p == 'e' || *p == 'E') &&
        (isdigit((unsigned char) p[1]) ||
         ((p[1] == '-' || p[1] == '+') && isdigit((unsigned char) p[2]))))
        for (p += 2; isdigit((unsigned char) *p);)
            p++;
    return p;
}

/* @return false when there is none, or it was refused */
bool bp_xp_take_number(struct parser *s, double *ret) {
    const char *from = s->p, *end = end_of_number(from), *unit = end;
    char word[64];

    while (isalpha((unsigned char) *unit))
        unit++;
    unit += unit == end && *unit == '%'; /* "15%"; "15 % 4" is what is left of a division */
    if (end == from || unit - from >= (ptrdiff_t) sizeof word) {
        bp_xp_fail_at(s, from, "expected a number");
        return false;
    }
    memcpy(word, from, (size_t) (end - from));
    word[end - from] = 0;
    if (bp_parse_real(word, ret) < 0) {
        bp_xp_fail_at(s, from, "this is not a number we can hold");
        return false;
    }
    if (unit > end) {
        memcpy(word, from, (size_t) (unit - from));
        word[unit - from] = 0;
        if (!take_unit(word, ret)) {
            bp_xp_fail_at(s, end,
                          "unknown unit; there are %, ns us ms s min h d, and B kB KiB MB MiB GB "
                          "GiB TB TiB");
            return false;
        }
    }
    s->p = unit;
    return true;
}

uint16_t bp_xp_number(struct parser *s) {
    const char *from = s->p;
    struct node n = bp_xp_leaf(OP_NUM);

    if (!bp_xp_take_number(s, &n.num))
        return NONE;
    return bp_xp_add(s, n, from, s->p);
}

/* Text in quotes into the pool, with a NUL behind it. */
bool bp_xp_take_text(struct parser *s, uint16_t *ret, uint16_t *ret_n) {
    char quote = *s->p;
    const char *from = s->p++;
    struct bp_expr *e = s->e;
    size_t start = e->npool;

    while (*s->p && *s->p != quote) {
        if (*s->p == '\\' && s->p[1])
            s->p++;
        e->pool[e->npool++] = *s->p++; /* never longer than the text, see bp_expr_parse() */
    }
    if (*s->p != quote) {
        bp_xp_fail_at(s, from, "this quote is never closed");
        return false;
    }
    s->p++;
    e->pool[e->npool++] = 0;
    *ret = (uint16_t) start;
    *ret_n = (uint16_t) (e->npool - 1 - start);
    return true;
}

uint16_t bp_xp_text(struct parser *s) {
    struct node n = bp_xp_leaf(OP_TEXT);
    const char *from = s->p;

    return bp_xp_take_text(s, &n.str, &n.str_len) ? bp_xp_add(s, n, from, s->p) : NONE;
}

/* ---- topics and fields ---- */

static const char *end_of_topic(const char *p) {
    while (bp_xp_is_word(*p) || *p == '/' || *p == '*')
        p++;
    return p;
}

/* "[12]" or "[*]" at p. @return behind it, or NULL */
static const char *end_of_index(const char *p) {
    const char *from = ++p;

    if (*p == '*')
        p++;
    else
        while (isdigit((unsigned char) *p) && p - from < 10)
            p++;
    return p > from && *p == ']' ? p + 1 : NULL;
}

static const char *end_of_path(struct parser *s, const char *p) {
    while (bp_xp_is_word(*p) || *p == '[' || (*p == '.' && bp_xp_is_word(p[1]))) {
        if (*p != '[') {
            p++;
            continue;
        }
        if (!end_of_index(p)) {
            bp_xp_fail_at(s, p, "expected a number or * in brackets, as in [0] or [*]");
            return p;
        }
        p = end_of_index(p);
    }
    return p;
}

static void check_topic(struct parser *s, const char *from, const char *to) {
    bool star = false;

    for (const char *p = from; p < to; p++) {
        if (*p == '/' && (p + 1 == to || p[1] == '/'))
            bp_xp_fail_at(s, p,
                          "a topic's name does not end with '/' or have two of them together");
        if (*p == '/')
            star = false;
        if (*p == '*' && star)
            bp_xp_fail_at(s, p, "one * between two slashes is enough");
        star |= *p == '*';
    }
}

static uint16_t add_ref(struct parser *s, const char *from, const char *to, bool whole,
                        bool payload) {
    struct bp_expr *e = s->e;
    size_t i, n = (size_t) (to - from);

    for (i = 0; i < e->nrefs; i++)
        if (e->refs[i].len == n && e->refs[i].whole == whole &&
            memcmp(e->refs[i].text, from, n) == 0)
            break;
    if (i == BP_EXPR_MAX_TOPICS) {
        s->failed = bp_fail(s->err, BP_ELIMIT, "the expression speaks of more than %d topics",
                            BP_EXPR_MAX_TOPICS);
        return NONE;
    }
    if (i == e->nrefs) {
        e->refs[i] = (struct ref){
            .at = here(s, from), .len = (uint16_t) n, .whole = whole, .text = strndup(from, n)
        };
        if (!e->refs[i].text) {
            s->failed = bp_fail(s->err, -ENOMEM, "out of memory");
            return NONE;
        }
        e->nrefs++;
    }
    e->refs[i].payload |= payload;
    return (uint16_t) i;
}

/* "/topic", "/topic.a.b", "/topic:a.b", "/topic[*].a", "/topic/a". Fills topic and path. */
bool bp_xp_take_field(struct parser *s, struct node *n) {
    const char *from, *end, *path;
    bool whole;

    bp_xp_skip(s);
    from = s->p;
    if (*from != '/' || !(bp_xp_is_word(from[1]) || from[1] == '*')) {
        bp_xp_fail_at(s, from, "expected a topic, such as /battery_state.percentage");
        return false;
    }
    end = end_of_topic(from);
    path = end;
    if ((*end == '.' || *end == ':') && bp_xp_is_word(end[1]))
        path = end + 1;
    else if (*end == ':' || (*end == '.' && end[1] != '.'))
        bp_xp_fail_at(s, end + 1, "expected a field's name");
    s->p = path > end || *end == '[' ? end_of_path(s, path) : end;
    check_topic(s, from, end);
    if (s->failed)
        return false;
    /* with '*' half of the graph would fit the beginning of "/r*_1/battery/percentage" */
    whole = path > end || memchr(from, '*', (size_t) (end - from));
    n->topic = add_ref(s, from, end, whole, true);
    n->topic_at = here(s, from);
    if (s->p > end) {
        n->path = here(s, path);
        n->path_len = (uint16_t) (s->p - path);
    }
    return !s->failed;
}

uint16_t bp_xp_field(struct parser *s, enum op op) {
    struct node n = bp_xp_leaf(op);
    const char *from = s->p;

    return bp_xp_take_field(s, &n) ? bp_xp_add(s, n, from, s->p) : NONE;
}

/* A whole topic for silent(), rate(), seen(), age(), inside(). */
bool bp_xp_take_topic(struct parser *s, struct node *n, bool payload) {
    const char *from, *end;

    bp_xp_skip(s);
    from = s->p;
    if (*from != '/') {
        bp_xp_fail_at(s, from, "expected a topic, such as /scan");
        return false;
    }
    end = end_of_topic(from);
    s->p = end;
    check_topic(s, from, end);
    if (*end == '.' || *end == ':' || *end == '[')
        bp_xp_fail_at(s, end, "expected a topic alone, without a field");
    n->topic = s->failed ? NONE : add_ref(s, from, end, true, payload);
    return !s->failed;
}
