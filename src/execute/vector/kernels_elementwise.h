/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: the cells of the operation table in loops, for values and for chain rules.
 */
/* -- elementwise kernels: cells of the table in a loop --------------------------------------------- */

typedef void (*MapKernel)(double *restrict out, const double *X, const double *Y, size_t n);
typedef void (*GainKernel)(double *restrict out, const double *G, const double *X, const double *Y,
                           const double *Z, size_t n);

/* Which operands are one number for all lanes. */
enum { VECTORS, SECOND_IS_NUMBER, FIRST_IS_NUMBER, VARIANTS };

#define MAP(name, x_, y_, value)                                                        \
    static void name(double *restrict out, const double *X, const double *Y, size_t n) { \
        for (size_t k = 0; k < n; k++) {                                                \
            const double x = x_, y = y_;                                                \
            (void)y;                                                                    \
            out[k] = (value);                                                           \
        }                                                                               \
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

#define GAIN(name, x_, y_, assign, gain)                                                    \
    static void name(double *restrict out, const double *G, const double *X, const double *Y, \
                     const double *Z, size_t n) {                                           \
        for (size_t k = 0; k < n; k++) {                                                    \
            const double g = G[k], x = x_, y = y_, z = Z[k];                                \
            (void)g, (void)x, (void)y, (void)z;                                             \
            out[k] assign (gain);                                                           \
        }                                                                                   \
    }
#define GAIN_SIDE(name, gain)                         \
    GAIN(name##_vv_set, X[k], Y[k], =, gain)          \
    GAIN(name##_vs_set, X[k], Y[0], =, gain)          \
    GAIN(name##_sv_set, X[0], Y[k], =, gain)          \
    GAIN(name##_vv_add, X[k], Y[k], +=, gain)         \
    GAIN(name##_vs_add, X[k], Y[0], +=, gain)         \
    GAIN(name##_sv_add, X[0], Y[k], +=, gain)
#define GAINS2(id, symbol, refuse, lo, hi, value, gain_x, gain_y) \
    GAIN_SIDE(gain_##id##_x, gain_x)                              \
    GAIN_SIDE(gain_##id##_y, gain_y)
#define GAINS1(id, symbol, refuse, lo, hi, value, gain_x)  \
    GAIN(gain_##id##_x_set, X[k], Y[0], =, gain_x)         \
    GAIN(gain_##id##_x_add, X[k], Y[0], +=, gain_x)
FOR_EACH_BINARY(GAINS2)
FOR_EACH_OTHER_UNARY(GAINS1)
FOR_EACH_SCALED(GAINS1)

/* Turning functions twice: near, in vectors, and far, by the library. One lane beyond V_SIN_LIMIT takes
   all of a row there. */
#define NEAR(id, symbol, refuse, lo, hi, value, gain_x) \
    MAP(near_map_##id, X[k], Y[0], value)               \
    GAIN(near_gain_##id##_set, X[k], Y[0], =, gain_x)   \
    GAIN(near_gain_##id##_add, X[k], Y[0], +=, gain_x)
#define FAR(id, symbol, refuse, lo, hi, value, gain_x) \
    MAP(far_map_##id, X[k], Y[0], value)               \
    GAIN(far_gain_##id##_set, X[k], Y[0], =, gain_x)   \
    GAIN(far_gain_##id##_add, X[k], Y[0], +=, gain_x)
#define sin(x) v_sin(x)
#define cos(x) v_cos(x)
FOR_EACH_TURNING(NEAR)
#undef sin
#undef cos
FOR_EACH_TURNING(FAR)

#define CHOOSE_GAIN(id, assign)                                                                      \
    static void gain_##id##_x_##assign(double *restrict out, const double *G, const double *X,       \
                                       const double *Y, const double *Z, size_t n) {                 \
        (v_sin_takes(X, n) ? near_gain_##id##_##assign : far_gain_##id##_##assign)(out, G, X, Y, Z, n); \
    }
#define CHOOSE(id, ...)                                                                       \
    static void map_##id##_vv(double *restrict out, const double *X, const double *Y, size_t n) { \
        (v_sin_takes(X, n) ? near_map_##id : far_map_##id)(out, X, Y, n);                     \
    }                                                                                         \
    CHOOSE_GAIN(id, set)                                                                      \
    CHOOSE_GAIN(id, add)
FOR_EACH_TURNING(CHOOSE)

/* Of three operands, all of them as lanes. */
typedef void (*Map3Kernel)(double *restrict out, const double *X, const double *Y, const double *W, size_t n);
typedef void (*Gain3Kernel)(double *restrict out, const double *G, const double *X, const double *Y,
                            const double *W, const double *Z, size_t n);

#define MAP3(id, symbol, refuse, lo, hi, value, ...)                                              \
    static void map_##id(double *restrict out, const double *X, const double *Y, const double *W, \
                         size_t n) {                                                              \
        for (size_t k = 0; k < n; k++) {                                                          \
            const double x = X[k], y = Y[k], w = W[k];                                            \
            out[k] = (value);                                                                     \
        }                                                                                         \
    }
#define GAIN3(name, gain)                                                                         \
    static void name(double *restrict out, const double *G, const double *X, const double *Y,     \
                     const double *W, const double *Z, size_t n) {                                \
        for (size_t k = 0; k < n; k++) {                                                          \
            const double g = G[k], x = X[k], y = Y[k], w = W[k], z = Z[k];                        \
            (void)g, (void)x, (void)y, (void)w, (void)z;                                          \
            out[k] = (gain);                                                                      \
        }                                                                                         \
    }
#define GAINS3(id, symbol, refuse, lo, hi, value, gain_x, gain_y, gain_w) \
    GAIN3(gain_##id##_x, gain_x)                                          \
    GAIN3(gain_##id##_y, gain_y)                                          \
    GAIN3(gain_##id##_w, gain_w)
FOR_EACH_TERNARY(MAP3)
FOR_EACH_TERNARY(GAINS3)

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
#define SIDE(name)                                                 \
    {{name##_vv_set, name##_vs_set, name##_sv_set}, {name##_vv_add, name##_vs_add, name##_sv_add}}
#define ROW2(id, ...) [OP_##id] = {SIDE(gain_##id##_x), SIDE(gain_##id##_y)},
#define ROW1(id, ...)                                                                \
    [OP_##id] = {{{gain_##id##_x_set, gain_##id##_x_set, gain_##id##_x_set},         \
                  {gain_##id##_x_add, gain_##id##_x_add, gain_##id##_x_add}}},
    FOR_EACH_BINARY(ROW2) FOR_EACH_UNARY(ROW1) FOR_EACH_SCALED(ROW1)
#undef SIDE
#undef ROW2
#undef ROW1
};
