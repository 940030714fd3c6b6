/* SPDX-License-Identifier: MIT
 *
 * An optimiser's parameter groups: settings, and what is remembered of the parameters. Plain data, which rules.h
 * computes with.
 */
#ifndef MICROGRAD_C_OPTIMISER_H
#define MICROGRAD_C_OPTIMISER_H

#include <math.h>
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
    double bias1, bias2;   /* of Adam's first and second moments after so many steps: 1 - beta^steps */
} Moments;

/* Parameters that have the same settings. */
typedef struct {
    Rule rule;
    Moments moments;
} ParameterGroup;

/* Comes once a step, before the group's numbers are updated. */
static inline void group_begin_step(ParameterGroup *group) {
    Moments *moments = &group->moments;
    moments->steps++;
    if (group->rule.kind == SGD) return;
    moments->bias1 = 1.0 - pow(group->rule.beta1, (double)moments->steps);
    moments->bias2 = 1.0 - pow(group->rule.beta2, (double)moments->steps);
}

#endif
