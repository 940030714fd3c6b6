/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: matrix-vector products for a block of lanes, and their gradients, in register tiles.
 */
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
FORCE_INLINE void outer_tile(const size_t OUTS, double *to, size_t n_in, const double *g, size_t g_step,
                             const double *const *x, const size_t INS, size_t valid) {
    Vector total[4][4];
    for (size_t j = 0; j < OUTS; j++)
        for (size_t k = 0; k < 4; k++) total[j][k] = splat(0.0);
    size_t lane = 0;
    for (; lane + WIDTH <= valid; lane += WIDTH) {
        Vector row[4];
        for (size_t k = 0; k < INS; k++) row[k] = load(x[k] + lane);
        for (size_t j = 0; j < OUTS; j++) {
            Vector gain = load(g + j * g_step + lane);
            for (size_t k = 0; k < INS; k++) total[j][k] += gain * row[k];
        }
    }
    if (lane < valid) { /* lanes that hold no sample count nothing, be it inf or NaN */
        Mask mask = first_lanes(valid - lane);
        Vector row[4];
        for (size_t k = 0; k < INS; k++) row[k] = MASKED(load(x[k] + lane), mask);
        for (size_t j = 0; j < OUTS; j++) {
            Vector gain = MASKED(load(g + j * g_step + lane), mask);
            for (size_t k = 0; k < INS; k++) total[j][k] += gain * row[k];
        }
    }
    for (size_t j = 0; j < OUTS; j++) {
        if (INS == 4) sum_four(total[j], to + j * n_in);
        else for (size_t k = 0; k < INS; k++) to[j * n_in + k] += sum_lanes(total[j][k]);
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
