/* SPDX-License-Identifier: MIT
 *
 * Kernels for every processor of the platform: SSE2 on x86-64, NEON on aarch64.
 */
#define LEVEL baseline
#define LEVEL_NAME "baseline"
#if !defined(_MSC_VER) || defined(__clang__)
#define VECTOR_BYTES 16
#endif
#if defined(__aarch64__)
#define TILE 4
#else
#define TILE 2
#endif
#include "level.h"
