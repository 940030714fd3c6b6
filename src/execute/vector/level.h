/* SPDX-License-Identifier: MIT
 *
 * The kernels of one level: kernels_*.c set LEVEL and include this.
 *
 * Other than the tape, kernels may contract a * b + c to one instruction, and nobody asks for the
 * processor's floating-point exceptions: without the latter, compilers do not vectorise conditions.
 */
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast", "no-trapping-math", "no-math-errno")
#endif

#ifdef FLOAT32 /* the same kernels on rows of floats: kernels_*_float32.c */
typedef float Real;
#define REAL_BYTES 4
#else
typedef double Real;
#define REAL_BYTES 8
#endif
#ifdef VECTOR_BYTES
#define WIDTH (VECTOR_BYTES / REAL_BYTES)
#define DOUBLES (VECTOR_BYTES / 8) /* of a vector */
#else
#define WIDTH 1
#define DOUBLES 1
#endif

#include <math.h>

#define VMATH_REPLACE_LIBM
#include "kernels.h"
