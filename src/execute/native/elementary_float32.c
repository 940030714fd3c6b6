/* SPDX-License-Identifier: MIT
 *
 * The elementary functions of vmath_float32.h, line by line, as elementary.c has those of vmath.h: the same numbers
 * to the last bit where it is compiled with fused multiplication and addition.
 */
#include "elementary.h"

#include "formulas.h"

#define ROUNDER 6755399441055744.0
#define ROUNDER_FLOAT 12582912.0
#define LN2_HI 0.693359375
#define LN2_LO -2.12194440e-4
#define SQRT_HALF UINT64_C(0x3f3504f3)
#define ONE UINT64_C(0x3f800000)
#define TWO UINT64_C(0x40000000)
#define MANTISSA UINT64_C(0x7fffff)
#define TWO_23 8388608.0

/* -- exp, expm1, tanh ------------------------------------------------------------------------------- */

/* x = n ln 2 + *r; the low bits of what is returned hold n + 254. */
static V count_ln2(Straight *s, V x, V *r) {
    V sum = DO3(FMADD, x, NUM(1.44269504088896341), NUM(ROUNDER_FLOAT + 254.0));
    V n = DO2(SUB, sum, NUM(ROUNDER_FLOAT + 254.0));
    *r = DO3(FNMADD, n, NUM(LN2_LO), DO3(FNMADD, n, NUM(LN2_HI), x));
    return sum;
}

static V scale_of(Straight *s, V biased, int shift) {
    return DO1(SHIFT_LEFT, 23, DO2(WHOLE_ADD, biased, BITS((uint32_t)(shift - 127))));
}

static V expm1_near_0(Straight *s, V r) {
    V p = POLY(r, 5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4);
    return DO3(FMADD, DO2(MUL, r, r), p, r);
}

static V in_line_exp(Straight *s, V x) {
    V y = CHOOSE(IS_GREATER, x, NUM(89.0), NUM(89.0), x), r;
    y = CHOOSE(IS_LESS, y, NUM(-104.0), NUM(-104.0), y);
    V biased = count_ln2(s, y, &r), half = DO1(SHIFT_RIGHT, 1, biased);
    V p = DO2(MUL, DO2(ADD, NUM(1.0), expm1_near_0(s, r)), DO1(SHIFT_LEFT, 23, half));
    return DO2(MUL, p, DO1(SHIFT_LEFT, 23, DO2(WHOLE_SUB, biased, half)));
}

static V in_line_expm1(Straight *s, V x) {
    V y = CHOOSE(IS_GREATER, x, NUM(89.0), NUM(89.0), x), r;
    y = CHOOSE(IS_LESS, y, NUM(-20.0), NUM(-20.0), y);
    V scale = scale_of(s, count_ln2(s, y, &r), -1);
    V sum = DO3(FMADD, scale, expm1_near_0(s, r), DO2(SUB, scale, NUM(0.5)));
    return CHOOSE(IS_LESS, absolute(s, x), NUM(1e-36), x, DO2(MUL, NUM(2.0), sum));
}

static V in_line_tanh(Straight *s, V x) {
    V a = absolute(s, x), z = DO2(MUL, a, a), r;
    V t = CHOOSE(IS_GREATER, a, NUM(10.0), NUM(20.0), DO2(MUL, NUM(2.0), a));
    V p = POLY(z, -3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2, -5.70498872745e-3);
    V scale = scale_of(s, count_ln2(s, t, &r), 0);
    V exp_plus_1 = DO2(ADD, DO3(FMADD, scale, expm1_near_0(s, r), scale), NUM(1.0));
    V beyond = DO2(SUB, NUM(1.0), DO2(DIV, NUM(2.0), exp_plus_1));
    return with_sign(s, CHOOSE(IS_LESS, a, NUM(0.625), DO3(FMADD, DO2(MUL, a, z), p, a), beyond), x);
}

/* -- log, log1p ------------------------------------------------------------------------------------- */

/* The power, a whole number from 0 up, has 2^23 added to it. */
static V split_power(Straight *s, V x, V *n) {
    V bits = DO2(WHOLE_ADD, x, BITS(ONE - SQRT_HALF));
    *n = DO2(OR, DO1(SHIFT_RIGHT, 23, bits), NUM(TWO_23));
    return DO2(WHOLE_ADD, DO2(AND, bits, BITS(MANTISSA)), BITS(SQRT_HALF));
}

static V log_of_parts(Straight *s, V n, V f) {
    V z = DO2(MUL, f, f);
    V p = POLY(f, 3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1,
               -1.2420140846e-1, 1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2);
    V tail = DO3(FMADD, n, NUM(LN2_LO), DO3(FMADD, DO2(MUL, f, z), p, DO2(MUL, NUM(-0.5), z)));
    return DO3(FMADD, n, NUM(LN2_HI), DO2(ADD, f, tail));
}

static V in_line_log(Straight *s, V x) {
    const double least = 1.17549435e-38;
    V n, m = split_power(s, CHOOSE(IS_LESS, x, NUM(least), DO2(MUL, x, NUM(8388608.0)), x), &n);
    V zero = CHOOSE(IS_LESS, x, NUM(least), NUM(TWO_23 + 150.0), NUM(TWO_23 + 127.0));
    V result = log_of_parts(s, DO2(SUB, n, zero), DO2(SUB, m, NUM(1.0)));
    return with_ends(s, result, x, 0.0);
}

static V in_line_log1p(Straight *s, V x) {
    V u = DO2(ADD, NUM(1.0), x), n, m = split_power(s, u, &n);
    V scale = DO2(WHOLE_ADD, DO2(WHOLE_SUB, m, u), BITS(TWO));
    V f = DO3(FMADD, DO2(MUL, NUM(0.5), lost_by_one(s, x, u)), scale, DO2(SUB, m, NUM(1.0)));
    V result = log_of_parts(s, DO2(SUB, n, NUM(TWO_23 + 127.0)), f);
    result = CHOOSE(IS_LESS, absolute(s, x), NUM(1e-36), x, result);
    return with_ends(s, result, x, -1.0);
}

/* -- sin, cos --------------------------------------------------------------------------------------- */

static V turned_sin(Straight *s, V x, uint64_t turn) {
    V n[2], rest[2];
    for (int upper = 0; upper < 2; upper++) {
        V wide = straight_half(s, x, upper);
        s->is_float32 = 0;
        n[upper] = DO2(SUB, DO3(FMADD, wide, NUM(0.63661977236758134), NUM(ROUNDER)), NUM(ROUNDER));
        rest[upper] = DO3(FNMADD, n[upper], NUM(1.5707963267341256), wide);
        rest[upper] = DO3(FNMADD, n[upper], NUM(6.077100506506192e-11), rest[upper]);
        s->is_float32 = 1;
    }
    V r = straight_joined(s, rest[0], rest[1]), z = DO2(MUL, r, r);
    V turns = DO2(ADD, straight_joined(s, n[0], n[1]), NUM(ROUNDER_FLOAT));
    if (turn) turns = DO2(WHOLE_ADD, turns, BITS(turn));

    V p = POLY(z, -1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4);
    V q = POLY(z, 4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5);
    V sine = DO3(FMADD, DO2(MUL, r, z), p, r);
    V cosine = DO3(FMADD, DO2(MUL, z, z), q, DO3(FMADD, z, NUM(-0.5), NUM(1.0)));
    V odd = DO2(WHOLE_SUB, BITS(0), DO2(AND, turns, BITS(1)));
    V chosen = DO2(OR, DO2(ANDN, odd, sine), DO2(AND, cosine, odd));
    return DO2(XOR, chosen, DO1(SHIFT_LEFT, 30, DO2(AND, turns, BITS(2))));
}

static V in_line_sin(Straight *s, V x) {
    V sine = turned_sin(s, absolute(s, x), 0);
    return or_library(s, OP_sin, DO2(XOR, sine, DO2(AND, x, BITS(SIGN))), x);
}

static V in_line_cos(Straight *s, V x) { return or_library(s, OP_cos, turned_sin(s, absolute(s, x), 1), x); }

uint32_t (*const float32_functions[OP_COUNT])(Straight *s, uint32_t x) = {
    [OP_exp] = in_line_exp,   [OP_expm1] = in_line_expm1, [OP_log] = in_line_log, [OP_log1p] = in_line_log1p,
    [OP_tanh] = in_line_tanh, [OP_sin] = in_line_sin,     [OP_cos] = in_line_cos,
};
