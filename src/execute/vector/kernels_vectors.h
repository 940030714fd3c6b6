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
