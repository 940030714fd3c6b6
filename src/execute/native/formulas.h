/* SPDX-License-Identifier: MIT
 *
 * Words in which elementary.c and elementary_float32.c write down formulas, each for numbers of its own kind.
 */
#ifndef MICROGRAD_C_FORMULAS_H
#define MICROGRAD_C_FORMULAS_H

#include <math.h>

#include "encode.h"
#include "straight.h"

#define DO1(op, detail, a) straight_do(s, PRIMITIVE_##op, detail, a, NONE, NONE, NONE)
#define DO2(op, a, b) straight_do(s, PRIMITIVE_##op, 0, a, b, NONE, NONE)
#define DO3(op, a, b, c) straight_do(s, PRIMITIVE_##op, 0, a, b, c, NONE)
#define CHOOSE(comparison, a, b, then, otherwise) \
    straight_do(s, PRIMITIVE_SELECT, COMPARE_##comparison, a, b, then, otherwise)
#define NUM(number) straight_number(s, number)
#define BITS(bits) straight_bits(s, bits)

#define SIGN (s->is_float32 ? UINT64_C(0x80000000) : UINT64_C(0x8000000000000000))
#define NOT_SIGN (s->is_float32 ? UINT64_C(0x7fffffff) : UINT64_C(0x7fffffffffffffff))
#define SIN_LIMIT 1.6e6

typedef uint32_t V;

static inline V absolute(Straight *s, V x) { return DO2(AND, x, BITS(NOT_SIGN)); }
static inline V negative(Straight *s, V x) { return DO2(XOR, x, BITS(SIGN)); }
static inline V with_sign(Straight *s, V size, V sign) {
    return DO2(OR, DO2(AND, size, BITS(NOT_SIGN)), DO2(AND, sign, BITS(SIGN)));
}

/* a[0] + x a[1] + x^2 a[2] + ... */
static inline V polynomial(Straight *s, V x, const double *a, int count) {
    V sum = NUM(a[count - 1]);
    while (--count) sum = DO3(FMADD, x, sum, NUM(a[count - 1]));
    return sum;
}
#define POLY(x, ...) \
    polynomial(s, x, (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

/* What is lost where 1 + x becomes u. */
static inline V lost_by_one(Straight *s, V x, V u) {
    V from_x = DO2(SUB, u, NUM(1.0));
    return DO2(ADD, DO2(SUB, x, from_x), DO2(SUB, NUM(1.0), DO2(SUB, u, from_x)));
}

/* A logarithm that is -inf at `lowest`, and none below it. */
static inline V with_ends(Straight *s, V result, V x, double lowest) {
    result = CHOOSE(IS_EQUAL, x, NUM(INFINITY), x, result);
    result = CHOOSE(IS_EQUAL, x, NUM(lowest), NUM(-INFINITY), result);
    return CHOOSE(IS_GREATER_EQUAL, x, NUM(lowest), result, NUM(NAN));
}

/* With the library's where the argument is beyond the limit. */
static inline V or_library(Straight *s, Op op, V result, V x) {
    return straight_do(s, PRIMITIVE_TURNED, op, result, x, BITS(NOT_SIGN), NUM(SIN_LIMIT));
}

#endif
