/* SPDX-License-Identifier: MIT
 *
 * Elementary functions that compilers turn into vector code: no branches, no tables, no calls.
 *
 * exp, expm1, log, log1p and tanh agree with the C library's within 2 units in the last place, over all
 * doubles, with the same results for zeros, infinities and NaN. A kernel includes this with
 * VMATH_REPLACE_LIBM before the table of operations, whose cells then mean these functions.
 *
 * exp and expm1: Cody and Waite's reduction x = k ln 2 + r, |r| <= (ln 2)/2, and the Taylor series to
 * r^13, whose next term is below 2^-57. log: x = 2^k (1 + f), and with s = f / (2 + f) the series of
 * log((1 + s) / (1 - s)) with the minimax coefficients of Sun's fdlibm (e_log.c, Ng, 1993).
 */
#ifndef MICROGRAD_C_VMATH_H
#define MICROGRAD_C_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define VMATH static __forceinline
#else
#define VMATH static inline __attribute__((always_inline))
#endif

#define LN2_HI 6.93147180369123816490e-01 /* its product with an integer below 2^20 is exact */
#define LN2_LO 1.90821492927058770002e-10
#define INV_LN2 1.44269504088896338700
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52: adding it leaves a whole number in the low bits */

VMATH int64_t bits_of_double(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

VMATH double double_of_bits(int64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^k for k in -1022 ... 1023. */
VMATH double power_of_two(int64_t k) { return double_of_bits((int64_t)((uint64_t)(k + 1023) << 52)); }

/* exp(r) - 1 - r, divided by r^2. */
VMATH double exp_tail(double r) {
    double r2 = r * r, r4 = r2 * r2;
    double a = 1.0 / 2 + r * (1.0 / 6), b = 1.0 / 24 + r * (1.0 / 120);
    double c = 1.0 / 720 + r * (1.0 / 5040), d = 1.0 / 40320 + r * (1.0 / 362880);
    double e = 1.0 / 3628800 + r * (1.0 / 39916800), f = 1.0 / 479001600 + r * (1.0 / 6227020800.0);
    return (a + r2 * b) + r4 * ((c + r2 * d) + r4 * (e + r2 * f));
}

VMATH double v_exp(double x) {
    double y = x > 710.0 ? 710.0 : x;
    y = y < -746.0 ? -746.0 : y;
    double rounded = y * INV_LN2 + ROUNDER, n = rounded - ROUNDER;
    int64_t k = bits_of_double(rounded) - bits_of_double(ROUNDER);
    double r = (y - n * LN2_HI) - n * LN2_LO;
    double p = 1.0 + (r + r * r * exp_tail(r));
    /* In two factors: the result may be subnormal, or overflow. */
    int64_t half = k >> 1;
    return p * power_of_two(half) * power_of_two(k - half);
}

/* exp(x) - 1 for x in -40 ... 710; *rest: what its rounding left off. */
VMATH double expm1_between(double x, double *rest) {
    double rounded = x * INV_LN2 + ROUNDER, n = rounded - ROUNDER;
    int64_t k = bits_of_double(rounded) - bits_of_double(ROUNDER);
    double hi = x - n * LN2_HI, lo = n * LN2_LO, r = hi - lo;
    double tail = r * r * exp_tail(r) + ((hi - r) - lo), q = r + tail;
    /* 2^k (q + 1) - 1, where k may be 1024 */
    double scale = power_of_two(k - 1), a = scale * q, b = scale - 0.5, sum = a + b;
    *rest = 2.0 * ((a - (sum - b)) + scale * (tail - (q - r)));
    return 2.0 * sum;
}

VMATH double v_expm1(double x) {
    double y = x > 710.0 ? 710.0 : x;
    y = y < -40.0 ? -40.0 : y;
    double rest, result = expm1_between(y, &rest);
    return fabs(x) < 1e-300 ? x : result; /* keeps -0.0, and what would be lost in the scaling */
}

VMATH double v_tanh(double x) {
    double t = 2.0 * fabs(x), rest;
    double e = expm1_between(t > 44.0 ? 44.0 : t, &rest);
    double below = e + 2.0, two = below - e, lost = (e - (below - two)) + (2.0 - two) + rest;
    double z = e / below;
    z += (rest - z * lost) * (0.5 - 0.5 * z); /* 1 / below is (1 - z) / 2 */
    return fabs(x) < 1e-300 ? x : copysign(z, x);
}

/* log(x), plus a small correction, for x positive and normal; k counts in. */
VMATH double log_of_parts(double x, int64_t k, double correction) {
    int64_t bits = bits_of_double(x);
    int64_t shift = (bits - bits_of_double(0.70710678118654752440)) >> 52;
    double f = double_of_bits(bits - (int64_t)((uint64_t)shift << 52)) - 1.0, n = (double)(int32_t)(k + shift);
    double s = f / (2.0 + f), z = s * s, w = z * z;
    double odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    double even = z * (6.666666666666735130e-01 +
                       w * (2.857142874366239149e-01 +
                            w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    double half_square = 0.5 * f * f;
    return n * LN2_HI - ((half_square - (s * (half_square + odd + even) + (n * LN2_LO + correction))) - f);
}

VMATH double v_log(double x) {
    int subnormal = x < 2.2250738585072014e-308;
    double normal = subnormal ? x * 18014398509481984.0 : x; /* 2^54 */
    double result = log_of_parts(normal, subnormal ? -54 : 0, 0.0);
    result = x == INFINITY ? x : result;
    result = x == 0.0 ? -INFINITY : result;
    return x >= 0.0 ? result : NAN + x;
}

VMATH double v_log1p(double x) {
    double u = 1.0 + x;
    /* What rounding took from 1 + x, by Knuth's two-sum, moves log by as much divided by u. */
    double from_x = u - 1.0, lost = (x - from_x) + (1.0 - (u - from_x));
    double result = log_of_parts(u, 0, lost / u);
    result = x == INFINITY ? x : result;
    result = x == -1.0 ? -INFINITY : result;
    result = fabs(x) < 1e-300 ? x : result;
    return x >= -1.0 ? result : NAN + x;
}

#ifdef VMATH_REPLACE_LIBM
#define exp v_exp
#define expm1 v_expm1
#define log v_log
#define log1p v_log1p
#define tanh v_tanh
#endif

#endif
