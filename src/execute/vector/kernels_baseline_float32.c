/* SPDX-License-Identifier: MIT
 *
 * The kernels of kernels_baseline.c, on rows of floats.
 */
#define FLOAT32
#include "kernels_baseline.c"
