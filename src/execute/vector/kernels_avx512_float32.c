/* SPDX-License-Identifier: MIT
 *
 * The kernels of kernels_avx512.c, on rows of floats.
 */
#define FLOAT32
#include "kernels_avx512.c"
