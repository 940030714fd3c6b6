/* SPDX-License-Identifier: MIT
 *
 * From two random words to a number, in one fixed sequence of operations: each is rounded by itself, and none is
 * contracted, so that all levels and executors give the same bits. Files that include this see to the latter.
 */
#ifndef MICROGRAD_C_DRAWS_NUMBERS_H
#define MICROGRAD_C_DRAWS_NUMBERS_H

#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off", "no-trapping-math", "no-math-errno")
#endif

#define VMATH_FMA 1 /* in one rounding, if it takes a call of the library's */
#include "ops/vmath.h"

#define PHILOX_ROUNDS 10
#define PHILOX_M0 UINT32_C(0xD2511F53)
#define PHILOX_M1 UINT32_C(0xCD9E8D57)
#define PHILOX_W0 UINT32_C(0x9E3779B9)
#define PHILOX_W1 UINT32_C(0xBB67AE85)

/* number / 2^shift - less, exact, for a number below 2^52: as the last digits of 2^(52 - shift). */
VMATH double shifted(uint64_t number, int shift, double less) {
    uint64_t exponent = (uint64_t)(1023 + 52 - shift) << 52;
    return double_of(number | exponent) - (double_of(exponent) + less);
}

/* Of `low` and `high`, here and below, the low 32 bits count. */
#define LOW_32 UINT64_C(0xFFFFFFFF)

/* The first 53 bits; or, of floats, 24 of them: rounding to a float would give 1 now and then. */
VMATH double uniform_of(uint64_t low, uint64_t high) {
    return shifted(high & LOW_32, 32, 0.0) + shifted((low & LOW_32) >> 11, 53, 0.0);
}
VMATH double float_uniform_of(uint64_t high) { return shifted((high & LOW_32) >> 8, 24, 0.0); }

/* -- normal numbers --------------------------------------------------------------------------------
 *
 * The inverse of the distribution function: Wichura, "Algorithm AS 241: the percentage points of the normal
 * distribution", Applied Statistics 37, 1988, PPND16. The highest of 64 bits is the sign, the others are the
 * probability p of what lies beyond, so that small ones have all their digits: down to 2^-65, at 9.1. */

#define TAIL 0.075                    /* below it is the tail, for one draw in seven */
#define FAR_TAIL 1.388794386496402e-11 /* exp(-25): beyond 6.65 */

VMATH double poly8(double x, double a, double b, double c, double d, double e, double f, double g, double h) {
    return FMA(x, poly7(x, b, c, d, e, f, g, h), a);
}

#define TWO_M65 2.710505431213761e-20 /* half of the last bit: p is never 0 */

VMATH double probability_beyond(uint64_t low, uint64_t high) {
    return shifted(high & 0x7FFFFFFF, 32, 0.0) + shifted(low & LOW_32, 64, -TWO_M65);
}

VMATH double with_sign(double number, uint64_t high) {
    return double_of(bits_of(number) ^ (high << 32 & UINT64_C(1) << 63));
}

/* Of p in 2^-65 ... 1. */
VMATH double log_of(double p) {
    double n, m = split_power(p, &n);
    return log_of_parts(n - (TWO_52 + 1023.0), m - 1.0);
}

/* For p from TAIL on. */
VMATH double near_normal(double p) {
    double q = 0.5 - p, r = FMA(-q, q, 0.180625);
    double above = poly8(r, 3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
                         1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                         3.3430575583588128105e+4, 2.5090809287301226727e+3);
    double below = poly8(r, 1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
                         2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
                         5.2264952788528545610e+3);
    return q * above / below;
}

/* For p between FAR_TAIL and TAIL. */
VMATH double tail_normal(double p) {
    double r = sqrt(-log_of(p)) - 1.6;
    double above = poly8(r, 1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
                         3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
                         2.27238449892691845833e-2, 7.74545014278341407640e-4);
    double below = poly8(r, 1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                         1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
                         1.05075007164441684324e-9);
    return above / below;
}

/* For p below FAR_TAIL. */
VMATH double far_normal(double p) {
    double r = sqrt(-log_of(p)) - 5.0;
    double above = poly8(r, 6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
                         2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                         2.71155556874348757815e-5, 2.01033439929228813265e-7);
    double below = poly8(r, 1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
                         7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
                         2.04426310338993978564e-15);
    return above / below;
}

VMATH double normal_of(uint64_t low, uint64_t high) {
    double p = probability_beyond(low, high);
    return with_sign(p >= TAIL ? near_normal(p) : p >= FAR_TAIL ? tail_normal(p) : far_normal(p), high);
}

#endif
