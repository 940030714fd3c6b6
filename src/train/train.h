/* SPDX-License-Identifier: MIT
 *
 * The training loop: batches of samples in an order, gradients, an optimiser's rule.
 */
#ifndef MICROGRAD_C_TRAIN_H
#define MICROGRAD_C_TRAIN_H

#include "execute/execute.h"

/* Numbers that the optimiser updates, their gradients, and where their moments begin. */
typedef struct {
    double *p;
    const double *grads;
    size_t size, from;
} Stretch;

typedef struct {
    Batch batch;        /* columns and settings; samples and size are set step by step */
    Rule rule;
    Moments moments;
    const Stretch *stretches;
    size_t n_stretches;
    uint32_t *order;    /* of the samples; NULL: all of them every step */
    size_t n_samples, batch_size, position; /* position: in the order, of the next batch */
    int shuffle;
    uint64_t random;    /* the generator's state */
    double *losses;     /* one a step */
    size_t done;        /* steps so far */
} Training;

/* So many steps more. What is not done is not begun: parameters are those after step `done`. */
RunStatus program_train(Program *program, Training *training, size_t steps);

#endif
