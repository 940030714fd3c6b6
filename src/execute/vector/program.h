/* SPDX-License-Identifier: MIT
 *
 * A program: the plan of a function, replayed over batches, forward and backward, block by block.
 */
#ifndef MICROGRAD_C_PROGRAM_H
#define MICROGRAD_C_PROGRAM_H

#include "execute/execute.h"
#include "plan.h"

/* -- kernels: compiled once for each level of vector units (kernels_*.c) ------------------------ */

enum { SCRATCH_ROWS = 32 }; /* four operands of a step; or inputs of a product that are turned together */

/* What steps work on. */
typedef struct {
    double *rows;         /* a row's lanes stand at rows + row * lanes */
    size_t lanes;         /* a multiple of the vectors' width; 1 for the once rows, and for one sample */
    size_t valid;         /* lanes that hold samples; those after them repeat the last one */
    const double *once;   /* values of once rows, for steps that work on samples */
    double *once_adjoint; /* where their adjoints are summed */
    double *scratch;      /* SCRATCH_ROWS; of one lane: see scratch_of_numbers */
    const double **pointers;
    uint32_t bad_lane;    /* where take's index was not one; NONE: nowhere */
    uint32_t bad_count;   /* ... and among how many it chose */
    double bad_index;
} Frame;

typedef struct {
    Level level; /* what others know of it */
    void (*run)(const Step *steps, uint32_t n_steps, Frame *frame);
    double (*sum)(const double *row, size_t n);
    /* Rows turned: lane k of the rows stands side by side from to + k * apart on. As many rows, and lanes, as
     * are a multiple of 4, or of the vectors' width. */
    void (*turn)(double *to, size_t apart, const double *const *rows, size_t n_rows, size_t lanes);
    /* to[k] = the sum of the first `valid` doubles of vector k; or +=. */
    void (*fold)(const double *vectors, size_t n, size_t valid, int add, double *to);
} Kernels;

/* -- programs -------------------------------------------------------------------------------------- */

typedef struct {
    Program base;    /* its numbers are the once rows: values, then adjoints */
    Arena arena;
    Plan plan;
    double *memory;  /* of workers: rows, scratch, pointers */
    double *partial; /* of chunks: adjoints of once rows, and the loss */
    size_t memory_size, partial_size;
} VectorProgram;

char *vector_listing(const Program *program);

#endif
