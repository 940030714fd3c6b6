/* SPDX-License-Identifier: MIT
 *
 * New nodes at the end of a graph, simplified as they are made where IEEE arithmetic has no doubt.
 *
 * A builder knows every node's number, at the point at hand. Where that point is all that there will
 * be, as in eager code, choices are made by it once and for all, so that nothing stands for the branch
 * that was not taken, and stages are nobody's concern; in a function that is being recorded, they are left
 * to where().
 */
#ifndef MICROGRAD_C_BUILD_H
#define MICROGRAD_C_BUILD_H

#include "ops/cells.h"
#include "graph.h"

typedef struct {
    Graph *graph;
    double *values;       /* of all nodes */
    uint32_t capacity;    /* of nodes and values */
    int decides;          /* choices are made by the numbers */
    uint32_t numbers[32]; /* one more than the node that a number was last given, by its bits */
} Builder;

/* Makes room for so many nodes more; graph->nodes moves. */
void build_room(Builder *b, uint32_t nodes);

/* A leaf: of NODE_CONSTANT, old or new; of NODE_CONSTANT, new; of NODE_INPUT, new, which is number a of
 * those that stand for something else. */
uint32_t build_number(Builder *b, double number);
uint32_t build_own_number(Builder *b, double number);
uint32_t build_input(Builder *b, uint32_t a, double value);

/* A row of the table on up to three nodes; number: a SCALED row's. */
uint32_t build_map(Builder *b, Op op, uint32_t x, uint32_t y, uint32_t w, double number);

/* The sum of n_pairs products, whose factors stand first in terms, and of n_addends nodes. */
uint32_t build_linear(Builder *b, const uint32_t *terms, uint32_t n_pairs, uint32_t n_addends);

/* The element that the index chooses. */
uint32_t build_take(Builder *b, uint32_t index, const uint32_t *elements, uint32_t n_elements);

/* Of loops (loops.h): number k of a record, a sequence that a scan gives, a sequence of nodes, and a scan. */
uint32_t build_part(Builder *b, uint32_t record, uint32_t k);
uint32_t build_sequence(Builder *b, uint32_t scan, uint32_t k);
uint32_t build_list(Builder *b, const uint32_t *elements, uint32_t count);
uint32_t build_scan(Builder *b, struct Scan *scan, const uint32_t *operands, uint32_t count);

/* The item of a cell, whose names stand for the nodes in `names`. known, if it is not NULL: for each item
 * that does not depend on g, one more than the node that it has become before; or 0, and it is noted. */
uint32_t build_item(Builder *b, const Cell *cell, uint8_t item, const uint32_t names[NAME_COUNT], uint32_t *known);

#endif
