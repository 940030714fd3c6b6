/* SPDX-License-Identifier: MIT
 *
 * Parameters and gradients where they stand side by side, and the norm of all these gradients.
 */
#ifndef MICROGRAD_C_CLIP_H
#define MICROGRAD_C_CLIP_H

#include <stddef.h>

/* Numbers of one group that the optimiser updates, their gradients, and where their moments begin. */
typedef struct {
    double *p;
    double *grads;
    size_t size, from;
} Stretch;

/* The p-norm of all gradients, without an overflow on the way; p may be INFINITY. NaN where one is; of none, 0. */
double gradients_norm(const Stretch *stretches, size_t n, double p);

/* Shortens gradients of this norm to `longest`, if they are longer. A norm that is no number goes on in them. */
void gradients_clip(const Stretch *stretches, size_t n, double norm, double longest);

#endif
