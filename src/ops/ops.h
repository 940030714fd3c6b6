/* SPDX-License-Identifier: MIT
 *
 * The operation table: one row, one operation.
 *
 * Everything that knows an operation by name expands this table: the value that eager code
 * records, the chain rule in the sweep, the methods of Value, the stub and the derivative tests.
 *
 * In a row, x, y and w are the operands' values, z is the result and g is the adjoint of the result.
 * A chain-rule cell says what the operand's adjoint gains; it is written on g, not multiplied by it
 * afterwards, so that a kink can stop an infinite adjoint (inf * 0 would be NaN).
 *
 *   id      enumerator OP_<id>, and the method's name where there is a method
 *   symbol  what Value._op shows
 *   refuse  which of Python's refusals the value obeys, see enum Refusal
 *   lo, hi  an interval inside the domain, for tests that draw operands
 *
 * Derivatives at kinks follow PyTorch's derivatives.yaml.
 */
#ifndef MICROGRAD_C_OPS_H
#define MICROGRAD_C_OPS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_MSC_VER)
#define FORCE_INLINE static __forceinline
#define NO_INLINE __declspec(noinline)
#else
#define FORCE_INLINE static inline __attribute__((always_inline))
#define NO_INLINE __attribute__((noinline))
#endif

/* Python's own refusals. "math" ones: NaN out of a number is a ValueError. */
typedef enum {
    REFUSE_NOTHING,  /* IEEE arithmetic, as Python's + - * do                               */
    REFUSE_OVERFLOW, /* math: infinity out of a finite operand is an OverflowError          */
    REFUSE_POLE,     /* math: infinity out of a finite operand is a ValueError              */
    REFUSE_ZERO,     /* a zero divisor is a ZeroDivisionError                               */
    REFUSE_POWER     /* float ** float: zero to a negative, complex results, overflow       */
} Refusal;

/* -- the law of the cell ----------------------------------------------------------------------
 *
 * A cell holds numbers, x y w z g, arithmetic, choices by one comparison, and calls of other rows (fabs
 * is row abs), and nothing else, so that the reader of cells.h understands what the C compiler does.
 * Gains are linear in g. Rows that other cells call and the C library has not got are C functions, too:
 * those of FOR_EACH_CALLED_..., which stand before what calls them. */

#define INV_SQRT_2 0.70710678118654752440
#define INV_SQRT_2PI 0.39894228040143267794
#define TWO_INV_SQRT_PI 1.12837916709551257390
#define LN_2 0.69314718055994530942
#define LN_10 2.30258509299404568402

/* clang-format off */

/* Inner rows are nobody's method or operator: derivatives and choices are made of them.
 * same: a node of its own with another one's number. less and its like: 1 or 0. */
#define FOR_EACH_INNER_UNARY(UNARY) \
    UNARY(same,     "=",        REFUSE_NOTHING,  -3, 3,      x,                            g)

#define FOR_EACH_INNER_BINARY(BINARY) \
    BINARY(less,    "<",        REFUSE_NOTHING,  -3, 3,      x < y ? 1.0 : 0.0,            0.0,                0.0) \
    BINARY(less_equal, "<=",    REFUSE_NOTHING,  -3, 3,      x <= y ? 1.0 : 0.0,           0.0,                0.0) \
    BINARY(equal,   "==",       REFUSE_NOTHING,  -3, 3,      x == y ? 1.0 : 0.0,           0.0,                0.0)

/* UNARY(id, symbol, refuse, lo, hi, value, gain of x) */
#define FOR_EACH_UNARY(UNARY) FOR_EACH_TURNING(UNARY) FOR_EACH_OTHER_UNARY(UNARY)

/* Those that vector units compute for arguments up to a limit only: see vmath.h. */
#define FOR_EACH_TURNING(UNARY) \
    UNARY(sin,      "sin",      REFUSE_OVERFLOW, -3, 3,      sin(x),                       g * cos(x)) \
    UNARY(cos,      "cos",      REFUSE_OVERFLOW, -3, 3,      cos(x),                       -g * sin(x))

/* sigmoid: never exp of a positive number, so no overflow on either side.
 * normal_cdf: the normal distribution's cumulative function; erfc keeps the lower tail's digits. */
#define FOR_EACH_CALLED_UNARY(UNARY) \
    UNARY(sigmoid,  "sigmoid",  REFUSE_NOTHING,  -3, 3,      (x >= 0 ? 1.0 : exp(-fabs(x))) / (1.0 + exp(-fabs(x))), g * z * (1.0 - z)) \
    UNARY(normal_cdf, "normal_cdf", REFUSE_NOTHING, -3, 3,   0.5 * erfc(-x * INV_SQRT_2),  g * INV_SQRT_2PI * exp(-0.5 * x * x))

#define FOR_EACH_OTHER_UNARY(UNARY) FOR_EACH_CALLED_UNARY(UNARY) FOR_EACH_INNER_UNARY(UNARY) \
    UNARY(neg,      "neg",      REFUSE_NOTHING,  -3, 3,      -x,                           -g) \
    UNARY(abs,      "abs",      REFUSE_NOTHING,  -3, 3,      fabs(x),                      x > 0 ? g : x < 0 ? -g : 0.0) \
    UNARY(sign,     "sign",     REFUSE_NOTHING,  -3, 3,      x > 0 ? 1.0 : x < 0 ? -1.0 : x, 0.0) \
    UNARY(floor,    "floor",    REFUSE_NOTHING,  -3, 3,      floor(x),                     0.0) \
    UNARY(ceil,     "ceil",     REFUSE_NOTHING,  -3, 3,      ceil(x),                      0.0) \
    UNARY(exp,      "exp",      REFUSE_OVERFLOW, -3, 3,      exp(x),                       g * z) \
    UNARY(exp2,     "exp2",     REFUSE_OVERFLOW, -3, 3,      exp2(x),                      g * (z * LN_2)) \
    UNARY(expm1,    "expm1",    REFUSE_OVERFLOW, -3, 3,      expm1(x),                     g * (z + 1.0)) \
    UNARY(log,      "log",      REFUSE_POLE,     0.1, 5,     log(x),                       g / x) \
    UNARY(log2,     "log2",     REFUSE_POLE,     0.1, 5,     log2(x),                      g / (x * LN_2)) \
    UNARY(log10,    "log10",    REFUSE_POLE,     0.1, 5,     log10(x),                     g / (x * LN_10)) \
    UNARY(log1p,    "log1p",    REFUSE_POLE,     -0.9, 5,    log1p(x),                     g / (1.0 + x)) \
    UNARY(sqrt,     "sqrt",     REFUSE_OVERFLOW, 0.1, 5,     sqrt(x),                      g * 0.5 / z) \
    UNARY(cbrt,     "cbrt",     REFUSE_NOTHING,  0.1, 5,     cbrt(x),                      g / (3.0 * z * z)) \
    UNARY(tan,      "tan",      REFUSE_OVERFLOW, -1.2, 1.2,  tan(x),                       g * (1.0 + z * z)) \
    UNARY(asin,     "asin",     REFUSE_OVERFLOW, -0.9, 0.9,  asin(x),                      g / sqrt((1.0 - x) * (1.0 + x))) \
    UNARY(acos,     "acos",     REFUSE_OVERFLOW, -0.9, 0.9,  acos(x),                      -g / sqrt((1.0 - x) * (1.0 + x))) \
    UNARY(atan,     "atan",     REFUSE_OVERFLOW, -3, 3,      atan(x),                      g / (1.0 + x * x)) \
    UNARY(sinh,     "sinh",     REFUSE_OVERFLOW, -3, 3,      sinh(x),                      g * cosh(x)) \
    UNARY(cosh,     "cosh",     REFUSE_OVERFLOW, -3, 3,      cosh(x),                      g * sinh(x)) \
    UNARY(tanh,     "tanh",     REFUSE_NOTHING,  -3, 3,      tanh(x),                      g * (1.0 - z * z)) \
    UNARY(asinh,    "asinh",    REFUSE_NOTHING,  -3, 3,      asinh(x),                     g / sqrt(1.0 + x * x)) \
    UNARY(acosh,    "acosh",    REFUSE_OVERFLOW, 1.1, 5,     acosh(x),                     g / sqrt((x - 1.0) * (x + 1.0))) \
    UNARY(atanh,    "atanh",    REFUSE_POLE,     -0.9, 0.9,  atanh(x),                     g / ((1.0 - x) * (1.0 + x))) \
    UNARY(relu,     "relu",     REFUSE_NOTHING,  -3, 3,      x <= 0 ? 0.0 : x,             z <= 0 ? 0.0 : g) \
    UNARY(softplus, "softplus", REFUSE_NOTHING,  -3, 3,      (x > 0 ? x : 0.0) + log1p(exp(-fabs(x))), g * sigmoid(x)) \
    UNARY(gelu,     "gelu",     REFUSE_NOTHING,  -3, 3,      x * normal_cdf(x),            g * (normal_cdf(x) + x * INV_SQRT_2PI * exp(-0.5 * x * x))) \
    UNARY(silu,     "silu",     REFUSE_NOTHING,  -3, 3,      x * sigmoid(x),               g * sigmoid(x) * (1.0 + x * sigmoid(-x))) \
    UNARY(erf,      "erf",      REFUSE_NOTHING,  -3, 3,      erf(x),                       g * TWO_INV_SQRT_PI * exp(-x * x)) \
    UNARY(erfc,     "erfc",     REFUSE_NOTHING,  -3, 3,      erfc(x),                      -g * TWO_INV_SQRT_PI * exp(-x * x))

/* BINARY(id, symbol, refuse, lo, hi, value, gain of x, gain of y)
 * floordiv: as Python's floats. whole_quotient, an inner row, too: what it rounds. */
#define FOR_EACH_BINARY(BINARY) FOR_EACH_CALLED_BINARY(BINARY) FOR_EACH_INNER_BINARY(BINARY) FOR_EACH_OTHER_BINARY(BINARY)

#define FOR_EACH_CALLED_BINARY(BINARY) FOR_EACH_INNER_CALLED_BINARY(BINARY) FOR_EACH_OTHER_CALLED_BINARY(BINARY)

/* product: 0 times anything is 0. */
#define FOR_EACH_INNER_CALLED_BINARY(BINARY) \
    BINARY(product, "*",        REFUSE_NOTHING,  -3, 3,      x == 0 ? 0.0 : x * y,         g * y,              product(x, g)) \
    BINARY(whole_quotient, "//", REFUSE_ZERO,    0.3, 3,     (x - fmod(x, y)) / y - (fmod(x, y) == 0 ? 0.0 : fmod(x, y) < 0 ? y < 0 ? 0.0 : 1.0 : y < 0 ? 1.0 : 0.0), 0.0, 0.0)

#define FOR_EACH_OTHER_CALLED_BINARY(BINARY) \
    BINARY(maximum, "maximum",  REFUSE_NOTHING,  -3, 3,      x != x ? x : x > y ? x : y,   x == y ? g * 0.5 : x < y ? 0.0 : g, x == y ? g * 0.5 : y < x ? 0.0 : g) \
    BINARY(minimum, "minimum",  REFUSE_NOTHING,  -3, 3,      x != x ? x : x < y ? x : y,   x == y ? g * 0.5 : x > y ? 0.0 : g, x == y ? g * 0.5 : y > x ? 0.0 : g) \
    BINARY(floordiv, "//",      REFUSE_ZERO,     0.3, 3,     whole_quotient(x, y) == 0 ? 0.0 * (x / y) : whole_quotient(x, y) - floor(whole_quotient(x, y)) > 0.5 ? floor(whole_quotient(x, y)) + 1.0 : floor(whole_quotient(x, y)), 0.0, 0.0)

/* pow: a square is a product, the same double as pow's, at a tenth of its time.
 * Its gains have the right derivatives at whole y, too: no branch for one y alone may leave y out.
 * mod: as Python's floats, whose remainder has the divisor's sign; fmod: as C's, whose has x's. */
#define FOR_EACH_OTHER_BINARY(BINARY) \
    BINARY(add,     "+",        REFUSE_NOTHING,  -3, 3,      x + y,                        g,                  g) \
    BINARY(sub,     "-",        REFUSE_NOTHING,  -3, 3,      x - y,                        g,                  -g) \
    BINARY(mul,     "*",        REFUSE_NOTHING,  -3, 3,      x * y,                        g * y,              g * x) \
    BINARY(truediv, "/",        REFUSE_ZERO,     0.3, 3,     x / y,                        g / y,              -g * z / y) \
    BINARY(pow,     "**",       REFUSE_POWER,    0.3, 3,     y == 2.0 ? x * x : pow(x, y), y == 0.0 ? x == 0 ? 0.0 : product(y, g * pow(x, y - 1.0)) : g * (y * pow(x, y - 1.0)), x == 0 ? y >= 0 ? 0.0 : g * z * log(x) : g * z * log(x)) \
    BINARY(fmod,    "fmod",     REFUSE_OVERFLOW, 0.3, 3,     fmod(x, y),                   g,                  -g * ((x - fmod(x, y)) / y)) \
    BINARY(mod,     "%",        REFUSE_ZERO,     0.3, 3,     fmod(x, y) == 0 ? (y < 0 ? -0.0 : 0.0) : fmod(x, y) < 0 ? y > 0 ? fmod(x, y) + y : fmod(x, y) : y < 0 ? fmod(x, y) + y : fmod(x, y), g, -g * floordiv(x, y)) \
    BINARY(atan2,   "atan2",    REFUSE_NOTHING,  0.3, 3,     atan2(x, y),                  g * y / (x * x + y * y), -g * x / (x * x + y * y)) \
    BINARY(hypot,   "hypot",    REFUSE_NOTHING,  0.3, 3,     hypot(x, y),                  g * (x / z),        g * (y / z))

/* SCALED(id, symbol, refuse, lo, hi, value, gain of x): y is a plain number, not an operand. */
#define FOR_EACH_SCALED(SCALED) \
    SCALED(pow_number, "**",         REFUSE_POWER,   0.3, 3, y == 2.0 ? x * x : pow(x, y), y == 2.0 ? g * (2.0 * x) : y == 0.0 ? 0.0 : g * (y * pow(x, y - 1.0))) \
    SCALED(leaky_relu, "leaky_relu", REFUSE_NOTHING, -3, 3,  x > 0 ? x : x * y,            x > 0 ? g : g * y)

/* TERNARY(id, symbol, refuse, lo, hi, value, gain of x, gain of y, gain of w) */
#define FOR_EACH_TERNARY(TERNARY) \
    TERNARY(where,  "where",    REFUSE_NOTHING,  -3, 3,      x > 0 ? y : w,                0.0,                x > 0 ? g : 0.0, x > 0 ? 0.0 : g) \
    TERNARY(clip,   "clip",     REFUSE_NOTHING,  -3, 3,      minimum(maximum(x, y), w),    x < y ? 0.0 : x > w ? 0.0 : g, x < y ? y <= w ? g : 0.0 : 0.0, x > w ? g : y > w ? g : 0.0)

/* STOPPED(id, symbol, refuse, lo, hi, value): of one operand, which gains nothing, so that there is no
 * chain rule. Compiled functions record them; eager code makes a leaf instead (Value.detach). */
#define FOR_EACH_STOPPED(STOPPED) \
    STOPPED(detach, "detach",   REFUSE_NOTHING,  -3, 3,      x)

/* VARIADIC(id, symbol): any number of operands; value and rule stand in sweep.c. Those of loops (program/loops.h)
 * stand on the tape only while a function is recorded: they have no number, and a number among their operands is
 * that of a leaf. */
#define FOR_EACH_VARIADIC(VARIADIC) \
    VARIADIC(sum,    "sum")    /* x0 + x1 + ...                                              */ \
    VARIADIC(dot,    "dot")    /* w0, x0, w1, x1, ..., and a bias if the count is odd        */ \
    VARIADIC(take,   "take")   /* index, v0, v1, ...                                         */ \
    VARIADIC(scan,   "scan")   /* which Scan, initial carries, sequences, captured nodes     */ \
    VARIADIC(part,   "part")   /* a scan or a sequence, and which number of it               */ \
    VARIADIC(sequence, "sequence") /* a scan, and which sequence that it gives               */ \
    VARIADIC(list,   "list")   /* a sequence of nodes                                        */ \
    VARIADIC(custom, "custom") /* k operands, then k leaves that hold the local derivatives  */ \
    VARIADIC(opaque, "")       /* operands of a node whose rule only Python knows            */

/* clang-format on */

/* Switches over Op, Variadic and Shape have no default, and the build fails where one of them leaves an
 * enumerator out: a new operation gets its rules everywhere, and never another's. */
typedef enum {
    OP_leaf,
#define ID(id, ...) OP_##id,
    FOR_EACH_BINARY(ID) FOR_EACH_UNARY(ID) FOR_EACH_SCALED(ID) FOR_EACH_STOPPED(ID) FOR_EACH_TERNARY(ID)
        FOR_EACH_VARIADIC(ID)
#undef ID
} Op;

typedef enum {
#define ID(id, ...) VARIADIC_##id = OP_##id,
    FOR_EACH_VARIADIC(ID)
#undef ID
} Variadic;

enum {
#define PLUS_ONE(...) +1
    OP_COUNT = 1 FOR_EACH_BINARY(PLUS_ONE) FOR_EACH_UNARY(PLUS_ONE) FOR_EACH_SCALED(PLUS_ONE) FOR_EACH_STOPPED(PLUS_ONE)
        FOR_EACH_TERNARY(PLUS_ONE) FOR_EACH_VARIADIC(PLUS_ONE),
#undef PLUS_ONE
    OP_FIRST_LISTED = OP_where, /* from here on, a node's operands stand in a list */
    OP_FIRST_VARIADIC = OP_sum,
    OP_CLOSURE = 0x80 /* flag beside the operation: Python has replaced the chain rule */
};

typedef enum { LEAF, UNARY, SCALED, STOPPED, BINARY, TERNARY, VARIADIC } Shape;

typedef struct {
    const char *name;
    const char *symbol;
    Shape shape;
    double low, high;
    uint8_t arity; /* operands that a node of the row has: y is a number of a SCALED one's own; of VARIADIC, 0 */
} OpInfo;

/* The rows, in ops.c. */
extern const OpInfo op_info[];

/* Here, where the compiler sees it: the code that records an operation mostly knows which. */
static const uint8_t op_refusal[OP_COUNT] = {
#define REFUSAL(id, symbol, refuse, ...) [OP_##id] = refuse,
    FOR_EACH_BINARY(REFUSAL) FOR_EACH_UNARY(REFUSAL) FOR_EACH_SCALED(REFUSAL) FOR_EACH_STOPPED(REFUSAL)
        FOR_EACH_TERNARY(REFUSAL)
#undef REFUSAL
};

typedef char op_leaves_room_for_closure_flag[OP_COUNT <= OP_CLOSURE ? 1 : -1];

/* The rows that cells call, and the C library has not got. */
#define FUNCTION1(id, symbol, refuse, lo, hi, value, ...) \
    FORCE_INLINE double id(double x) { return value; }
#define FUNCTION2(id, symbol, refuse, lo, hi, value, ...) \
    static inline double id(double x, double y) { return value; }
FOR_EACH_CALLED_UNARY(FUNCTION1)
FOR_EACH_CALLED_BINARY(FUNCTION2)
#undef FUNCTION1
#undef FUNCTION2

/* Whether the row is an inner one. */
static inline int op_is_inner(int op) {
#define IS_THIS(id, ...) || op == OP_##id
    return 0 FOR_EACH_INNER_UNARY(IS_THIS) FOR_EACH_INNER_BINARY(IS_THIS) FOR_EACH_INNER_CALLED_BINARY(IS_THIS);
#undef IS_THIS
}

/* Whether the row is a method of Value, too: one whose symbol is its name. But where is a function only:
 * people know x.where(condition, y), whose operands stand in another order. */
static inline int op_is_method(int op) {
    Shape shape = op_info[op].shape;
    return (shape == UNARY || shape == BINARY || shape == TERNARY) && op != OP_where &&
           strcmp(op_info[op].name, op_info[op].symbol) == 0;
}

/* Whether an operand of the row gains nothing, whatever the numbers are: its cell is 0.0. */
#define IS_ZERO(cell) (strcmp(#cell, "0.0") == 0)

static inline int cell_stops(Op op, int which) {
    switch (op) {
#define CELLS1(id, symbol, refuse, lo, hi, value, x, ...) \
    case OP_##id: return IS_ZERO(x);
#define CELLS2(id, symbol, refuse, lo, hi, value, x, y) \
    case OP_##id: return which ? IS_ZERO(y) : IS_ZERO(x);
#define CELLS3(id, symbol, refuse, lo, hi, value, x, y, w) \
    case OP_##id: return which == 0 ? IS_ZERO(x) : which == 1 ? IS_ZERO(y) : IS_ZERO(w);
#define NO_CELLS(id, ...) \
    case OP_##id: return 1;
        FOR_EACH_UNARY(CELLS1)
        FOR_EACH_SCALED(CELLS1)
        FOR_EACH_BINARY(CELLS2)
        FOR_EACH_TERNARY(CELLS3)
        FOR_EACH_STOPPED(NO_CELLS)
#undef CELLS1
#undef CELLS2
#undef CELLS3
#undef NO_CELLS
    case OP_take: return which == 0; /* the index */
    case OP_scan: return which == 0; /* these numbers are names */
    case OP_part:
    case OP_sequence: return which == 1;
    case OP_list:
    case OP_leaf:
    case OP_sum:
    case OP_dot:
    case OP_custom:
    case OP_opaque: return 0;
    }
    abort();
}

static inline uint32_t op_arity(int op) { return op_info[op].arity; }

/* The value of an operation with a cell; what it has no operand for is ignored. */
FORCE_INLINE double op_value(int op, double x, double y, double w) {
    switch ((Op)op) {
#define CASE(id, symbol, refuse, lo, hi, value, ...) \
    case OP_##id: return value;
        FOR_EACH_BINARY(CASE)
        FOR_EACH_UNARY(CASE)
        FOR_EACH_SCALED(CASE)
        FOR_EACH_STOPPED(CASE)
        FOR_EACH_TERNARY(CASE)
#undef CASE
    case OP_leaf:
#define OTHER(id, ...) case OP_##id:
        FOR_EACH_VARIADIC(OTHER)
#undef OTHER
        break;
    }
    abort(); /* leaves are given their value, VARIADIC nodes have tape_variadic_value */
}

/* Which of Python's refusals meets this result: what the boundary turns into an exception. */
typedef enum { ACCEPTED, DOMAIN_ERROR, OVERFLOW_ERROR, ZERO_DIVISION_ERROR } Verdict;

FORCE_INLINE Verdict op_verdict(int op, double x, double y, double z) {
    switch ((Refusal)op_refusal[op]) {
    case REFUSE_OVERFLOW:
    case REFUSE_POLE:
        if (z - z == 0) return ACCEPTED;
        if (z != z) return x != x || y != y ? ACCEPTED : DOMAIN_ERROR;
        if (x - x != 0 || y - y != 0) return ACCEPTED;
        return op_refusal[op] == REFUSE_POLE ? DOMAIN_ERROR : OVERFLOW_ERROR;
    case REFUSE_ZERO: return y == 0 ? ZERO_DIVISION_ERROR : ACCEPTED;
    case REFUSE_POWER:
        if (z - z == 0 || x - x != 0 || y - y != 0) return ACCEPTED;
        if (x == 0) return ZERO_DIVISION_ERROR;
        return z != z ? DOMAIN_ERROR : OVERFLOW_ERROR;
    case REFUSE_NOTHING: return ACCEPTED;
    }
    abort();
}

#endif
