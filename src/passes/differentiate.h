/* SPDX-License-Identifier: MIT
 *
 * Differentiation: from a graph to the same graph with its derivatives as nodes behind it.
 *
 * One cell of the operation table serves both ways. A gain is linear in g: with g the adjoint of the
 * result it is what the operand's adjoint gains (reverse mode), and with g the tangent of the operand
 * it is what the result's tangent gains (forward mode), since a number is its own transpose
 * (Griewank and Walther, Evaluating Derivatives, 2008, chapter 3).
 */
#ifndef MICROGRAD_C_DIFFERENTIATE_H
#define MICROGRAD_C_DIFFERENTIATE_H

#include "program/build.h"

/* A local derivative of a custom node: number `which` of node `node`. */
typedef struct {
    uint32_t node, which;
} Partial;

/* A function to be differentiated: the nodes of the builder's graph as they are at first. */
typedef struct {
    Builder *builder;
    uint32_t size;      /* of the function */
    const uint8_t *leads; /* of each node: whether its derivative is asked for, or an operand's is */
    GROWING(Partial) partials; /* NODE_INPUTs from n_inputs on stand for these */
} Function;

/* Reverse mode. seeds[k] is the adjoint of roots[k]; adjoints (size numbers) become the nodes of the
 * adjoints that lead to somewhere, or NONE where the adjoint is 0. Those of xs (nodes of the function, or NONE)
 * are good in every sample; others, in those that choose them (sides.h). */
void differentiate(Function *function, const uint32_t *roots, const uint32_t *seeds, uint32_t n_roots,
                   const uint32_t *xs, uint32_t n_xs, uint32_t *adjoints);

/* Forward mode. tangents (size numbers) are set for what moves, NONE for all else; afterwards they are
 * the tangents of all nodes, or NONE where that is 0. */
void push_tangents(Function *function, uint32_t *tangents);

/* Forward mode over reverse mode, for one triangle: the derivatives of slopes[k], slopes[k + 1], ... by
 * xs[k], for each k, one after the other. slopes: nodes that differentiate() has made, or NONE. xs: nodes
 * that are independent of each other, or NONE. What depends on the point alone is built once, and only what
 * moves is looked at. */
void differentiate_again(Function *function, const uint32_t *xs, const uint32_t *slopes, uint32_t n, uint32_t *entries);

#endif
