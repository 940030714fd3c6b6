/* SPDX-License-Identifier: MIT
 *
 * A program as machine code, and what its runs need.
 *
 * Code is made when a batch first asks for it: for AVX-512 or AVX2, as the batch's level says; and without a
 * loop where four lanes of doubles, or eight of floats, hold all samples.
 */
#ifndef MICROGRAD_C_NATIVE_H
#define MICROGRAD_C_NATIVE_H

#include "emit.h"
#include "execute/vector/program.h"
#include "lower.h"

/* A straight line as code. */
typedef struct {
    Emission emission;
    double *numbers; /* as the code reads them: see emit.h */
} Piece;

typedef struct {
    Machine machine;
    Arena arena;
    Lowered lowered; /* but for its lines, which are gone */
    Piece pieces[LINES];
    const uint8_t *pages;
    size_t size;
    uint32_t width;         /* samples of a vector */
    uint32_t lanes, stride; /* samples of a block; numbers from one row to the next */
    uint32_t n_slots;       /* of all pieces, the most */
    size_t desk_size;       /* doubles of a worker's memory: see run.c */
    int is_loop;            /* else its batches are one vector */
    int is_float32;         /* samples are */
    const Kernels *kernels; /* for vectors as wide */
    const Kernels *float32_kernels;
} NativeCode;

/* For AVX-512 and AVX2: loops, and what is for one vector of 256 bits. */
enum { WIDE, WIDE_ONE, NARROW, NARROW_ONE, CODES };
extern const Machine code_machines[CODES];

typedef struct {
    Program base; /* its numbers are lower.h's */
    const Graph *graph;
    double *numbers;
    uint32_t *places;   /* of parameters in them */
    size_t n_numbers;
    NativeCode *codes[CODES];
    NativeCode *known;  /* that holds the samples of a batch that is known */
    Program *instead;   /* of the vector executor, for levels and systems without code; NULL so far */
    Graph planned;      /* ... its graph: the same, with memory of its own for the making */
    double *memory;     /* of workers */
    double *partial;    /* of chunks: sums over the batch */
    size_t memory_size, partial_size;
} NativeProgram;

enum { MOST_LANES = 256 }; /* of a block */

extern const Executor native_executor;

/* Vectors of sums over the batch. */
static inline size_t total_vectors(const NativeCode *code) {
    return (size_t)code->lowered.n_totals << code->is_float32;
}

/* Doubles that the rows of inputs and outputs take. */
static inline size_t rows_size(const NativeCode *code) {
    size_t numbers = (code->lowered.n_inputs + (size_t)code->lowered.n_outputs) * code->stride;
    return code->is_float32 ? (numbers + 1) / 2 : numbers;
}

/* The code for a batch. *status: RUN_DONE, or RUN_NO_MEMORY; NULL without that: the system gives none. */
NativeCode *native_code(NativeProgram *program, const Batch *batch, RunStatus *status);
void native_code_free(NativeCode *code);

/* Runs the function at this place in the code, whose calls to C are these. */
void native_enter(const uint8_t *at, const Memory *memory, const Call *calls, const Kernels *kernels,
                  const Kernels *float32_kernels, int width);

/* The best kernels for vectors of so many doubles. */
const Kernels *native_kernels(int width);

RunStatus native_evaluate(Program *program, Batch *batch);
RunStatus native_gradients(Program *program, Batch *batch);

#endif
