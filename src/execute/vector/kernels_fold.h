/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: the lanes of many vectors of doubles added up, for machine code's sums over the batch; and vectors
 * of many frames, for its sums over steps.
 */
#if WIDTH > 1
typedef int64_t Mask __attribute__((vector_size(WIDTH * 8), aligned(8), may_alias));
#define MASKED(v, mask) ((Vector)((Mask)(v) & (mask)))
/* All ones in the lanes below n. */
static inline Mask first_lanes(size_t n) {
    Mask mask = {0};
    for (size_t k = 0; k < WIDTH; k++) mask[k] = -(int64_t)(k < n);
    return mask;
}
#else
typedef int Mask;
#define MASKED(v, mask) ((mask) ? (v) : 0.0)
static inline Mask first_lanes(size_t n) { return n > 0; }
#endif

FORCE_INLINE void fold_lanes(const double *vectors, size_t n, size_t valid, int add, double *to) {
    const Mask mask = first_lanes(valid);
    size_t k = 0;
#if WIDTH >= 4
    for (; k + 4 <= n; k += 4) {
        Four v[4];
        for (size_t j = 0; j < 4; j++) {
            Vector lanes = load(vectors + (k + j) * WIDTH);
            v[j] = halved(valid == WIDTH ? lanes : MASKED(lanes, mask));
        }
        Four sums = sums_of_four(v);
        if (add) sums += *(const Four *)(to + k);
        *(Four *)(to + k) = sums;
    }
#endif
    for (; k < n; k++) to[k] = (add ? to[k] : 0.0) + sum_lanes(MASKED(load(vectors + k * WIDTH), mask));
}

static void fold(const double *vectors, size_t n, size_t valid, int add, double *to) {
    if (valid == WIDTH) add ? fold_lanes(vectors, n, WIDTH, 1, to) : fold_lanes(vectors, n, WIDTH, 0, to);
    else fold_lanes(vectors, n, valid, add, to);
}

/* -- sums over frames ------------------------------------------------------------------------------------ */

typedef struct {
    const Contraction *of;
    const double *frames;
    size_t n_frames, apart, valid;
    double *to;
} Frames;

static inline void give_sum(Frames f, uint32_t i, uint32_t j, Vector sum) {
    double *to = f.to + (size_t)f.of->to[i * f.of->n_q + j] * WIDTH;
    if (f.of->is_total) sum = load(to) + (f.valid == WIDTH ? sum : MASKED(sum, first_lanes(f.valid)));
    store(to, sum);
}

/* Those of P and Q of its vectors, from the i-th and the j-th on. They stay in registers. */
FORCE_INLINE void contract_tile(const uint32_t P, const uint32_t Q, const int is_choice, Frames f, uint32_t i,
                                uint32_t j) {
    Vector sums[4][4];
    size_t p[4], q[4];
    for (uint32_t m = 0; m < P; m++) p[m] = (size_t)f.of->p[i + m] * WIDTH;
    for (uint32_t n = 0; n < Q; n++) q[n] = (size_t)f.of->q[j + n] * WIDTH;
    for (uint32_t m = 0; m < P; m++)
        for (uint32_t n = 0; n < Q; n++) sums[m][n] = splat(0.0);
    const double *frame = f.frames;
    for (size_t k = 0; k < f.n_frames; k++, frame += f.apart) {
        Vector y[4];
        for (uint32_t n = 0; n < Q; n++) y[n] = load(frame + q[n]);
        for (uint32_t m = 0; m < P; m++) {
            Vector x = load(frame + p[m]);
            for (uint32_t n = 0; n < Q; n++) {
                if (is_choice) sums[m][n] += MASKED(y[n], (Mask)(x > 0));
                else sums[m][n] += x * y[n];
            }
        }
    }
    for (uint32_t m = 0; m < P; m++)
        for (uint32_t n = 0; n < Q; n++) give_sum(f, i + m, j + n, sums[m][n]);
}

enum { MOST_P = WIDTH == 8 ? 4 : 2 }; /* of a tile: there are 32 registers, or 16 */

FORCE_INLINE void contract_rows(const uint32_t P, const int is_choice, Frames f, uint32_t i) {
    uint32_t j = 0;
    for (; j + 4 <= f.of->n_q; j += 4) contract_tile(P, 4, is_choice, f, i, j);
    for (; j < f.of->n_q; j++) contract_tile(P, 1, is_choice, f, i, j);
}

FORCE_INLINE void contract_all(const int is_choice, Frames f) {
    uint32_t i = 0;
    for (; i + MOST_P <= f.of->n_p; i += MOST_P) contract_rows(MOST_P, is_choice, f, i);
    for (; i < f.of->n_p; i++) contract_rows(1, is_choice, f, i);
}

/* Each lane's numbers go where its element is. */
static void contract_elements(Frames f) {
    const Contraction *of = f.of;
    const double *frame = f.frames;
    for (uint32_t s = 0; !of->is_total && s < of->n_p * of->n_q; s++) store(f.to + of->to[s] * WIDTH, splat(0.0));
    for (size_t k = 0; k < f.n_frames; k++, frame += f.apart) {
        for (size_t lane = 0; lane < f.valid; lane++) {
            uint32_t i = element_in(of, frame[of->p[0] * WIDTH + lane]);
            if (i == NONE) continue;
            const uint32_t *to = of->to + i * of->n_q;
            for (uint32_t j = 0; j < of->n_q; j++) f.to[to[j] * WIDTH + lane] += frame[of->q[j] * WIDTH + lane];
        }
    }
}

static void contract(const Contraction *of, const double *frames, size_t n_frames, size_t apart, size_t valid,
                     double *to) {
    Frames f = {of, frames, n_frames, apart, valid, to};
    switch (of->kind) {
    case OF_PRODUCTS: contract_all(0, f); break;
    case OF_CHOICES: contract_all(1, f); break;
    case OF_ELEMENTS: contract_elements(f); break;
    }
}
