/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: the lanes of many vectors of doubles added up, for machine code's sums over the batch.
 */
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
