/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: sums over the frames of machine code's loops.
 *
 * Those of floats are added up in floats, some steps' at a time. Totals are sums of doubles.
 */
#if WIDTH > 1
#ifdef FLOAT32
typedef int32_t Whole;
#else
typedef int64_t Whole;
#endif
typedef Whole Mask __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BYTES), may_alias));
#define MASKED(v, mask) ((Vector)((Mask)(v) & (mask)))
/* All ones in the lanes below n. */
static inline Mask first_lanes(size_t n) {
    Mask mask = {0};
    for (size_t k = 0; k < WIDTH; k++) mask[k] = -(Whole)(k < n);
    return mask;
}
#else
typedef int Mask;
#define MASKED(v, mask) ((mask) ? (v) : (Real)0.0)
static inline Mask first_lanes(size_t n) { return n > 0; }
#endif

typedef struct {
    const Contraction *of;
    const Real *frames;
    size_t n_frames, apart, valid;
    int add; /* to what other frames have given */
    void *to;
    size_t upper;
} Frames;

static inline void give_sum(Frames f, uint32_t i, uint32_t j, Vector sum) {
    size_t which = f.of->to[i * f.of->n_q + j];
    if (!f.of->is_total) {
        Real *row = (Real *)f.to + which * WIDTH;
        if (f.add) sum += load(row);
        store(row, sum);
        return;
    }
    Real lanes[WIDTH];
    store(lanes, f.valid == WIDTH ? sum : MASKED(sum, first_lanes(f.valid)));
    for (size_t half = 0; half < WIDTH / DOUBLES; half++) {
        SumVector *total = (SumVector *)(void *)((double *)f.to + half * f.upper + which * DOUBLES);
        *total += load_doubles(lanes + half * DOUBLES);
    }
}

/* Those of P and Q of its vectors, from the i-th and the j-th on. They stay in registers. */
FORCE_INLINE void contract_tile(const uint32_t P, const uint32_t Q, const int is_choice, Frames f, uint32_t i,
                                uint32_t j) {
    Vector sums[4][4];
    size_t p[4], q[4];
    for (uint32_t m = 0; m < P; m++) p[m] = (size_t)f.of->p[i + m] * WIDTH;
    for (uint32_t n = 0; n < Q; n++) q[n] = (size_t)f.of->q[j + n] * WIDTH;
    for (uint32_t m = 0; m < P; m++)
        for (uint32_t n = 0; n < Q; n++) sums[m][n] = splat(0);
    const Real *frame = f.frames;
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

enum { MOST_P = DOUBLES == 8 ? 4 : 2 }; /* of a tile: there are 32 registers, or 16 */

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
FORCE_INLINE void contract_elements(const int is_total, Frames f) {
    const Contraction *of = f.of;
    const Real *frame = f.frames;
    double *totals = f.to;
    Real *rows = f.to;
    for (uint32_t s = 0; !is_total && !f.add && s < of->n_p * of->n_q; s++) store(rows + of->to[s] * WIDTH, splat(0));
    for (size_t k = 0; k < f.n_frames; k++, frame += f.apart) {
        for (size_t lane = 0; lane < f.valid; lane++) {
            uint32_t i = element_in(of, (double)frame[of->p[0] * WIDTH + lane]);
            if (i == NONE) continue;
            const uint32_t *to = of->to + i * of->n_q;
            double *total = totals + lane / DOUBLES * f.upper + lane % DOUBLES;
            for (uint32_t j = 0; j < of->n_q; j++) {
                if (is_total) total[to[j] * DOUBLES] += (double)frame[of->q[j] * WIDTH + lane];
                else rows[to[j] * WIDTH + lane] += frame[of->q[j] * WIDTH + lane];
            }
        }
    }
}

static void contract_some(Frames f) {
    switch (f.of->kind) {
    case OF_PRODUCTS: contract_all(0, f); break;
    case OF_CHOICES: contract_all(1, f); break;
    case OF_ELEMENTS: f.of->is_total ? contract_elements(1, f) : contract_elements(0, f); break;
    }
}

static void contract(const Contraction *of, const void *frames, size_t n_frames, size_t apart, size_t valid, void *to,
                     size_t upper) {
#ifdef FLOAT32
    const size_t together = 64;
#else
    const size_t together = n_frames;
#endif
    Frames f = {of, frames, 0, apart, valid, 0, to, upper};
    do { /* of no frames, sums are 0 */
        f.n_frames = n_frames < together ? n_frames : together;
        contract_some(f);
        f.frames += f.n_frames * apart;
        n_frames -= f.n_frames;
        f.add = 1;
    } while (n_frames);
}
