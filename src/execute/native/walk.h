/* SPDX-License-Identifier: MIT
 *
 * A function with loops as machine code: straight lines, and walks, which are loops over them.
 *
 * All memory is rows of one vector each. Numbers have rows of their own; sequences stand in *frames*, one for each
 * step, side by side with all sequences that the same scans take or make. So a step finds what it takes, and leaves
 * what it makes, in its frame, and what the next step begins with in the next one's, where it stays as the trail. A
 * carry whose trail nobody asks for has one row for all steps.
 *
 * Draws of a step stand in its frame, too. The first walk that reads them makes them, those of some steps at a time,
 * and others find them there. Where frames hold nothing else, there are only so many frames, which serve again.
 *
 * A derivative adds up, step by step, what each weight gains: as many carries as there are weights. Where these are
 * products of far fewer numbers, it is these that stand in frames, and the sums are made when the walk is over.
 *
 * A walk whose body is one straight line is a loop in machine code.
 *
 * Of samples in float32, all lines and walks for samples are on floats, and so are their rows and frames: vectors are
 * as long, of twice as many lanes. Sums over the batch are doubles, those of the upper half of the lanes behind the
 * others'. What is computed once, and of the sums, is on doubles.
 */
#ifndef MICROGRAD_C_WALK_H
#define MICROGRAD_C_WALK_H

#include "emit.h"
#include "execute/vector/program.h"
#include "lower.h"
#include "program/loops.h"

/* A straight line, a walk, or sums over the steps of one. */
typedef struct {
    enum { ITEM_LINE, ITEM_WALK, ITEM_SUMS } kind;
    uint32_t which;
} UnitItem;

typedef struct {
    GROWING(UnitItem) items;
} Unit;

typedef struct {
    Straight line;
    uint32_t bad;     /* its value that is above 0 if an index was none; NONE */
    Emission emission;
    double *numbers;  /* as the code reads them: see emit.h */
    uint32_t walk;    /* which it is all of the body of; NONE */
    int is_float32;   /* what it reads and gives are floats */
} Line;

/* A row that a draw goes to, or such a row of each frame. */
typedef struct {
    uint32_t row, draw;
    uint8_t kind;
} RowDraw;

enum { DRAWN_TOGETHER = 32 /* steps */ };

typedef struct {
    Unit body;
    uint32_t length;
    int is_reverse;
    uint32_t frames, frame_rows; /* the row that the first step's frame begins with; rows of a frame */
    int is_ring;                 /* there are DRAWN_TOGETHER frames, and `frames` is the first one in memory */
    uint32_t line;               /* if its body is one line: which; NONE */
    Numbering numbering;
    RowDraw *draws; /* in order: what it makes before it goes on */
    uint32_t n_draws;
} Walk;

/* Of a walk that has been gone: sums over its steps, of what stands in its frames. They go to rows, or, those that are
 * totals, to sums over the batch. */
typedef struct {
    uint32_t walk, carries; /* the row of its first carry */
    Contraction *contractions;
    uint32_t n_contractions, n_sums;
    int is_float32; /* what stands in the frames, and in rows of sums, are floats */
} StepSums;

/* A row that holds a number of the text, or a column of the arguments. */
typedef struct {
    uint32_t row;
    double number;
    int is_float32;
} RowNumber;

/* A row of floats, for samples: of a parameter, or of what is computed once and stands in a row of doubles. */
typedef struct {
    uint32_t from, to;
    int is_parameter;
} RowNarrowed;

typedef struct {
    uint32_t row, column;
} RowColumn;

/* Rows in which numbers stand one behind the other, to be chosen among: parameters, or, NONE, numbers of the text. */
typedef struct {
    uint32_t row, count;
    uint32_t *parameters;
    double *numbers;
    int is_float32;
} RowTable;

/* A sum over the batch: of what stands in row `of`, or, of floats, of its products with what stands in row `times`;
 * NONE: sums over steps are added to it. It goes to row `to`; NONE: nobody reads it there. */
typedef struct {
    uint32_t of, times, to;
} RowSum;

typedef struct {
    Unit units[LINES];
    GROWING(Line) lines;
    GROWING(Walk) walks;
    GROWING(StepSums) step_sums;
    GROWING(RowNumber) numbers;
    GROWING(RowNarrowed) narrowed;
    GROWING(RowColumn) columns;
    GROWING(RowTable) tables;
    GROWING(RowDraw) draws; /* by their numbers */
    GROWING(RowSum) sums;
    uint32_t *row_sums, n_row_sums; /* which of them are of rows */
    uint32_t n_rows;
    uint32_t *parameter_rows; /* NONE: nobody reads it */
    uint32_t *root_rows;       /* NONE: it is a sum over the batch, and nothing else: then ... */
    uint32_t *root_sums;       /* ... which */
    uint32_t seed_row, loss_sum; /* NONE: there is none; loss_sum: which of the sums */
    uint32_t bad_rows[2];        /* where lines on doubles, and those on floats, count indices that were none; NONE */
    int is_too_large;            /* or what is computed once a batch shares frames with what is computed in floats */
} Walks;

enum { MOST_ROWS = (1 << 25) - 1 }; /* distances in code have 32 bits */

/* With EVEX, code reads parameters where the program has them, one number for all lanes.
 * Everything is of the arena but for the lines' instructions, which are of scratch. */
void plan_walks(Walks *walks, const Graph *graph, Machine machine, Arena *arena, Arena *scratch);

#endif
