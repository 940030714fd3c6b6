/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: vectors of WIDTH doubles, and sums along a row.
 */
/* -- vectors ------------------------------------------------------------------------------------- */

#if WIDTH > 1
typedef double Vector __attribute__((vector_size(WIDTH * 8), aligned(8), may_alias));
typedef int64_t Mask __attribute__((vector_size(WIDTH * 8), aligned(8), may_alias));
FORCE_INLINE Vector load(const double *p) { return *(const Vector *)p; }
FORCE_INLINE void store(double *p, Vector v) { *(Vector *)p = v; }
FORCE_INLINE Vector splat(double x) { return x - (Vector){0}; } /* exact, for -0.0, too */
#define MASKED(v, mask) ((Vector)((Mask)(v) & (mask)))
/* All ones in the lanes below n. */
static inline Mask first_lanes(size_t n) {
    Mask mask = {0};
    for (size_t k = 0; k < WIDTH; k++) mask[k] = -(int64_t)(k < n);
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

/* TURNED lanes of as many rows, from `lane` on, so that lanes stand as rows do: lane k at to + k * apart. */
#if WIDTH >= 4
enum { TURNED = 4 };
typedef double Quarter __attribute__((vector_size(32), aligned(8), may_alias));
FORCE_INLINE void turn(double *to, size_t apart, const double *const *rows, size_t lane) {
    Quarter r[4], even[2], odd[2];
    for (int k = 0; k < 4; k++) r[k] = *(const Quarter *)(rows[k] + lane);
    for (int k = 0; k < 2; k++) {
        even[k] = __builtin_shufflevector(r[2 * k], r[2 * k + 1], 0, 4, 2, 6);
        odd[k] = __builtin_shufflevector(r[2 * k], r[2 * k + 1], 1, 5, 3, 7);
    }
    *(Quarter *)to = __builtin_shufflevector(even[0], even[1], 0, 1, 4, 5);
    *(Quarter *)(to + apart) = __builtin_shufflevector(odd[0], odd[1], 0, 1, 4, 5);
    *(Quarter *)(to + 2 * apart) = __builtin_shufflevector(even[0], even[1], 2, 3, 6, 7);
    *(Quarter *)(to + 3 * apart) = __builtin_shufflevector(odd[0], odd[1], 2, 3, 6, 7);
}
#elif WIDTH == 2
enum { TURNED = 2 };
FORCE_INLINE void turn(double *to, size_t apart, const double *const *rows, size_t lane) {
    Vector a = load(rows[0] + lane), b = load(rows[1] + lane);
    store(to, __builtin_shufflevector(a, b, 0, 2));
    store(to + apart, __builtin_shufflevector(a, b, 1, 3));
}
#else
enum { TURNED = 1 };
FORCE_INLINE void turn(double *to, size_t apart, const double *const *rows, size_t lane) {
    (void)apart;
    *to = rows[0][lane];
}
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
