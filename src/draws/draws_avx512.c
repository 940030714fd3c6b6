/* SPDX-License-Identifier: MIT
 *
 * Draws for x86-64 with AVX-512, as kernels_avx512.c has it.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define DRAW draw_avx512
#define VECTOR_BYTES 64
#define MULTIPLY(a, b) ((Words)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#define BELOW(p, x) _mm512_cmp_pd_mask(_mm512_loadu_pd(p), _mm512_set1_pd(x), _CMP_LT_OQ)
#define KEEP_BELOW(to, p, x, places)                                                                    \
    (_mm256_storeu_si256((__m256i *)(to), _mm256_maskz_compress_epi32(BELOW(p, x), (__m256i)(places))), \
     (size_t)__builtin_popcount(BELOW(p, x)))
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")
#endif
#include "level.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int no_avx512_here;
#endif
