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

#include <math.h>

#define VMATH_REPLACE_LIBM
#include "kernels.h"
