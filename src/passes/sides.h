/* SPDX-License-Identifier: MIT
 *
 * By which side of a choice a node gains.
 *
 * What only one side of a where or a take uses gains nothing in a sample that chooses another side. An adjoint
 * of 0 says so too, but not to rules: 0 times the slope of sqrt at 0 is NaN. So a node's gains stay within the
 * side that they have come by, whatever they are in other samples; where they leave it, the side's condition
 * decides whether there is anything at all.
 */
#ifndef MICROGRAD_C_SIDES_H
#define MICROGRAD_C_SIDES_H

#include "passes.h"

typedef enum {
    SIDE_EVERYWHERE, /* every sample                                     */
    SIDE_CHOSEN,     /* those of side b in which node a is above 0 ...   */
    SIDE_OTHER,      /* ... and in which it is not                       */
    SIDE_ELEMENTS,   /* those of side b in which take a chooses one of `count` elements from c on */
    SIDE_EITHER      /* those of side a and those of side b              */
} SideKind;

/* The sides that it is made of stand before it. */
typedef struct {
    uint32_t a, b, c, count;
    uint8_t kind, stage; /* stage: of its condition */
} Side;

typedef struct {
    const Graph *graph;
    Arena *scratch;
    uint32_t size;        /* of the function; its nodes only are looked at */
    const uint8_t *leads; /* of each: whether its derivative is asked for, or an operand's is */
    int over_batch;       /* gains are summed over the batch: what is computed once has no side of some samples */
    uint32_t *of;         /* of each: its side; 0: every sample; NONE: it gains nothing */
    uint32_t *of_loop; /* of each node of a loop: the side that uses it, though it is of every sample itself: what it
                           * gains is 0 in others, but what its body makes of that may be NaN. NONE: nobody; NULL: there
                           * are no loops */
    GROWING(Side) all;
    uint32_t *table; /* one more than the side */
    size_t table_size;
} Sides;

/* Whether a function has choices at all. */
int has_choices(const Graph *graph, uint32_t size);

/* The samples of either side. */
uint32_t either_side(Sides *sides, uint32_t s, uint32_t t);

/* `of`, which is given, holds 0 for roots and for nodes whose derivative has to be good in every sample; NONE for
 * all else. */
void find_sides(Sides *sides);

/* By which side operand k of node i gains, if it gains anything. */
uint32_t side_by(Sides *sides, uint32_t i, uint32_t k);

/* By which side's condition what a node of a loop gives its operands has to be masked; 0: by none. */
static inline uint32_t side_of_loop(const Sides *sides, uint32_t i) {
    return sides->of_loop && sides->of_loop[i] != NONE ? sides->of_loop[i] : 0;
}

/* By which side's condition that has to be masked which this operand k of node i gains; 0: by none, since it has
 * no other gains, or is of a side that the rule itself masks. */
uint32_t side_left(Sides *sides, uint32_t i, uint32_t k, uint32_t operand);

#endif
