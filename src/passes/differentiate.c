/* SPDX-License-Identifier: MIT */
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

static int is_zero(const Builder *b, uint32_t i) {
    return b->graph->nodes[i].op == NODE_CONSTANT && b->values[i] == 0.0;
}

/* -- sides of choices ------------------------------------------------------------------------------- */

static uint32_t whole_index(Work *work, uint32_t take, uint32_t n_elements);

/* Whether the take of a side chooses one of its elements. */
static uint32_t is_among(Work *work, const Side *side) {
    Builder *b = work->b;
    uint32_t index = whole_index(work, side->a, b->graph->nodes[side->a].b - 1), first = build_number(b, side->c);
    if (side->count == 1) return build_map(b, OP_equal, index, first, NONE, 0);
    uint32_t is_below_end = build_map(b, OP_less, index, build_number(b, side->c + side->count), NONE, 0);
    return build_map(b, OP_mul, build_map(b, OP_less_equal, first, index, NONE, 0), is_below_end, NONE, 0);
}

/* Of a side whose parts have their conditions. */
static uint32_t build_condition(Work *work, const Side *side) {
    Builder *b = work->b;
    const uint32_t *conditions = work->conditions;
    uint32_t one = build_number(b, 1.0), zero = build_number(b, 0.0), inner = NONE;
    switch ((SideKind)side->kind) {
    case SIDE_EVERYWHERE: return one;
    case SIDE_EITHER: return build_map(b, OP_where, conditions[side->a] - 1, one, conditions[side->b] - 1, 0);
    case SIDE_CHOSEN: inner = side->a; break;
    case SIDE_OTHER: inner = build_map(b, OP_where, side->a, zero, one, 0); break;
    case SIDE_ELEMENTS: inner = is_among(work, side); break;
    }
    return side->b ? build_map(b, OP_where, conditions[side->b] - 1, inner, zero, 0) : inner;
}

/* After those of the sides that it is made of, which stand before it. */
static uint32_t condition_of(Work *work, uint32_t s) {
    uint32_t *conditions = work->conditions;
    work->pending.size = 0;
    for (uint32_t next = s; !conditions[s];) {
        const Side *side = &work->sides->all.items[next];
        int is_pair = side->kind == SIDE_EITHER;
        uint32_t part = is_pair && !conditions[side->a] ? side->a : side->b;
        if (part && !conditions[part]) {
            GROW(work->b->graph->scratch, &work->pending, uint32_t, 1);
            work->pending.items[work->pending.size++] = next;
            next = part;
            continue;
        }
        conditions[next] = build_condition(work, side) + 1;
        if (work->pending.size) next = work->pending.items[--work->pending.size];
    }
    return conditions[s] - 1;
}

/* What is added, where the side that it comes by is chosen; else 0. */
static uint32_t mask(Work *work, uint32_t p) {
    const Side *side = &work->sides->all.items[work->side];
    uint32_t zero = build_number(work->b, 0.0);
    if (side->kind == SIDE_OTHER && side->b == 0) return build_map(work->b, OP_where, side->a, zero, p, 0);
    return build_map(work->b, OP_where, condition_of(work, work->side), p, zero, 0);
}

/* -- addition --------------------------------------------------------------------------------------- */

static void add_term(Work *work, uint32_t to, uint32_t p, uint32_t q) {
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
static int keeps_zeros(const Work *work, const Node *node) {
    return work->b->decides && !work->tangents && node->op != OP_where;
}

/* A term by the rule of a node. */
static void add_term_of(Work *work, const Node *node, uint32_t to, uint32_t p, uint32_t q) {
    if (q != NONE || keeps_zeros(work, node) || !is_zero(work->b, p)) add_term(work, to, p, q);
}

static void add_unless_zero(Work *work, uint32_t to, uint32_t p) {
    if (!is_zero(work->b, p)) add_term(work, to, p, NONE);
}

/* The sum of a node's terms, in the order in which they came; NONE: there are none. They are used up. */
static uint32_t sum_terms(Work *work, uint32_t node) {
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

static uint32_t operand_of(const Builder *b, uint32_t i, uint32_t which) {
    uint32_t count;
    return node_operands(b->graph, i, &count)[which];
}

/* -- choices by an index ---------------------------------------------------------------------------- */

/* The index of a take, counted from the first element even where it is negative. In a function that is
 * being recorded it is taken from the numbers 0, 1, 2, ...: so that it is refused where it is none, also
 * where nothing is left of the take itself. */
static uint32_t whole_index(Work *work, uint32_t i, uint32_t n_elements) {
    Builder *b = work->b;
    uint32_t index = operand_of(b, i, 0);
    if (b->decides) {
        double number = b->values[index];
        return build_number(b, number < 0 ? number + n_elements : number);
    }
    uint32_t *known = work->indices ? &work->indices[i] : NULL;
    if (known && *known) return *known - 1;
    work->sorted.size = 0;
    GROW(b->graph->scratch, &work->sorted, uint32_t, n_elements);
    for (uint32_t k = 0; k < n_elements; k++) work->sorted.items[k] = build_number(b, k);
    index = build_take(b, index, work->sorted.items, n_elements);
    if (known) *known = index + 1;
    return index;
}

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
    case FORM_DRAW:
        return;
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
    case FORM_PRODUCT:
    case FORM_PART:
    CASES_OF_GRADIENTS
        break; /* of graphs that have been optimised, or have their adjoints */
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
    work.hoists = ARENA_ARRAY(scratch, uint32_t, MOST_OPERANDS * (size_t)users.size);
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
