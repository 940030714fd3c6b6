/* SPDX-License-Identifier: MIT
 *
 * Kernels for x86-64 with AVX2 and FMA: Intel from 2013 on, AMD from 2015 on.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#define LEVEL avx2
#define LEVEL_NAME "avx2"
#define VECTOR_BYTES 32
#define TILE 3
#define VMATH_FMA 1
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
