/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: vectors of WIDTH numbers, and sums along a row.
 */
/* -- vectors ------------------------------------------------------------------------------------- */

#if WIDTH > 1
typedef Real Vector __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BYTES), may_alias));
FORCE_INLINE Vector load(const Real *p) { return *(const Vector *)p; }
FORCE_INLINE void store(Real *p, Vector v) { *(Vector *)p = v; }
FORCE_INLINE Vector splat(Real x) { return x - (Vector){0}; } /* exact, for -0.0, too */
#else
typedef Real Vector;
FORCE_INLINE Vector load(const Real *p) { return *p; }
FORCE_INLINE void store(Real *p, Vector v) { *p = v; }
FORCE_INLINE Vector splat(Real x) { return x; }
#endif

/* A turn: so many lanes of as many rows, from `lane` on, so that lanes stand as rows do: lane k at to + k * apart. */
#define AS_IT_IS(vector, Type) (vector) /* GCC takes a vector apart to convert it to its own type */
#define TURN_4(name, From, To, convert)                                                                      \
    FORCE_INLINE void name(To *to, size_t apart, const From *const *rows, size_t lane) {                     \
        typedef From Given __attribute__((vector_size(4 * sizeof(From)), aligned(sizeof(From)), may_alias)); \
        typedef To Quarter __attribute__((vector_size(4 * sizeof(To)), aligned(sizeof(To)), may_alias));     \
        Quarter r[4], even[2], odd[2];                                                                       \
        for (int k = 0; k < 4; k++) r[k] = convert(*(const Given *)(rows[k] + lane), Quarter);               \
        for (int k = 0; k < 2; k++) {                                                                        \
            even[k] = __builtin_shufflevector(r[2 * k], r[2 * k + 1], 0, 4, 2, 6);                           \
            odd[k] = __builtin_shufflevector(r[2 * k], r[2 * k + 1], 1, 5, 3, 7);                            \
        }                                                                                                    \
        *(Quarter *)to = __builtin_shufflevector(even[0], even[1], 0, 1, 4, 5);                              \
        *(Quarter *)(to + apart) = __builtin_shufflevector(odd[0], odd[1], 0, 1, 4, 5);                      \
        *(Quarter *)(to + 2 * apart) = __builtin_shufflevector(even[0], even[1], 2, 3, 6, 7);                \
        *(Quarter *)(to + 3 * apart) = __builtin_shufflevector(odd[0], odd[1], 2, 3, 6, 7);                  \
    }
#define TURN_2(name, From, To)                                                                  \
    FORCE_INLINE void name(To *to, size_t apart, const From *const *rows, size_t lane) {        \
        for (size_t k = 0; k < 2; k++)                                                          \
            for (size_t row = 0; row < 2; row++) to[k * apart + row] = (To)rows[row][lane + k]; \
    }
#define TURN_1(name, From, To)                                                           \
    FORCE_INLINE void name(To *to, size_t apart, const From *const *rows, size_t lane) { \
        (void)apart;                                                                     \
        *to = (To)rows[0][lane];                                                         \
    }
/* -- sums over lanes, in doubles --------------------------------------------------------------------- */

#ifdef VECTOR_BYTES
typedef double SumVector __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
#ifdef FLOAT32
typedef float Narrow __attribute__((vector_size(VECTOR_BYTES / 2), aligned(4), may_alias));
FORCE_INLINE SumVector load_doubles(const Real *p) { return __builtin_convertvector(*(const Narrow *)p, SumVector); }
#else
FORCE_INLINE SumVector load_doubles(const Real *p) { return load(p); }
#endif
#else
typedef double SumVector;
FORCE_INLINE SumVector load_doubles(const Real *p) { return *p; }
#endif

FORCE_INLINE double sum_lanes(SumVector v) {
#if !defined(VECTOR_BYTES)
    return v;
#elif VECTOR_BYTES == 64
    typedef double Half __attribute__((vector_size(32)));
    Half h = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
    return (h[0] + h[2]) + (h[1] + h[3]);
#elif VECTOR_BYTES == 32
    return (v[0] + v[2]) + (v[1] + v[3]);
#else
    return v[0] + v[1];
#endif
}

#ifndef FLOAT32
#if WIDTH >= 4
typedef double Four __attribute__((vector_size(32), aligned(8), may_alias));

FORCE_INLINE Four halved(Vector v) {
#if WIDTH == 8
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#else
    return v;
#endif
}

FORCE_INLINE Four sums_of_four(const Four *v) {
    Four p = __builtin_shufflevector(v[0], v[1], 0, 4, 2, 6) + __builtin_shufflevector(v[0], v[1], 1, 5, 3, 7);
    Four q = __builtin_shufflevector(v[2], v[3], 0, 4, 2, 6) + __builtin_shufflevector(v[2], v[3], 1, 5, 3, 7);
    return __builtin_shufflevector(p, q, 0, 1, 4, 5) + __builtin_shufflevector(p, q, 2, 3, 6, 7);
}
#endif

/* The lanes of each vector, added up. */
FORCE_INLINE void sum_each(const size_t VECS, const Vector *vectors, double *to) {
#if WIDTH >= 4
    if (VECS == 4) {
        Four v[4];
        for (size_t k = 0; k < 4; k++) v[k] = halved(vectors[k]);
        *(Four *)to = sums_of_four(v);
        return;
    }
#endif
    for (size_t k = 0; k < VECS; k++) to[k] = sum_lanes(vectors[k]);
}
#endif

static double row_sum(const Real *row, size_t n) {
    SumVector a = {0}, b = {0};
    size_t k = 0;
    for (; k + 2 * DOUBLES <= n; k += 2 * DOUBLES) {
        a += load_doubles(row + k);
        b += load_doubles(row + k + DOUBLES);
    }
    double total = sum_lanes(a + b);
    for (; k < n; k++) total += row[k];
    return total;
}

static double row_dot(const Real *x, const Real *y, size_t n) {
    SumVector a = {0}, b = {0};
    size_t k = 0;
    for (; k + 2 * DOUBLES <= n; k += 2 * DOUBLES) {
        a += load_doubles(x + k) * load_doubles(y + k);
        b += load_doubles(x + k + DOUBLES) * load_doubles(y + k + DOUBLES);
    }
    double total = sum_lanes(a + b);
    for (; k < n; k++) total += (double)x[k] * (double)y[k];
    return total;
}

static void fill(Real *row, double number, size_t n) {
    for (size_t k = 0; k < n; k++) row[k] = (Real)number;
}
