#include "sync/schedule.h"

#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/units.h"

enum { MINUTES = 24 * 60, ALL_DAYS = 0x7f };

static const char *const day_names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

/* ---- words ---- */

static int parse_rate(const char *word, double *ret) {
    static const struct {
        const char *unit;
        double bytes;
    } bits[] = { { "kbit", 125 }, { "mbit", 125e3 }, { "gbit", 125e6 } };
    uint64_t size;
    char text[32];
    size_t n = strlen(word);

    if (bp_streq(word, "unlimited") || bp_streq(word, "off")) {
        *ret = word[0] == 'u' ? BP_RATE_UNLIMITED : BP_RATE_OFF;
        return 0;
    }
    if (n > 2 && bp_streq(word + n - 2, "/s"))
        n -= 2;
    if (n == 0 || n >= sizeof text)
        return BP_EUSAGE;
    memcpy(text, word, n);
    text[n] = 0;
    for (size_t i = 0; i < BP_COUNT(bits); i++) {
        if (n <= 4 || strcasecmp(text + n - 4, bits[i].unit) != 0)
            continue;
        text[n - 4] = 0;
        if (bp_parse_real(text, ret) < 0 || *ret <= 0)
            return BP_EUSAGE;
        *ret *= bits[i].bytes;
        return 0;
    }
    if (bp_parse_size(text, &size) < 0 || size == 0)
        return BP_EUSAGE;
    *ret = (double) size;
    return 0;
}

static int parse_day(const char **p) {
    for (unsigned d = 0; d < BP_COUNT(day_names); d++) {
        if (strncasecmp(*p, day_names[d], 3) == 0) {
            *p += 3;
            return (int) d;
        }
    }
    return -1;
}

/* "Mon", "Mon-Fri", "Sat-Sun", or nothing: every day. */
static int parse_days(const char **p, unsigned *ret) {
    int from, to;

    *ret = ALL_DAYS;
    if (**p >= '0' && **p <= '9')
        return 0;
    from = to = parse_day(p);
    if (from >= 0 && **p == '-') {
        ++*p;
        to = parse_day(p);
    }
    if (from < 0 || to < 0 || **p != ' ')
        return BP_EUSAGE;
    while (**p == ' ')
        ++*p;
    *ret = 0;
    for (int d = from;; d = (d + 1) % 7) {
        *ret |= 1u << d;
        if (d == to)
            return 0;
    }
}

static int parse_minute(const char **p, unsigned *ret) {
    unsigned v[2];

    for (int i = 0; i < 2; i++) {
        if ((*p)[0] < '0' || (*p)[0] > '9' || (*p)[1] < '0' || (*p)[1] > '9')
            return BP_EUSAGE;
        v[i] = (unsigned) ((*p)[0] - '0') * 10 + (unsigned) ((*p)[1] - '0');
        *p += 2;
        if (i == 0 && *(*p)++ != ':')
            return BP_EUSAGE;
    }
    *ret = v[0] * 60 + v[1];
    return v[1] < 60 && *ret <= MINUTES ? 0 : BP_EUSAGE;
}

/* @param rates  entries end in "=RATE", and "else=RATE" or a rate alone is the rest */
static int parse_entry(const char *p, bool rates, struct bp_sync_schedule *s) {
    const char *equals = strchr(p, '=');
    unsigned days, from, to;
    double rate = BP_RATE_UNLIMITED;

    if (rates && !strchr(p, ':'))
        return parse_rate(bp_starts_with(p, "else=") ? p + 5 : p, &s->otherwise);
    if (rates != (equals != NULL) || (equals && parse_rate(equals + 1, &rate) < 0))
        return BP_EUSAGE;
    if (parse_days(&p, &days) < 0 || parse_minute(&p, &from) < 0 || *p++ != '-' ||
        parse_minute(&p, &to) < 0 || *p != (rates ? '=' : 0) || from >= MINUTES ||
        s->n == BP_SCHEDULE_MAX)
        return BP_EUSAGE;
    s->v[s->n].days = days;
    s->v[s->n].from = from;
    s->v[s->n].to = to;
    s->v[s->n].rate = rate;
    s->n++;
    return 0;
}

static int parse(const char *text, bool rates, struct bp_sync_schedule *ret, struct bp_error *err) {
    struct bp_sync_schedule s = { .otherwise = BP_RATE_UNLIMITED };
    char entry[64] = "";

    while (text && *text) {
        size_t n = strcspn(text, ","), skip = strspn(text, " "), len;

        skip = BP_MIN(skip, n);
        len = n - skip;
        while (len && text[skip + len - 1] == ' ')
            len--;
        if (len >= sizeof entry)
            return bp_fail(err, BP_EUSAGE, "'%.40s…' is no time and rate", text + skip);
        memcpy(entry, text + skip, len);
        entry[len] = 0;
        if (parse_entry(entry, rates, &s) < 0)
            return bp_fail(err, BP_EUSAGE,
                           rates ? "'%s' is neither a rate (2Mbit, 500kB, unlimited, off) nor "
                                   "one in a window (08:00-18:00=2Mbit, Mon-Fri "
                                   "08:00-18:00=off, else=1MB)"
                                 : "'%s' is no window of time (22:00-06:00, Sat-Sun 00:00-24:00)",
                           entry);
        text += n + (text[n] == ',');
    }
    if (!rates && s.n)
        s.otherwise = BP_RATE_OFF;
    *ret = s;
    return 0;
}

int bp_sync_rates_parse(const char *text, struct bp_sync_schedule *ret, struct bp_error *err) {
    return parse(text, true, ret, err);
}

int bp_sync_windows_parse(const char *text, struct bp_sync_schedule *ret, struct bp_error *err) {
    return parse(text, false, ret, err);
}

/* ---- time ---- */

double bp_sync_schedule_at(const struct bp_sync_schedule *s, unsigned weekday, unsigned minute) {
    unsigned today = 1u << weekday, yesterday = 1u << (weekday + 6) % 7;

    for (unsigned i = 0; i < s->n; i++) {
        unsigned from = s->v[i].from, to = s->v[i].to, days = s->v[i].days;

        if (to > from ? (days & today) && minute >= from && minute < to
                      : ((days & today) && minute >= from) || ((days & yesterday) && minute < to))
            return s->v[i].rate;
    }
    return s->otherwise;
}

double bp_sync_schedule_now(const struct bp_sync_schedule *s, bp_ns_t wall_ns) {
    time_t t = (time_t) (wall_ns / BP_SEC);
    struct tm tm;

    if (s->n == 0 || !localtime_r(&t, &tm))
        return s->otherwise;
    return bp_sync_schedule_at(s, (unsigned) tm.tm_wday,
                               (unsigned) tm.tm_hour * 60 + (unsigned) tm.tm_min);
}

/* ---- pauses ---- */

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016). */
double bp_sync_random(uint64_t *rng) {
    uint64_t x = *rng;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *rng = x;
    return (double) (x * 0x2545F4914F6CDD1DULL >> 11) * 0x1p-53;
}

bp_ns_t bp_sync_backoff(unsigned n, uint64_t *rng) {
    bp_ns_t cap = n > 6 ? BP_SYNC_BACKOFF_MAX : BP_MIN(BP_SEC << n, BP_SYNC_BACKOFF_MAX);

    return BP_MAX((bp_ns_t) (bp_sync_random(rng) * (double) cap), 50 * BP_MS);
}
