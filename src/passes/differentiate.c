/* SPDX-License-Identifier: MIT */
#include "differentiate.h"

/* -- terms: what adds up to a derivative ------------------------------------------------------------ */

/* A product, or a node alone where q is NONE. */
typedef struct {
    uint32_t p, q, next; /* next: one more than the index of the one before */
} Term;

typedef struct {
    Function *function;
    Builder *b;
    GROWING(Term) terms;
    uint32_t *last;           /* of each node: one more than its last term; 0: there is none */
    GROWING(uint32_t) sorted; /* factors, then addends */
} Work;

static int is_zero(const Builder *b, uint32_t i) {
    return b->graph->nodes[i].op == NODE_CONSTANT && b->values[i] == 0.0;
}

static void add_term(Work *work, uint32_t to, uint32_t p, uint32_t q) {
    if (q == NONE && is_zero(work->b, p)) return;
    GROW(work->b->graph->scratch, &work->terms, Term, 1);
    work->terms.items[work->terms.size++] = (Term){p, q, work->last[to]};
    work->last[to] = work->terms.size;
}

/* The sum of a node's terms, in the order in which they came; NONE: there are none. */
static uint32_t sum_terms(Work *work, uint32_t of) {
    uint32_t n_pairs = 0, n_addends = 0;
    if (work->last[of] && !work->terms.items[work->last[of] - 1].next) {
        const Term only = work->terms.items[work->last[of] - 1];
        return only.q == NONE ? only.p : build_map(work->b, OP_mul, only.p, only.q, NONE, 0);
    }
    for (uint32_t t = work->last[of]; t; t = work->terms.items[t - 1].next)
        ++*(work->terms.items[t - 1].q == NONE ? &n_addends : &n_pairs);
    if (n_pairs + n_addends == 0) return NONE;
    uint32_t count = 2 * n_pairs + n_addends, pair = 2 * n_pairs, addend = count;
    work->sorted.size = 0;
    GROW(work->b->graph->scratch, &work->sorted, uint32_t, count);
    for (uint32_t t = work->last[of]; t; t = work->terms.items[t - 1].next) { /* from the last to the first */
        const Term *term = &work->terms.items[t - 1];
        if (term->q == NONE) {
            work->sorted.items[--addend] = term->p;
        } else {
            work->sorted.items[--pair] = term->q;
            work->sorted.items[--pair] = term->p;
        }
    }
    return build_linear(work->b, work->sorted.items, n_pairs, n_addends);
}

/* -- the rule of a cell ----------------------------------------------------------------------------- */

/* Adds to the derivative of `to` the gain of operand `which` of node i, for this g. */
static void add_gain(Work *work, uint32_t to, uint32_t i, uint32_t which, uint32_t g) {
    Builder *b = work->b;
    const Node node = b->graph->nodes[i];
    const Cell *cell = cell_of((Op)node.op, (int)which);
    const Item *whole = &cell->items[cell->size - 1];
    uint32_t names[NAME_COUNT] = {node.a, node.b, node.c, i, g};
    if (op_info[node.op].shape == SCALED) names[NAME_Y] = build_number(b, node.number);
    /* g times something is a term of a sum of products, which is one node. */
    if (whole->kind == ITEM_CALL && whole->op == OP_mul && cell->items[whole->a].kind == ITEM_NAME &&
        cell->items[whole->a].name == NAME_G) {
        uint32_t factor = build_item(b, cell, whole->b, names);
        if (!is_zero(b, factor)) add_term(work, to, g, factor);
        return;
    }
    add_term(work, to, build_item(b, cell, (uint8_t)(cell->size - 1), names), NONE);
}

static uint32_t operand_of(const Builder *b, uint32_t i, uint32_t which) {
    uint32_t count;
    return node_operands(b->graph, i, &count)[which];
}

/* -- choices by an index ---------------------------------------------------------------------------- */

/* The index of a take, counted from the first element even where it is negative. */
static uint32_t whole_index(Builder *b, uint32_t index, uint32_t n_elements) {
    uint32_t below = build_map(b, OP_less, index, build_number(b, 0.0), NONE, 0);
    uint32_t shifted = build_map(b, OP_add, index, build_number(b, (double)n_elements), NONE, 0);
    return build_map(b, OP_where, below, shifted, index, 0);
}

static void add_take_gains(Work *work, uint32_t i, uint32_t g) {
    Builder *b = work->b;
    uint32_t n_elements = b->graph->nodes[i].b - 1;
    uint32_t index = whole_index(b, operand_of(b, i, 0), n_elements);
    for (uint32_t k = 0; k < n_elements; k++) {
        uint32_t to = operand_of(b, i, 1 + k);
        if (!work->function->leads[to]) continue;
        uint32_t is_this = build_map(b, OP_equal, index, build_number(b, k), NONE, 0);
        add_term(work, to, build_map(b, OP_where, is_this, g, build_number(b, 0.0), 0), NONE);
    }
}

/* What a chain of choices by an index gives: the tangent of the element that is taken. */
static void add_take_tangent(Work *work, uint32_t i, const uint32_t *tangents) {
    Builder *b = work->b;
    uint32_t n_elements = b->graph->nodes[i].b - 1, chosen = build_number(b, 0.0);
    uint32_t index = whole_index(b, operand_of(b, i, 0), n_elements);
    for (uint32_t k = 0; k < n_elements; k++) {
        uint32_t tangent = tangents[operand_of(b, i, 1 + k)];
        if (tangent == NONE) continue;
        uint32_t is_this = build_map(b, OP_equal, index, build_number(b, k), NONE, 0);
        chosen = build_map(b, OP_where, is_this, tangent, chosen, 0);
    }
    add_term(work, i, chosen, NONE);
}

/* A custom node's derivative by its k-th operand. */
static uint32_t build_partial(Work *work, uint32_t i, uint32_t k) {
    Builder *b = work->b;
    Function *function = work->function;
    uint32_t number = operand_of(b, i, b->graph->nodes[i].b / 2 + k);
    GROW(b->graph->scratch, &function->partials, Partial, 1);
    function->partials.items[function->partials.size++] = (Partial){i, k};
    return build_input(b, b->graph->n_inputs + function->partials.size - 1, b->values[number]);
}

/* -- reverse mode ----------------------------------------------------------------------------------- */

/* What node i, whose adjoint is g, adds to its operands' adjoints. */
static void add_gains(Work *work, uint32_t i, uint32_t g) {
    Builder *b = work->b;
    const uint8_t *leads = work->function->leads;
    const Node node = b->graph->nodes[i];
    switch (form_of(&node)) {
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
        return;
    case FORM_MAP:
        for (uint32_t k = 0; k < op_arity(node.op); k++) {
            uint32_t to = operand_of(b, i, k);
            if (leads[to] && !cell_stops((Op)node.op, (int)k)) add_gain(work, to, i, k, g);
        }
        return;
    case FORM_LINEAR:
        for (uint32_t k = 0; k < node.b; k++) {
            uint32_t to = operand_of(b, i, k);
            if (leads[to]) add_term(work, to, g, k < 2 * node.c ? operand_of(b, i, k ^ 1) : NONE);
        }
        return;
    case FORM_TAKE:
        add_take_gains(work, i, g);
        return;
    case FORM_CUSTOM:
        for (uint32_t k = 0; k < node.b / 2; k++) {
            uint32_t to = operand_of(b, i, k);
            if (leads[to]) add_term(work, to, g, build_partial(work, i, k));
        }
        return;
    case FORM_PRODUCT:
    case FORM_PART:
    CASES_OF_GRADIENTS
        break; /* of graphs that have been optimised, or have their adjoints */
    }
    abort();
}

void differentiate(Function *function, const uint32_t *roots, const uint32_t *seeds, uint32_t n_roots,
                   uint32_t *adjoints) {
    Work work = {.function = function, .b = function->builder};
    work.last = ARENA_ARRAY(work.b->graph->scratch, uint32_t, function->size);
    for (uint32_t k = 0; k < n_roots; k++) add_term(&work, roots[k], seeds[k], NONE);
    for (uint32_t i = function->size; i-- > 0;) {
        adjoints[i] = function->leads[i] ? sum_terms(&work, i) : NONE;
        if (adjoints[i] != NONE) add_gains(&work, i, adjoints[i]);
    }
}

/* -- forward mode ----------------------------------------------------------------------------------- */

/* What the operands' tangents add to node i's. */
static void add_tangents(Work *work, uint32_t i, const uint32_t *tangents) {
    Builder *b = work->b;
    const Node node = b->graph->nodes[i];
    switch (form_of(&node)) {
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
        return;
    case FORM_MAP:
        for (uint32_t k = 0; k < op_arity(node.op); k++) {
            uint32_t t = tangents[operand_of(b, i, k)];
            if (t != NONE && !cell_stops((Op)node.op, (int)k)) add_gain(work, i, i, k, t);
        }
        return;
    case FORM_LINEAR:
        for (uint32_t k = 0; k < node.b; k++) {
            uint32_t t = tangents[operand_of(b, i, k)];
            if (t != NONE) add_term(work, i, t, k < 2 * node.c ? operand_of(b, i, k ^ 1) : NONE);
        }
        return;
    case FORM_TAKE:
        add_take_tangent(work, i, tangents);
        return;
    case FORM_CUSTOM:
        for (uint32_t k = 0; k < node.b / 2; k++) {
            uint32_t t = tangents[operand_of(b, i, k)];
            if (t != NONE) add_term(work, i, t, build_partial(work, i, k));
        }
        return;
    case FORM_PRODUCT:
    case FORM_PART:
    CASES_OF_GRADIENTS
        break; /* of graphs that have been optimised, or have their adjoints */
    }
    abort();
}

void push_tangents(Function *function, uint32_t *tangents) {
    Work work = {.function = function, .b = function->builder};
    work.last = ARENA_ARRAY(work.b->graph->scratch, uint32_t, function->size);
    for (uint32_t i = 0; i < function->size; i++) {
        if (tangents[i] != NONE) continue; /* it moves by itself */
        add_tangents(&work, i, tangents);
        tangents[i] = sum_terms(&work, i);
    }
}
