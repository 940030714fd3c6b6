/* SPDX-License-Identifier: MIT
 *
 * The terms of derivatives: what adds up to each node's, as rules come by them.
 */
#ifndef MICROGRAD_C_DERIVATIVE_TERMS_H
#define MICROGRAD_C_DERIVATIVE_TERMS_H

#include "differentiate.h"
#include "sides.h"

/* -- terms: what adds up to a derivative ------------------------------------------------------------ */

/* A product, or a node alone where q is NONE. */
typedef struct {
    uint32_t p, q, next; /* next: one more than the index of the one before */
} Term;

/* A node's terms, a list from the last one on. */
typedef struct {
    uint32_t last, count; /* last: one more than its index; 0: there is none */
} Terms;

typedef struct {
    Function *function;
    Builder *b;
    const uint32_t *tangents; /* forward mode: of the nodes; NULL: reverse mode */
    Sides *sides;             /* reverse mode, of a function with choices that samples make; else NULL */
    uint32_t *conditions;     /* of each side: one more than a node that is above 0 in its samples; 0: none so far */
    uint32_t *indices;        /* of each take: one more than its index, counted from the first element; or 0 */
    GROWING(uint32_t) pending; /* sides whose conditions are being built */
    uint32_t side;            /* that what is added now has to be masked by; 0: none */
    GROWING(Term) terms;
    uint32_t free;            /* those that have been added up already: one more than the first */
    Terms *of;                /* of each node */
    GROWING(uint32_t) sorted; /* factors, then addends */
    /* Where rules are applied more than once, with one g after the other: what they are made of but for g.
     * Of operand k of node i, from hoists[MOST_OPERANDS * i + k] - 1 on: for each of the cell's items one
     * more than its node. NULL: where they are applied once. */
    uint32_t *hoists;
    GROWING(uint32_t) hoisted;
} Work;

enum { MOST_OPERANDS = 3 }; /* of a row with a cell */

static inline int is_zero_node(const Node *node) { return node->op == NODE_CONSTANT && node->number == 0.0; }

static inline int is_zero(const Builder *b, uint32_t i) {
    return b->graph->nodes[i].op == NODE_CONSTANT && b->values[i] == 0.0;
}

/* -- choices ---------------------------------------------------------------------------------------- */

/* The index of a take, counted from the first element even where it is negative. In a function that is
 * being recorded it is taken from the numbers 0, 1, 2, ...: so that it is refused where it is none, also
 * where nothing is left of the take itself. */
uint32_t whole_index(Work *work, uint32_t take, uint32_t n_elements);

/* What is added, where the side that it comes by is chosen; else 0. */
uint32_t mask(Work *work, uint32_t p);

static inline uint32_t operand_of(const Builder *b, uint32_t i, uint32_t which) {
    uint32_t count;
    return node_operands(b->graph, i, &count)[which];
}

/* -- addition --------------------------------------------------------------------------------------- */

static inline void add_term(Work *work, uint32_t to, uint32_t p, uint32_t q) {
    if (work->side) {
        p = mask(work, q == NONE ? p : build_map(work->b, OP_mul, p, q, NONE, 0));
        q = NONE;
    }
    uint32_t at = work->free;
    if (at) {
        work->free = work->terms.items[at - 1].next;
    } else {
        GROW(work->b->graph->scratch, &work->terms, Term, 1);
        at = ++work->terms.size;
    }
    work->terms.items[at - 1] = (Term){p, q, work->of[to].last};
    work->of[to].last = at;
    ++work->of[to].count;
}

/* Whether what node i hands on is handed on even where it is 0. Where numbers make the choices, the 0 of a kink is
 * an adjoint like any other, as in backward(): 0 times an infinite slope is NaN. Only what where() leaves out is
 * nothing at all. In a function that is being recorded, and of tangents, a 0 that is always there is left out. */
static inline int keeps_zeros(const Work *work, const Node *node) {
    return work->b->decides && !work->tangents && node->op != OP_where;
}

/* A term by the rule of a node. */
static inline void add_term_of(Work *work, const Node *node, uint32_t to, uint32_t p, uint32_t q) {
    if (q != NONE || keeps_zeros(work, node) || !is_zero(work->b, p)) add_term(work, to, p, q);
}

static inline void add_unless_zero(Work *work, uint32_t to, uint32_t p) {
    if (!is_zero(work->b, p)) add_term(work, to, p, NONE);
}

/* The sum of a node's terms, in the order in which they came; NONE: there are none. They are used up. */
static inline uint32_t sum_terms(Work *work, uint32_t node) {
    const Terms all = work->of[node];
    if (!all.count) return NONE;
    work->of[node] = (Terms){0};
    work->sorted.size = 0;
    GROW(work->b->graph->scratch, &work->sorted, uint32_t, 3 * (size_t)all.count);
    uint32_t *pairs = work->sorted.items + 2 * all.count, *addends = work->sorted.items + 3 * all.count;
    uint32_t n_pairs = 0, n_addends = 0, at = all.last;
    for (;;) { /* from the last to the first */
        Term *term = &work->terms.items[at - 1];
        if (term->q == NONE) {
            *(addends - ++n_addends) = term->p;
        } else {
            *(pairs - 2 * ++n_pairs) = term->p;
            *(pairs - 2 * n_pairs + 1) = term->q;
        }
        if (!term->next) {
            term->next = work->free;
            break;
        }
        at = term->next;
    }
    work->free = all.last;
    pairs -= 2 * n_pairs;
    memmove(pairs + 2 * n_pairs, addends - n_addends, n_addends * sizeof *pairs);
    return build_linear(work->b, pairs, n_pairs, n_addends);
}

#endif
