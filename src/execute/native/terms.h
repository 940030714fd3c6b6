/* SPDX-License-Identifier: MIT
 *
 * When the terms of sums of products are added.
 *
 * Of many, each is added as soon as it is known, so that code keeps the sum so far, and not the terms. Where they
 * come one right after the other, every addition would wait for the one before: such a sum has several parts.
 */
#ifndef MICROGRAD_C_TERMS_H
#define MICROGRAD_C_TERMS_H

#include "program/graph.h"

enum { MOST_PARTS = 4 };

/* Term number `term` of the NODE_LINEAR `sum` (products come first, then addends), and to which part it goes. */
typedef struct {
    uint32_t sum, term, part;
} Term;

/* Behind node i, terms[first[i]] to terms[first[i + 1] - 1] are added, in this order. */
typedef struct {
    uint32_t *first;
    Term *terms;
} TermOrder;

static inline uint32_t count_terms(const Node *sum) { return sum->b - sum->c; }

/* Of scratch. */
TermOrder order_terms(const Graph *graph, Arena *scratch);

#endif
