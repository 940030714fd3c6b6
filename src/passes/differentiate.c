/* SPDX-License-Identifier: MIT */
#include "differentiate.h"

#include "differentiate_loops.h"

/* -- the rule of a cell ----------------------------------------------------------------------------- */

/* The nodes of the cell's items, as far as they are known; good until the next call. NULL: see Work. */
static uint32_t *hoisted_items(Work *work, const Cell *cell, uint32_t i, uint32_t which) {
    if (!work->hoists) return NULL;
    uint32_t *place = &work->hoists[MOST_OPERANDS * i + which];
    if (!*place) {
        GROW(work->b->graph->scratch, &work->hoisted, uint32_t, cell->size);
        memset(work->hoisted.items + work->hoisted.size, 0, cell->size * sizeof(uint32_t));
        *place = work->hoisted.size + 1;
        work->hoisted.size += cell->size;
    }
    return work->hoisted.items + *place - 1;
}

/* Adds to the derivative of `to` the gain of operand `which` of node i, for this g. */
static void add_gain(Work *work, uint32_t to, uint32_t i, uint32_t which, uint32_t g) {
    Builder *b = work->b;
    const Node node = b->graph->nodes[i];
    const Cell *cell = cell_of((Op)node.op, (int)which);
    const Item *whole = &cell->items[cell->size - 1];
    uint32_t names[NAME_COUNT] = {node.a, node.b, node.c, i, g};
    uint32_t *known = hoisted_items(work, cell, i, which);
    if (op_info[node.op].shape == SCALED) names[NAME_Y] = build_number(b, node.number);
    /* g times something is a term of a sum of products, which is one node. */
    if (whole->kind == ITEM_CALL && whole->op == OP_mul && cell->items[whole->a].kind == ITEM_NAME &&
        cell->items[whole->a].name == NAME_G) {
        uint32_t factor = build_item(b, cell, whole->b, names, known);
        if (keeps_zeros(work, &node) || !is_zero(b, factor)) add_term(work, to, g, factor);
        return;
    }
    add_term_of(work, &node, to, build_item(b, cell, (uint8_t)(cell->size - 1), names, known), NONE);
}

/* Before something is added that operand k of node i gains. */
static void set_side(Work *work, uint32_t i, uint32_t k, uint32_t operand) {
    if (work->sides && work->function->leads[operand]) work->side = side_left(work->sides, i, k, operand);
}

/* -- choices by an index ---------------------------------------------------------------------------- */

static void add_take_gains(Work *work, uint32_t i, uint32_t g) {
    Builder *b = work->b;
    uint32_t n_elements = b->graph->nodes[i].b - 1, index = whole_index(work, i, n_elements);
    for (uint32_t k = 0; k < n_elements; k++) {
        uint32_t to = operand_of(b, i, 1 + k);
        if (!work->function->leads[to]) continue;
        set_side(work, i, 1 + k, to);
        uint32_t is_this = build_map(b, OP_equal, index, build_number(b, k), NONE, 0);
        add_unless_zero(work, to, build_map(b, OP_where, is_this, g, build_number(b, 0.0), 0));
    }
}

/* What a chain of choices by an index gives: the tangent of the element that is taken. */
static void add_take_tangent(Work *work, uint32_t i) {
    Builder *b = work->b;
    uint32_t n_elements = b->graph->nodes[i].b - 1, chosen = build_number(b, 0.0);
    uint32_t index = whole_index(work, i, n_elements);
    for (uint32_t k = 0; k < n_elements; k++) {
        uint32_t tangent = work->tangents[operand_of(b, i, 1 + k)];
        if (tangent == NONE) continue;
        uint32_t is_this = build_map(b, OP_equal, index, build_number(b, k), NONE, 0);
        chosen = build_map(b, OP_where, is_this, tangent, chosen, 0);
    }
    add_unless_zero(work, i, chosen);
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

/* -- a node's rule, both ways ------------------------------------------------------------------------ */

/* What a derivative is multiplied by, and what gains the product. */
typedef struct {
    uint32_t g, to;
} Way;

/* Of node i's derivative by operand k: from the node's adjoint g to the operand's, or from the operand's tangent
 * to the node's. Without a g, nothing is gained. The side that the derivative comes by is set, too. */
static Way way_of(Work *work, uint32_t i, uint32_t k, uint32_t g) {
    uint32_t operand = operand_of(work->b, i, k);
    if (work->tangents) return (Way){work->tangents[operand], i};
    set_side(work, i, k, operand);
    return (Way){work->function->leads[operand] ? g : NONE, operand};
}

/* What node i, whose adjoint is g, adds to its operands' adjoints; or what their tangents add to its own. */
static void apply_rule(Work *work, uint32_t i, uint32_t g) {
    Builder *b = work->b;
    const Node node = b->graph->nodes[i];
    switch (form_of(&node)) {
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_DRAW: return;
    case FORM_MAP:
        for (uint32_t k = 0; k < op_arity(node.op); k++) {
            Way way = way_of(work, i, k, g);
            if (way.g != NONE && !cell_stops((Op)node.op, (int)k)) add_gain(work, way.to, i, k, way.g);
        }
        return;
    case FORM_LINEAR:
        for (uint32_t k = 0; k < node.b; k++) {
            Way way = way_of(work, i, k, g);
            uint32_t factor = k < 2 * node.c ? operand_of(b, i, k ^ 1) : NONE;
            if (way.g != NONE) add_term_of(work, &node, way.to, way.g, factor);
        }
        return;
    case FORM_TAKE:
        if (work->tangents) add_take_tangent(work, i);
        else add_take_gains(work, i, g);
        return;
    case FORM_CUSTOM:
        for (uint32_t k = 0; k < node.b / 2; k++) {
            Way way = way_of(work, i, k, g);
            if (way.g != NONE) add_term(work, way.to, way.g, build_partial(work, i, k));
        }
        return;
    case FORM_PART:
        if (work->tangents) add_part_tangent(work, i);
        else add_part_gain(work, i, g);
        return;
    case FORM_SCAN:
        add_scan_tangent(work, i); /* in reverse mode, see apply_record_rule */
        return;
    case FORM_SEQUENCE: add_sequence_tangent(work, i); return;
    case FORM_LIST: add_list_tangent(work, i); return;
    case FORM_PRODUCT: CASES_OF_GRADIENTS break; /* of graphs that have been optimised, or have their adjoints */
    }
    abort();
}

/* -- the sides of nodes ------------------------------------------------------------------------------ */

/* The sides of the function's nodes: those of roots and of what derivatives are asked by, every sample. */
static void prepare_sides(Work *work, Sides *sides, const uint32_t *roots, uint32_t n_roots, const uint32_t *xs,
                          uint32_t n_xs) {
    const Function *function = work->function;
    Arena *scratch = work->b->graph->scratch;
    if (work->b->decides || !has_choices(work->b->graph, function->size)) return;
    *sides = (Sides){.graph = work->b->graph, .scratch = scratch, .size = function->size, .leads = function->leads};
    sides->of = ARENA_ARRAY(scratch, uint32_t, function->size);
    for (uint32_t i = 0; i < function->size; i++) sides->of[i] = NONE;
    for (uint32_t k = 0; k < n_roots; k++) sides->of[roots[k]] = 0;
    for (uint32_t k = 0; k < n_xs; k++)
        if (xs[k] != NONE) sides->of[xs[k]] = 0;
    find_sides(sides);
    work->conditions = ARENA_ARRAY(scratch, uint32_t, sides->all.size);
    work->indices = ARENA_ARRAY(scratch, uint32_t, function->size);
    work->sides = sides;
}

/* -- reverse mode ----------------------------------------------------------------------------------- */

void differentiate(Function *function, const uint32_t *roots, const uint32_t *seeds, uint32_t n_roots,
                   const uint32_t *xs, uint32_t n_xs, uint32_t *adjoints) {
    Work work = {.function = function, .b = function->builder};
    Sides sides;
    work.of = ARENA_ARRAY(work.b->graph->scratch, Terms, function->size);
    prepare_sides(&work, &sides, roots, n_roots, xs, n_xs);
    for (uint32_t k = 0; k < n_roots; k++) add_unless_zero(&work, roots[k], seeds[k]);
    for (uint32_t i = function->size; i-- > 0;) {
        if (is_record_of_loop(&work.b->graph->nodes[i])) {
            adjoints[i] = NONE;
            if (work.of[i].count) apply_record_rule(&work, i);
            continue;
        }
        adjoints[i] = function->leads[i] ? sum_terms(&work, i) : NONE;
        if (adjoints[i] != NONE) apply_rule(&work, i, adjoints[i]);
    }
}

/* -- forward mode ----------------------------------------------------------------------------------- */

void push_tangents(Function *function, uint32_t *tangents) {
    Work work = {.function = function, .b = function->builder, .tangents = tangents};
    work.of = ARENA_ARRAY(work.b->graph->scratch, Terms, function->size);
    for (uint32_t i = 0; i < function->size; i++) {
        if (tangents[i] != NONE) continue; /* it moves by itself */
        apply_rule(&work, i, NONE);
        tangents[i] = sum_terms(&work, i);
    }
}

/* -- forward over reverse --------------------------------------------------------------------------- */

/* The nodes that use each node: users of node i stand from starts[i] to starts[i + 1]. */
typedef struct {
    uint32_t size;
    uint32_t *starts, *nodes;
} Users;

static Users find_users(const Graph *graph) {
    Users users = {graph->size, ARENA_ARRAY(graph->scratch, uint32_t, (size_t)graph->size + 2), NULL};
    uint32_t count, *at = users.starts + 1; /* while they are filled, starts move up to where they belong */
    for (uint32_t i = 0; i < graph->size; i++) {
        const uint32_t *operands = node_operands(graph, i, &count);
        for (uint32_t k = 0; k < count; k++) ++users.starts[operands[k] + 2];
    }
    for (uint32_t i = 0; i < graph->size; i++) at[i + 1] += at[i];
    users.nodes = ARENA_ARRAY(graph->scratch, uint32_t, at[graph->size] + 1);
    for (uint32_t i = 0; i < graph->size; i++) {
        const uint32_t *operands = node_operands(graph, i, &count);
        for (uint32_t k = 0; k < count; k++) users.nodes[at[operands[k]]++] = i;
    }
    return users;
}

/* Of each node, one more than the last root that depends on it. */
static uint32_t *find_last_roots(const Graph *graph, const uint32_t *roots, uint32_t n_roots) {
    uint32_t count, *last = ARENA_ARRAY(graph->scratch, uint32_t, graph->size);
    for (uint32_t k = 0; k < n_roots; k++)
        if (roots[k] != NONE) last[roots[k]] = k + 1;
    for (uint32_t i = graph->size; i-- > 0;) {
        const uint32_t *operands = last[i] ? node_operands(graph, i, &count) : NULL;
        for (uint32_t k = 0; operands && k < count; k++)
            if (last[operands[k]] < last[i]) last[operands[k]] = last[i];
    }
    return last;
}

/* The next node that is marked, which is no longer; NONE: there is none. */
static uint32_t next_marked(uint64_t *marked, uint32_t size, uint32_t from) {
    for (size_t word = WORD_OF(from); word < WORDS_FOR(size); word++) {
        if (!marked[word]) continue;
        uint32_t i = (uint32_t)(word * 64) + count_bits((marked[word] & -marked[word]) - 1);
        marked[word] &= marked[word] - 1;
        return i;
    }
    return NONE;
}

void differentiate_again(Function *function, const uint32_t *xs, const uint32_t *slopes, uint32_t n,
                         uint32_t *entries) {
    Graph *graph = function->builder->graph;
    Arena *scratch = graph->scratch;
    const Users users = find_users(graph);
    const uint32_t *last = find_last_roots(graph, slopes, n);
    Work work = {.function = function, .b = function->builder};
    uint64_t *marked = ARENA_ARRAY(scratch, uint64_t, WORDS_FOR(users.size)); /* an operand moves */
    uint32_t *tangents = ARENA_ARRAY(scratch, uint32_t, users.size), unit = build_number(work.b, 1.0);
    uint32_t *moved = ARENA_ARRAY(scratch, uint32_t, users.size), n_moved;
    work.tangents = tangents;
    work.of = ARENA_ARRAY(scratch, Terms, users.size);
    work.hoists = ARENA_ARRAY(scratch, uint32_t, MOST_OPERANDS *(size_t)users.size);
    for (uint32_t i = 0; i < users.size; i++) tangents[i] = NONE;
    for (uint32_t k = 0; k < n; k++) {
        n_moved = 0;
        for (uint32_t i = xs[k]; i != NONE; i = next_marked(marked, users.size, i)) {
            if (i != xs[k]) apply_rule(&work, i, NONE);
            tangents[i] = i == xs[k] ? unit : sum_terms(&work, i);
            moved[n_moved++] = i;
            for (uint32_t u = users.starts[i]; tangents[i] != NONE && u < users.starts[i + 1]; u++)
                if (last[users.nodes[u]] > k) marked[WORD_OF(users.nodes[u])] |= BIT_OF(users.nodes[u]);
        }
        for (uint32_t m = k; m < n; m++) *entries++ = slopes[m] == NONE ? NONE : tangents[slopes[m]];
        for (uint32_t m = 0; m < n_moved; m++) tangents[moved[m]] = NONE;
    }
}
