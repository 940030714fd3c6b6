/* SPDX-License-Identifier: MIT
 *
 * Elementary functions of floats, as vmath.h has them of doubles: no branches, no tables, no calls.
 *
 * Results for zeros, infinities and NaN are the C library's, underflow is gradual, and no result is further than
 * 2 units in the last place of a float from the exact one. What is not here is computed in doubles and rounded.
 *
 * Coefficients of exp, log, tanh, sine and cosine: Moshier, Cephes, 1984, single precision.
 */
#ifndef MICROGRAD_C_VMATH_FLOAT32_H
#define MICROGRAD_C_VMATH_FLOAT32_H

#include "ops/vmath.h"

#if VMATH_FMA
#define FMAF(a, b, c) __builtin_fmaf(a, b, c)
#else
#define FMAF(a, b, c) ((a) * (b) + (c))
#endif

VMATH uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

VMATH float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* -- exp, expm1, tanh -------------------------------------------------------------------------- */

/* Adding it rounds to a whole number, which then stands in the low bits: 1.5 * 2^23. */
#define ROUNDER_FLOAT 12582912.0f

/* x = n ln 2 + *r, |*r| <= (ln 2)/2, for |x| < 2^7; the low 9 bits of what is returned hold n + 254. */
VMATH uint32_t count_ln2_float(float x, float *r) {
    float sum = FMAF(x, 1.44269504088896341f, ROUNDER_FLOAT + 254.0f), n = sum - (ROUNDER_FLOAT + 254.0f);
    *r = FMAF(-n, -2.12194440e-4f, FMAF(-n, 0.693359375f, x)); /* the former: 9 bits, its products are exact */
    return bits_of_float(sum);
}

/* 2^(n + shift), where that is a normal number. */
VMATH float scale_of_float(uint32_t biased, int shift) { return float_of((biased + (uint32_t)(shift - 127)) << 23); }

/* exp(r) - 1, for |r| <= (ln 2)/2. */
VMATH float expm1_near_0(float r) {
    float p = FMAF(r, 1.9875691500e-4f, 1.3981999507e-3f);
    p = FMAF(r, p, 8.3334519073e-3f);
    p = FMAF(r, p, 4.1665795894e-2f);
    p = FMAF(r, p, 1.6666665459e-1f);
    p = FMAF(r, p, 5.0000001201e-1f);
    return FMAF(r * r, p, r);
}

VMATH float f_exp(float x) {
    float y = x > 89.0f ? 89.0f : x, r;
    y = y < -104.0f ? -104.0f : y;
    uint32_t biased = count_ln2_float(y, &r), half = biased >> 1; /* 2^n may not be a normal number */
    return (1.0f + expm1_near_0(r)) * float_of(half << 23) * float_of((biased - half) << 23);
}

/* 2^n (exp(r) - 1) + 2^n - 1, at half the size, for n = 128. */
VMATH float f_expm1(float x) {
    float y = x > 89.0f ? 89.0f : x, r;
    y = y < -20.0f ? -20.0f : y;
    uint32_t biased = count_ln2_float(y, &r);
    float scale = scale_of_float(biased, -1);
    float result = 2.0f * FMAF(scale, expm1_near_0(r), scale - 0.5f);
    return fabsf(x) < 1e-36f ? x : result; /* -0.0, and bits that halving would lose */
}

/* Up to 0.625 a polynomial. Beyond: 1 - 2 / (exp(2 x) + 1). */
VMATH float f_tanh(float x) {
    float a = fabsf(x), z = a * a, t = a > 10.0f ? 20.0f : 2.0f * a, r;
    float p = FMAF(z, -5.70498872745e-3f, 2.06390887954e-2f);
    p = FMAF(z, p, -5.37397155531e-2f);
    p = FMAF(z, p, 1.33314422036e-1f);
    p = FMAF(z, p, -3.33332819422e-1f);
    uint32_t biased = count_ln2_float(t, &r);
    float scale = scale_of_float(biased, 0);
    float beyond = 1.0f - 2.0f / (FMAF(scale, expm1_near_0(r), scale) + 1.0f);
    return copysignf(a < 0.625f ? FMAF(a * z, p, a) : beyond, x);
}

/* -- log, log1p -------------------------------------------------------------------------------- */

#define SQRT_HALF_FLOAT 0x3f3504f3u /* bits */
#define ONE_FLOAT 0x3f800000u

/* x = 2^n m with m in sqrt(1/2) ... sqrt(2), for x positive and normal. */
VMATH float split_power_float(float x, float *n) {
    uint32_t bits = bits_of_float(x) + (ONE_FLOAT - SQRT_HALF_FLOAT);
    *n = (float)((int32_t)(bits >> 23) - 127);
    return float_of((bits & 0x7fffffu) + SQRT_HALF_FLOAT);
}

/* n ln 2 + log(1 + f). */
VMATH float log_of_parts_float(float n, float f) {
    float z = f * f;
    float p = FMAF(f, 7.0376836292e-2f, -1.1514610310e-1f);
    p = FMAF(f, p, 1.1676998740e-1f);
    p = FMAF(f, p, -1.2420140846e-1f);
    p = FMAF(f, p, 1.4249322787e-1f);
    p = FMAF(f, p, -1.6668057665e-1f);
    p = FMAF(f, p, 2.0000714765e-1f);
    p = FMAF(f, p, -2.4999993993e-1f);
    p = FMAF(f, p, 3.3333331174e-1f);
    float tail = FMAF(n, -2.12194440e-4f, FMAF(f * z, p, -0.5f * z));
    return FMAF(n, 0.693359375f, f + tail);
}

VMATH float f_log(float x) {
    int subnormal = x < 1.17549435e-38f;
    float n, m = split_power_float(subnormal ? x * 8388608.0f : x, &n); /* 2^23 */
    float result = log_of_parts_float(n - (subnormal ? 23.0f : 0.0f), m - 1.0f);
    result = x == INFINITY ? x : result;
    result = x == 0.0f ? -INFINITY : result;
    return x >= 0.0f ? result : NAN;
}

VMATH float f_log1p(float x) {
    float u = 1.0f + x, n, m = split_power_float(u, &n);
    /* What rounding took from 1 + x, by Knuth's two-sum; used at half the size, 2^-n at twice. */
    float from_x = u - 1.0f, lost = (x - from_x) + (1.0f - (u - from_x));
    float scale = float_of(bits_of_float(m) - bits_of_float(u) + bits_of_float(2.0f));
    float result = log_of_parts_float(n, FMAF(0.5f * lost, scale, m - 1.0f));
    result = fabsf(x) < 1e-36f ? x : result;
    result = x == INFINITY ? x : result;
    result = x == -1.0f ? -INFINITY : result;
    return x >= -1.0f ? result : NAN;
}

/* -- sin, cos ---------------------------------------------------------------------------------- */

/* sin(x + turn * pi / 2) for 0 <= x <= V_SIN_LIMIT. What is left of x is taken in doubles, with all its digits. */
VMATH float turned_sin_float(float x, uint32_t turn) {
    double wide = (double)x, n = FMA(wide, 0.63661977236758134, ROUNDER) - ROUNDER;
    float r = (float)FMA(-n, 6.077100506506192e-11, FMA(-n, 1.5707963267341256, wide)); /* of 33 bits, n of 20 */
    turn += bits_of_float((float)n + ROUNDER_FLOAT);

    float z = r * r;
    float s = FMAF(z, FMAF(z, -1.9515295891e-4f, 8.3321608736e-3f), -1.6666654611e-1f);
    float c = FMAF(z, FMAF(z, 2.443315711809948e-5f, -1.388731625493765e-3f), 4.166664568298827e-2f);
    float sine = FMAF(r * z, s, r), cosine = FMAF(z * z, c, FMAF(z, -0.5f, 1.0f));
    uint32_t odd = 0 - (turn & 1);
    return float_of(((bits_of_float(sine) & ~odd) | (bits_of_float(cosine) & odd)) ^ (turn & 2) << 30);
}

VMATH float f_sin(float x) {
    float a = fabsf(x) <= (float)V_SIN_LIMIT ? fabsf(x) : NAN, s = turned_sin_float(a, 0);
    return float_of(bits_of_float(s) ^ (bits_of_float(x) & 0x80000000u));
}

VMATH float f_cos(float x) { return turned_sin_float(fabsf(x) <= (float)V_SIN_LIMIT ? fabsf(x) : NAN, 1); }

/* Whether all of x is within V_SIN_LIMIT (NaN may count as beyond). */
static inline int f_sin_takes(const float *x, size_t n) {
    uint32_t beyond = 0;
    for (size_t k = 0; k < n; k++) beyond |= bits_of_float((float)V_SIN_LIMIT - fabsf(x[k]));
    return !(beyond >> 31);
}

/* -- in place of the C library's and of vmath.h's ------------------------------------------------ */

#ifdef VMATH_REPLACE_LIBM
#undef exp
#undef expm1
#undef log
#undef log1p
#undef tanh
#define exp(x) f_exp((float)(x))
#define expm1(x) f_expm1((float)(x))
#define log(x) f_log((float)(x))
#define log1p(x) f_log1p((float)(x))
#define tanh(x) f_tanh((float)(x))
#define fabs(x) fabsf((float)(x))
#define sqrt(x) sqrtf((float)(x))
#define floor(x) floorf((float)(x))
#define ceil(x) ceilf((float)(x))
#endif

#endif
