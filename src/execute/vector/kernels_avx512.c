/* SPDX-License-Identifier: MIT
 *
 * Kernels for x86-64 with AVX-512 (F, DQ, VL and BW): Intel servers from 2017 on, AMD from 2022 on.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#define LEVEL avx512
#define LEVEL_NAME "avx512"
#define VECTOR_BYTES 64
#define TILE 4
#define VMATH_FMA 1
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
