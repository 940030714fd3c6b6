/* SPDX-License-Identifier: MIT
 *
 * Draws for every processor of the platform: SSE2 on x86-64, NEON on aarch64.
 */
#define DRAW draw_baseline
#if !defined(_MSC_VER) || defined(__clang__)
#define VECTOR_BYTES 16
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#include <emmintrin.h>
#define MULTIPLY(a, b) ((Words)_mm_mul_epu32((__m128i)(a), (__m128i)(b)))
#define ARE_BELOW(p, x) _mm_movemask_pd(_mm_cmplt_pd(_mm_loadu_pd(p), _mm_set1_pd(x)))
#endif
#include "level.h"
