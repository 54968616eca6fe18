#include <errno.h>
#include <inttypes.h>

#include "bag/ledger.h"

/* Sets of numbers as sorted spans. Nearly every addition extends the last span. */

void bp_spans_done(struct bp_spans *s) {
    free(s->v);
    *s = (struct bp_spans){ 0 };
}

static int make_room(struct bp_spans *s) {
    size_t cap = s->cap ? 2 * s->cap : 4;
    struct bp_span *v;

    if (s->n < s->cap)
        return 0;
    v = realloc(s->v, cap * sizeof *v);
    if (!v)
        return -ENOMEM;
    s->v = v;
    s->cap = cap;
    return 0;
}

/* Index of the first span that ends at or behind x - 1, so touches or follows x. */
static size_t lower(const struct bp_spans *s, uint64_t x) {
    size_t a = 0, b = s->n;

    while (a < b) {
        size_t m = a + (b - a) / 2;

        if (s->v[m].last < x && x - s->v[m].last > 1)
            a = m + 1;
        else
            b = m;
    }
    return a;
}

int bp_spans_add(struct bp_spans *s, uint64_t first, uint64_t last) {
    size_t i, k;
    int r;

    if (first > last)
        return 0;

    i = lower(s, first);
    if (i == s->n || (last < s->v[i].first && s->v[i].first - last > 1)) {
        r = make_room(s);
        if (r < 0)
            return r;
        memmove(s->v + i + 1, s->v + i, (s->n - i) * sizeof *s->v);
        s->v[i] = (struct bp_span){ first, last };
        s->n++;
        return 0;
    }

    /* Joins span i and all that it now touches. */
    s->v[i].first = BP_MIN(s->v[i].first, first);
    s->v[i].last = BP_MAX(s->v[i].last, last);
    for (k = i + 1;
         k < s->n && (s->v[k].first <= s->v[i].last || s->v[k].first - s->v[i].last == 1); k++)
        s->v[i].last = BP_MAX(s->v[i].last, s->v[k].last);
    memmove(s->v + i + 1, s->v + k, (s->n - k) * sizeof *s->v);
    s->n -= k - i - 1;
    return 0;
}

int bp_spans_subtract(struct bp_spans *s, const struct bp_spans *what) {
    struct bp_spans out = { 0 };
    size_t k = 0;

    for (size_t i = 0; i < s->n; i++) {
        uint64_t at = s->v[i].first, end = s->v[i].last;
        bool open = true;

        while (k < what->n && what->v[k].last < at)
            k++;
        for (size_t j = k; open && j < what->n && what->v[j].first <= end; j++) {
            if (what->v[j].first > at && bp_spans_add(&out, at, what->v[j].first - 1) < 0)
                goto out;
            open = what->v[j].last < end;
            at = what->v[j].last + 1;
        }
        if (open && bp_spans_add(&out, at, end) < 0)
            goto out;
    }
    bp_spans_done(s);
    *s = out;
    return 0;
out:
    bp_spans_done(&out);
    return -ENOMEM;
}

bool bp_spans_has(const struct bp_spans *s, uint64_t x) {
    size_t i = lower(s, x);

    if (i < s->n && s->v[i].last < x)
        i++;
    return i < s->n && s->v[i].first <= x && x <= s->v[i].last;
}

uint64_t bp_spans_count(const struct bp_spans *s) {
    uint64_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        n += s->v[i].last - s->v[i].first + 1;
    return n;
}

void bp_spans_text(const struct bp_spans *s, struct bp_buf *out) {
    for (size_t i = 0; i < s->n; i++) {
        bp_buf_printf(out, "%s%" PRIu64, i ? "," : "", s->v[i].first);
        if (s->v[i].last != s->v[i].first)
            bp_buf_printf(out, "-%" PRIu64, s->v[i].last);
    }
}

/* Digits at *p, at most up to `end`. */
static bool number(const char **p, const char *end, uint64_t *ret) {
    const char *start = *p;
    uint64_t v = 0;

    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
        uint64_t digit = (uint64_t) (**p - '0');

        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return *p > start;
}

int bp_spans_parse(struct bp_str text, struct bp_spans *ret) {
    const char *p = text.p, *end = text.p + text.n;

    while (p < end) {
        uint64_t first, last;
        int r;

        if (!number(&p, end, &first))
            return BP_EFORMAT;
        last = first;
        if (p < end && *p == '-') {
            p++;
            if (!number(&p, end, &last) || last < first)
                return BP_EFORMAT;
        }
        r = bp_spans_add(ret, first, last);
        if (r < 0)
            return r;
        if (p < end && *p++ != ',')
            return BP_EFORMAT;
    }
    return 0;
}
