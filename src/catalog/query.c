/* The query language, read. One pass over the text; `at` only grows, every loop consumes, and the
 * counts of terms and values are bounded, so any text of up to BP_QUERY_BYTES_MAX ends soon. */
#include "catalog/query.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/json.h"
#include "base/units.h"

enum form { FORM_TEXT, FORM_DATE, FORM_SIZE, FORM_DURATION, FORM_COUNT };

static const struct {
    const char *name;
    enum form form;
} keys[] = {
    [BP_QUERY_TEXT] = { "", FORM_TEXT },
    [BP_QUERY_ROBOT] = { "robot", FORM_TEXT },
    [BP_QUERY_TAG] = { "tag", FORM_TEXT },
    [BP_QUERY_DEVICE] = { "device", FORM_TEXT },
    [BP_QUERY_TYPE] = { "type", FORM_TEXT },
    [BP_QUERY_TOPIC] = { "topic", FORM_TEXT },
    [BP_QUERY_MISSION] = { "mission", FORM_TEXT },
    [BP_QUERY_OPERATOR] = { "operator", FORM_TEXT },
    [BP_QUERY_NAME] = { "name", FORM_TEXT },
    [BP_QUERY_NOTES] = { "notes", FORM_TEXT },
    [BP_QUERY_MARK] = { "mark", FORM_TEXT },
    [BP_QUERY_ID] = { "id", FORM_TEXT },
    [BP_QUERY_STATE] = { "state", FORM_TEXT },
    [BP_QUERY_SIGNED] = { "signed", FORM_TEXT },
    [BP_QUERY_KEEP] = { "keep", FORM_TEXT },
    [BP_QUERY_DATE] = { "date", FORM_DATE },
    [BP_QUERY_RECEIVED] = { "received", FORM_DATE },
    [BP_QUERY_SIZE] = { "size", FORM_SIZE },
    [BP_QUERY_DURATION] = { "duration", FORM_DURATION },
    [BP_QUERY_MESSAGES] = { "messages", FORM_COUNT },
    [BP_QUERY_LOST] = { "lost", FORM_COUNT },
    [BP_QUERY_SEGMENTS] = { "segments", FORM_COUNT },
    [BP_QUERY_TOPICS] = { "topics", FORM_COUNT },
    [BP_QUERY_MARKS] = { "marks", FORM_COUNT },
};
static_assert(BP_COUNT(keys) == BP_QUERY_KEY_N_, "every key has a row");

const char *bp_query_key_name(enum bp_query_key k) {
    return (unsigned) k < BP_QUERY_KEY_N_ ? keys[k].name : "";
}

struct parser {
    struct bp_str text;
    size_t at;
    bp_ns_t now;
    struct bp_query *q;
    struct bp_error *err;
};

/* ---- errors: the reason, a part of the text, a caret below the place ---- */

/* Characters in n bytes of valid UTF-8. */
static size_t width(const char *p, size_t n) {
    size_t w = 0;

    for (size_t i = 0; i < n; i++)
        w += ((unsigned char) p[i] & 0xc0) != 0x80;
    return w;
}

static size_t char_start(const char *p, size_t i) {
    while (i > 0 && ((unsigned char) p[i] & 0xc0) == 0x80)
        i--;
    return i;
}

static int fail_at(const struct parser *p, size_t at, const char *why) {
    enum { BEFORE = 60, AFTER = 40 };
    size_t from = at > BEFORE ? char_start(p->text.p, at - BEFORE) : 0;
    size_t to = p->text.n - at > AFTER ? char_start(p->text.p, at + AFTER) : p->text.n;

    return bp_fail(p->err, BP_EUSAGE, "%s\n  %.*s\n  %*s^", why, (int) (to - from),
                   p->text.p + from, (int) width(p->text.p + from, at - from), "");
}

/* ---- times ---- */

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t y, int m, int d) {
    int64_t era, yoe, doy;

    y -= m <= 2;
    era = y / 400; /* years are positive here */
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int days_in(int y, int m) {
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return days[m - 1] + (m == 2 && (y % 4 == 0) && (y % 100 != 0 || y % 400 == 0));
}

/* Exactly n digits. */
static bool digits(const char **p, int n, int *ret) {
    int v = 0;

    for (int i = 0; i < n; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    return true;
}

static bool next_part(const char **p, char sep, int n, int min, int max, int *ret) {
    if (**p != sep)
        return false;
    (*p)++;
    return digits(p, n, ret) && *ret >= min && *ret <= max;
}

static void span(int64_t seconds, int64_t length, int64_t *min, int64_t *max) {
    *min = seconds * BP_SEC;
    *max = (seconds + length) * BP_SEC - 1;
}

static bool parse_clock(const char *p, int64_t day, int64_t *min, int64_t *max) {
    int h = 0, m = 0, s = 0;
    bool seconds = false;

    if (!digits(&p, 2, &h) || h > 23 || !next_part(&p, ':', 2, 0, 59, &m))
        return false;
    if (*p == ':') {
        seconds = true;
        if (!next_part(&p, ':', 2, 0, 59, &s))
            return false;
    }
    if (*p == 'Z')
        p++;
    span(day + (int64_t) h * 3600 + (int64_t) m * 60 + s, seconds ? 1 : 60, min, max);
    return *p == '\0';
}

static bool parse_calendar(const char *p, int64_t *min, int64_t *max) {
    int y, m, d;

    if (!digits(&p, 4, &y) || y < 1970 || y > 2260)
        return false;
    if (*p == '\0') {
        span(days_of(y, 1, 1) * 86400, (days_of(y + 1, 1, 1) - days_of(y, 1, 1)) * 86400, min, max);
        return true;
    }
    if (!next_part(&p, '-', 2, 1, 12, &m))
        return false;
    if (*p == '\0') {
        span(days_of(y, m, 1) * 86400, (int64_t) days_in(y, m) * 86400, min, max);
        return true;
    }
    if (!next_part(&p, '-', 2, 1, days_in(y, m), &d))
        return false;
    if (*p == '\0') {
        span(days_of(y, m, d) * 86400, 86400, min, max);
        return true;
    }
    return (*p == 'T' || *p == ' ') && parse_clock(p + 1, days_of(y, m, d) * 86400, min, max);
}

/* What a text means as a time: [min, max]. An age is the moment so long ago. */
static bool parse_date(const struct parser *p, const char *text, bool *ret_age, int64_t *min,
                       int64_t *max) {
    int64_t day = p->now / BP_SEC / 86400 * 86400;
    bp_ns_t age;

    *ret_age = false;
    if (*text == '@' && bp_parse_int(text + 1, min) == 0 && *min >= 0) {
        *max = *min;
        return true;
    }
    if (parse_calendar(text, min, max))
        return true;
    if (bp_streq(text, "today")) {
        span(day, 86400, min, max);
        return true;
    }
    if (bp_streq(text, "yesterday")) {
        span(day - 86400, 86400, min, max);
        return true;
    }
    if (bp_parse_duration(text, &age) < 0 || age < 0 || !strpbrk(text, "smhd"))
        return false;
    *ret_age = true;
    *min = *max = age < p->now ? p->now - age : 0;
    return true;
}

/* ---- numbers ---- */

static bool parse_one(const struct parser *p, enum form form, const char *text, bool *ret_age,
                      int64_t *min, int64_t *max) {
    uint64_t size;

    *ret_age = false;
    switch (form) {
    case FORM_DATE:
        return parse_date(p, text, ret_age, min, max);
    case FORM_SIZE:
        if (bp_parse_size(text, &size) < 0 || size > INT64_MAX)
            return false;
        *min = *max = (int64_t) size;
        return true;
    case FORM_DURATION:
        if (bp_parse_duration(text, min) < 0 || *min < 0)
            return false;
        *max = *min;
        return true;
    default:
        if (bp_parse_int(text, min) < 0 || *min < 0)
            return false;
        *max = *min;
        return true;
    }
}

static const char *expected(enum form form) {
    switch (form) {
    case FORM_DATE:
        return "expected a date: 2026-11, 2026-11-01, today, 7d; with > >= < <= or a..b";
    case FORM_SIZE:
        return "expected a size: 1GiB, 200MB; with > >= < <= or a..b";
    case FORM_DURATION:
        return "expected a duration: 90s, 10min, 2h; with > >= < <= or a..b";
    default:
        return "expected a whole number; with > >= < <= or a..b";
    }
}

/* "a..b", "a..", "..b" */
static bool parse_range(const struct parser *p, enum form form, char *text, char *dots,
                        struct bp_query_value *v) {
    int64_t other;
    bool age;

    *dots = '\0';
    v->min = 0;
    v->max = INT64_MAX;
    return (*text || dots[2]) && (!*text || parse_one(p, form, text, &age, &v->min, &other)) &&
           (!dots[2] || parse_one(p, form, dots + 2, &age, &other, &v->max));
}

static bool parse_number(const struct parser *p, enum form form, char *text,
                         struct bp_query_value *v) {
    char op = *text == '>' || *text == '<' || *text == '=' ? *text : '\0';
    char *dots = strstr(text, "..");
    bool with = false, age;
    int64_t min, max;

    if (!op && dots)
        return parse_range(p, form, text, dots, v);
    if (op)
        text++;
    if ((op == '>' || op == '<') && *text == '=') {
        with = true;
        text++;
    }
    if (!parse_one(p, form, text, &age, &min, &max))
        return false;
    v->min = op == '>' ? with ? min : max == INT64_MAX ? INT64_MAX : max + 1 : op == '<' ? 0 : min;
    v->max = op == '<' ? with ? max : min - 1 : op == '>' || (age && !op) ? INT64_MAX : max;
    return true; /* "<0" is a range that nothing is in */
}

/* ---- terms ---- */

static bool at_blank(const struct parser *p) {
    return p->at < p->text.n && p->text.p[p->at] == ' ';
}

static bool at_end_of_value(const struct parser *p, bool commas) {
    return p->at == p->text.n || at_blank(p) || (commas && p->text.p[p->at] == ',');
}

static int read_quoted(struct parser *p, struct bp_buf *out) {
    size_t start = p->at++;

    for (; p->at < p->text.n && p->text.p[p->at] != '"'; p->at++) {
        if (p->text.p[p->at] == '\\' && p->at + 1 < p->text.n)
            p->at++;
        bp_buf_put(out, &p->text.p[p->at], 1);
    }
    if (p->at == p->text.n)
        return fail_at(p, start, "a quote that is not closed");
    p->at++;
    return 0;
}

static int check_word(const struct parser *p, enum bp_query_key key, size_t start,
                      const char *text) {
    static const char *const states[] = { "receiving", "complete", "damaged", "deleted", NULL };
    static const char *const signs[] = { "good", "bad", "unsigned", NULL };
    static const char *const yesno[] = { "yes", "no", NULL };
    const char *const *words = key == BP_QUERY_STATE    ? states
                               : key == BP_QUERY_SIGNED ? signs
                               : key == BP_QUERY_KEEP   ? yesno
                                                        : NULL;

    if (!words)
        return 0;
    for (; *words; words++)
        if (bp_streq(*words, text))
            return 0;
    return fail_at(p, start,
                   key == BP_QUERY_STATE    ? "expected receiving, complete, damaged or deleted"
                   : key == BP_QUERY_SIGNED ? "expected good, bad or unsigned"
                                            : "expected yes or no");
}

static int read_value(struct parser *p, enum bp_query_key key, bool commas) {
    struct bp_query_value v = { 0 };
    BP_AUTO_BUF text = { 0 };
    size_t start = p->at;
    char *s;
    int r = 0;

    if (p->q->nvalues == BP_QUERY_VALUES_MAX)
        return fail_at(p, start, "too many values");
    if (p->at < p->text.n && p->text.p[p->at] == '"') {
        v.quoted = true;
        r = read_quoted(p, &text);
        if (r == 0 && !at_end_of_value(p, commas))
            return fail_at(p, p->at, "expected a blank after the quote");
    } else {
        for (; !at_end_of_value(p, commas); p->at++)
            bp_buf_put(&text, &p->text.p[p->at], 1);
    }
    if (r < 0)
        return r;
    if (text.n == 0)
        return fail_at(p, start, "expected a value");
    v.text = s = bp_buf_take_cstr(&text);
    if (!s)
        return bp_fail(p->err, -ENOMEM, "no memory for a query");
    p->q->values[p->q->nvalues++] = v;

    if (keys[key].form == FORM_TEXT)
        return check_word(p, key, start, s);
    r = parse_number(p, keys[key].form, s, &p->q->values[p->q->nvalues - 1]) ? 0 : -EINVAL;
    free(s);
    p->q->values[p->q->nvalues - 1].text = NULL;
    return r < 0 ? fail_at(p, start, expected(keys[key].form)) : 0;
}

/* The key before a colon: letters only, so that 10:30 is a word. */
static int read_key(struct parser *p, enum bp_query_key *ret) {
    size_t n = 0, start = p->at;
    char why[128], word[32];

    while (start + n < p->text.n && ((unsigned char) p->text.p[start + n] | 0x20) >= 'a' &&
           ((unsigned char) p->text.p[start + n] | 0x20) <= 'z')
        n++;
    *ret = BP_QUERY_TEXT;
    if (n == 0 || n >= sizeof word || start + n == p->text.n || p->text.p[start + n] != ':')
        return 0;
    for (size_t i = 0; i < n; i++)
        word[i] = (char) (p->text.p[start + i] | 0x20);
    word[n] = '\0';

    for (size_t i = 1; i < BP_COUNT(keys); i++)
        if (bp_streq(keys[i].name, word)) {
            *ret = (enum bp_query_key) i;
            p->at += n + 1;
            return 0;
        }
    for (size_t i = 1; i < BP_COUNT(keys); i++)
        if (bp_is_likely_typo(word, keys[i].name)) {
            (void) snprintf(why, sizeof why, "there is no key '%s'; did you mean '%s'?", word,
                            keys[i].name);
            return fail_at(p, start, why);
        }
    (void) snprintf(why, sizeof why, "there is no key '%s'; as a word it needs quotes", word);
    return fail_at(p, start, why);
}

static int read_term(struct parser *p) {
    struct bp_query_term *t = &p->q->terms[p->q->nterms];
    int r;

    if (p->q->nterms == BP_QUERY_TERMS_MAX)
        return fail_at(p, p->at, "too many terms");
    *t = (struct bp_query_term){ .first = p->q->nvalues };
    if (p->text.p[p->at] == '-') {
        t->negated = true;
        p->at++;
    }
    r = read_key(p, &t->key);
    while (r == 0) {
        r = read_value(p, t->key, t->key != BP_QUERY_TEXT);
        if (r < 0 || at_end_of_value(p, false))
            break;
        p->at++; /* the comma */
    }
    if (r < 0)
        return r;
    t->n = p->q->nvalues - t->first;
    p->q->nterms++;
    return 0;
}

static int check_text(const struct parser *p) {
    struct bp_str t = p->text;

    if (t.n > BP_QUERY_BYTES_MAX)
        return bp_fail(p->err, BP_EUSAGE, "the query is longer than %d bytes", BP_QUERY_BYTES_MAX);
    for (size_t i = 0, n; i < t.n; i += n) {
        n = bp_utf8_char(t.p + i, t.n - i);
        if (n == 0 || (n == 1 && ((unsigned char) t.p[i] < ' ' || t.p[i] == 0x7f)))
            return bp_fail(p->err, BP_EUSAGE,
                           "the query has a byte at %zu that is no text (a control character, or "
                           "not UTF-8)",
                           i);
    }
    return 0;
}

int bp_query_parse(struct bp_str text, bp_ns_t wall_ns, struct bp_query *ret,
                   struct bp_error *err) {
    struct parser p = { .text = text, .now = wall_ns, .q = ret, .err = err };
    int r;

    *ret = (struct bp_query){ 0 };
    r = check_text(&p);
    while (r == 0) {
        while (at_blank(&p))
            p.at++;
        if (p.at == text.n)
            return 0;
        r = read_term(&p);
    }
    bp_query_done(ret);
    return r;
}

void bp_query_done(struct bp_query *q) {
    for (uint32_t i = 0; i < q->nvalues; i++)
        free(q->values[i].text);
    *q = (struct bp_query){ 0 };
}
