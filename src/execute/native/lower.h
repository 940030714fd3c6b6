/* SPDX-License-Identifier: MIT
 *
 * From a graph to straight lines: one for what is computed once a batch, one for every sample, and one for
 * what is computed of the sums over the batch.
 *
 * Of samples in float32, the line for every sample is on floats, and the others are on doubles.
 *
 * What one line leaves for another stands in the program's numbers: the parameters, their adjoints, the
 * seed, the sums over the batch, and what the first line gives.
 */
#ifndef MICROGRAD_C_LOWER_H
#define MICROGRAD_C_LOWER_H

#include "straight.h"

typedef enum { LINE_ONCE, LINE_SAMPLE, LINE_BATCH, LINES } LineKind;

typedef struct {
    Straight lines[LINES];
    uint32_t n_numbers;
    uint32_t adjoints, n_totals;   /* where in the numbers sums over the batch begin; how many. The first    */
                                   /* are parameters' adjoints, if that is what those are. Of floats, vectors */
                                   /* of doubles: lower halves, and as many upper halves behind them         */
    uint32_t *batch_rows, n_batch; /* ... each output of line BATCH goes; how many                           */
    uint32_t seed;                 /* ... the seed stands                                                    */
    uint32_t *given_rows, n_given; /* ... each output of line ONCE goes; how many                            */
    uint32_t loss_total;           /* which of the sums is that of the losses; NONE: none is                 */
    uint32_t bad_total;            /* which of the sums is above 0 if an index was none; NONE: there are none */
    uint32_t bad_row;              /* where in the numbers is what is above 0 if one of line ONCE was; NONE  */
    uint32_t *columns, n_columns;  /* of the arguments: those that line SAMPLE reads, as its inputs          */
    uint32_t *draws, n_draws;      /* ... which draws are its further inputs, ascending; and their kinds      */
    uint8_t *kinds;
    uint32_t n_inputs;             /* of line SAMPLE: columns and draws                                      */
    uint32_t *root_rows;           /* of each root: its number; NONE: an output of line SAMPLE, in order     */
    uint32_t n_outputs;            /* of line SAMPLE */
    double work;                   /* operations for one sample, about */
} Lowered;

/* Where the sums over the batch begin: so that vectors of the first of them stand in one line of the cache. */
static inline uint32_t adjoints_at(uint32_t n_parameters) { return (n_parameters + 1 + 7) / 8 * 8; }

/* Who knows where nodes stand, for lines that are made node by node. */
typedef struct Reader {
    /* The value of one, in the line at hand. */
    uint32_t (*read)(struct Reader *reader, uint32_t node);
    /* Rows in which the numbers of these stand one behind the other, for PRIMITIVE_PICK, which chooses among so many
     * together: the first; NONE: none do. */
    uint32_t (*table)(struct Reader *reader, const uint32_t *nodes, uint32_t count, uint32_t *together);
} Reader;

/* A node with a number, but for leaves, numbers of loops and sums over the batch: its value. *bad: NONE, or the value
 * that is above 0 if an index so far was none. */
uint32_t lower_node(Straight *line, const Graph *graph, uint32_t node, Reader *reader, uint32_t *bad);

/* Results are of the arena; lines, of scratch. */
void lower(Lowered *lowered, const Graph *graph, Arena *arena, Arena *scratch);

#endif
