/* SPDX-License-Identifier: MIT
 *
 * A program's steps: what is done in which order on which rows of memory.
 *
 * A row is one number for each of a block's samples (its lanes), side by side. Nodes of one operation
 * whose operands stand in consecutive rows are one group, computed by one step over all its rows. So are the links
 * of a chain, such as the maximum of a list: of each but the first, the first operand is the link before.
 *
 * What no sample changes is computed once a batch, in rows of one lane each: the once rows, first the
 * parameters, in the order in which matrix products read them. Behind the values stand as many adjoints.
 */
#ifndef MICROGRAD_C_PLAN_H
#define MICROGRAD_C_PLAN_H

#include "program/graph.h"

typedef enum { NOWHERE, IN_ROWS, IN_ONCE } Space;

/* Where operand k of a step stands for its member m: at + m * stride. */
typedef struct {
    uint32_t at;
    uint8_t space;
    uint8_t stride; /* 0 or 1 */
} Ref;

/* Terms of a sum: a * b, or a where b is nowhere. */
typedef struct {
    Ref a, b;
    uint32_t count;
} Run;

typedef enum {
    STEP_MAP,         /* out = op(x, y, w)                                           */
    STEP_CHAIN,       /* the same, x of a member but the first being the out before  */
    STEP_LINEAR,      /* out = sum of runs                                           */
    STEP_MATVEC,      /* out rows = matrix (n_out x n_in) * rows listed in refs + y  */
    STEP_TAKE,        /* out = refs[1 + refs[0]]                                     */
    STEP_GATHER,      /* out rows = the rows in refs                                 */
    STEP_NUMBER,      /* out = number                                                */
    STEP_DRAW,        /* out = draw; of two members, the second is the next draw     */
    STEP_ZERO,        /* out = 0                                                     */
    STEP_GAIN,        /* out (+)= chain rule of op for operand `which`, given g      */
    STEP_CHAIN_GAIN,  /* the same, from the last member to the first                 */
    STEP_MATVEC_X,    /* rows in refs (+)= matrix' * g, for the columns listed       */
    STEP_MATVEC_W,    /* adjoints at x += g * rows in refs, those at y += g          */
    STEP_TAKE_GAIN,   /* row in refs chosen by x += g                                */
    STEP_SCATTER      /* rows in refs += g rows                                      */
} StepKind;

typedef struct {
    uint8_t kind, op;
    uint8_t which;
    uint8_t kinds[2]; /* STEP_DRAW: of the members; `draw`: the first one's number */
    uint8_t add;  /* 0: out is assigned */
    uint8_t flat; /* all members are one stretch of memory */
    uint8_t nth, is_last; /* STEP_MATVEC_W: in its bundle */
    uint32_t draw;
    uint32_t count; /* members; STEP_MATVEC and its gains: n_out */
    Ref out, g, x, y, w, z;
    double number; /* as the operation has it; STEP_MATVEC_X: the matrix's columns; STEP_MATVEC_W: see Plan.bundles */
    Ref *refs;
    Run *runs;
    uint32_t n_refs, n_runs;
    uint32_t *columns; /* STEP_MATVEC_X */
} Step;

typedef struct {
    Step *items;
    uint32_t size;
} StepList;

typedef struct {
    StepList once, forward, backward, once_backward;
    uint32_t n_once;            /* once rows: values; their adjoints stand behind          */
    uint32_t n_rows;            /* rows of a block                                         */
    uint32_t most_members;      /* of a step */
    uint32_t most_pointers;     /* that a step on samples needs room for */
    uint32_t most_outputs;      /* of a matrix product whose weights have adjoints */
    uint32_t bundles; /* numbers of bundles: what the same weights gain from several products is kept for one
                                 * sum, where there is one sample; steps know from which number on */
    uint32_t *parameter_row; /* once row of each parameter; NONE: not needed            */
    uint32_t n_constants;
    uint32_t *constant_rows; /* once rows of numbers, and the numbers                   */
    double *constants;
    uint32_t n_columns; /* argument columns that are read, and the rows they go to */
    uint32_t *columns;
    uint32_t *column_rows;
    uint32_t n_roots;
    Ref *roots;
    uint32_t root_adjoint; /* of the only root: a row, or a once row                  */
    double work; /* multiply-adds for one sample, about                     */
} Plan;

/* A plan to compute the roots; of a gradient graph, the loss and the adjoints of all parameters. */
MakeStatus plan_make(Plan *plan, Arena *arena, Graph *graph);

#endif
