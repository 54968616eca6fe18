#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/buf.h"

struct unit {
    const char *name;
    double factor;
};

static const struct unit size_units[] = {
    { "", 1 },          { "B", 1 },      { "K", 1024 },       { "k", 1024 },
    { "KiB", 1024 },    { "kB", 1e3 },   { "KB", 1e3 },       { "M", 1048576 },
    { "MiB", 1048576 }, { "MB", 1e6 },   { "G", 1073741824 }, { "GiB", 1073741824 },
    { "GB", 1e9 },      { "T", 0x1p40 }, { "TiB", 0x1p40 },   { "TB", 1e12 },
};

static const struct unit time_units[] = {
    { "", 1e9 },  { "ns", 1 },     { "us", 1e3 }, { "µs", 1e3 },   { "ms", 1e6 },
    { "s", 1e9 }, { "min", 6e10 }, { "m", 6e10 }, { "h", 3.6e12 }, { "d", 8.64e13 },
};

int bp_parse_int(const char *text, int64_t *ret) {
    char *end;
    long long v;

    /* strtoll skips blanks; we do not */
    if (!isdigit((unsigned char) text[*text == '-' || *text == '+']))
        return -EINVAL;

    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno == ERANGE)
        return -ERANGE;
    if (*end)
        return -EINVAL;

    *ret = v;
    return 0;
}

/* Reads digits and a fraction, no blanks, no "inf", "nan" or hexadecimal. */
static int leading_real(const char *text, const char **ret_end, double *ret) {
    size_t sign = *text == '-' || *text == '+';
    size_t digits = strspn(text + sign, "0123456789.");
    char *end;
    double v;

    if (digits == 0 || (digits == 1 && text[sign] == '.') || text[sign + 1] == 'x' ||
        text[sign + 1] == 'X')
        return -EINVAL;

    errno = 0;
    v = strtod(text, &end);
    if (errno == ERANGE && fabs(v) > 1)
        return -ERANGE;

    *ret_end = end;
    *ret = v;
    return 0;
}

int bp_parse_real(const char *text, double *ret) {
    const char *end;
    double v;
    int r = leading_real(text, &end, &v);

    if (r < 0)
        return r;
    if (*end)
        return -EINVAL;

    *ret = v;
    return 0;
}

/* The unit that `text` starts with, as far as its letters go; NULL when there is none. */
static const struct unit *find_unit(const struct unit *units, size_t count, const char *text,
                                    size_t *ret_length) {
    size_t n = 0;

    while (isalpha((unsigned char) text[n]) || (unsigned char) text[n] >= 0x80)
        n++;
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == n && memcmp(units[i].name, text, n) == 0) {
            *ret_length = n;
            return &units[i];
        }
    return NULL;
}

int bp_parse_size(const char *text, uint64_t *ret) {
    const struct unit *u;
    const char *end;
    int64_t whole;
    size_t n;
    double v;
    int r;

    r = leading_real(text, &end, &v);
    if (r < 0)
        return r;
    while (*end == ' ')
        end++;
    u = find_unit(size_units, BP_COUNT(size_units), end, &n);
    if (!u || end[n] || v < 0)
        return -EINVAL;
    if (bp_parse_int(text, &whole) == 0) { /* exact, where a double is not */
        *ret = (uint64_t) whole;
        return 0;
    }
    if (v * u->factor >= 0x1p63)
        return -ERANGE;

    *ret = (uint64_t) (v * u->factor + 0.5);
    return 0;
}

int bp_parse_duration(const char *text, bp_ns_t *ret) {
    bool negative = *text == '-';
    const char *p = text + negative;
    double sum = 0;

    if (!isdigit((unsigned char) *p) && *p != '.')
        return -EINVAL;
    while (*p) {
        const struct unit *u;
        size_t n;
        double v;
        int r = leading_real(p, &p, &v);

        if (r < 0 || v < 0)
            return r < 0 ? r : -EINVAL;
        while (*p == ' ')
            p++;
        u = find_unit(time_units, BP_COUNT(time_units), p, &n);
        if (!u || (n == 0 && sum > 0)) /* "1h30" could mean two things */
            return -EINVAL;
        sum += v * u->factor;
        p += n;
        while (n > 0 && *p == ' ')
            p++;
    }
    if (sum >= 0x1p63)
        return -ERANGE;

    *ret = (bp_ns_t) (negative ? -sum - 0.5 : sum + 0.5);
    return 0;
}

char *bp_size_format(uint64_t bytes, char text[static BP_UNITS_TEXT]) {
    static const char names[] = "KMGTPE";
    double v = (double) bytes;
    size_t i = 0;

    if (bytes < 1024) {
        (void) snprintf(text, BP_UNITS_TEXT, "%" PRIu64 " B", bytes);
        return text;
    }
    for (v /= 1024; v >= 1023.95 && names[i + 1]; i++)
        v /= 1024;
    (void) snprintf(text, BP_UNITS_TEXT, v < 100 ? "%.1f %ciB" : "%.0f %ciB", v, names[i]);
    return text;
}

char *bp_duration_format(bp_ns_t ns, char text[static BP_UNITS_TEXT]) {
    const char *sign = ns < 0 ? "-" : "";
    uint64_t u = ns < 0 ? 0 - (uint64_t) ns : (uint64_t) ns;
    uint64_t s = (u + BP_SEC / 2) / BP_SEC;

    if (u < (uint64_t) BP_US)
        (void) snprintf(text, BP_UNITS_TEXT, "%s%" PRIu64 " ns", sign, u);
    else if (u < (uint64_t) BP_MS - 500) /* what would be rounded to 1e+03 is the next unit's */
        (void) snprintf(text, BP_UNITS_TEXT, "%s%.3g us", sign, (double) u / 1e3);
    else if (u < (uint64_t) BP_SEC - 500000)
        (void) snprintf(text, BP_UNITS_TEXT, "%s%.3g ms", sign, (double) u / 1e6);
    else if (s < 120)
        (void) snprintf(text, BP_UNITS_TEXT, "%s%.4g s", sign, (double) u / 1e9);
    else if (s < 7200)
        (void) snprintf(text, BP_UNITS_TEXT, "%s%" PRIu64 " min %02u s", sign, s / 60,
                        (unsigned) (s % 60));
    else
        (void) snprintf(text, BP_UNITS_TEXT, "%s%" PRIu64 " h %02u min", sign, s / 3600,
                        (unsigned) (s / 60 % 60));
    return text;
}

unsigned bp_edit_distance(const char *a, const char *b) {
    enum { MAX = 63 };
    size_t na = strnlen(a, MAX), nb = strnlen(b, MAX);
    unsigned row[3][MAX + 1]; /* two rows back, one row back, this one; used in turn */

    for (size_t j = 0; j <= nb; j++)
        row[0][j] = (unsigned) j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

        now[0] = (unsigned) i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);

            best = BP_MIN(best, last[j] + 1);
            best = BP_MIN(best, now[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = BP_MIN(best, before[j - 2] + 1);
            now[j] = best;
        }
    }
    return row[na % 3][nb];
}

bool bp_is_likely_typo(const char *typed, const char *guess) {
    size_t n = BP_MAX(strlen(typed), strlen(guess));

    if (strlen(typed) >= 3 && bp_starts_with(guess, typed))
        return true; /* shortened */
    return bp_edit_distance(typed, guess) <= (n <= 4 ? 1 : 2 + n / 10);
}
