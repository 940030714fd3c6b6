/* SPDX-License-Identifier: MIT
 *
 * Draws for x86-64 with AVX2.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define DRAW draw_avx2
#define VECTOR_BYTES 32
#define MULTIPLY(a, b) ((Words)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#define ARE_BELOW(p, x) _mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(p), _mm256_set1_pd(x), _CMP_LT_OQ))
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int no_avx2_here;
#endif
