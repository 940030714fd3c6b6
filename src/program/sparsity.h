/* SPDX-License-Identifier: MIT
 *
 * Which results of a graph depend on which of its inputs, and how few runs find a Hessian with so many
 * entries that are not 0.
 *
 * The graph is that of a Hessian times a direction: input k is the direction's component k, and the
 * results are the product's. Directions of several components at once, a colour each, are enough where
 * each entry stands alone in one of the two places that it has: where the colours are a star colouring
 * of the pattern (Gebremedhin, Manne and Pothen, What Color Is Your Jacobian?, SIAM Review 47, 2005).
 */
#ifndef MICROGRAD_C_SPARSITY_H
#define MICROGRAD_C_SPARSITY_H

#include "graph.h"

/* An entry of the upper triangle that is not always 0, and where it is found: in the product with the
 * direction `colour`, at place `at`. */
typedef struct {
    uint32_t row, column, colour, at;
} Entry;

typedef struct {
    uint32_t n;       /* inputs, and results */
    uint32_t n_colours;
    uint32_t *colours; /* of each input */
    GROWING(Entry) entries; /* by rows, then by columns */
    /* What a run costs, in operations (a product or an addend of a sum is one): */
    double once;      /* for what no direction changes */
    double direction; /* for a direction */
    double symbolic;  /* for all entries of the triangle, each computed alone, and never a 0; about */
} Sparsity;

typedef enum { SPARSITY_FOUND, SPARSITY_NO_MEMORY } SparsityStatus;

/* Results are the roots from first_root on, as many as inputs. Memory is taken from the graph's scratch. */
SparsityStatus graph_sparsity(const Graph *graph, uint32_t first_root, Sparsity *sparsity);

#endif
