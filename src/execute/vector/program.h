/* SPDX-License-Identifier: MIT
 *
 * A program: the plan of a function, replayed over batches, forward and backward, block by block.
 */
#ifndef MICROGRAD_C_PROGRAM_H
#define MICROGRAD_C_PROGRAM_H

#include "plan.h"

/* -- kernels: compiled once for each level of vector units (kernels_*.c) ------------------------ */

/* What steps work on. */
typedef struct {
    double *rows;         /* a row's lanes stand at rows + row * lanes */
    size_t lanes;         /* a multiple of the vectors' width, or 1 for the once rows */
    size_t valid;         /* lanes that hold samples; those after them repeat the last one */
    const double *once;   /* values of once rows, for steps that work on samples */
    double *once_adjoint; /* where their adjoints are summed */
    double *scratch;      /* 4 rows */
    const double **pointers;
    uint32_t bad_lane;    /* where take's index was not one; NONE: nowhere */
    uint32_t bad_count;   /* ... and among how many it chose */
    double bad_index;
} Frame;

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

typedef struct {
    const char *name;
    uint32_t width; /* doubles of a vector */
    void (*run)(const Step *steps, uint32_t n_steps, Frame *frame);
    double (*sum)(const double *row, size_t n);
    /* One step of an optimiser on n numbers; `from` is their place in the moments. */
    void (*update)(const Rule *rule, const Moments *moments, double *p, const double *grads, size_t n,
                   size_t from);
} Kernels;

/* The levels that this processor has, the best last; *count: how many. */
const Kernels *const *kernels_available(int *count);

/* -- batches --------------------------------------------------------------------------------------- */

/* One column of the arguments: sample k's number stands at data + k * stride bytes. */
typedef struct {
    const char *data;
    ptrdiff_t stride;
    int is_float32;
} Column;

#define EVERY_SAMPLE SIZE_MAX

typedef enum { RUN_DONE, RUN_NO_MEMORY, RUN_STOPPED, RUN_BAD_INDEX } RunStatus;

/* Called every few milliseconds; anything but 0 stops the run. */
typedef int (*Poll)(void);

/* Where the numbers of a result go, a sample's `stride` doubles behind the one before. */
typedef struct {
    double *data;
    size_t stride;
} Target;

typedef struct {
    const Column *columns;   /* of all inputs */
    const uint32_t *samples; /* which, in order; NULL: all from the first on */
    size_t size;
    int threads;             /* 0: as many as are worth it */
    int is_mean;             /* the loss is the samples' mean, else their sum */
    const Kernels *kernels;
    Poll poll;
    /* -- results -- */
    double loss;
    const Target *targets;   /* of each root: where its numbers go */
    size_t bad_sample;       /* RUN_BAD_INDEX: in the columns, or EVERY_SAMPLE; what; among how many */
    double bad_index;
    uint32_t bad_count;
} Batch;

/* -- programs -------------------------------------------------------------------------------------- */

typedef struct {
    Arena arena;
    Plan plan;
    uint32_t n_roots;
    double *once;    /* values of once rows, then their adjoints */
    double *memory;  /* of workers: rows, scratch, pointers */
    double *partial; /* of chunks: adjoints of once rows, and the loss */
    size_t memory_size, partial_size;
    uint32_t lanes;  /* of the last run */
    double unpolled; /* work since the last poll */
} Program;

/* Planned. *made is set if it is made. */
MakeStatus program_make(Graph *graph, int gradients, Program **made);
void program_free(Program *program);
size_t program_bytes(const Program *program);

/* The number and the adjoint of a parameter; NULL: the results do not depend on it. */
double *program_parameter(Program *program, uint32_t parameter);

/* What the program does, as text, which the caller frees; NULL: no memory. */
char *program_listing(const Program *program);

RunStatus program_evaluate(Program *program, Batch *batch);

/* Afterwards the adjoints of the once rows are the gradients of the loss. */
RunStatus program_gradients(Program *program, Batch *batch);

#endif
