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

/* What steps work on. Numbers in rows are doubles; of kernels for float32, floats. */
typedef struct {
    const Batch *batch;   /* whose samples from `first` on the lanes are */
    size_t first;
    void *rows;           /* a row's lanes stand at rows + row * lanes */
    size_t lanes;         /* a multiple of the vectors' width, or 1 for the once rows, and for one sample */
    size_t valid;         /* lanes that hold samples; those after them repeat the last one */
    const double *once;   /* values of once rows, for steps that work on samples */
    const float *narrow;  /* the same, for samples in float32 */
    double *once_adjoint; /* where their adjoints are summed */
    void *scratch;        /* SCRATCH_ROWS of doubles; of one lane: see scratch_of_numbers */
    double *bundles;      /* of one lane: room for the plan's */
    double *outputs;      /* room for a product's rows of outputs as doubles; of kernels for float32 alone */
    void *pointers;       /* room for pointers: the plan's most, and one a lane */
    uint32_t bad_lane;    /* where take's index was not one; NONE: nowhere */
    uint32_t bad_count;   /* ... and among how many it chose */
    double bad_index;
} Frame;

/* The lanes' draws, but for which: those of a batch's samples from `first` on, `valid` of them. */
static inline Drawing drawing_of(const Batch *batch, size_t first, size_t valid) {
    Drawing drawing = {.stream = batch->stream, .n = valid, .n_steps = 1, .first = batch->first_sample};
    drawing.is_one_sample = batch->is_one_sample;
    if (batch->samples) drawing.samples = batch->samples + first;
    else drawing.first += (uint32_t)first;
    return drawing;
}

/* Sums over frames, which are vectors side by side, of what stands in places p and q of each: of products; of choices,
 * which are q's where p's is above 0; or of q's where p's number is the sum's own, which are numbered from `least` on.
 * Those of p[i] and q[j] go to vector to[i * n_q + j]; where there are elements, p is one, and i counts them. */
typedef struct {
    enum { OF_PRODUCTS, OF_CHOICES, OF_ELEMENTS } kind;
    uint8_t is_total; /* they are added to what stands there, of so many lanes alone as hold samples */
    uint32_t n_p, n_q, least;
    const uint32_t *p, *q, *to;
} Contraction;

/* Which of the sums a number belongs to; NONE: to none. */
static inline uint32_t element_in(const Contraction *of, double number) {
    double from_least = number - of->least;
    return from_least >= 0 && from_least < of->n_p && from_least == (uint32_t)from_least ? (uint32_t)from_least : NONE;
}

typedef void (*Turn)(void *to, size_t apart, const void *const *rows, size_t n_rows, size_t lanes);

typedef struct {
    Level level;         /* what others know of it */
    size_t number_bytes; /* of a number in rows */
    void (*run)(const Step *steps, uint32_t n_steps, Frame *frame);
    /* Forward, and for gradients back, for the samples from `first` on that fill the frame's lanes. Adds
     * their loss to *loss. RUN_BAD_INDEX: the frame says where. */
    RunStatus (*run_block)(const Plan *plan, const Batch *batch, int gradients, Frame *frame, size_t first,
                           double *loss);
    /* to[k] = the sum of the first `valid` doubles of vector k; or +=. Of kernels for doubles alone. */
    void (*fold)(const double *vectors, size_t n, size_t valid, int add, double *to);
    /* Rows turned: lane k of the rows stands side by side from to + k * apart on. As many rows, and lanes, as a
     * vector has, or multiples of 4. Rows are of the kernels' numbers; of kernels for floats, also doubles to floats,
     * and floats to doubles. */
    Turn turn, turn_doubles, turn_out;
    /* Of frames `apart` numbers from each other. Totals are vectors of doubles; of floats, upper halves of lanes stand
     * `upper` doubles behind the lower ones. */
    void (*contract)(const Contraction *of, const void *frames, size_t n_frames, size_t apart, size_t valid, void *to,
                     size_t upper);
} Kernels;

/* A level's: for doubles, of which it is the beginning, and for floats. */
static inline const Kernels *kernels_of(const Level *level) { return (const Kernels *)(const void *)level; }
const Kernels *float32_kernels_of(const Level *level);

/* -- programs -------------------------------------------------------------------------------------- */

typedef struct {
    Program base;    /* its numbers are the once rows: values, then adjoints */
    Arena arena;
    Plan plan;
    float *narrow;   /* values of once rows, for samples in float32; NULL: these are computed in doubles */
    double *memory;  /* of workers: rows, scratch, pointers */
    double *partial; /* of chunks: adjoints of once rows, and the loss */
    size_t memory_size, partial_size;
} VectorProgram;

char *vector_listing(const Program *program);

#endif
