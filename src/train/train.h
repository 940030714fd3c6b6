/* SPDX-License-Identifier: MIT
 *
 * The training loop: batches of samples in an order, gradients, an optimiser's rule.
 *
 * Where the samples are spread over ranks (processes), each runs this loop on its own, and `meet` makes of
 * their parts of each gradient the whole one.
 */
#ifndef MICROGRAD_C_TRAIN_H
#define MICROGRAD_C_TRAIN_H

#include "clip.h"
#include "execute/execute.h"

/* A parameter group and its part of the stretches; moments stand in their order. */
typedef struct {
    ParameterGroup own;
    size_t first_stretch, n_stretches, size; /* size: how many numbers they hold */
} TrainedGroup;

/* Called after each run for gradients with what came of it; what it gives counts instead. */
typedef RunStatus (*Meet)(void *ranks, Program *program, Batch *batch, RunStatus status);

typedef struct {
    Batch batch;        /* columns and settings; samples and size are set step by step */
    TrainedGroup *groups;
    size_t n_groups;
    const Rule *rules;  /* of the steps to come, one for each group; NULL: they stay as they are */
    double clip_norm;   /* gradients are no longer than this; INFINITY: as long as they are */
    Meet meet;          /* NULL: there is one rank */
    void *ranks;
    const Stretch *stretches;
    size_t n_stretches;
    double *work;       /* room for numbers and gradients of a group, side by side */
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
