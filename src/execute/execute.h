/* SPDX-License-Identifier: MIT
 *
 * The interface of executors: what makes programs of graphs, and what a program can be asked.
 *
 * An executor is a row in execute.c's list and a folder of its own. All of them give what the scalar one
 * gives, within rounding. Who runs programs, the Python boundary and the training loop, knows this alone.
 */
#ifndef MICROGRAD_C_EXECUTE_H
#define MICROGRAD_C_EXECUTE_H

#include "program/graph.h"
#include "train/optimiser.h"

/* -- levels of vector units ------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    uint32_t width; /* doubles of a vector */
    /* One step of an optimiser on n numbers; `from` is their place in the moments. */
    void (*update)(const ParameterGroup *group, double *p, const double *grads, size_t n, size_t from);
    void (*draw)(const Drawing *drawing);
} Level;

/* The levels that this processor has, the best last; *count: how many. */
const Level *const *levels_available(int *count);

/* -- batches --------------------------------------------------------------------------------------- */

/* One column of the arguments: sample k's number stands at data + k * stride bytes. */
typedef struct {
    const char *data;
    ptrdiff_t stride;
    int is_float32;
} Column;

static inline double column_number(const Column *column, size_t sample) {
    const char *at = column->data + (ptrdiff_t)sample * column->stride;
    if (column->is_float32) {
        float number;
        memcpy(&number, at, sizeof number);
        return number;
    }
    double number;
    memcpy(&number, at, sizeof number);
    return number;
}

/* How many of these columns, from the first on, stand side by side: a sample's numbers then lie as they do in rows
 * of an array. They are doubles, or floats. */
static inline uint32_t columns_together(const Column *columns, const uint32_t *which, uint32_t count, int is_float32) {
    const Column *first = &columns[which[0]];
    const ptrdiff_t bytes = is_float32 ? sizeof(float) : sizeof(double);
    uint32_t n = 1;
    if (first->is_float32 != is_float32 || (uintptr_t)first->data % (size_t)bytes || first->stride % bytes) return n;
    for (; n < count; n++) {
        const Column *column = &columns[which[n]];
        if (column->data != first->data + n * bytes || column->stride != first->stride ||
            column->is_float32 != is_float32)
            break;
    }
    return n;
}

#define EVERY_SAMPLE SIZE_MAX

typedef enum { RUN_DONE, RUN_NO_MEMORY, RUN_STOPPED, RUN_BAD_INDEX } RunStatus;

/* Called every few milliseconds; anything but 0 stops the run. */
typedef int (*Poll)(void);

#define POLL_WORK 2e7 /* multiply-adds between polls: a few milliseconds of vector units */

/* Where the numbers of a result go, a sample's `stride` doubles behind the one before. */
typedef struct {
    double *data;
    size_t stride;
} Target;

typedef struct {
    Stream stream;           /* which draws */
    uint32_t first_sample;   /* ... of its sample 0, if others are computed elsewhere */
    int is_one_sample;       /* ... and all others have the same */
    const Column *columns;   /* of all inputs */
    const uint32_t *samples; /* which, in order; NULL: all from the first on */
    size_t size;
    int threads;             /* 0: as many as are worth it */
    int is_mean;             /* the loss is the samples' mean, else their sum */
    int is_known;            /* the program holds the samples' numbers since its run before, and nobody has had */
                             /* an occasion to change them */
    const Level *level;
    Poll poll;
    /* -- results -- */
    double loss;
    const Target *targets;   /* of each root: where its numbers go */
    size_t bad_sample;       /* RUN_BAD_INDEX: in the columns, or EVERY_SAMPLE; what; among how many */
    double bad_index;
    uint32_t bad_count;
} Batch;

/* The number that draws know a sample by; `sample` is that of the columns. */
static inline uint32_t drawn_sample(const Batch *batch, size_t sample) {
    return batch->first_sample + (batch->is_one_sample ? 0 : (uint32_t)sample);
}

/* What the loss of a batch is, where it does not change with the sample, from its number; and the seed.
 * Of no samples, the mean is NaN and the sum 0. */
static inline double once_loss(const Batch *batch, double number) {
    if (batch->is_mean) return batch->size ? number : NAN;
    return number * (double)batch->size;
}

static inline double once_seed(const Batch *batch) { return batch->is_mean ? batch->size > 0 : (double)batch->size; }

/* ... and where it does: from the samples' sum; for each sample. */
static inline double sample_loss(const Batch *batch, double sum) {
    return batch->is_mean ? batch->size ? sum / (double)batch->size : NAN : sum;
}

static inline double sample_seed(const Batch *batch) { return batch->is_mean ? 1.0 / (double)batch->size : 1.0; }

/* -- executors -------------------------------------------------------------------------------------- */

typedef struct Program Program;

typedef struct {
    const char *name;

    /* Why it does not run this graph, in words that stand behind a colon; NULL: it does. */
    const char *(*refuses)(const Graph *graph);

    /* A program of a graph: a gradient graph's can be asked for gradients, another's be evaluated. *made is
     * set if it is made. The graph stays where it is as long as the program lives. */
    MakeStatus (*make)(Graph *graph, Program **made);

    /* The roots' numbers for each sample go to the batch's targets. */
    RunStatus (*evaluate)(Program *program, Batch *batch);

    /* Sets the batch's loss, and the parameters' adjoints to its derivatives. */
    RunStatus (*gradients)(Program *program, Batch *batch);

    /* What it does, as text, which the caller frees; NULL: no memory. */
    char *(*listing)(const Program *program);

    size_t (*bytes)(const Program *program);
    void (*free)(Program *program);

    /* Why a graph that it does not refuse is better left to those behind it, in such words; NULL: it is not.
     * A NULL for the function: none is. */
    const char *(*leaves)(const Graph *graph);
} Executor;

/* What every program has; an executor's own stands behind it. */
struct Program {
    const Executor *executor;
    double *numbers;              /* of parameters, among others */
    size_t to_adjoint;            /* a parameter's adjoint stands so far behind its number */
    const uint32_t *parameter_at; /* of each parameter, in numbers; NOWHERE_ELSE: nothing depends on it */
    uint32_t n_roots;
    uint32_t lanes;               /* samples at a time, of the last run */
    uint32_t rows;                /* numbers of a sample that memory holds at a time, of the last run */
    double work;                  /* multiply-adds for one sample, about */
    double unpolled;              /* work since the last poll */
};

/* The executors, the best first, NULL behind the last. */
extern const Executor *const executors[];

/* The first executor that neither refuses the graph nor leaves it to others. */
const Executor *executor_for(const Graph *graph);

/* Why it is not this one; NULL: nothing speaks against it. */
const char *reason_against(const Executor *executor, const Graph *graph);

/* Multiply-adds of a node for one sample, and of a graph with all steps of its loops, about. */
static inline double node_work(const Node *node) {
    return 2 + (has_args(node) ? node->b : 0) + (node->op == NODE_DRAW ? DRAW_WORK : 0);
}
double graph_work(const Graph *graph);

/* To be called between samples or blocks, with the work since: whether the run has to stop. */
static inline int poll_after(Program *program, Batch *batch, double work) {
    program->unpolled += work;
    if (program->unpolled <= POLL_WORK || !batch->poll) return 0;
    program->unpolled = 0;
    batch->is_known = 0; /* whoever is asked may change them */
    return batch->poll();
}

/* Gives the parameters their numbers. Spans' places are those of parameter_at. */
static inline void program_load(const Program *program, const Tape *tape, const Span *spans, size_t n) {
    for (const Span *span = spans; span < spans + n; span++)
        if (span->place != NOWHERE_ELSE)
            tape_copy(program->numbers + span->place, tape->value + span->node, span->size);
}

/* Gives their nodes their adjoints. */
static inline void program_store_adjoints(const Program *program, Tape *tape, const Span *spans, size_t n) {
    const double *adjoints = program->numbers + program->to_adjoint;
    for (const Span *span = spans; span < spans + n; span++) {
        if (span->place == NOWHERE_ELSE) tape_clear_adjoints(tape, span->node, span->size);
        else tape_set_adjoints(tape, span->node, span->size, adjoints + span->place);
    }
}

/* The adjoint of a parameter. */
static inline double program_adjoint(const Program *program, uint32_t parameter) {
    uint32_t at = program->parameter_at[parameter];
    return at == NOWHERE_ELSE ? 0.0 : program->numbers[program->to_adjoint + at];
}

/* The number of a parameter; NULL: nothing depends on it. */
static inline double *program_parameter(const Program *program, uint32_t parameter) {
    uint32_t at = program->parameter_at[parameter];
    return at == NOWHERE_ELSE ? NULL : program->numbers + at;
}

#endif
