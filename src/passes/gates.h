/* SPDX-License-Identifier: MIT
 *
 * Where gains leave a side of a choice, they go through a gate: a node of the operand's number, whose chain rule lets
 * nothing through in samples that do not choose that side (see sides.h).
 *
 * Not gated are weights, since a matrix has no sample's numbers: what they gain by a product within a side is made of
 * inputs that are 0 elsewhere, those of a product of its own. Nor is what is computed once, within a side of some
 * samples. So NaN is left of an infinite slope by parameters alone that no sample chooses.
 */
#ifndef MICROGRAD_C_GATES_H
#define MICROGRAD_C_GATES_H

#include "sides.h"

/* Of a node of the graph with gates. */
typedef struct {
    uint32_t operand;   /* NONE: it is no gate                                       */
    uint32_t condition; /* a node: above 0 where the gate lets gains through ...     */
    uint8_t is_other;   /* ... or not above 0                                        */
    uint32_t product;   /* of a product: by whose inputs its weights gain; NONE: its own */
} Gate;

/* A graph of one root like this one, of which `leads` is known, but with gates, in the arena. NULL: it needs none. */
Gate *add_gates(const Graph *graph, const uint8_t *leads, Arena *scratch, Graph *with_gates);

#endif
