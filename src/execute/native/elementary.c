/* SPDX-License-Identifier: MIT
 *
 * The elementary functions of vmath.h, line by line: same operations in the same order, and so the same
 * numbers to the last bit where vmath.h is compiled with fused multiplication and addition. There stand
 * the sources of the formulas, and how near they come.
 */
#include "elementary.h"

#include "formulas.h"

#define MANTISSA UINT64_C(0x000fffffffffffff)
#define SQRT_HALF UINT64_C(0x3fe6a09e667f3bcd)
#define ONE UINT64_C(0x3ff0000000000000)
#define TWO UINT64_C(0x4000000000000000)
#define TWO_52 4503599627370496.0
#define ROUNDER 6755399441055744.0
#define INV_LN2 1.44269504088896338700
#define LN2_HI 6.93147180369123816490e-01
#define LN2_LO 1.90821492927058770002e-10
#define ERF_SPLIT 0.477

/* -- exp, expm1, tanh, sinh, cosh ------------------------------------------------------------------- */

/* x = n ln 2 + hi - lo. */
typedef struct {
    V biased, hi, lo, tail;
} Reduced;

static V exp_even(Straight *s, V w) {
    return POLY(w, 0.5, 0.041666666666666671, 1.3888888888883746e-03, 2.4801587325552618e-05, 2.7557273636924405e-07,
                2.0914689542549555e-09);
}
static V exp_odd(Straight *s, V w) {
    return POLY(w, 0.16666666666666671, 8.3333333333261324e-03, 1.9841269874827454e-04, 2.7557255391544028e-06,
                2.5105220609870554e-08);
}

/* rest: what x is less than it should be, or NONE. */
static Reduced take_ln2(Straight *s, V x, V rest) {
    V sum = DO3(FMADD, x, NUM(INV_LN2), NUM(ROUNDER + 2046.0)), n = DO2(SUB, sum, NUM(ROUNDER + 2046.0));
    V lo = rest == NONE ? DO2(MUL, n, NUM(LN2_LO)) : DO3(FMADD, n, NUM(LN2_LO), rest);
    return (Reduced){.biased = sum, .hi = DO3(FNMADD, n, NUM(LN2_HI), x), .lo = lo};
}

static Reduced reduce(Straight *s, V x, V rest) {
    Reduced reduced = take_ln2(s, x, rest);
    V r = DO2(SUB, reduced.hi, reduced.lo), w = DO2(MUL, r, r);
    reduced.tail = DO3(FMSUB, w, DO3(FMADD, r, exp_odd(s, w), exp_even(s, w)), reduced.lo);
    return reduced;
}

static V scale_of(Straight *s, V biased, int shift) {
    return DO1(SHIFT_LEFT, 52, DO2(WHOLE_ADD, biased, BITS((uint64_t)(int64_t)(shift - 1023))));
}

static V scaled(Straight *s, V p, V biased) {
    V half = DO1(SHIFT_RIGHT, 1, biased);
    p = DO2(MUL, p, DO1(SHIFT_LEFT, 52, half));
    return DO2(MUL, p, DO1(SHIFT_LEFT, 52, DO2(WHOLE_SUB, biased, half)));
}

static V in_line_exp(Straight *s, V x) {
    V y = CHOOSE(IS_GREATER, x, NUM(710.0), NUM(710.0), x);
    y = CHOOSE(IS_LESS, y, NUM(-746.0), NUM(-746.0), y);
    Reduced e = reduce(s, y, NONE);
    V p = DO2(ADD, NUM(1.0), e.hi), p_rest = DO2(SUB, e.hi, DO2(SUB, p, NUM(1.0)));
    return scaled(s, DO2(ADD, p, DO2(ADD, p_rest, e.tail)), e.biased);
}

static V in_line_expm1(Straight *s, V x) {
    V y = CHOOSE(IS_GREATER, x, NUM(710.0), NUM(710.0), x);
    y = CHOOSE(IS_LESS, y, NUM(-40.0), NUM(-40.0), y);
    Reduced e = reduce(s, y, NONE);
    V scale = scale_of(s, e.biased, -1);
    V sum = DO3(FMADD, scale, e.tail, DO3(FMADD, scale, e.hi, DO2(SUB, scale, NUM(0.5))));
    return CHOOSE(IS_LESS, absolute(s, x), NUM(1e-300), x, DO2(MUL, NUM(2.0), sum));
}

static V in_line_tanh(Straight *s, V x) {
    V a = absolute(s, x), z = DO2(MUL, a, a);
    V t = CHOOSE(IS_GREATER, a, NUM(22.0), NUM(44.0), DO2(MUL, NUM(2.0), a));
    V p = POLY(z, -0.33333333333333331, -2.0501964963790299e-02, -1.9931832455122474e-04);
    V q = POLY(z, 1.0, 0.46150589489136995, 2.3295551025477503e-02, 2.0668398808135359e-04);
    Reduced e = reduce(s, t, NONE);
    V scale = scale_of(s, e.biased, 0);
    V exp_plus_1 = DO3(FMADD, scale, DO2(ADD, e.hi, e.tail), DO2(ADD, scale, NUM(1.0)));
    V above = CHOOSE(IS_LESS, a, NUM(0.55), DO2(MUL, DO2(MUL, a, z), p), NUM(-2.0));
    V below = CHOOSE(IS_LESS, a, NUM(0.55), q, exp_plus_1);
    V first = CHOOSE(IS_LESS, a, NUM(0.55), a, NUM(1.0));
    return with_sign(s, DO2(ADD, first, DO2(DIV, above, below)), x);
}

static V half_sum_of_exps(Straight *s, V a, double sign) {
    V y = CHOOSE(IS_GREATER, a, NUM(710.6), NUM(710.6), a);
    Reduced e = take_ln2(s, y, NONE);
    V r = DO2(SUB, e.hi, e.lo), w = DO2(MUL, r, r), scale = scale_of(s, e.biased, -2);
    V inverse = DO2(MUL, DO2(WHOLE_SUB, BITS(UINT64_C(2046) << 52), scale), NUM(sign / 16.0));
    V sinh_r = DO2(ADD, e.hi, DO3(FMSUB, DO2(MUL, r, w), exp_odd(s, w), e.lo));
    V cosh_r_less_1 = DO2(MUL, w, exp_even(s, w));
    V sum = DO2(ADD, scale, inverse), difference = DO2(SUB, scale, inverse);
    V rest = DO3(FMADD, sum, cosh_r_less_1, DO2(MUL, difference, sinh_r));
    return DO2(MUL, NUM(2.0), DO2(ADD, sum, rest));
}

static V in_line_cosh(Straight *s, V x) { return half_sum_of_exps(s, absolute(s, x), 1.0); }

static V in_line_sinh(Straight *s, V x) {
    V a = absolute(s, x), z = DO2(MUL, a, a);
    V p = POLY(z, 0.16666666666666666, 8.3333333333333299e-03, 1.9841269841324225e-04, 2.7557319191368742e-06,
               2.5052117698709828e-08, 1.6057679349819908e-10, 7.7461885561522747e-13);
    V near = DO3(FMADD, DO2(MUL, a, z), p, a);
    return with_sign(s, CHOOSE(IS_LESS, a, NUM(1.0), near, half_sum_of_exps(s, a, -1.0)), x);
}

/* -- log, log1p ------------------------------------------------------------------------------------- */

static V split_power(Straight *s, V x, V *n) {
    V bits = DO2(WHOLE_ADD, x, BITS(ONE - SQRT_HALF));
    *n = DO2(OR, DO1(SHIFT_RIGHT, 52, bits), NUM(TWO_52));
    return DO2(WHOLE_ADD, DO2(AND, bits, BITS(MANTISSA)), BITS(SQRT_HALF));
}

static V log_of_parts(Straight *s, V n, V f) {
    V t = DO2(DIV, f, DO2(ADD, NUM(2.0), f)), z = DO2(MUL, t, t), w = DO2(MUL, z, z);
    V half_square = DO2(MUL, DO2(MUL, NUM(0.5), f), f);
    V even = POLY(w, 0.66666666666666696, 0.28571428626001427, 0.18182889433757676, 0.14616576421689886);
    V odd = POLY(w, 0.39999999999899449, 0.22222211130560723, 0.15331711346668644);
    V r = DO2(MUL, z, DO3(FMADD, z, odd, even));
    V inner = DO3(FMADD, t, DO2(ADD, half_square, r), DO2(MUL, n, NUM(LN2_LO)));
    return DO3(FMADD, n, NUM(LN2_HI), DO2(SUB, f, DO2(SUB, half_square, inner)));
}

static V in_line_log(Straight *s, V x) {
    const double least = 2.2250738585072014e-308;
    V n, m = split_power(s, CHOOSE(IS_LESS, x, NUM(least), DO2(MUL, x, NUM(18014398509481984.0)), x), &n);
    V zero = CHOOSE(IS_LESS, x, NUM(least), NUM(TWO_52 + 1077.0), NUM(TWO_52 + 1023.0));
    V result = log_of_parts(s, DO2(SUB, n, zero), DO2(SUB, m, NUM(1.0)));
    return with_ends(s, result, x, 0.0);
}

static V in_line_log1p(Straight *s, V x) {
    V u = DO2(ADD, NUM(1.0), x), n, m = split_power(s, u, &n);
    V scale = DO2(WHOLE_ADD, DO2(WHOLE_SUB, m, u), BITS(TWO));
    V f = DO3(FMADD, DO2(MUL, NUM(0.5), lost_by_one(s, x, u)), scale, DO2(SUB, m, NUM(1.0)));
    V result = log_of_parts(s, DO2(SUB, n, NUM(TWO_52 + 1023.0)), f);
    result = CHOOSE(IS_LESS, absolute(s, x), NUM(1e-300), x, result);
    return with_ends(s, result, x, -1.0);
}

/* -- sin, cos, atan --------------------------------------------------------------------------------- */

static V turned_sin(Straight *s, V x, uint64_t turn) {
    V rounded = DO3(FMADD, x, NUM(0.63661977236758134), NUM(ROUNDER)), n = DO2(SUB, rounded, NUM(ROUNDER));
    V turns = turn ? DO2(WHOLE_ADD, rounded, BITS(turn)) : rounded;
    V t = DO3(FNMADD, n, NUM(1.5707963267341256), x);
    V b = DO2(MUL, n, NUM(6.077100506303966e-11)), c = DO2(MUL, n, NUM(2.0222662487111665e-21));
    V first = DO2(SUB, t, b), second = DO2(SUB, first, c);
    V lost = DO2(ADD, DO2(SUB, DO2(SUB, t, first), b), DO2(SUB, DO2(SUB, first, second), c));
    lost = DO2(SUB, lost, DO2(MUL, n, NUM(8.4784276603689e-32)));
    V r = DO2(ADD, second, lost), rest = DO2(ADD, DO2(SUB, second, r), lost);

    V z = DO2(MUL, r, r), half_square = DO2(MUL, NUM(0.5), z), most = DO2(SUB, NUM(1.0), half_square);
    V p = POLY(z, -0.16666666666666666, 8.3333333333309462e-03, -1.9841269836754971e-04, 2.7557316100683029e-06,
               -2.5051131455427562e-08, 1.5918101230251347e-10);
    V q = POLY(z, 0.041666666666666664, -1.3888888888887395e-03, 2.4801587298763433e-05, -2.7557317270560321e-07,
               2.0876146024689503e-09, -1.1382614868542080e-11);
    V sine = DO2(ADD, r, DO3(FMADD, DO2(MUL, r, z), p, DO2(MUL, rest, most)));
    V cosine = DO2(SUB, DO2(SUB, NUM(1.0), most), half_square);
    cosine = DO2(ADD, most, DO2(ADD, cosine, DO3(FMSUB, DO2(MUL, z, z), q, DO2(MUL, r, rest))));
    V odd = DO2(WHOLE_SUB, BITS(0), DO2(AND, turns, BITS(1)));
    V chosen = DO2(OR, DO2(ANDN, odd, sine), DO2(AND, cosine, odd));
    return DO2(XOR, chosen, DO1(SHIFT_LEFT, 62, DO2(AND, turns, BITS(2))));
}

static V in_line_sin(Straight *s, V x) {
    V sine = turned_sin(s, absolute(s, x), 0);
    return or_library(s, OP_sin, DO2(XOR, sine, DO2(AND, x, BITS(SIGN))), x);
}

static V in_line_cos(Straight *s, V x) { return or_library(s, OP_cos, turned_sin(s, absolute(s, x), 1), x); }

static V in_line_atan(Straight *s, V x) {
    V a = absolute(s, x), large = NUM(2.4142135623730950), little = NUM(0.41421356237309503), one = NUM(1.0);
    V above = CHOOSE(IS_LESS, a, little, a, DO2(SUB, a, one));
    V below = CHOOSE(IS_LESS, a, little, one, DO2(ADD, a, one));
    V hi = CHOOSE(IS_LESS, a, little, NUM(0.0), NUM(0.78539816339744831));
    V lo = CHOOSE(IS_LESS, a, little, NUM(0.0), NUM(3.0616169978683830e-17));
    above = CHOOSE(IS_GREATER, a, large, NUM(-1.0), above);
    below = CHOOSE(IS_GREATER, a, large, a, below);
    hi = CHOOSE(IS_GREATER, a, large, NUM(1.5707963267948966), hi);
    lo = CHOOSE(IS_GREATER, a, large, NUM(6.1232339957367660e-17), lo);
    V t = DO2(DIV, above, below), z = DO2(MUL, t, t), w = DO2(MUL, z, z);
    V even = POLY(w, -0.33333333333333331, -0.14285714284666276, -0.090909045772482562, -0.066645111608498338,
                  -0.050854367129431878, -0.019176426306249021);
    V odd = POLY(w, 0.19999999999995519, 0.1111111101523481, 0.076921831704840672, 0.058581464237390841,
                 0.039231282015353315);
    V rest = DO3(FMADD, DO2(MUL, t, z), DO3(FMADD, z, odd, even), lo);
    return with_sign(s, DO2(ADD, hi, DO2(ADD, t, rest)), x);
}

/* -- erf, erfc -------------------------------------------------------------------------------------- */

static V erf_near_0(Straight *s, V a) {
    V z = DO2(MUL, a, a), w = DO2(MUL, z, z);
    V even = POLY(w, 0.12837916709551256, 0.11283791670939361, 0.005223977464803403, 0.0001205380566490271,
                  1.4870507871770795e-06);
    V odd = POLY(w, -0.37612638903183615, -0.026866170638023754, -0.0008548306605849234, -1.4858816643173938e-05);
    return DO3(FMADD, a, DO3(FMADD, z, odd, even), a);
}

static V head(Straight *s, V x) { return DO2(AND, x, BITS(~UINT64_C(0x7ffffff))); }

static V erfc_beyond(Straight *s, V a) {
    V y = CHOOSE(IS_GREATER, a, NUM(28.0), NUM(28.0), a);
    V y_head = head(s, y), square = DO2(MUL, y_head, y_head);
    V square_rest = DO2(MUL, DO2(SUB, y, y_head), DO2(ADD, y, y_head));
    Reduced e = reduce(s, negative(s, square), square_rest);
    V p = head(s, DO2(ADD, NUM(1.0), DO2(ADD, e.hi, e.tail)));
    V p_rest = DO2(ADD, DO2(SUB, e.hi, DO2(SUB, p, NUM(1.0))), e.tail);

    V t = DO2(DIV, DO2(SUB, y, NUM(3.265625)), DO2(ADD, y, NUM(3.265625)));
    V t2 = DO2(MUL, t, t), t4 = DO2(MUL, t2, t2), t7 = DO2(MUL, DO2(MUL, t4, t2), t);
    V low = POLY(t, -0.05026720302572725, -0.028118604435300593, 0.06608540925611252, -0.06471894655247995,
                 0.042616227964626545, -0.019537074073804287, 0.005424511462084941);
    V middle = POLY(t, -0.00016270872669896515, -0.0005474369902385732, 0.00016549933123152056, 3.473593310031067e-05,
                    -2.838875426740575e-05, -1.4587521778622287e-06, 4.417820349808736e-06);
    V high = POLY(t, 7.986285125836408e-09, -7.222265188568478e-07, -5.0527747516120575e-09, 1.184081780003865e-07,
                  3.0261864540815887e-09, -1.4155508946741561e-08);
    V varying = DO2(MUL, t, DO3(FMADD, t7, DO3(FMADD, t7, high, middle), low)), constant = NUM(0.6132412150903755);
    V g = head(s, DO2(ADD, constant, varying)), g_rest = DO2(SUB, varying, DO2(SUB, g, constant));

    V inverse = DO2(DIV, NUM(1.0), DO2(ADD, y, NUM(0.4375)));
    V below = head(s, DO2(ADD, y, NUM(0.4375))), below_rest = DO2(SUB, y, DO2(SUB, below, NUM(0.4375)));
    V above = DO2(MUL, g, p), above_rest = DO3(FMADD, g, p_rest, DO2(MUL, g_rest, DO2(ADD, p, p_rest)));
    V z = head(s, DO2(MUL, above, inverse));
    V z_rest = DO2(SUB, above, DO2(MUL, z, below));
    z_rest = DO2(ADD, z_rest, DO3(FNMADD, z, below_rest, above_rest));
    return scaled(s, DO3(FMADD, z_rest, inverse, z), e.biased);
}

static V in_line_erf(Straight *s, V x) {
    V a = absolute(s, x);
    V size = CHOOSE(IS_LESS, a, NUM(ERF_SPLIT), erf_near_0(s, a), DO2(SUB, NUM(1.0), erfc_beyond(s, a)));
    return with_sign(s, size, x);
}

static V in_line_erfc(Straight *s, V x) {
    V a = absolute(s, x), inner = with_sign(s, erf_near_0(s, a), x), tail = erfc_beyond(s, a);
    V outer = CHOOSE(IS_LESS, x, NUM(0.0), DO2(SUB, NUM(2.0), tail), tail);
    return CHOOSE(IS_LESS, a, NUM(ERF_SPLIT), DO2(SUB, NUM(1.0), inner), outer);
}

/* -- rows ------------------------------------------------------------------------------------------- */

static V in_line_sqrt(Straight *s, V x) { return DO1(SQRT, 0, x); }
static V in_line_floor(Straight *s, V x) { return DO1(ROUND, ROUND_DOWN, x); }
static V in_line_ceil(Straight *s, V x) { return DO1(ROUND, ROUND_UP, x); }
static V in_line_add(Straight *s, V x, V y) { return DO2(ADD, x, y); }
static V in_line_sub(Straight *s, V x, V y) { return DO2(SUB, x, y); }
static V in_line_mul(Straight *s, V x, V y) { return DO2(MUL, x, y); }
static V in_line_truediv(Straight *s, V x, V y) { return DO2(DIV, x, y); }

static V (*const unary[OP_COUNT])(Straight *s, V x) = {
    [OP_neg] = negative,        [OP_abs] = absolute,      [OP_sqrt] = in_line_sqrt,
    [OP_floor] = in_line_floor, [OP_ceil] = in_line_ceil,
};

static V (*const functions[OP_COUNT])(Straight *s, V x) = {
    [OP_exp] = in_line_exp,   [OP_expm1] = in_line_expm1, [OP_tanh] = in_line_tanh,   [OP_cosh] = in_line_cosh,
    [OP_sinh] = in_line_sinh, [OP_log] = in_line_log,     [OP_log1p] = in_line_log1p, [OP_sin] = in_line_sin,
    [OP_cos] = in_line_cos,   [OP_atan] = in_line_atan,   [OP_erf] = in_line_erf,     [OP_erfc] = in_line_erfc,
};

static V (*const binary[OP_COUNT])(Straight *s, V x, V y) = {
    [OP_add] = in_line_add,
    [OP_sub] = in_line_sub,
    [OP_mul] = in_line_mul,
    [OP_truediv] = in_line_truediv,
};

/* -- cells ------------------------------------------------------------------------------------------ */

/* A number of a cell: one of the line's kind or, of floats, one that has become a double, in halves. As in C, a
 * float becomes one where it meets one, or where a function has doubles alone. */
typedef struct {
    V lower, upper; /* upper: NONE if the former is all */
} Lanes;

static int is_wide(Lanes x) { return x.upper != NONE; }

static Lanes widened(Straight *s, Lanes x) {
    if (is_wide(x)) return x;
    V lower = straight_half(s, x.lower, 0);
    return (Lanes){lower, straight_half(s, x.lower, 1)};
}

static V narrowed(Straight *s, Lanes x) { return is_wide(x) ? straight_joined(s, x.lower, x.upper) : x.lower; }

/* Rows that have floats' functions, as vmath_float32.h and kernels_elementwise.h have them. */
static int has_floats(Op op) {
    return float32_functions[op] || unary[op] || op == OP_sigmoid || op == OP_product || op == OP_maximum ||
           op == OP_minimum;
}

static Lanes call_value(Straight *s, Op op, const Lanes of[3]) {
    uint32_t arity = op_arity(op);
    int is_arithmetic = op == OP_neg || binary[op], wide = s->is_float32 && !is_arithmetic && !has_floats(op);
    V x[3] = {NONE, NONE, NONE}, upper[3] = {NONE, NONE, NONE};
    for (uint32_t k = 0; k < arity && is_arithmetic; k++) wide |= is_wide(of[k]);
    for (uint32_t k = 0; k < arity; k++) {
        Lanes operand = wide ? widened(s, of[k]) : (Lanes){narrowed(s, of[k]), NONE};
        x[k] = operand.lower;
        upper[k] = operand.upper;
    }
    if (!wide) return (Lanes){row_value(s, op, 0, x[0], x[1], x[2]), NONE};
    Lanes result;
    s->is_float32 = 0;
    result.lower = row_value(s, op, 0, x[0], x[1], x[2]);
    result.upper = row_value(s, op, 0, upper[0], upper[1], upper[2]);
    s->is_float32 = 1;
    return result;
}

static Lanes choice_of(Straight *s, Predicate predicate, Lanes left, Lanes right, Lanes then, Lanes otherwise) {
    Lanes result = {NONE, NONE};
    if (!is_wide(left) && !is_wide(right) && !is_wide(then) && !is_wide(otherwise)) {
        result.lower = straight_do(s, PRIMITIVE_SELECT, predicate, left.lower, right.lower, then.lower,
                                   otherwise.lower);
        return result;
    }
    left = widened(s, left);
    right = widened(s, right);
    then = widened(s, then);
    otherwise = widened(s, otherwise);
    s->is_float32 = 0;
    result.lower = straight_do(s, PRIMITIVE_SELECT, predicate, left.lower, right.lower, then.lower, otherwise.lower);
    result.upper = straight_do(s, PRIMITIVE_SELECT, predicate, left.upper, right.upper, then.upper, otherwise.upper);
    s->is_float32 = 1;
    return result;
}

static int compare_holds(const Item *compare, double left, double right) {
    switch ((Compare)compare->compare) {
    case COMPARE_LESS: return left < right;
    case COMPARE_LESS_EQUAL: return left <= right;
    case COMPARE_EQUAL: return left == right;
    }
    abort();
}

/* own: the row whose value the cell is, or -1. What a row's value calls by the row's own name is a function of
 * the library. */
static Lanes item_value(Straight *s, const Cell *cell, uint8_t at, int own, const V names[NAME_COUNT]);

static Lanes choice_value(Straight *s, const Cell *cell, const Item *choice, int own, const V names[NAME_COUNT]) {
    static const Predicate predicates[] = {COMPARE_IS_LESS, COMPARE_IS_LESS_EQUAL, COMPARE_IS_EQUAL};
    const Item *compare = &cell->items[choice->a];
    Lanes left = item_value(s, cell, compare->a, own, names), right = item_value(s, cell, compare->b, own, names);
    double numbers[2];
    if (straight_known(s, left.lower, &numbers[0]) && straight_known(s, right.lower, &numbers[1])) /* it is made now */
        return item_value(s, cell, compare_holds(compare, numbers[0], numbers[1]) ? choice->b : choice->c, own, names);
    Lanes then = item_value(s, cell, choice->b, own, names), otherwise = item_value(s, cell, choice->c, own, names);
    return choice_of(s, predicates[compare->compare], left, right, then, otherwise);
}

static Lanes item_value(Straight *s, const Cell *cell, uint8_t at, int own, const V names[NAME_COUNT]) {
    const Item *item = &cell->items[at];
    switch ((ItemKind)item->kind) {
    case ITEM_NUMBER: return (Lanes){NUM(item->number), NONE};
    case ITEM_NAME: return (Lanes){names[item->name], NONE};
    case ITEM_CALL: {
        const uint8_t items[] = {item->a, item->b, item->c};
        V own_of[3] = {NONE, NONE, NONE};
        Lanes of[3];
        for (uint32_t k = 0; k < op_arity(item->op); k++) of[k] = item_value(s, cell, items[k], own, names);
        if (item->op != own) return call_value(s, (Op)item->op, of);
        for (uint32_t k = 0; k < op_arity(item->op); k++) own_of[k] = narrowed(s, of[k]);
        return (Lanes){straight_call(s, (Op)own, 0, own_of[0], own_of[1], own_of[2]), NONE};
    }
    case ITEM_CHOICE: return choice_value(s, cell, item, own, names);
    case ITEM_COMPARE: break; /* part of a choice */
    }
    abort();
}

static V cell_result(Straight *s, const Cell *cell, int own, const V names[NAME_COUNT]) {
    return narrowed(s, item_value(s, cell, (uint8_t)(cell->size - 1), own, names));
}

V row_gain(Straight *s, Op op, int which, const V names[NAME_COUNT]) {
    return cell_result(s, cell_of(op, which), -1, names);
}

V row_value(Straight *s, Op op, double number, V x, V y, V w) {
    V names[NAME_COUNT] = {x, op_info[op].shape == SCALED ? NUM(number) : y, w, NONE, NONE};
    if (s->is_float32 && float32_functions[op]) return float32_functions[op](s, x);
    if (s->is_float32 && functions[op]) return narrowed(s, call_value(s, op, (const Lanes[3]){{x, NONE}}));
    if (unary[op]) return unary[op](s, x);
    if (functions[op]) return functions[op](s, x);
    if (binary[op]) return binary[op](s, x, y);
    return cell_result(s, cell_of(op, -1), op, names);
}

uint32_t row_length(Op op) {
    enum { FUNCTION = 36 }; /* on the average of tanh, exp and sin */
    return functions[op] ? FUNCTION : 1;
}
