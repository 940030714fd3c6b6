/* SPDX-License-Identifier: MIT
 *
 * A program of walks, and its runs.
 */
#ifndef MICROGRAD_C_WALK_RUN_H
#define MICROGRAD_C_WALK_RUN_H

#include "walk_code.h"

typedef struct {
    Program base; /* its numbers: of the parameters, then their adjoints */
    const Graph *graph;
    double *numbers;
    uint32_t *places;
    int interprets;   /* it is the vector executor's */
    WalkCode *codes[CODES + 1]; /* the last one's lines are interpreted */
    Program *instead; /* of the scalar executor, where rows are too many, and to say what is wrong */
} WalkProgram;

/* RUN_BAD_INDEX: an index was none; which, the scalar executor says. */
RunStatus walk_run(WalkProgram *program, WalkCode *code, Batch *batch);

#endif
