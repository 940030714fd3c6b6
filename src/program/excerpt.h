/* SPDX-License-Identifier: MIT
 *
 * The part of the tape that a derivative is asked of, as a graph of its own; and its derivatives, back
 * on the tape as nodes like all others.
 */
#ifndef MICROGRAD_C_EXCERPT_H
#define MICROGRAD_C_EXCERPT_H

#include "passes/differentiate.h"

typedef struct {
    Tape *tape;
    Arena arena, scratch;
    Graph graph;
    Builder builder;
    Function function;
    uint8_t *leads;
    GROWING(uint32_t) tape_nodes; /* of each of the function's nodes; later of each of the graph's, or NONE */
    uint32_t *slots;              /* one more than the graph's node: of each node of the tape if most of it
                                   * is reached, else of a hash table */
    size_t n_slots;
    int is_dense;
    uint32_t *kept;               /* of new scans: their numbers, see loops.h */
    uint32_t closure;             /* the tape's node that cannot be differentiated; NONE */
} Excerpt;

typedef enum { EXCERPT_DONE, EXCERPT_CLOSURE, EXCERPT_NO_MEMORY } ExcerptStatus;

/* Instead of a node of the tape, as a seed or a tangent: the number 1. */
#define UNIT (NONE - 1)

/* Nothing here may run while the tape can compact. */

/* Takes what the roots depend on and what depends on xs; `others` are nodes that derivatives will be
 * built of, too (or UNIT, or NONE). decides: see Builder. */
ExcerptStatus excerpt_take(Excerpt *excerpt, Tape *tape, const uint32_t *roots, uint32_t n_roots, const uint32_t *xs,
                           uint32_t n_xs, const uint32_t *others, uint32_t n_others, int decides);

/* derivatives[k] = the sum over roots of seeds * d root / d xs[k]: nodes of the graph, or NONE for 0.
 * seeds: nodes of the tape, or UNIT. */
ExcerptStatus excerpt_reverse(Excerpt *excerpt, const uint32_t *roots, const uint32_t *seeds, uint32_t n_roots,
                              const uint32_t *xs, uint32_t n_xs, uint32_t *derivatives);

/* derivatives[k] = the tangent of roots[k], where xs have the tangents `tangents` (nodes of the tape;
 * or UNIT; NONE: 0). */
ExcerptStatus excerpt_forward(Excerpt *excerpt, const uint32_t *roots, uint32_t n_roots, const uint32_t *xs,
                              const uint32_t *tangents, uint32_t n_xs, uint32_t *derivatives);

/* entries: the second derivatives of root, d/dx[k] of d root/dx[k], d root/dx[k + 1], ..., for each k, one
 * after the other: nodes of the graph, or NONE for 0. */
ExcerptStatus excerpt_hessian(Excerpt *excerpt, uint32_t root, const uint32_t *xs, uint32_t n_xs, uint32_t *entries);

/* Which node of the tape stands for the k-th partial that the derivatives need. */
void excerpt_set_partial(Excerpt *excerpt, uint32_t k, uint32_t tape_node);

/* Appends what the derivatives depend on; they become nodes of the tape that nobody has yet.
 * *late: whether heavy operands have become LATE by it. */
ExcerptStatus excerpt_append(Excerpt *excerpt, uint32_t *derivatives, uint32_t count, int *late);

void excerpt_free(Excerpt *excerpt);

#endif
