/* SPDX-License-Identifier: MIT
 *
 * From the optimised graph to steps: groups, forward and backward steps, and the rows they share.
 */
#include "planner.h"

/* -- the plan ------------------------------------------------------------------------------------------- */

static void find_needs(Planner *p) {
    Graph *graph = p->graph;
    uint8_t *matvec_needs = ARENA_ARRAY(p->scratch, uint8_t, graph->matvecs.size + 1);
    uint32_t known = 0;
    for (uint32_t i = 0; i < graph->size; i++) {
        const Node *node = &graph->nodes[i];
        uint32_t count;
        const uint32_t *operands = node_operands(graph, i, &count);
        p->needs[i] = node->op == NODE_PARAMETER;
        if (node->op < OP_COUNT && op_info[node->op].shape == STOPPED) continue;
        for (uint32_t k = 0; k < count; k++) p->needs[i] |= p->needs[operands[k]];
        if (node->op != NODE_ROW) continue;
        while (known <= node->c) matvec_needs[known++] = 2; /* not looked at */
        if (matvec_needs[node->c] == 2) {
            const Matvec *matvec = &graph->matvecs.items[node->c];
            const uint32_t *args = graph->args.items;
            uint8_t needs = 0;
            for (uint32_t k = 0; k < matvec->n_in; k++) needs |= p->needs[args[matvec->inputs + k]];
            for (uint32_t k = 0; k < matvec->n_out * matvec->n_in; k++)
                needs |= p->needs[args[matvec->weights + k]];
            for (uint32_t k = 0; matvec->biases != NONE && k < matvec->n_out; k++)
                needs |= p->needs[args[matvec->biases + k]];
            matvec_needs[node->c] = needs;
        }
        p->needs[i] = matvec_needs[node->c];
    }
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

void plan_make(Plan *plan, Arena *arena, Graph *graph, int gradients) {
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
    find_needs(p);

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

    plan_rows(p, n_once_groups, &seed);
    plan->root_adjoint = seed.at;
    plan->most_members = most_members(&plan->once_backward);
    const StepList *all[] = {&plan->forward, &plan->backward};
    for (int k = 0; k < 2; k++) {
        uint32_t most = most_pointers(all[k]);
        if (most > plan->most_pointers) plan->most_pointers = most;
    }
}
