/* SPDX-License-Identifier: MIT
 *
 * An optimiser's settings and what it remembers: plain data, which rules.h computes with.
 */
#ifndef MICROGRAD_C_OPTIMISER_H
#define MICROGRAD_C_OPTIMISER_H

#include <stdint.h>

typedef enum { SGD, ADAM, ADAMW } RuleKind;

typedef struct {
    RuleKind kind;
    int nesterov, amsgrad, maximize;
    double lr, momentum, beta1, beta2, eps, weight_decay;
} Rule;

typedef struct {
    double *m, *v, *v_max; /* momentum or first moment, second moment, its maximum */
    uint64_t steps;        /* the one at hand included */
} Moments;

#endif
