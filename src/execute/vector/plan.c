/* SPDX-License-Identifier: MIT
 *
 * From the optimised graph to steps: groups, forward and backward steps, and the rows they share.
 */
#include "planner.h"

#include "program/verify.h"

/* -- the plan ------------------------------------------------------------------------------------------- */

/* The operands that node i's adjoint is passed on to. */
static const uint32_t *gaining_operands(const Graph *graph, uint32_t i, uint32_t *count) {
    const Node *node = &graph->nodes[i];
    const uint32_t *operands = node_operands(graph, i, count);
    switch (form_of(node)) {
    case FORM_MAP: /* but for such as choose */
        while (*count && cell_stops((Op)node->op, (int)*count - 1)) --*count;
        if (!*count || !cell_stops((Op)node->op, 0)) return operands;
        --*count;
        return operands + 1;
    case FORM_TAKE: /* but for the index */
        *count -= 1;
        return operands + 1;
    case FORM_CUSTOM: /* but for the local derivatives */
        *count /= 2;
        return operands;
    case FORM_CONSTANT:
    case FORM_PARAMETER:
    case FORM_INPUT:
    case FORM_LINEAR:
    case FORM_PART:
    case FORM_PRODUCT:
        return operands;
    CASES_OF_GRADIENTS
        break; /* of gradient graphs */
    }
    abort();
}

static uint8_t any(const uint8_t *set, const uint32_t *nodes, uint32_t count) {
    for (uint32_t k = 0; k < count; k++)
        if (set[nodes[k]]) return 1;
    return 0;
}

static void add_all(uint8_t *set, const uint32_t *nodes, uint32_t count) {
    for (uint32_t k = 0; k < count; k++) set[nodes[k]] = 1;
}

/* Which nodes lead to a parameter. */
static void find_leading(const Graph *graph, uint8_t *leads) {
    for (uint32_t i = 0; i < graph->size; i++) {
        uint32_t count;
        const uint32_t *operands = gaining_operands(graph, i, &count);
        leads[i] = graph->nodes[i].op == NODE_PARAMETER || any(leads, operands, count);
    }
}

/* Which nodes the result's adjoint arrives at: nothing else is multiplied by an adjoint of 0, since
 * that would turn an infinite derivative into NaN. */
static void find_arriving(const Graph *graph, uint8_t *arrives) {
    arrives[graph->roots[0]] = 1;
    for (uint32_t i = graph->size; i-- > 0;) {
        const Node *node = &graph->nodes[i];
        uint32_t count;
        const uint32_t *operands = gaining_operands(graph, i, &count);
        if (!arrives[i] || node->op == NODE_PRODUCT) continue;
        add_all(arrives, operands, count);
        if (node->op != NODE_PART) continue;
        Product product = product_of(graph, node->a);
        add_all(arrives, product.inputs, product.n_in);
        add_all(arrives, product.weights + (size_t)node->b * product.n_in, product.n_in);
        if (product.biases) add_all(arrives, product.biases + node->b, 1);
    }
}

static void find_needs(Planner *p) {
    Graph *graph = p->graph;
    uint8_t *arrives = ARENA_ARRAY(p->scratch, uint8_t, graph->size);
    find_leading(graph, p->needs);
    find_arriving(graph, arrives);
    for (uint32_t i = 0; i < graph->size; i++) p->needs[i] &= arrives[i];
}

static void plan_inputs(Planner *p, uint32_t *before) {
    Plan *plan = p->plan;
    uint32_t last = NONE;
    plan->columns = ARENA_ARRAY(p->arena, uint32_t, p->graph->n_inputs);
    plan->column_rows = ARENA_ARRAY(p->arena, uint32_t, p->graph->n_inputs);
    for (uint32_t i = 0; i < p->graph->size; i++) {
        if (p->graph->nodes[i].op != NODE_INPUT) continue;
        p->row[i] = p->n_values;
        before[i] = last;
        if (last != NONE) p->next[last] = i;
        last = i;
        plan->columns[plan->n_columns] = p->graph->nodes[i].a;
        plan->column_rows[plan->n_columns++] = p->n_values++;
    }
}

static uint32_t most_members(const StepList *list) {
    uint32_t most = 1;
    for (uint32_t k = 0; k < list->size; k++)
        if (list->items[k].count > most) most = list->items[k].count;
    return most;
}

/* Of matrix products: pointers to the rows of both sides, and as many numbers. */
static uint32_t most_pointers(const StepList *list) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < list->size; k++) {
        uint32_t pointers = 2 * (list->items[k].n_refs + list->items[k].count);
        if (pointers > most) most = pointers;
    }
    return most;
}

static void place_groups(Planner *p, uint32_t from, uint32_t *rows) {
    for (uint32_t g = from; g < p->groups.size; g++) {
        Group *group = &p->groups.items[g];
        group->row = *rows;
        for (uint32_t k = 0, i = group->first; k < group->count; k++, i = p->next[i]) p->row[i] = (*rows)++;
    }
}

MakeStatus plan_make(Plan *plan, Arena *arena, Graph *graph, int gradients) {
    Planner planner = {.arena = arena, .scratch = graph->scratch, .graph = graph, .plan = plan};
    Planner *p = &planner;
    uint32_t size = graph->size + 1;
    p->needs = ARENA_ARRAY(p->scratch, uint8_t, size);
    p->group_of = ARENA_ARRAY(p->scratch, uint32_t, size);
    p->position = ARENA_ARRAY(p->scratch, uint32_t, size);
    p->next = ARENA_ARRAY(p->scratch, uint32_t, size);
    p->row = ARENA_ARRAY(p->scratch, uint32_t, size);
    uint32_t *before = ARENA_ARRAY(p->scratch, uint32_t, size);
    for (uint32_t i = 0; i < size; i++) p->group_of[i] = p->row[i] = before[i] = p->next[i] = NONE;
    if (gradients) find_needs(p);

    plan_leaves(p, before);
    for (uint32_t i = 0; i < graph->size; i++)
        if (before[i] != NONE) p->next[before[i]] = i;
    plan_groups(p, ONCE, before);
    uint32_t n_once_groups = p->groups.size;
    place_groups(p, 0, &p->n_once);
    plan_forward(p, 0, ONCE);
    StepList once = take_steps(p);

    plan_inputs(p, before);
    plan_groups(p, SAMPLE, before);
    place_groups(p, n_once_groups, &p->n_values);
    plan_forward(p, n_once_groups, SAMPLE);
    plan->forward = take_steps(p);
    plan_matrices(p, &plan->forward);
    StepList gathers = take_steps(p);
    plan->n_once = p->n_once;

    plan->once.size = once.size + gathers.size;
    plan->once.items = ARENA_ARRAY(arena, Step, plan->once.size);
    if (once.size) memcpy(plan->once.items, once.items, once.size * sizeof(Step));
    if (gathers.size) memcpy(plan->once.items + once.size, gathers.items, gathers.size * sizeof(Step));

    plan->roots = ARENA_ARRAY(arena, Ref, graph->n_roots);
    for (uint32_t k = 0; k < graph->n_roots; k++)
        plan->roots[k] = value_ref(p, graph->roots[k], SAMPLE, 0);
    p->reached = ARENA_ARRAY(p->scratch, uint8_t, p->n_values + 1);
    Ref seed = {0};
    if (gradients) {
        seed = adjoint_ref(p, graph->roots[0], SAMPLE, 0);
        if (seed.space == IN_ROWS) p->reached[seed.at - p->n_values] = 1;
        plan_backward(p, n_once_groups, SAMPLE, &plan->forward);
        plan->backward = take_steps(p);
        plan_scatters(p, &gathers);
        uint32_t n_groups = p->groups.size;
        p->groups.size = n_once_groups;
        plan_backward(p, 0, ONCE, &once);
        p->groups.size = n_groups;
        plan->once_backward = take_steps(p);
    }

    if (graph->fault.rule) return MADE_BROKEN;
    const Plan *copy = verify_copy(graph, plan, seed.at);
    plan_rows(p, n_once_groups, &seed);
    plan->root_adjoint = seed.at;
    plan->most_members = most_members(&plan->once_backward);
    const StepList *all[] = {&plan->forward, &plan->backward};
    for (int k = 0; k < 2; k++) {
        uint32_t most = most_pointers(all[k]);
        if (most > plan->most_pointers) plan->most_pointers = most;
    }
    return verify_plan(graph, copy, plan, gradients) ? MADE_BROKEN : MADE;
}
