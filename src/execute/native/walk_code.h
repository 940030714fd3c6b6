/* SPDX-License-Identifier: MIT
 *
 * The code of walks for one kind of vector, and the memory that it works on.
 */
#ifndef MICROGRAD_C_WALK_CODE_H
#define MICROGRAD_C_WALK_CODE_H

#include "execute/chunks.h"
#include "interpret.h"
#include "native.h"

/* What one worker works on. */
typedef struct {
    double *memory; /* the rows; NULL: there is none yet */
    double *slots;  /* behind a header; or values, where lines are interpreted */
    double *sums;   /* over the batch, a vector each; of floats, as many more of upper halves */
} Desk;

/* The code for one kind of vector. */
typedef struct {
    Machine machine;
    Arena arena;
    Walks walks; /* but for its lines' instructions, which are gone */
    const uint8_t *pages; /* NULL: lines are interpreted */
    size_t size;
    uint32_t n_slots; /* of all lines, the most: slots, or values */
    int is_float32; /* samples are */
    const Kernels *kernels, *float32_kernels;
    Desk desks[MOST_CHUNKS];
    double *partial;  /* of each chunk: its sums over the batch; NULL: there was one chunk so far */
} WalkCode;

static inline size_t width_of(const WalkCode *code) { return (size_t)code->machine.width; }

/* Samples of a vector. */
static inline size_t lanes_of(const WalkCode *code) { return width_of(code) << code->is_float32; }

static inline size_t copies_of(const WalkCode *code) { return code->machine.evex ? 1 : width_of(code); }

static inline size_t row_doubles(const WalkCode *code) { return code->walks.n_rows * width_of(code); }

static inline size_t slot_doubles(const WalkCode *code) {
    return sizeof(Header) / sizeof(double) + (code->n_slots + (size_t)1) * width_of(code);
}

static inline size_t sum_doubles(const WalkCode *code) { return (code->walks.sums.size + (size_t)1) * lanes_of(code); }

/* From sums of the lower half of the lanes to those of the upper half. */
static inline size_t upper_sums(const WalkCode *code) { return code->walks.sums.size * width_of(code); }

/* For this machine; of no registers, to be interpreted. NULL with RUN_DONE: the system gives no pages, or the rows are
 * too many. */
WalkCode *walk_code_make(const Graph *graph, Machine machine, RunStatus *status);
void walk_code_free(WalkCode *code);

/* Memory for a worker, with the text's numbers in their places; 0, or -1: there is none. */
int walk_desk_make(const WalkCode *code, Desk *desk);

#endif
