/* SPDX-License-Identifier: MIT
 *
 * Elementary functions that compilers turn into vector code: no branches, no tables, no calls.
 *
 * A loop over v_exp and the others becomes vector code in GCC and clang where conditions may be
 * evaluated on all lanes (GCC: -fno-trapping-math, or the pragma for it). Results for zeros,
 * infinities and NaN are the C library's, underflow is gradual, and no result is further than 2
 * units in the last place from the exact one. v_sin and v_cos alone do not take all doubles: see
 * V_SIN_LIMIT.
 *
 * Coefficients interpolate the function named beside them at Chebyshev's nodes, in 66 digits; with
 * them stands the largest relative error that they leave in the result, "to 2^-57" say.
 *
 * Sources: Cody and Waite, Software Manual for the Elementary Functions, 1980: reduction by a
 * constant in parts. Ng, fdlibm, 1993: how log and sine's kernels are arranged. Moshier, Cephes,
 * 1984: the form of tanh. Shepherd and Laframboise, Mathematics of Computation 36, 1981: the
 * variable in which erfc is a polynomial.
 */
#ifndef MICROGRAD_C_VMATH_H
#define MICROGRAD_C_VMATH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define VMATH static __forceinline
#else
#define VMATH static inline __attribute__((always_inline))
#endif

/* a * b + c, in one rounding if the target has it. Clang's target attribute defines no macro: a
   file may set VMATH_FMA itself. All bounds hold either way, and if compilers contract products. */
#ifndef VMATH_FMA
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define VMATH_FMA 1
#else
#define VMATH_FMA 0
#endif
#endif
#if VMATH_FMA
#define FMA(a, b, c) fma(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

/* -- bits and polynomials ---------------------------------------------------------------------- */

VMATH uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

VMATH double double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

VMATH double poly3(double x, double a, double b, double c) { return FMA(x, FMA(x, c, b), a); }
VMATH double poly4(double x, double a, double b, double c, double d) { return FMA(x, poly3(x, b, c, d), a); }
VMATH double poly5(double x, double a, double b, double c, double d, double e) {
    return FMA(x, poly4(x, b, c, d, e), a);
}
VMATH double poly6(double x, double a, double b, double c, double d, double e, double f) {
    return FMA(x, poly5(x, b, c, d, e, f), a);
}
VMATH double poly7(double x, double a, double b, double c, double d, double e, double f, double g) {
    return FMA(x, poly6(x, b, c, d, e, f, g), a);
}

/* -- exp's reduction --------------------------------------------------------------------------- */

/* Adding it rounds to a whole number, which then stands in the low bits: 1.5 * 2^52. */
#define ROUNDER 6755399441055744.0
#define INV_LN2 1.44269504088896338700
#define LN2_HI 6.93147180369123816490e-01 /* 32 bits: its product with a whole number is exact */
#define LN2_LO 1.90821492927058770002e-10

/* The whole number n next to x / ln 2, for |x| < 2^10; the low 12 bits of *biased hold n + 2046. */
VMATH double count_ln2(double x, uint64_t *biased) {
    double sum = FMA(x, INV_LN2, ROUNDER + 2046.0);
    *biased = bits_of(sum);
    return sum - (ROUNDER + 2046.0);
}

/* x - n ln 2 - rest as hi - *lo, the former exact: |hi - lo| <= (ln 2)/2. */
VMATH double take_ln2(double x, double rest, double n, double *lo) {
    *lo = FMA(n, LN2_LO, rest);
    return FMA(-n, LN2_HI, x);
}

/* 2^(n + shift), for a sum in -1022 ... 1023. */
VMATH double scale_of(uint64_t biased, int shift) {
    return double_of((biased + (uint64_t)(int64_t)(shift - 1023)) << 52);
}

/* p * 2^n, rounded once where it is subnormal. In two factors: 2^n may not be a normal number. */
VMATH double scaled(double p, uint64_t biased) {
    uint64_t half = biased >> 1;
    return p * double_of(half << 52) * double_of((biased - half) << 52);
}

/* (cosh(r) - 1) / r^2 and (sinh(r) - r) / r^3 in w = r^2, for |r| <= (ln 2)/2: exp to 2^-60. */
VMATH double exp_even(double w) {
    return poly6(w, 0.5, 0.041666666666666671, 1.3888888888883746e-03, 2.4801587325552618e-05, 2.7557273636924405e-07,
                 2.0914689542549555e-09);
}
VMATH double exp_odd(double w) {
    return poly5(w, 0.16666666666666671, 8.3333333333261324e-03, 1.9841269874827454e-04, 2.7557255391544028e-06,
                 2.5105220609870554e-08);
}

/* exp(hi - lo) - 1 - hi: what to add to hi, whose own digits are not rounded off so. */
VMATH double expm1_tail(double hi, double lo) {
    double r = hi - lo, w = r * r;
    return FMA(w, FMA(r, exp_odd(w), exp_even(w)), -lo);
}

/* -- exp, expm1, tanh, sinh, cosh -------------------------------------------------------------- */

VMATH double v_exp(double x) {
    double y = x > 710.0 ? 710.0 : x;
    y = y < -746.0 ? -746.0 : y;
    uint64_t biased;
    double n = count_ln2(y, &biased), lo, hi = take_ln2(y, 0.0, n, &lo);
    double p = 1.0 + hi, p_rest = hi - (p - 1.0);
    return scaled(p + (p_rest + expm1_tail(hi, lo)), biased);
}

/* 2^n (exp(r) - 1) + 2^n - 1, the latter exact while it matters; at half the size, for n = 1024. */
VMATH double v_expm1(double x) {
    double y = x > 710.0 ? 710.0 : x;
    y = y < -40.0 ? -40.0 : y;
    uint64_t biased;
    double n = count_ln2(y, &biased), lo, hi = take_ln2(y, 0.0, n, &lo);
    double scale = scale_of(biased, -1);
    double result = 2.0 * FMA(scale, expm1_tail(hi, lo), FMA(scale, hi, scale - 0.5));
    return fabs(x) < 1e-300 ? x : result; /* -0.0, and bits that halving would lose */
}

/* Up to 0.55: x + x^3 P(x^2) / Q(x^2), to 2^-57. Beyond: 1 - 2 / (exp(2 x) + 1). One division. */
VMATH double v_tanh(double x) {
    double a = fabs(x), z = a * a, t = a > 22.0 ? 44.0 : 2.0 * a;
    double p = poly3(z, -0.33333333333333331, -2.0501964963790299e-02, -1.9931832455122474e-04);
    double q = poly4(z, 1.0, 0.46150589489136995, 2.3295551025477503e-02, 2.0668398808135359e-04);
    uint64_t biased;
    double n = count_ln2(t, &biased), lo, hi = take_ln2(t, 0.0, n, &lo);
    double scale = scale_of(biased, 0);
    double exp_plus_1 = FMA(scale, hi + expm1_tail(hi, lo), scale + 1.0);
    double above = a < 0.55 ? a * z * p : -2.0, below = a < 0.55 ? q : exp_plus_1;
    return copysign((a < 0.55 ? a : 1.0) + above / below, x);
}

/* cosh(a) (sign 1) or, for a >= 1, sinh(a) (sign -1). With a = n ln 2 + r: sinh(r) and cosh(r),
   times sum and difference of 2^n and 2^-n; at a quarter of the size, for n = 1025. */
VMATH double half_sum_of_exps(double a, double sign) {
    double y = a > 710.6 ? 710.6 : a;
    uint64_t biased;
    double n = count_ln2(y, &biased), lo, hi = take_ln2(y, 0.0, n, &lo), r = hi - lo, w = r * r;
    double scale = scale_of(biased, -2);
    double inverse = double_of((UINT64_C(2046) << 52) - bits_of(scale)) * (sign / 16.0);
    double sinh_r = hi + FMA(r * w, exp_odd(w), -lo), cosh_r_less_1 = w * exp_even(w);
    double sum = scale + inverse, difference = scale - inverse;
    return 2.0 * (sum + FMA(sum, cosh_r_less_1, difference * sinh_r));
}

VMATH double v_cosh(double x) { return half_sum_of_exps(fabs(x), 1.0); }

/* Up to 1: x + x^3 P(x^2), to 2^-56. */
VMATH double v_sinh(double x) {
    double a = fabs(x), z = a * a;
    double p = poly7(z, 0.16666666666666666, 8.3333333333333299e-03, 1.9841269841324225e-04, 2.7557319191368742e-06,
                     2.5052117698709828e-08, 1.6057679349819908e-10, 7.7461885561522747e-13);
    return copysign(a < 1.0 ? FMA(a * z, p, a) : half_sum_of_exps(a, -1.0), x);
}

/* -- log, log1p -------------------------------------------------------------------------------- */

#define MANTISSA UINT64_C(0x000fffffffffffff)
#define SQRT_HALF UINT64_C(0x3fe6a09e667f3bcd) /* bits */
#define ONE UINT64_C(0x3ff0000000000000)
#define TWO_52 4503599627370496.0

/* x = 2^n m with m in sqrt(1/2) ... sqrt(2), for x positive and normal; *n is n + 2^52 + 1023. */
VMATH double split_power(double x, double *n) {
    uint64_t bits = bits_of(x) + (ONE - SQRT_HALF);
    *n = double_of(bits >> 52 | bits_of(TWO_52));
    return double_of((bits & MANTISSA) + SQRT_HALF);
}

/* n ln 2 + log(1 + f). With s = f / (2 + f) the logarithm is 2 s + s^3 R(s^2), to 2^-57, or
   f - (f^2/2 - s (f^2/2 + s^2 R)), whose first term is exact. */
VMATH double log_of_parts(double n, double f) {
    double s = f / (2.0 + f), z = s * s, w = z * z, half_square = 0.5 * f * f;
    double even = poly4(w, 0.66666666666666696, 0.28571428626001427, 0.18182889433757676, 0.14616576421689886);
    double odd = poly3(w, 0.39999999999899449, 0.22222211130560723, 0.15331711346668644);
    double r = z * FMA(z, odd, even);
    return FMA(n, LN2_HI, f - (half_square - FMA(s, half_square + r, n * LN2_LO)));
}

VMATH double v_log(double x) {
    int subnormal = x < 2.2250738585072014e-308;
    double n, m = split_power(subnormal ? x * 18014398509481984.0 : x, &n); /* 2^54 */
    double result = log_of_parts(n - (subnormal ? TWO_52 + 1077.0 : TWO_52 + 1023.0), m - 1.0);
    result = x == INFINITY ? x : result;
    result = x == 0.0 ? -INFINITY : result;
    return x >= 0.0 ? result : NAN;
}

VMATH double v_log1p(double x) {
    double u = 1.0 + x, n, m = split_power(u, &n);
    /* What rounding took from 1 + x, by Knuth's two-sum; used at half the size, 2^-n at twice. */
    double from_x = u - 1.0, lost = (x - from_x) + (1.0 - (u - from_x));
    double scale = double_of(bits_of(m) - bits_of(u) + bits_of(2.0));
    double result = log_of_parts(n - (TWO_52 + 1023.0), FMA(0.5 * lost, scale, m - 1.0));
    result = fabs(x) < 1e-300 ? x : result;
    result = x == INFINITY ? x : result;
    result = x == -1.0 ? -INFINITY : result;
    return x >= -1.0 ? result : NAN;
}

/* -- sin, cos, atan ---------------------------------------------------------------------------- */

/* Beyond it v_sin and v_cos are NaN: products with the parts of pi / 2 would not be exact. */
#define V_SIN_LIMIT 1.6e6

/* Whether all of x is within V_SIN_LIMIT (NaN may count as beyond); if not, take the library's. */
static inline int v_sin_takes(const double *x, size_t n) {
    uint64_t beyond = 0;
    for (size_t k = 0; k < n; k++) beyond |= bits_of(V_SIN_LIMIT - fabs(x[k]));
    return !(beyond >> 63);
}

/* sin(x + turn * pi / 2) for x >= 0. Kernels on |r| <= pi / 4: sine to 2^-55, cosine to 2^-60. */
VMATH double turned_sin(double x, uint64_t turn) {
    double rounded = FMA(x, 0.63661977236758134, ROUNDER), n = rounded - ROUNDER;
    turn += bits_of(rounded);
    /* pi / 2 in three parts of up to 33 bits and the rest: n has up to 20 bits. */
    double t = FMA(-n, 1.5707963267341256, x);
    double b = n * 6.077100506303966e-11, c = n * 2.0222662487111665e-21;
    double first = t - b, second = first - c;
    double lost = (((t - first) - b) + ((first - second) - c)) - n * 8.4784276603689e-32;
    double r = second + lost, rest = (second - r) + lost;

    double z = r * r, half_square = 0.5 * z, most = 1.0 - half_square;
    double s = poly6(z, -0.16666666666666666, 8.3333333333309462e-03, -1.9841269836754971e-04, 2.7557316100683029e-06,
                     -2.5051131455427562e-08, 1.5918101230251347e-10);
    double q = poly6(z, 0.041666666666666664, -1.3888888888887395e-03, 2.4801587298763433e-05, -2.7557317270560321e-07,
                     2.0876146024689503e-09, -1.1382614868542080e-11);
    double sine = r + FMA(r * z, s, rest * most);
    double cosine = most + (((1.0 - most) - half_square) + FMA(z * z, q, -r * rest));
    uint64_t odd = 0 - (turn & 1);
    return double_of(((bits_of(sine) & ~odd) | (bits_of(cosine) & odd)) ^ (turn & 2) << 62);
}

VMATH double v_sin(double x) {
    double a = fabs(x) <= V_SIN_LIMIT ? fabs(x) : NAN, s = turned_sin(a, 0);
    return double_of(bits_of(s) ^ (bits_of(x) & bits_of(-0.0)));
}

VMATH double v_cos(double x) { return turned_sin(fabs(x) <= V_SIN_LIMIT ? fabs(x) : NAN, 1); }

/* atan(x) = atan(c) + atan(t), t = (x - c) / (1 + c x) for c = 0, 1 and infinity by tan(pi/8) and
   tan(3 pi/8); t + t^3 P(t^2) to 2^-57 on |t| <= tan(pi/8). */
VMATH double v_atan(double x) {
    double a = fabs(x);
    int large = a > 2.4142135623730950, little = a < 0.41421356237309503;
    double above = large ? -1.0 : little ? a : a - 1.0, below = large ? a : little ? 1.0 : a + 1.0;
    double hi = large ? 1.5707963267948966 : little ? 0.0 : 0.78539816339744831;
    double lo = large ? 6.1232339957367660e-17 : little ? 0.0 : 3.0616169978683830e-17;
    double t = above / below, z = t * t, w = z * z;
    double even = poly6(w, -0.33333333333333331, -0.14285714284666276, -0.090909045772482562, -0.066645111608498338,
                        -0.050854367129431878, -0.019176426306249021);
    double odd = poly5(w, 0.19999999999995519, 0.1111111101523481, 0.076921831704840672, 0.058581464237390841,
                       0.039231282015353315);
    return copysign(hi + (t + FMA(t * z, FMA(z, odd, even), lo)), x);
}

/* -- erf, erfc --------------------------------------------------------------------------------- */

#define ERF_SPLIT 0.477 /* about where both are 1/2 */

/* erf(a) for 0 <= a <= ERF_SPLIT, to 2^-56. */
VMATH double erf_near_0(double a) {
    double z = a * a, w = z * z;
    double even = poly5(w, 0.12837916709551256, 0.11283791670939361, 0.005223977464803403, 0.0001205380566490271,
                        1.4870507871770795e-06);
    double odd = poly4(w, -0.37612638903183615, -0.026866170638023754, -0.0008548306605849234, -1.4858816643173938e-05);
    return FMA(a, FMA(z, odd, even), a);
}

/* The first 26 bits: the product of two such numbers is exact. */
VMATH double head(double x) { return double_of(bits_of(x) & ~UINT64_C(0x7ffffff)); }

/* erfc(a) for a >= ERF_SPLIT: exp(-a^2) G(t) / (a + 7/16), t = (a - K) / (a + K), to 2^-55. Factors
   are split into heads and rests, so that the last sum is the only large rounding. */
VMATH double erfc_beyond(double a) {
    double y = a > 28.0 ? 28.0 : a;
    double y_head = head(y), square = y_head * y_head, square_rest = (y - y_head) * (y + y_head);
    uint64_t biased;
    double n = count_ln2(-square, &biased), lo, hi = take_ln2(-square, square_rest, n, &lo);
    double tail = expm1_tail(hi, lo), p = head(1.0 + (hi + tail)), p_rest = (hi - (p - 1.0)) + tail;

    double t = (y - 3.265625) / (y + 3.265625), t2 = t * t, t4 = t2 * t2, t7 = t4 * t2 * t;
    double low = poly7(t, -0.05026720302572725, -0.028118604435300593, 0.06608540925611252, -0.06471894655247995,
                       0.042616227964626545, -0.019537074073804287, 0.005424511462084941);
    double middle = poly7(t, -0.00016270872669896515, -0.0005474369902385732, 0.00016549933123152056,
                          3.473593310031067e-05, -2.838875426740575e-05, -1.4587521778622287e-06,
                          4.417820349808736e-06);
    double high = poly6(t, 7.986285125836408e-09, -7.222265188568478e-07, -5.0527747516120575e-09,
                        1.184081780003865e-07, 3.0261864540815887e-09, -1.4155508946741561e-08);
    double varying = t * FMA(t7, FMA(t7, high, middle), low), constant = 0.6132412150903755;
    double g = head(constant + varying), g_rest = varying - (g - constant);

    double inverse = 1.0 / (y + 0.4375);
    double below = head(y + 0.4375), below_rest = y - (below - 0.4375);
    double above = g * p, above_rest = FMA(g, p_rest, g_rest * (p + p_rest));
    double z = head(above * inverse);
    double z_rest = (above - z * below) + FMA(-z, below_rest, above_rest);
    return scaled(FMA(z_rest, inverse, z), biased);
}

VMATH double v_erf(double x) {
    double a = fabs(x);
    return copysign(a < ERF_SPLIT ? erf_near_0(a) : 1.0 - erfc_beyond(a), x);
}

VMATH double v_erfc(double x) {
    double a = fabs(x), inner = copysign(erf_near_0(a), x), tail = erfc_beyond(a);
    return a < ERF_SPLIT ? 1.0 - inner : x < 0 ? 2.0 - tail : tail;
}

/* -- in place of the C library's --------------------------------------------------------------- */

#ifdef VMATH_REPLACE_LIBM
#define exp(x) v_exp(x)
#define expm1(x) v_expm1(x)
#define log(x) v_log(x)
#define log1p(x) v_log1p(x)
#define tanh(x) v_tanh(x)
#define sinh(x) v_sinh(x)
#define cosh(x) v_cosh(x)
#define atan(x) v_atan(x)
#define erf(x) v_erf(x)
#define erfc(x) v_erfc(x)
#endif

#endif
