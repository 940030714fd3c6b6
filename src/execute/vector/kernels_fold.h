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

FORCE_INLINE void contract_some(const double *frames, size_t n_frames, size_t apart, size_t p, const size_t *q,
                                uint32_t n, int is_choice, double *const *to) {
    Vector sums[MOST_CONTRACTED];
    for (uint32_t k = 0; k < n; k++) sums[k] = splat(0.0);
    for (size_t f = 0; f < n_frames; f++, frames += apart) {
        Vector x = load(frames + p);
        for (uint32_t k = 0; k < n; k++) {
            Vector y = load(frames + q[k]);
            if (is_choice) sums[k] += MASKED(y, (Mask)(x > 0));
            else sums[k] += x * y;
        }
    }
    for (uint32_t k = 0; k < n; k++) store(to[k], sums[k]);
}

static void contract(const double *frames, size_t n_frames, size_t apart, size_t p, const size_t *q, uint32_t n,
                     int is_choice, double *const *to) {
    if (n == MOST_CONTRACTED && is_choice) contract_some(frames, n_frames, apart, p, q, MOST_CONTRACTED, 1, to);
    else if (n == MOST_CONTRACTED) contract_some(frames, n_frames, apart, p, q, MOST_CONTRACTED, 0, to);
    else contract_some(frames, n_frames, apart, p, q, n, is_choice, to);
}
