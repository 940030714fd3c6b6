/* SPDX-License-Identifier: MIT
 *
 * The kernels that steps run on, for one level of vector units. A kernels_*.c sets the level:
 *
 *   LEVEL, LEVEL_NAME  suffix and name
 *   WIDTH              doubles of a vector; 1: the compiler has no vector types
 *   TILE               vectors of lanes in a matrix tile; with 4 outputs, TILE * 4 sums stay in registers
 *
 * Elementwise kernels are the cells of the operation table in a loop: vmath.h replaces the library's
 * functions by ones that the compiler can turn into vector code.
 */
#include "vmath.h"

#include "program.h"

#include <string.h>

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define LEVEL_FUNCTION(name) PASTE(name, LEVEL)

/* -- vectors ------------------------------------------------------------------------------------- */

#if WIDTH > 1
typedef double Vector __attribute__((vector_size(WIDTH * 8), aligned(8), may_alias));
typedef int64_t Mask __attribute__((vector_size(WIDTH * 8), aligned(8), may_alias));
FORCE_INLINE Vector load(const double *p) { return *(const Vector *)p; }
FORCE_INLINE void store(double *p, Vector v) { *(Vector *)p = v; }
FORCE_INLINE Vector splat(double x) { return (Vector){0} + x; }
#define MASKED(v, mask) ((Vector)((Mask)(v) & (mask)))
/* All ones in the lanes below n. */
static inline Mask first_lanes(size_t n) {
    Mask mask;
    for (size_t k = 0; k < WIDTH; k++) mask[k] = k < n ? -1 : 0;
    return mask;
}
#else
typedef double Vector;
typedef int Mask;
FORCE_INLINE Vector load(const double *p) { return *p; }
FORCE_INLINE void store(double *p, Vector v) { *p = v; }
FORCE_INLINE Vector splat(double x) { return x; }
#define MASKED(v, mask) ((mask) ? (v) : 0.0)
static inline Mask first_lanes(size_t n) { return n > 0; }
#endif

FORCE_INLINE double sum_lanes(Vector v) {
#if WIDTH == 8
    typedef double Half __attribute__((vector_size(32)));
    Half h = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
    return (h[0] + h[2]) + (h[1] + h[3]);
#elif WIDTH == 4
    return (v[0] + v[2]) + (v[1] + v[3]);
#elif WIDTH == 2
    return v[0] + v[1];
#else
    return v;
#endif
}

static double row_sum(const double *row, size_t n) {
    Vector a = splat(0.0), b = splat(0.0);
    size_t k = 0;
    for (; k + 2 * WIDTH <= n; k += 2 * WIDTH) {
        a += load(row + k);
        b += load(row + k + WIDTH);
    }
    double total = sum_lanes(a + b);
    for (; k < n; k++) total += row[k];
    return total;
}

static double row_dot(const double *x, const double *y, size_t n) {
    Vector a = splat(0.0), b = splat(0.0);
    size_t k = 0;
    for (; k + 2 * WIDTH <= n; k += 2 * WIDTH) {
        a += load(x + k) * load(y + k);
        b += load(x + k + WIDTH) * load(y + k + WIDTH);
    }
    double total = sum_lanes(a + b);
    for (; k < n; k++) total += x[k] * y[k];
    return total;
}

static void fill(double *row, double number, size_t n) {
    for (size_t k = 0; k < n; k++) row[k] = number;
}

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
FOR_EACH_UNARY(MAP1)
FOR_EACH_SCALED(MAP1)

static const MapKernel map_kernels[OP_COUNT][VARIANTS] = {
#define ROW2(id, ...) [OP_##id] = {map_##id##_vv, map_##id##_vs, map_##id##_sv},
#define ROW1(id, ...) [OP_##id] = {map_##id##_vv, map_##id##_vv, map_##id##_vv},
    FOR_EACH_BINARY(ROW2) FOR_EACH_UNARY(ROW1) FOR_EACH_SCALED(ROW1)
#undef ROW2
#undef ROW1
};

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
FOR_EACH_UNARY(GAINS1)
FOR_EACH_SCALED(GAINS1)

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

/* -- where a step's operands stand ------------------------------------------------------------------ */

typedef struct {
    const double *at;
    size_t step;   /* from one member's to the next's, in doubles */
    int is_number; /* one for all lanes */
} Operand;

FORCE_INLINE Operand operand_at(const Frame *frame, Ref ref) {
    if (ref.space == IN_ROWS)
        return (Operand){frame->rows + ref.at * frame->lanes, ref.stride * frame->lanes, 0};
    if (ref.space == IN_ONCE) return (Operand){frame->once + ref.at, ref.stride, 1};
    return (Operand){frame->scratch, 0, 0}; /* nobody reads it */
}

FORCE_INLINE double *row_at(const Frame *frame, Ref ref) { return frame->rows + ref.at * frame->lanes; }

/* One lane for a row: members are then lanes, and one row for all members is one number. */
FORCE_INLINE void as_lanes(Operand *operand) {
    if (operand->step == 0) operand->is_number = 1;
}

FORCE_INLINE int variant_of(Operand x, Operand y) {
    return x.is_number ? FIRST_IS_NUMBER : y.is_number ? SECOND_IS_NUMBER : VECTORS;
}

static void run_map(const Step *step, Frame *frame) {
    Operand x = operand_at(frame, step->x), y = operand_at(frame, step->y);
    double *out = row_at(frame, step->out);
    size_t n = frame->lanes;
    uint32_t members = step->count;
    if (op_info[step->op].shape == SCALED) y.at = &step->number;
    if (n == 1 || step->flat) {
        if (n == 1) {
            as_lanes(&x);
            if (step->y.space != NOWHERE) as_lanes(&y);
        }
        n *= members;
        members = 1;
    }
    MapKernel kernel = map_kernels[step->op][variant_of(x, y)];
    for (uint32_t m = 0; m < members; m++) {
        kernel(out, x.at, y.at, n);
        out += n;
        x.at += x.step;
        y.at += y.step;
    }
}

static void run_gain(const Step *step, Frame *frame) {
    Operand x = operand_at(frame, step->x), y = operand_at(frame, step->y);
    Operand z = operand_at(frame, step->z), g = operand_at(frame, step->g);
    size_t n = frame->lanes, valid = frame->valid;
    uint32_t members = step->count;
    int once = n == 1, reduce = step->out.space == IN_ONCE, add = step->add;
    double *out = reduce ? frame->once_adjoint + step->out.at : row_at(frame, step->out);
    size_t out_step = reduce ? step->out.stride : step->out.stride * n;
    if (op_info[step->op].shape == SCALED) y.at = &step->number;
    if (once && members > 1) {
        as_lanes(&x);
        as_lanes(&y);
        reduce = step->out.stride == 0;
        if (step->g.stride == 0) {
            fill(frame->scratch + members, *g.at, members);
            g.at = frame->scratch + members;
        }
        n = valid = members;
        members = 1;
        if (step->x.space == NOWHERE) x.is_number = 0;
        if (step->y.space == NOWHERE) y.is_number = 0;
    } else if (step->flat && !reduce) {
        n *= members;
        members = 1;
    }
    const GainKernel *kernels = gain_kernels[step->op][step->which][reduce ? 0 : add];
    GainKernel kernel = kernels[variant_of(x, y)];
    for (uint32_t m = 0; m < members; m++) {
        if (reduce) {
            kernel(frame->scratch, g.at, x.at, y.at, z.at, n);
            *out += row_sum(frame->scratch, valid);
        } else {
            kernel(out, g.at, x.at, y.at, z.at, n);
        }
        out += out_step;
        g.at += g.step;
        x.at += x.step;
        y.at += y.step;
        z.at += z.step;
    }
}

/* -- sums ------------------------------------------------------------------------------------------- */

enum { SUM_TILE = 4 };

/* out = start + the run's terms, for lanes of a tile; start: a row, or NULL for `number`. */
FORCE_INLINE void sum_tile(double *out, const double *start, double number, Operand a, Operand b,
                           int b_kind, uint32_t count, int vectors) {
    Vector total[SUM_TILE];
    for (int v = 0; v < vectors; v++) total[v] = start ? load(start + v * WIDTH) : splat(number);
    for (uint32_t k = 0; k < count; k++) {
        if (b_kind == IN_ONCE) {
            Vector weight = splat(*b.at);
            for (int v = 0; v < vectors; v++) total[v] += load(a.at + v * WIDTH) * weight;
        } else if (b_kind == IN_ROWS) {
            for (int v = 0; v < vectors; v++) total[v] += load(a.at + v * WIDTH) * load(b.at + v * WIDTH);
        } else {
            for (int v = 0; v < vectors; v++) total[v] += load(a.at + v * WIDTH);
        }
        a.at += a.step;
        b.at += b.step;
    }
    for (int v = 0; v < vectors; v++) store(out + v * WIDTH, total[v]);
}

FORCE_INLINE void sum_run(double *out, const double *start, double number, Operand a, Operand b,
                          int b_kind, uint32_t count, size_t lanes) {
    size_t k = 0;
    for (; k + SUM_TILE * WIDTH <= lanes; k += SUM_TILE * WIDTH) {
        sum_tile(out + k, start ? start + k : NULL, number, a, b, b_kind, count, SUM_TILE);
        a.at += SUM_TILE * WIDTH;
        if (b_kind != IN_ONCE) b.at += SUM_TILE * WIDTH;
    }
    for (; k < lanes; k += WIDTH) {
        sum_tile(out + k, start ? start + k : NULL, number, a, b, b_kind, count, 1);
        a.at += WIDTH;
        if (b_kind != IN_ONCE) b.at += WIDTH;
    }
}

/* The terms of a run that no sample changes. */
static double sum_once(Operand a, Operand b, int has_b, uint32_t count) {
    double total = 0.0;
    if (a.step == 1 && (!has_b || b.step == 1))
        return has_b ? row_dot(a.at, b.at, count) : row_sum(a.at, count);
    for (uint32_t k = 0; k < count; k++) total += a.at[k * a.step] * (has_b ? b.at[k * b.step] : 1.0);
    return total;
}

static void run_linear(const Step *step, Frame *frame) {
    double *out = row_at(frame, step->out), number = 0.0;
    const double *start = NULL;
    size_t lanes = frame->lanes;
    for (uint32_t r = 0; r < step->n_runs; r++) { /* what is one number for all lanes */
        const Run *run = &step->runs[r];
        if (lanes > 1 && run->a.space == IN_ROWS) continue;
        number += sum_once(operand_at(frame, run->a), operand_at(frame, run->b),
                           run->b.space != NOWHERE, run->count);
    }
    if (lanes == 1) {
        *out = number;
        return;
    }
    for (uint32_t r = 0; r < step->n_runs; r++) {
        const Run *run = &step->runs[r];
        if (run->a.space != IN_ROWS) continue;
        Operand a = operand_at(frame, run->a), b = operand_at(frame, run->b);
        switch (run->b.space) {
        case IN_ROWS: sum_run(out, start, number, a, b, IN_ROWS, run->count, lanes); break;
        case IN_ONCE: sum_run(out, start, number, a, b, IN_ONCE, run->count, lanes); break;
        default: sum_run(out, start, number, a, b, NOWHERE, run->count, lanes);
        }
        start = out;
    }
    if (!start) fill(out, number, lanes);
}

/* -- matrix-vector products ---------------------------------------------------------------------------- */

/* sums[j] (+)= sum over k of matrix[j * along_j + k * along_k] * rows[k], for OUTS sums and VECS vectors
 * of lanes. The sums stay in registers. */
FORCE_INLINE void product_tile(const int OUTS, const int VECS, double *const *sums, const double *starts,
                               int add, const double *const *rows, size_t n_rows, const double *matrix,
                               const size_t *along_j, size_t along_k, size_t lane) {
    Vector total[4][TILE];
    for (int j = 0; j < OUTS; j++)
        for (int v = 0; v < VECS; v++)
            total[j][v] = add ? load(sums[j] + lane + v * WIDTH) : splat(starts ? starts[j] : 0.0);
    for (size_t k = 0; k < n_rows; k++) {
        Vector row[TILE];
        for (int v = 0; v < VECS; v++) row[v] = load(rows[k] + lane + v * WIDTH);
        for (int j = 0; j < OUTS; j++) {
            Vector weight = splat(matrix[along_j[j] + k * along_k]);
            for (int v = 0; v < VECS; v++) total[j][v] += weight * row[v];
        }
    }
    for (int j = 0; j < OUTS; j++)
        for (int v = 0; v < VECS; v++) store(sums[j] + lane + v * WIDTH, total[j][v]);
}

#define PRODUCT(OUTS)                                                                            \
    static void product_##OUTS(double *const *sums, const double *starts, int add,              \
                               const double *const *rows, size_t n_rows, const double *matrix,   \
                               const size_t *along_j, size_t along_k, size_t lanes) {            \
        size_t lane = 0;                                                                         \
        for (; lane + TILE * WIDTH <= lanes; lane += TILE * WIDTH)                               \
            product_tile(OUTS, TILE, sums, starts, add, rows, n_rows, matrix, along_j, along_k, lane); \
        switch ((lanes - lane) / WIDTH) {                                                        \
        case 1: product_tile(OUTS, 1, sums, starts, add, rows, n_rows, matrix, along_j, along_k, lane); break; \
        case 2: product_tile(OUTS, TILE > 2 ? 2 : 1, sums, starts, add, rows, n_rows, matrix, along_j, along_k, lane); break; \
        case 3: product_tile(OUTS, TILE > 3 ? 3 : 1, sums, starts, add, rows, n_rows, matrix, along_j, along_k, lane); break; \
        default: break;                                                                          \
        }                                                                                        \
    }
PRODUCT(4)
PRODUCT(2)
PRODUCT(1)

static void products(double *const *sums, const double *starts, int add, uint32_t n_sums,
                     const double *const *rows, size_t n_rows, const double *matrix,
                     const size_t *along_j, size_t along_k, size_t lanes) {
    uint32_t j = 0;
#define NEXT(OUTS)                                                                                \
    product_##OUTS(sums + j, starts ? starts + j : NULL, add, rows, n_rows, matrix, along_j + j, \
                   along_k, lanes);                                                               \
    j += OUTS;
    while (j + 4 <= n_sums) {
        NEXT(4)
    }
    if (j + 2 <= n_sums) {
        NEXT(2)
    }
    if (j < n_sums) {
        NEXT(1)
    }
#undef NEXT
}

/* Rows listed in refs, as pointers. */
static const double **list_rows(const Frame *frame, const Ref *refs, uint32_t count, const double **to) {
    for (uint32_t k = 0; k < count; k++) to[k] = frame->rows + refs[k].at * frame->lanes;
    return to + count;
}

static void run_matvec(const Step *step, Frame *frame) {
    const double **inputs = frame->pointers, **sums = list_rows(frame, step->refs, step->n_refs, inputs);
    size_t *along = (size_t *)(sums + step->count);
    for (uint32_t j = 0; j < step->count; j++) {
        sums[j] = row_at(frame, step->out) + j * frame->lanes;
        along[j] = (size_t)j * step->n_refs;
    }
    products((double *const *)sums, step->y.space == IN_ONCE ? frame->once + step->y.at : NULL, 0,
             step->count, inputs, step->n_refs, frame->once + step->x.at, along, 1, frame->lanes);
}

static void run_matvec_x(const Step *step, Frame *frame) {
    const double **sums = frame->pointers, **g = list_rows(frame, step->refs, step->n_refs, sums);
    size_t *along = (size_t *)(g + step->count), n_in = (size_t)step->number;
    for (uint32_t j = 0; j < step->count; j++) g[j] = row_at(frame, step->g) + j * frame->lanes;
    for (uint32_t k = 0; k < step->n_refs; k++) along[k] = step->columns[k];
    products((double *const *)sums, NULL, step->add, step->n_refs, g, step->count,
             frame->once + step->x.at, along, n_in, frame->lanes);
}

/* The sums of four vectors' lanes. */
FORCE_INLINE void sum_four(const Vector *v, double *to) {
#if WIDTH == 8
    typedef double Half __attribute__((vector_size(32)));
    Half h[4];
    for (int k = 0; k < 4; k++)
        h[k] = __builtin_shufflevector(v[k], v[k], 0, 1, 2, 3) + __builtin_shufflevector(v[k], v[k], 4, 5, 6, 7);
#elif WIDTH == 4
    const Vector *h = v;
    typedef Vector Half;
#endif
#if WIDTH >= 4
    Half p = __builtin_shufflevector(h[0], h[1], 0, 4, 2, 6) + __builtin_shufflevector(h[0], h[1], 1, 5, 3, 7);
    Half q = __builtin_shufflevector(h[2], h[3], 0, 4, 2, 6) + __builtin_shufflevector(h[2], h[3], 1, 5, 3, 7);
    Half r = __builtin_shufflevector(p, q, 0, 1, 4, 5) + __builtin_shufflevector(p, q, 2, 3, 6, 7);
    for (int k = 0; k < 4; k++) to[k] += r[k];
#else
    for (int k = 0; k < 4; k++) to[k] += sum_lanes(v[k]);
#endif
}

/* to[j * n_in + k] += sum over lanes of g[j] * x[k], for OUTS rows of g and four of x. */
FORCE_INLINE void outer_tile(const int OUTS, double *to, size_t n_in, const double *g, size_t g_step,
                             const double *const *x, const int INS, size_t valid) {
    Vector total[4][4];
    for (int j = 0; j < OUTS; j++)
        for (int k = 0; k < 4; k++) total[j][k] = splat(0.0);
    size_t lane = 0;
    for (; lane + WIDTH <= valid; lane += WIDTH) {
        Vector row[4];
        for (int k = 0; k < INS; k++) row[k] = load(x[k] + lane);
        for (int j = 0; j < OUTS; j++) {
            Vector gain = load(g + j * g_step + lane);
            for (int k = 0; k < INS; k++) total[j][k] += gain * row[k];
        }
    }
    if (lane < valid) { /* lanes that hold no sample count nothing, be it inf or NaN */
        Mask mask = first_lanes(valid - lane);
        Vector row[4];
        for (int k = 0; k < INS; k++) row[k] = MASKED(load(x[k] + lane), mask);
        for (int j = 0; j < OUTS; j++) {
            Vector gain = MASKED(load(g + j * g_step + lane), mask);
            for (int k = 0; k < INS; k++) total[j][k] += gain * row[k];
        }
    }
    for (int j = 0; j < OUTS; j++) {
        if (INS == 4) sum_four(total[j], to + j * n_in);
        else for (int k = 0; k < INS; k++) to[j * n_in + k] += sum_lanes(total[j][k]);
    }
}

#define OUTER(OUTS)                                                                              \
    static void outer_##OUTS(double *to, size_t n_in, const double *g, size_t g_step,           \
                             const double *const *x, size_t valid) {                             \
        size_t k = 0;                                                                            \
        for (; k + 4 <= n_in; k += 4) outer_tile(OUTS, to + k, n_in, g, g_step, x + k, 4, valid); \
        switch (n_in - k) {                                                                      \
        case 3: outer_tile(OUTS, to + k, n_in, g, g_step, x + k, 3, valid); break;               \
        case 2: outer_tile(OUTS, to + k, n_in, g, g_step, x + k, 2, valid); break;               \
        case 1: outer_tile(OUTS, to + k, n_in, g, g_step, x + k, 1, valid); break;               \
        default: break;                                                                          \
        }                                                                                        \
    }
#if OUTER_TILE == 4
OUTER(4)
#endif
OUTER(2)
OUTER(1)

static void run_matvec_w(const Step *step, Frame *frame) {
    const double **x = frame->pointers, *g = row_at(frame, step->g);
    size_t n_in = step->n_refs, lanes = frame->lanes;
    double *to = frame->once_adjoint + step->x.at;
    uint32_t j = 0;
    list_rows(frame, step->refs, step->n_refs, x);
#define NEXT(OUTS)                                                                       \
    outer_##OUTS(to + j * n_in, n_in, g + j * lanes, lanes, x, frame->valid); \
    j += OUTS;
#if OUTER_TILE == 4
    while (j + 4 <= step->count) {
        NEXT(4)
    }
#endif
    while (j + 2 <= step->count) {
        NEXT(2)
    }
    if (j < step->count) {
        NEXT(1)
    }
#undef NEXT
    if (step->y.space == IN_ONCE)
        for (j = 0; j < step->count; j++)
            frame->once_adjoint[step->y.at + j] += row_sum(g + j * lanes, frame->valid);
}

/* -- the rest --------------------------------------------------------------------------------------------- */

/* An operand as lanes: its row, or its number in all lanes of the k-th scratch row. */
static const double *lanes_of(const Frame *frame, Ref ref, int k) {
    if (ref.space == IN_ROWS) return row_at(frame, ref);
    double *row = frame->scratch + k * frame->lanes;
    fill(row, frame->once[ref.at], frame->lanes);
    return row;
}

static void run_choice(const Step *step, Frame *frame) {
    const double *a = lanes_of(frame, step->refs[0], 0), *b = lanes_of(frame, step->refs[1], 1);
    const double *c = lanes_of(frame, step->refs[2], 2);
    double *restrict out = row_at(frame, step->out);
    size_t n = frame->lanes;
    if (step->kind == STEP_WHERE)
        for (size_t k = 0; k < n; k++) out[k] = a[k] > 0 ? b[k] : c[k];
    else
        for (size_t k = 0; k < n; k++) out[k] = fn_minimum(fn_maximum(a[k], b[k]), c[k]);
}

/* What the chosen operand gains: the scratch row, then as for any gain. */
static void run_choice_gain(const Step *step, Frame *frame) {
    const double *a = lanes_of(frame, step->refs[0], 0), *b = lanes_of(frame, step->refs[1], 1);
    const double *c = lanes_of(frame, step->refs[2], 2), *g = row_at(frame, step->g);
    double *restrict gain = frame->scratch + 3 * frame->lanes;
    size_t n = frame->lanes;
    if (step->kind == STEP_WHERE_GAIN) {
        if (step->which == 1)
            for (size_t k = 0; k < n; k++) gain[k] = a[k] > 0 ? g[k] : 0.0;
        else
            for (size_t k = 0; k < n; k++) gain[k] = a[k] > 0 ? 0.0 : g[k];
    } else if (step->which == 0) {
        for (size_t k = 0; k < n; k++) gain[k] = a[k] < b[k] || a[k] > c[k] ? 0.0 : g[k];
    } else if (step->which == 1) {
        for (size_t k = 0; k < n; k++) gain[k] = a[k] < b[k] && b[k] <= c[k] ? g[k] : 0.0;
    } else {
        for (size_t k = 0; k < n; k++) gain[k] = a[k] > c[k] || b[k] > c[k] ? g[k] : 0.0;
    }
    if (step->out.space == IN_ONCE) {
        frame->once_adjoint[step->out.at] += row_sum(gain, frame->valid);
        return;
    }
    double *restrict out = row_at(frame, step->out);
    if (step->add)
        for (size_t k = 0; k < n; k++) out[k] += gain[k];
    else
        for (size_t k = 0; k < n; k++) out[k] = gain[k];
}

/* The element that an index chooses, or NONE. */
FORCE_INLINE uint32_t element_of(double index, uint32_t n_elements) {
    if (index < 0) index += n_elements;
    return index >= 0 && index < n_elements && index == (double)(uint32_t)index ? (uint32_t)index : NONE;
}

static void run_take(const Step *step, Frame *frame) {
    Operand index = operand_at(frame, step->refs[0]);
    double *out = row_at(frame, step->out);
    for (size_t k = 0; k < frame->lanes; k++) {
        double wanted = index.at[index.is_number ? 0 : k];
        uint32_t element = element_of(wanted, step->n_refs - 1);
        if (element == NONE) {
            if (frame->bad_lane == NONE || k < frame->bad_lane) {
                frame->bad_lane = (uint32_t)k;
                frame->bad_index = wanted;
                frame->bad_count = step->n_refs - 1;
            }
            element = 0;
        }
        Operand from = operand_at(frame, step->refs[1 + element]);
        out[k] = from.at[from.is_number ? 0 : k];
    }
}

static void run_take_gain(const Step *step, Frame *frame) {
    Operand index = operand_at(frame, step->x);
    const double *g = row_at(frame, step->g);
    for (size_t k = 0; k < frame->valid; k++) {
        uint32_t element = element_of(index.at[index.is_number ? 0 : k], step->n_refs - 1);
        if (element == NONE) continue;
        Ref to = step->refs[1 + element];
        if (to.space == IN_ONCE) frame->once_adjoint[to.at] += g[k];
        else row_at(frame, to)[k] += g[k];
    }
}

static void run_steps(const Step *steps, uint32_t n_steps, Frame *frame) {
    for (const Step *step = steps; step < steps + n_steps; step++) {
        switch ((StepKind)step->kind) {
        case STEP_MAP: run_map(step, frame); break;
        case STEP_GAIN: run_gain(step, frame); break;
        case STEP_LINEAR: run_linear(step, frame); break;
        case STEP_MATVEC: run_matvec(step, frame); break;
        case STEP_MATVEC_X: run_matvec_x(step, frame); break;
        case STEP_MATVEC_W: run_matvec_w(step, frame); break;
        case STEP_WHERE:
        case STEP_CLIP: run_choice(step, frame); break;
        case STEP_WHERE_GAIN:
        case STEP_CLIP_GAIN: run_choice_gain(step, frame); break;
        case STEP_TAKE: run_take(step, frame); break;
        case STEP_TAKE_GAIN: run_take_gain(step, frame); break;
        case STEP_ZERO: fill(row_at(frame, step->out), 0.0, frame->lanes); break;
        case STEP_NUMBER: fill(row_at(frame, step->out), step->number, frame->lanes); break;
        case STEP_GATHER:
            for (uint32_t k = 0; k < step->count; k++)
                frame->rows[step->out.at + k] = frame->rows[step->refs[k].at];
            break;
        case STEP_SCATTER:
            for (uint32_t k = 0; k < step->count; k++)
                frame->rows[step->refs[k].at] += frame->rows[step->g.at + k];
            break;
        }
    }
}

/* -- optimisers ---------------------------------------------------------------------------------------------- */

/* As PyTorch's torch.optim.SGD, Adam and AdamW compute them. */
static void update(const Rule *rule, const Moments *moments, double *restrict p, const double *grads,
                   size_t n, size_t from) {
    const double decay = rule->weight_decay, sign = rule->maximize ? -1.0 : 1.0, lr = rule->lr;
    double *restrict m = moments->m ? moments->m + from : NULL;
    double *restrict v = moments->v ? moments->v + from : NULL;
    if (rule->kind == SGD) {
        const double momentum = rule->momentum;
        if (momentum == 0) {
            for (size_t k = 0; k < n; k++) p[k] -= lr * (sign * grads[k] + decay * p[k]);
        } else {
            const double keep = moments->steps > 1 ? momentum : 0.0;
            const double ahead = rule->nesterov ? momentum : 0.0, now = rule->nesterov ? 1.0 : 0.0;
            for (size_t k = 0; k < n; k++) {
                double g = sign * grads[k] + decay * p[k];
                m[k] = keep * m[k] + g;
                p[k] -= lr * (rule->nesterov ? now * g + ahead * m[k] : m[k]);
            }
        }
        return;
    }
    const double beta1 = rule->beta1, beta2 = rule->beta2, t = (double)moments->steps;
    const double rate = lr / (1.0 - pow(beta1, t)), root = sqrt(1.0 - pow(beta2, t)), eps = rule->eps;
    const double l2 = rule->kind == ADAM ? decay : 0.0, shrink = rule->kind == ADAMW ? 1.0 - lr * decay : 1.0;
    double *restrict v_max = rule->amsgrad ? moments->v_max + from : NULL;
    for (size_t k = 0; k < n; k++) {
        double g = sign * grads[k] + l2 * p[k];
        double square = beta2 * v[k] + (1.0 - beta2) * g * g;
        m[k] += (g - m[k]) * (1.0 - beta1);
        v[k] = square;
        if (v_max) {
            square = v_max[k] > square ? v_max[k] : square;
            v_max[k] = square;
        }
        p[k] = p[k] * shrink - rate * m[k] / (sqrt(square) / root + eps);
    }
}

const Kernels LEVEL_FUNCTION(kernels) = {LEVEL_NAME, WIDTH, run_steps, row_sum, update};
