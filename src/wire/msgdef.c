/* Reads the text of .msg, .srv and .action files (design.ros2.org "Interface definition using .msg
 * / .srv / .action files"; where that leaves open what is legal, rosidl_adapter decides). Broader
 * than rosidl in what it takes from recordings of others: field names with capitals, `time`,
 * `duration` and `Header` of ROS 1, '#' inside quotes. Values of constants and defaults are kept as
 * text. */
#include "wire/schema-priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* One line at a time. */
struct scan {
    struct bp_defs *defs;
    struct bp_draft *type; /* being read */
    const char *name;      /* of the text, for errors */
    unsigned line;
    const char *start, *p, *end; /* this line, without its line end */
    struct bp_error *err;
};

static const struct {
    const char *name;
    uint8_t size;
} prims[] = {
    [BP_PRIM_BOOL] = { "bool", 1 },       [BP_PRIM_BYTE] = { "byte", 1 },
    [BP_PRIM_CHAR] = { "char", 1 },       [BP_PRIM_INT8] = { "int8", 1 },
    [BP_PRIM_UINT8] = { "uint8", 1 },     [BP_PRIM_INT16] = { "int16", 2 },
    [BP_PRIM_UINT16] = { "uint16", 2 },   [BP_PRIM_INT32] = { "int32", 4 },
    [BP_PRIM_UINT32] = { "uint32", 4 },   [BP_PRIM_INT64] = { "int64", 8 },
    [BP_PRIM_UINT64] = { "uint64", 8 },   [BP_PRIM_FLOAT32] = { "float32", 4 },
    [BP_PRIM_FLOAT64] = { "float64", 8 }, [BP_PRIM_WCHAR] = { "wchar", 2 },
    [BP_PRIM_STRING] = { "string", 0 },   [BP_PRIM_WSTRING] = { "wstring", 0 },
    [BP_PRIM_STRUCT] = { "struct", 0 },
};
static_assert(BP_COUNT(prims) == BP_PRIM_N_, "a row for each primitive");

uint8_t bp_prim_size(enum bp_prim p) {
    return prims[p].size;
}

const char *bp_prim_name(enum bp_prim p) {
    return prims[p].name;
}

enum bp_prim bp_prim_from_msg(struct bp_str name) {
    if (bp_str_eq(name, BP_STR("char")))
        return BP_PRIM_UINT8;
    for (enum bp_prim p = 0; p < BP_PRIM_STRUCT; p++)
        if (p != BP_PRIM_WCHAR && bp_str_eq(name, bp_str_of(prims[p].name)))
            return p;
    return BP_PRIM_STRUCT;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool bp_is_identifier(struct bp_str s) {
    if (s.n == 0 || s.n > BP_MAX_NAME || !is_letter(s.p[0]))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_letter(s.p[i]) && !is_digit(s.p[i]))
            return false;
    return true;
}

int bp_type_name(struct bp_str name, char ret[static BP_MAX_NAME + 1]) {
    struct bp_str part = { name.p, 0 };
    unsigned slashes = 0;

    if (name.n == 0)
        return -EINVAL;
    for (size_t i = 0; i <= name.n; i++) {
        if (i < name.n && name.p[i] != '/') {
            part.n++;
            continue;
        }
        if (!bp_is_identifier(part))
            return -EINVAL;
        part = (struct bp_str){ name.p + i + 1, 0 };
        slashes += i < name.n;
    }
    if (slashes == 0 || name.n + 4 > BP_MAX_NAME)
        return -EINVAL;

    if (slashes == 1) {
        size_t package = (size_t) ((const char *) memchr(name.p, '/', name.n) - name.p);

        (void) snprintf(ret, BP_MAX_NAME + 1, "%.*s/msg%.*s", (int) package, name.p,
                        (int) (name.n - package), name.p + package);
    } else {
        (void) snprintf(ret, BP_MAX_NAME + 1, "%.*s", (int) name.n, name.p);
    }
    return 0;
}

static int fail_at(const struct scan *s, const char *at, const char *expected) {
    size_t n = (size_t) (s->end - at);

    if (n == 0)
        return bp_fail(s->err, BP_EFORMAT, "%s, line %u, column %zu: %s expected, the line ends",
                       s->name, s->line, (size_t) (at - s->start) + 1, expected);
    return bp_fail(s->err, BP_EFORMAT, "%s, line %u, column %zu: %s expected, found '%.*s'",
                   s->name, s->line, (size_t) (at - s->start) + 1, expected,
                   (int) BP_MIN(n, (size_t) 20), at);
}

static int place(const struct scan *s, int r) {
    return bp_prefix(s->err, r, "%s, line %u", s->name, s->line);
}

static void skip_blanks(struct scan *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

/* Characters of an identifier, or with slashes of a type's name. */
static struct bp_str word(struct scan *s, bool slashes) {
    const char *from = s->p;

    while (s->p < s->end && (is_letter(*s->p) || is_digit(*s->p) || (slashes && *s->p == '/')))
        s->p++;
    return (struct bp_str){ from, (size_t) (s->p - from) };
}

static bool take(struct scan *s, const char *text) {
    size_t n = strlen(text);

    if ((size_t) (s->end - s->p) < n || memcmp(s->p, text, n) != 0)
        return false;
    s->p += n;
    return true;
}

static int bound(struct scan *s, uint32_t *ret) {
    const char *from = s->p;
    uint64_t v = 0;

    while (s->p < s->end && is_digit(*s->p) && v <= BP_MAX_ITEMS)
        v = v * 10 + (uint64_t) (*s->p++ - '0');
    if (s->p == from || v == 0 || v > BP_MAX_ITEMS)
        return fail_at(s, from, "a number from 1 to 2147483647");
    *ret = (uint32_t) v;
    return 0;
}

static int struct_name(struct scan *s, struct bp_str base, struct bp_op *op) {
    char name[2 * BP_MAX_NAME + 2];
    char full[BP_MAX_NAME + 1];
    const char *slash = strchr(s->type->t.name, '/');
    struct bp_str of;

    if (bp_str_eq(base, BP_STR("time")))
        base = BP_STR("builtin_interfaces/Time");
    else if (bp_str_eq(base, BP_STR("duration")))
        base = BP_STR("builtin_interfaces/Duration");

    of = base;
    if (base.n > BP_MAX_NAME)
        return -EINVAL;
    if (!memchr(base.p, '/', base.n)) {
        (void) snprintf(name, sizeof name, "%.*s/%.*s", (int) (slash - s->type->t.name),
                        s->type->t.name, (int) base.n, base.p);
        of = bp_str_of(name);
    }
    if (bp_type_name(of, full) < 0)
        return -EINVAL;
    op->type_name = bp_arena_text(&s->defs->a, bp_str_of(full));
    return op->type_name ? 0 : -ENOMEM;
}

/* "string<=10[<=5]", "geometry_msgs/Point[3]", "uint8[]" */
static int type_spec(struct scan *s, struct bp_op *op) {
    const char *from = s->p;
    struct bp_str base = word(s, true);
    int r;

    if (base.n == 0)
        return fail_at(s, from, "a type");
    op->prim = bp_prim_from_msg(base);
    op->size = bp_prim_size(op->prim);
    if (op->prim == BP_PRIM_STRUCT) {
        r = struct_name(s, base, op);
        if (r == -EINVAL)
            return fail_at(s, from, "a type");
        if (r < 0)
            return place(s, bp_fail(s->err, r, "out of memory or too large"));
    }

    if (s->end - s->p >= 2 && s->p[0] == '<' && s->p[1] == '=') {
        if (op->prim != BP_PRIM_STRING && op->prim != BP_PRIM_WSTRING)
            return fail_at(s, s->p, "a field name (only strings have a bound)");
        s->p += 2;
        r = bound(s, &op->string_bound);
        if (r < 0)
            return r;
    }
    if (take(s, "[")) {
        op->array = BP_ARRAY_SEQ;
        if (take(s, "<="))
            op->array = BP_ARRAY_BOUNDED;
        else if (s->p == s->end || *s->p != ']')
            op->array = BP_ARRAY_FIXED;
        r = op->array == BP_ARRAY_SEQ ? 0 : bound(s, &op->bound);
        if (r < 0)
            return r;
        if (!take(s, "]"))
            return fail_at(s, s->p, "']'");
    }
    if (s->p < s->end && *s->p != ' ' && *s->p != '\t')
        return fail_at(s, s->p, "a blank before the name");
    return 0;
}

/* The rest of the line without comment and blanks; a '#' inside quotes is no comment. */
static int value(struct scan *s, const char *what, struct bp_str *ret) {
    const char *from, *end;
    char quote = 0;

    skip_blanks(s);
    from = s->p;
    for (; s->p < s->end && (quote || *s->p != '#'); s->p++) {
        if (*s->p == '\\' && s->p + 1 < s->end)
            s->p++;
        else if (quote ? *s->p == quote
                       : (*s->p == '"' || *s->p == '\'') && (s->p == from || *from == '['))
            quote = quote ? 0 : *s->p;
    }
    end = s->p;
    while (end > from && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    if (quote)
        return fail_at(s, from, "a closing quote");
    *ret = (struct bp_str){ from, (size_t) (end - from) };
    if (ret->n == 0)
        return fail_at(s, from, what);
    ret->p = bp_arena_text(&s->defs->a, *ret);
    return ret->p ? 0 : place(s, bp_fail(s->err, -ENOMEM, "out of memory or too large"));
}

static int constant(struct scan *s, const struct bp_op *op, const char *from) {
    struct bp_const c = { .name = op->name, .prim = op->prim };
    bool text = op->prim == BP_PRIM_STRING || op->prim == BP_PRIM_WSTRING;
    int r;

    if (op->prim == BP_PRIM_STRUCT || op->array != BP_ARRAY_NONE)
        return fail_at(s, from, "a primitive type (of a constant)");
    r = value(s, "a value", &c.value);
    if (r == BP_EFORMAT && text && s->p >= s->end) { /* an empty string needs no quotes */
        c.value = BP_STR("");
        r = 0;
    }
    if (r < 0)
        return r;
    r = bp_draft_const(s->defs, s->type, &c, s->err);
    return r < 0 ? place(s, r) : 0;
}

static int definition(struct scan *s) {
    struct bp_op op = { 0 };
    const char *from = s->p, *at;
    struct bp_str name;
    bool gap;
    int r = type_spec(s, &op);

    if (r < 0)
        return r;
    skip_blanks(s);
    at = s->p;
    name = word(s, false);
    if (!bp_is_identifier(name))
        return fail_at(s, at, "a field name");
    op.name = bp_arena_text(&s->defs->a, name);
    if (!op.name)
        return place(s, bp_fail(s->err, -ENOMEM, "out of memory or too large"));

    gap = s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r');
    skip_blanks(s);
    if (take(s, "="))
        return constant(s, &op, from);
    if (s->p < s->end && *s->p != '#') {
        if (!gap)
            return fail_at(s, s->p, "a blank, '=' or the end of the line");
        if (op.prim == BP_PRIM_STRUCT)
            return fail_at(s, s->p, "the end of the line (only primitives have defaults)");
        r = value(s, "a default", &op.def);
        if (r < 0)
            return r;
    }
    r = bp_draft_field(s->defs, s->type, &op, s->err);
    return r < 0 ? place(s, r) : 0;
}

/* Cuts the next line off *text; false at the end. */
static bool next_line(struct scan *s, struct bp_str *text) {
    const char *eol;

    if (text->n == 0)
        return false;
    eol = memchr(text->p, '\n', text->n);
    s->start = s->p = text->p;
    s->end = eol ? eol : text->p + text->n;
    text->n -= (size_t) (s->end - text->p) + (eol ? 1 : 0);
    text->p = s->end + (eol ? 1 : 0);
    if (s->end > s->start && s->end[-1] == '\r')
        s->end--;
    s->line++;
    return true;
}

static bool is_divider(const struct scan *s) {
    const char *end = s->end;

    while (end > s->start && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    return end - s->start == 3 && memcmp(s->start, "---", 3) == 0;
}

/* Reads lines into a type called `name` up to a divider or the end. *ret_divided = it was the
 * former. */
static int section(struct scan *s, const char *name, struct bp_str *text, bool *ret_divided) {
    int r = bp_defs_add(s->defs, bp_str_of(name), &s->type, s->err);

    if (r < 0)
        return r;
    *ret_divided = false;
    while (next_line(s, text)) {
        if (is_divider(s)) {
            *ret_divided = true;
            break;
        }
        skip_blanks(s);
        if (s->p == s->end || *s->p == '#')
            continue;
        r = definition(s);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- what rosidl derives from services and actions ---- */

struct derived_field {
    const char *name;
    const char *type; /* "%" stands for the name derived from */
    enum bp_prim prim;
    bool optional; /* [<=1] */
};

#define UUID "unique_identifier_msgs/msg/UUID"
#define TIME "builtin_interfaces/msg/Time"

enum { DERIVED_FIELDS = 7 };

struct derived {
    const char *suffix;
    struct derived_field fields[DERIVED_FIELDS];
};

static const struct derived of_service[] = {
    { "_Event",
      { { "info", "service_msgs/msg/ServiceEventInfo", BP_PRIM_STRUCT, false },
        { "request", "%_Request", BP_PRIM_STRUCT, true },
        { "response", "%_Response", BP_PRIM_STRUCT, true } } },
    { "",
      { { "request_message", "%_Request", BP_PRIM_STRUCT, false },
        { "response_message", "%_Response", BP_PRIM_STRUCT, false },
        { "event_message", "%_Event", BP_PRIM_STRUCT, false } } },
};

static const struct derived of_action[] = {
    { "_SendGoal_Request",
      { { "goal_id", UUID, BP_PRIM_STRUCT, false }, { "goal", "%_Goal", BP_PRIM_STRUCT, false } } },
    { "_SendGoal_Response",
      { { "accepted", NULL, BP_PRIM_BOOL, false }, { "stamp", TIME, BP_PRIM_STRUCT, false } } },
    { "_GetResult_Request", { { "goal_id", UUID, BP_PRIM_STRUCT, false } } },
    { "_GetResult_Response",
      { { "status", NULL, BP_PRIM_INT8, false },
        { "result", "%_Result", BP_PRIM_STRUCT, false } } },
    { "_FeedbackMessage",
      { { "goal_id", UUID, BP_PRIM_STRUCT, false },
        { "feedback", "%_Feedback", BP_PRIM_STRUCT, false } } },
    { "",
      { { "goal", "%_Goal", BP_PRIM_STRUCT, false },
        { "result", "%_Result", BP_PRIM_STRUCT, false },
        { "feedback", "%_Feedback", BP_PRIM_STRUCT, false },
        { "send_goal_service", "%_SendGoal", BP_PRIM_STRUCT, false },
        { "get_result_service", "%_GetResult", BP_PRIM_STRUCT, false },
        { "feedback_message", "%_FeedbackMessage", BP_PRIM_STRUCT, false } } },
};

static int derive_field(struct scan *s, const char *base, const struct derived_field *f) {
    char type[2 * BP_MAX_NAME];
    struct bp_op op = {
        .name = bp_arena_text(&s->defs->a, bp_str_of(f->name)),
        .prim = f->prim,
        .size = bp_prim_size(f->prim),
        .array = f->optional ? BP_ARRAY_BOUNDED : BP_ARRAY_NONE,
        .bound = f->optional ? 1 : 0,
    };

    if (f->type) {
        bool own = f->type[0] == '%';

        (void) snprintf(type, sizeof type, "%s%s", own ? base : "", f->type + own);
        op.type_name = bp_arena_text(&s->defs->a, bp_str_of(type));
    }
    if (!op.name || (f->type && !op.type_name))
        return bp_fail(s->err, -ENOMEM, "%s: out of memory or too large", s->name);
    return bp_draft_field(s->defs, s->type, &op, s->err);
}

static int derive(struct scan *s, const char *base, const struct derived *d, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char name[2 * BP_MAX_NAME];
        int r;

        (void) snprintf(name, sizeof name, "%s%s", base, d[i].suffix);
        r = bp_defs_add(s->defs, bp_str_of(name), &s->type, s->err);
        for (size_t k = 0; r == 0 && k < DERIVED_FIELDS && d[i].fields[k].name; k++)
            r = derive_field(s, base, &d[i].fields[k]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int derive_service(struct scan *s, const char *base) {
    return derive(s, base, of_service, BP_COUNT(of_service));
}

static int derive_action(struct scan *s, const char *base) {
    char service[2 * BP_MAX_NAME];
    int r = derive(s, base, of_action, BP_COUNT(of_action));

    for (unsigned i = 0; r == 0 && i < 2; i++) {
        (void) snprintf(service, sizeof service, "%s%s", base, i ? "_GetResult" : "_SendGoal");
        r = derive_service(s, service);
    }
    return r;
}

int bp_msgdef_derive(struct bp_defs *d, const char *base, bool action, struct bp_error *err) {
    struct scan s = { .defs = d, .name = base, .err = err };

    return action ? derive_action(&s, base) : derive_service(&s, base);
}

/* The name of the .srv or .action a derived type comes from; its length in `name`. */
static size_t base_length(const char *name, bool action) {
    const char *file = strrchr(name, '/') + 1, *cut;

    if (!action) {
        static const char *const suffixes[] = { "_Request", "_Response", "_Event" };

        for (size_t i = 0; i < BP_COUNT(suffixes); i++) {
            size_t n = strlen(suffixes[i]), have = strlen(file);

            if (have > n && bp_streq(file + have - n, suffixes[i]))
                return (size_t) (file - name) + have - n;
        }
        return strlen(name);
    }
    cut = strchr(file, '_'); /* names of actions have no underscore */
    return cut && cut > file ? (size_t) (cut - name) : strlen(name);
}

/* The sections of a service or action. `name` is one of the types made from it. */
static int parse_sections(struct scan *s, bool action, struct bp_str text) {
    static const char *const of[2][3] = { { "_Request", "_Response", NULL },
                                          { "_Goal", "_Result", "_Feedback" } };
    char base[BP_MAX_NAME + 1], name[2 * BP_MAX_NAME];
    size_t n = base_length(s->name, action), want = action ? 3 : 2;
    bool more = true;
    int r;

    (void) snprintf(base, sizeof base, "%.*s", (int) n, s->name);
    for (size_t i = 0; i < want; i++) {
        if (!more)
            return bp_fail(s->err, BP_EFORMAT, "%s: %zu parts divided by '---' expected, found %zu",
                           s->name, want, i);
        (void) snprintf(name, sizeof name, "%s%s", base, of[action][i]);
        r = section(s, name, &text, &more);
        if (r < 0)
            return r;
    }
    if (more)
        return bp_fail(s->err, BP_EFORMAT, "%s, line %u: one '---' too many", s->name, s->line);
    return bp_msgdef_derive(s->defs, base, action, s->err);
}

static bool has_divider(struct bp_str text) {
    struct scan s = { 0 };

    while (next_line(&s, &text))
        if (is_divider(&s))
            return true;
    return false;
}

int bp_msgdef_parse(struct bp_defs *d, const char *name, struct bp_str text, unsigned first_line,
                    struct bp_error *err) {
    struct scan s = { .defs = d, .name = name, .line = first_line - 1, .err = err };
    const char *kind = strchr(name, '/');
    bool divided;
    int r;

    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
        text = (struct bp_str){ text.p + 3, text.n - 3 };
    if (has_divider(text)) {
        if (kind && bp_starts_with(kind, "/srv/"))
            return parse_sections(&s, false, text);
        if (kind && bp_starts_with(kind, "/action/"))
            return parse_sections(&s, true, text);
    }
    r = section(&s, name, &text, &divided);
    if (r == 0 && divided)
        r = bp_fail(err, BP_EFORMAT, "%s, line %u: '---' in a message", name, s.line);
    return r;
}
