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

enum {
    MANY_TERMS = 8, /* fewer are added where the sum stands, in order */
    MOST_PARTS = 4
};

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

/* The k-th term in the order of eager code: the first addend, products, other addends. */
static inline uint32_t term_at(const Node *sum, uint32_t k) {
    int has_addend = count_terms(sum) > sum->c;
    return !has_addend || k > sum->c ? k : k == 0 ? sum->c : k - 1;
}

/* Of scratch. */
TermOrder order_terms(const Graph *graph, Arena *scratch);

#endif
