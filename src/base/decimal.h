#pragma once

#include <stddef.h>
#include <stdint.h>

/* Shortest decimal text of floating point numbers: the fewest digits that read back as the same
 * number, and of those the nearest (Raffaello Giulietti, "The Schubfach way to render doubles",
 * 2020). About 20 ns a number; exact, no locale, no allocation. */

/* digits × 10^exp; `digits` may end in zeros. */
struct bp_decimal {
    uint64_t digits;
    int exp;
};

/** @param v  finite and not zero; the sign is ignored */
struct bp_decimal bp_decimal_f64(double v);
struct bp_decimal bp_decimal_f32(float v);

enum { BP_DECIMAL_TEXT = 32 }; /* room for any of the texts below, with NUL */

/** As JavaScript's Number.prototype.toString() and so JSON.stringify() writes a finite number:
 *  "0" for -0, "1e+21", "1e-7". Returns the length; no NUL. */
size_t bp_put_f64_js(double v, char out[static BP_DECIMAL_TEXT]);

/** As PyYAML writes a Python float: "1.0", "-0.0", "1.0e-05", "1.0e+16", ".inf", ".nan". */
size_t bp_put_f64_yaml(double v, char out[static BP_DECIMAL_TEXT]);
size_t bp_put_f32_yaml(float v, char out[static BP_DECIMAL_TEXT]);

/** Decimal text of an integer, at most 20 characters; returns the length; no NUL. */
size_t bp_put_u64(uint64_t v, char out[static BP_DECIMAL_TEXT]);
size_t bp_put_i64(int64_t v, char out[static BP_DECIMAL_TEXT]);
