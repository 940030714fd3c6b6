/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: the cells of the operation table in loops, for values and for chain rules.
 */
/* -- numbers ----------------------------------------------------------------------------------------- */

/* Of floats, cells are computed in floats: numbers in them are, too, where the compiler can be told so. Functions
 * that vmath_float32.h has not got, and rows that other cells call, take doubles; of the latter, those that cost
 * nothing in doubles' digits are written out for floats. */
#ifdef FLOAT32
#define SIN_TAKES f_sin_takes
#define NEAR_SIN f_sin
#define NEAR_COS f_cos
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("single-precision-constant")
#endif
#define FLOAT_FUNCTION1(id, symbol, refuse, lo, hi, value, ...) \
    static inline float float_##id(float x) { return (float)(value); }
#define FLOAT_FUNCTION2(id, symbol, refuse, lo, hi, value, ...) \
    static inline float float_##id(float x, float y) { return (float)(value); }
FOR_EACH_CALLED_UNARY(FLOAT_FUNCTION1)
FOR_EACH_CALLED_BINARY(FLOAT_FUNCTION2)
#define sigmoid(x) float_sigmoid((float)(x))
#define product(x, y) float_product((float)(x), (float)(y))
#define maximum(x, y) float_maximum((float)(x), (float)(y))
#define minimum(x, y) float_minimum((float)(x), (float)(y))
#else
#define SIN_TAKES v_sin_takes
#define NEAR_SIN v_sin
#define NEAR_COS v_cos
#endif

/* -- elementwise kernels: cells of the table in a loop --------------------------------------------- */

typedef void (*MapKernel)(Real *restrict out, const Real *X, const Real *Y, size_t n);
typedef void (*GainKernel)(Real *restrict out, const Real *G, const Real *X, const Real *Y, const Real *Z, size_t n);

/* Which operands are one number for all lanes. */
enum { VECTORS, SECOND_IS_NUMBER, FIRST_IS_NUMBER, VARIANTS };

#define MAP(name, x_, y_, value)                                                   \
    static void name(Real *restrict out, const Real *X, const Real *Y, size_t n) { \
        for (size_t k = 0; k < n; k++) {                                           \
            const Real x = x_, y = y_;                                             \
            (void)y;                                                               \
            out[k] = (Real)(value);                                                \
        }                                                                          \
    }
#define MAP2(id, symbol, refuse, lo, hi, value, ...) \
    MAP(map_##id##_vv, X[k], Y[k], value)            \
    MAP(map_##id##_vs, X[k], Y[0], value)            \
    MAP(map_##id##_sv, X[0], Y[k], value)
#define MAP1(id, symbol, refuse, lo, hi, value, ...) MAP(map_##id##_vv, X[k], Y[0], value)
FOR_EACH_BINARY(MAP2)
FOR_EACH_OTHER_UNARY(MAP1)
FOR_EACH_SCALED(MAP1)
FOR_EACH_STOPPED(MAP1)

#define GAIN(name, x_, y_, before, gain)                                                                         \
    static void name(Real *restrict out, const Real *G, const Real *X, const Real *Y, const Real *Z, size_t n) { \
        for (size_t k = 0; k < n; k++) {                                                                         \
            const Real g = G[k], x = x_, y = y_, z = Z[k];                                                       \
            (void)g, (void)x, (void)y, (void)z;                                                                  \
            out[k] = (Real)(before(gain));                                                                       \
        }                                                                                                        \
    }
#define GAIN_SIDE(name, gain)                       \
    GAIN(name##_vv_set, X[k], Y[k], , gain)         \
    GAIN(name##_vs_set, X[k], Y[0], , gain)         \
    GAIN(name##_sv_set, X[0], Y[k], , gain)         \
    GAIN(name##_vv_add, X[k], Y[k], out[k] +, gain) \
    GAIN(name##_vs_add, X[k], Y[0], out[k] +, gain) \
    GAIN(name##_sv_add, X[0], Y[k], out[k] +, gain)
#define GAINS2(id, symbol, refuse, lo, hi, value, gain_x, gain_y) \
    GAIN_SIDE(gain_##id##_x, gain_x)                              \
    GAIN_SIDE(gain_##id##_y, gain_y)
#define GAINS1(id, symbol, refuse, lo, hi, value, gain_x) \
    GAIN(gain_##id##_x_set, X[k], Y[0], , gain_x)         \
    GAIN(gain_##id##_x_add, X[k], Y[0], out[k] +, gain_x)
FOR_EACH_BINARY(GAINS2)
FOR_EACH_OTHER_UNARY(GAINS1)
FOR_EACH_SCALED(GAINS1)

/* Turning functions twice: near, in vectors, and far, by the library. One lane beyond V_SIN_LIMIT takes
   all of a row there. */
#define NEAR(id, symbol, refuse, lo, hi, value, gain_x) \
    MAP(near_map_##id, X[k], Y[0], value)               \
    GAIN(near_gain_##id##_set, X[k], Y[0], , gain_x)    \
    GAIN(near_gain_##id##_add, X[k], Y[0], out[k] +, gain_x)
#define FAR(id, symbol, refuse, lo, hi, value, gain_x) \
    MAP(far_map_##id, X[k], Y[0], value)               \
    GAIN(far_gain_##id##_set, X[k], Y[0], , gain_x)    \
    GAIN(far_gain_##id##_add, X[k], Y[0], out[k] +, gain_x)
#define sin(x) NEAR_SIN(x)
#define cos(x) NEAR_COS(x)
FOR_EACH_TURNING(NEAR)
#undef sin
#undef cos
FOR_EACH_TURNING(FAR)

#define CHOOSE_GAIN(id, assign)                                                                                        \
    static void gain_##id##_x_##assign(Real *restrict out, const Real *G, const Real *X, const Real *Y, const Real *Z, \
                                       size_t n) {                                                                     \
        (SIN_TAKES(X, n) ? near_gain_##id##_##assign : far_gain_##id##_##assign)(out, G, X, Y, Z, n);                  \
    }
#define CHOOSE(id, ...)                                                                     \
    static void map_##id##_vv(Real *restrict out, const Real *X, const Real *Y, size_t n) { \
        (SIN_TAKES(X, n) ? near_map_##id : far_map_##id)(out, X, Y, n);                     \
    }                                                                                       \
    CHOOSE_GAIN(id, set)                                                                    \
    CHOOSE_GAIN(id, add)
FOR_EACH_TURNING(CHOOSE)

/* Of three operands, all of them as lanes. */
typedef void (*Map3Kernel)(Real *restrict out, const Real *X, const Real *Y, const Real *W, size_t n);
typedef void (*Gain3Kernel)(Real *restrict out, const Real *G, const Real *X, const Real *Y, const Real *W,
                            const Real *Z, size_t n);

#define MAP3(id, symbol, refuse, lo, hi, value, ...)                                                  \
    static void map_##id(Real *restrict out, const Real *X, const Real *Y, const Real *W, size_t n) { \
        for (size_t k = 0; k < n; k++) {                                                              \
            const Real x = X[k], y = Y[k], w = W[k];                                                  \
            out[k] = (Real)(value);                                                                   \
        }                                                                                             \
    }
#define GAIN3(name, gain)                                                                                           \
    static void name(Real *restrict out, const Real *G, const Real *X, const Real *Y, const Real *W, const Real *Z, \
                     size_t n) {                                                                                    \
        for (size_t k = 0; k < n; k++) {                                                                            \
            const Real g = G[k], x = X[k], y = Y[k], w = W[k], z = Z[k];                                            \
            (void)g, (void)x, (void)y, (void)w, (void)z;                                                            \
            out[k] = (Real)(gain);                                                                                  \
        }                                                                                                           \
    }
#define GAINS3(id, symbol, refuse, lo, hi, value, gain_x, gain_y, gain_w) \
    GAIN3(gain_##id##_x, gain_x)                                          \
    GAIN3(gain_##id##_y, gain_y)                                          \
    GAIN3(gain_##id##_w, gain_w)
FOR_EACH_TERNARY(MAP3)
FOR_EACH_TERNARY(GAINS3)

#if defined(FLOAT32) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

static const Map3Kernel map3_kernels[OP_COUNT] = {
#define ROW3(id, ...) [OP_##id] = map_##id,
    FOR_EACH_TERNARY(ROW3)
#undef ROW3
};

static const Gain3Kernel gain3_kernels[OP_COUNT][3] = {
#define ROW3(id, ...) [OP_##id] = {gain_##id##_x, gain_##id##_y, gain_##id##_w},
    FOR_EACH_TERNARY(ROW3)
#undef ROW3
};

static const MapKernel map_kernels[OP_COUNT][VARIANTS] = {
#define ROW2(id, ...) [OP_##id] = {map_##id##_vv, map_##id##_vs, map_##id##_sv},
#define ROW1(id, ...) [OP_##id] = {map_##id##_vv, map_##id##_vv, map_##id##_vv},
    FOR_EACH_BINARY(ROW2) FOR_EACH_UNARY(ROW1) FOR_EACH_SCALED(ROW1) FOR_EACH_STOPPED(ROW1)
#undef ROW2
#undef ROW1
};

/* By operation, operand, whether added, and variant. */
static const GainKernel gain_kernels[OP_COUNT][2][2][VARIANTS] = {
#define SIDE(name)                                                                                     \
    {                                                                                                  \
        {name##_vv_set, name##_vs_set, name##_sv_set}, { name##_vv_add, name##_vs_add, name##_sv_add } \
    }
#define ROW2(id, ...) [OP_##id] = {SIDE(gain_##id##_x), SIDE(gain_##id##_y)},
#define ROW1(id, ...)                                                        \
    [OP_##id] = {{{gain_##id##_x_set, gain_##id##_x_set, gain_##id##_x_set}, \
                  {gain_##id##_x_add, gain_##id##_x_add, gain_##id##_x_add}}},
    FOR_EACH_BINARY(ROW2) FOR_EACH_UNARY(ROW1) FOR_EACH_SCALED(ROW1)
#undef SIDE
#undef ROW2
#undef ROW1
};
