#include "base/decimal.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Schubfach in short: the reals that round to v = c·2^q form an interval around it. Scaled by 10^-k
 * with k = floor(log10 of the interval's width) it holds at most one multiple of 10 and at least
 * one integer. The ends and v itself are computed in quarters of a unit, rounded to odd, so that
 * the comparisons below are exact with a 128-bit power of ten. */

struct u128 {
    uint64_t hi, lo;
};

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide;
#endif

enum { POW10_MIN = -292 };

static const struct u128 pow10_table[] = {
#include "base/pow10.inc"
};

static struct u128 mul(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    wide r = (wide) a * b;

    return (struct u128){ (uint64_t) (r >> 64), (uint64_t) r };
#else
    uint64_t al = (uint32_t) a, ah = a >> 32, bl = (uint32_t) b, bh = b >> 32;
    uint64_t low = al * bl, m1 = ah * bl + (low >> 32), m2 = al * bh + (uint32_t) m1;

    return (struct u128){ ah * bh + (m1 >> 32) + (m2 >> 32), m2 << 32 | (uint32_t) low };
#endif
}

static uint64_t round_to_odd64(struct u128 g, uint64_t c) {
    struct u128 x = mul(g.lo, c), y = mul(g.hi, c);
    uint64_t low = y.lo + x.hi;

    return (y.hi + (low < y.lo)) | (low > 1);
}

static uint64_t round_to_odd32(struct u128 g, uint64_t c) {
    struct u128 p = mul(g.hi + (g.lo != 0), c); /* the power rounded up to 64 bits */

    return p.hi | (p.lo >> 32 > 1);
}

/* floor(log2(10^e)) and floor(log10(2^q)), or log10(3/4·2^q) when the number below is nearer. */
static int floor_log2_pow10(int e) {
    return (e * 1741647) >> 19;
}

static int floor_log10_pow2(int q, bool nearer) {
    return (q * 1262611 - (nearer ? 524031 : 0)) >> 22;
}

/* @param c       significand with its hidden bit
 * @param nearer  the gap below is half the gap above (c is a power of two)
 * @param single  the number is a float */
static struct bp_decimal shortest(uint64_t c, int q, bool nearer, bool single) {
    int k = floor_log10_pow2(q, nearer), h = q + floor_log2_pow10(-k) + 1;
    struct u128 g = pow10_table[-k - POW10_MIN];
    uint64_t odd = c & 1, s, low, high, v;

    if (single) {
        low = round_to_odd32(g, (4 * c - 2 + nearer) << h) + odd;
        v = round_to_odd32(g, (4 * c) << h);
        high = round_to_odd32(g, (4 * c + 2) << h) - odd;
    } else {
        low = round_to_odd64(g, (4 * c - 2 + nearer) << h) + odd;
        v = round_to_odd64(g, (4 * c) << h);
        high = round_to_odd64(g, (4 * c + 2) << h) - odd;
    }

    s = v / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool below = low <= 40 * tens, above = 40 * tens + 40 <= high;

        if (below != above)
            return (struct bp_decimal){ tens + above, k + 1 };
    }
    {
        bool below = low <= 4 * s, above = 4 * s + 4 <= high;
        uint64_t middle = 4 * s + 2;

        if (below == above)
            above = v > middle || (v == middle && (s & 1));
        return (struct bp_decimal){ s + above, k };
    }
}

struct bp_decimal bp_decimal_f64(double v) {
    uint64_t bits, fraction, c;
    int e, q;

    memcpy(&bits, &v, sizeof bits);
    fraction = bits & 0xfffffffffffff;
    e = (int) (bits >> 52 & 0x7ff);
    if (e == 0)
        return shortest(fraction, -1074, false, false);
    c = fraction | 1ULL << 52;
    q = e - 1075;
    if (q <= 0 && q > -53 && (c & ((1ULL << -q) - 1)) == 0)
        return (struct bp_decimal){ c >> -q, 0 }; /* an integer below 2^53 */
    return shortest(c, q, fraction == 0 && e > 1, false);
}

struct bp_decimal bp_decimal_f32(float v) {
    uint32_t bits, fraction, c;
    int e, q;

    memcpy(&bits, &v, sizeof bits);
    fraction = bits & 0x7fffff;
    e = (int) (bits >> 23 & 0xff);
    if (e == 0)
        return shortest(fraction, -149, false, true);
    c = fraction | 1U << 23;
    q = e - 150;
    if (q <= 0 && q > -24 && (c & ((1U << -q) - 1)) == 0)
        return (struct bp_decimal){ c >> -q, 0 };
    return shortest(c, q, fraction == 0 && e > 1, true);
}

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

size_t bp_put_u64(uint64_t v, char out[static BP_DECIMAL_TEXT]) {
    char text[20];
    size_t at = sizeof text;

    if (v < 10) { /* most bytes and flags of a robot */
        out[0] = (char) ('0' + v);
        return 1;
    }
    while (v >= 100) {
        uint64_t rest = v / 100;

        at -= 2;
        memcpy(text + at, pairs + 2 * (v - rest * 100), 2);
        v = rest;
    }
    if (v >= 10) {
        at -= 2;
        memcpy(text + at, pairs + 2 * v, 2);
    } else {
        text[--at] = (char) ('0' + v);
    }
    memcpy(out, text + at, sizeof text - at);
    return sizeof text - at;
}

size_t bp_put_i64(int64_t v, char out[static BP_DECIMAL_TEXT]) {
    char text[BP_DECIMAL_TEXT];
    size_t n;

    if (v >= 0)
        return bp_put_u64((uint64_t) v, out);
    n = bp_put_u64(0 - (uint64_t) v, text);
    out[0] = '-';
    memcpy(out + 1, text, n);
    return n + 1;
}

/* The digits of d without trailing zeros into text; *ret_point = place of the decimal point counted
 * from the first digit, so that the number is 0.digits × 10^point. */
static size_t digits_of(struct bp_decimal d, char text[static BP_DECIMAL_TEXT], int *ret_point) {
    size_t n = bp_put_u64(d.digits, text);

    *ret_point = (int) n + d.exp;
    while (n > 1 && text[n - 1] == '0')
        n--;
    return n;
}

static size_t put_exponent(int e, unsigned min_digits, char *out) {
    char text[BP_DECIMAL_TEXT];
    size_t n = bp_put_u64((uint64_t) (e < 0 ? -e : e), text), at = 0;

    out[at++] = 'e';
    out[at++] = e < 0 ? '-' : '+';
    if (n < min_digits)
        out[at++] = '0';
    memcpy(out + at, text, n);
    return at + n;
}

/* Digits with the point inside, in front ("0.00ddd") or behind zeros ("ddd000"). */
static size_t put_plain(const char *digits, size_t n, int point, char *out) {
    size_t before = point > 0 ? (size_t) point : 0, zeros = point < 0 ? (size_t) -point : 0;

    if (before >= n) {
        memcpy(out, digits, n);
        memset(out + n, '0', before - n);
        return before;
    }
    if (before > 0) {
        memcpy(out, digits, before);
        out[before] = '.';
        memcpy(out + before + 1, digits + before, n - before);
        return n + 1;
    }
    out[0] = '0';
    out[1] = '.';
    memset(out + 2, '0', zeros);
    memcpy(out + 2 + zeros, digits, n);
    return 2 + zeros + n;
}

/* ECMA-262 §6.1.6.1.20. */
size_t bp_put_f64_js(double v, char out[static BP_DECIMAL_TEXT]) {
    char digits[BP_DECIMAL_TEXT];
    size_t n, at = 0;
    int point;

    if (v == 0) {
        out[0] = '0';
        return 1;
    }
    if (v < 0)
        out[at++] = '-';
    n = digits_of(bp_decimal_f64(v), digits, &point);
    if (point > -6 && point <= 21)
        return at + put_plain(digits, n, point, out + at);

    out[at++] = digits[0];
    if (n > 1) {
        out[at++] = '.';
        memcpy(out + at, digits + 1, n - 1);
        at += n - 1;
    }
    return at + put_exponent(point - 1, 1, out + at);
}

/* Python's repr() (exponent below 1e-4 and from 1e16), with ".0" where YAML 1.1 needs it. */
static size_t put_yaml(struct bp_decimal d, char *out) {
    char digits[BP_DECIMAL_TEXT];
    size_t at = 0;
    int point;
    size_t n = digits_of(d, digits, &point);

    if (point > -4 && point <= 16) {
        at = put_plain(digits, n, point, out);
        if (point >= (int) n) {
            out[at++] = '.';
            out[at++] = '0';
        }
        return at;
    }
    out[at++] = digits[0];
    out[at++] = '.';
    if (n == 1)
        out[at++] = '0';
    memcpy(out + at, digits + 1, n - 1);
    at += n - 1;
    return at + put_exponent(point - 1, 2, out + at);
}

static size_t put_special(double v, char *out) {
    const char *text = isnan(v) ? ".nan" : isinf(v) ? (v < 0 ? "-.inf" : ".inf") : "";
    size_t n = strlen(text);

    if (v == 0) {
        text = signbit(v) ? "-0.0" : "0.0";
        n = signbit(v) ? 4 : 3;
    }
    memcpy(out, text, n); /* NOLINT(bugprone-not-null-terminated-result): the caller goes on */
    return n;
}

size_t bp_put_f64_yaml(double v, char out[static BP_DECIMAL_TEXT]) {
    if (!isfinite(v) || v == 0)
        return put_special(v, out);
    out[0] = '-';
    return put_yaml(bp_decimal_f64(v), out + (v < 0)) + (v < 0);
}

size_t bp_put_f32_yaml(float v, char out[static BP_DECIMAL_TEXT]) {
    if (!isfinite(v) || v == 0)
        return put_special((double) v, out);
    out[0] = '-';
    return put_yaml(bp_decimal_f32(v), out + (v < 0)) + (v < 0);
}
