/* SPDX-License-Identifier: MIT
 *
 * From the optimised graph, or its gradient graph, to steps: groups, steps, and the rows they share.
 */
#include "planner.h"

#include "program/verify.h"

/* -- the plan ------------------------------------------------------------------------------------------- */

/* Which nodes of the function have an adjoint. */
static void find_needs(Planner *p) {
    const Graph *graph = p->graph;
    for (uint32_t i = p->size; i < graph->size; i++) {
        if (graph->nodes[i].op == NODE_ADJOINT) p->needs[graph->nodes[i].c] = 1;
        if (graph->nodes[i].op == NODE_SEED) p->needs[graph->roots[0]] = 1;
    }
}

static void plan_inputs(Planner *p, uint32_t *before) {
    Plan *plan = p->plan;
    uint32_t last = NONE;
    plan->columns = ARENA_ARRAY(p->arena, uint32_t, p->graph->n_inputs);
    plan->column_rows = ARENA_ARRAY(p->arena, uint32_t, p->graph->n_inputs);
    for (uint32_t i = 0; i < p->size; i++) {
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

static uint32_t most_outputs(const StepList *list) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < list->size; k++)
        if (list->items[k].kind == STEP_MATVEC_W && list->items[k].count > most) most = list->items[k].count;
    return most;
}

enum { MOST_IN_BUNDLE = 16 };

/* Gains of the same weights are bundled: of one sample, memory is what they would wait for. */
static void plan_bundles(Planner *p, StepList *backward) {
    Plan *plan = p->plan;
    Step **open = ARENA_ARRAY(p->scratch, Step *, plan->n_once); /* by the first weight: the last of its bundle */
    for (Step *step = backward->items; step < backward->items + backward->size; step++) {
        if (step->kind != STEP_MATVEC_W) continue;
        Step *last = open[step->x.at];
        open[step->x.at] = step;
        step->is_last = 1;
        if (!last || last->count != step->count || last->n_refs != step->n_refs || last->nth + 1 == MOST_IN_BUNDLE)
            continue;
        if (last->nth == 0) {
            last->number = plan->bundles;
            plan->bundles += MOST_IN_BUNDLE * (step->count + step->n_refs);
        }
        last->is_last = 0;
        step->nth = (uint8_t)(last->nth + 1);
        step->number = last->number;
    }
}

static void place_groups(Planner *p, uint32_t from, uint32_t *rows) {
    for (uint32_t g = from; g < p->groups.size; g++) {
        Group *group = &p->groups.items[g];
        group->row = *rows;
        for (uint32_t k = 0, i = group->first; k < group->count; k++, i = p->next[i]) p->row[i] = (*rows)++;
    }
}

MakeStatus plan_make(Plan *plan, Arena *arena, Graph *graph) {
    int gradients = graph->primal > 0;
    Planner planner = {.arena = arena,
                       .scratch = graph->scratch,
                       .graph = graph,
                       .plan = plan,
                       .size = gradients ? graph->primal : graph->size};
    Planner *p = &planner;
    uint32_t size = p->size + 1;
    p->needs = ARENA_ARRAY(p->scratch, uint8_t, size);
    p->group_of = ARENA_ARRAY(p->scratch, uint32_t, size);
    p->position = ARENA_ARRAY(p->scratch, uint32_t, size);
    p->next = ARENA_ARRAY(p->scratch, uint32_t, size);
    p->row = ARENA_ARRAY(p->scratch, uint32_t, size);
    uint32_t *before = ARENA_ARRAY(p->scratch, uint32_t, size);
    for (uint32_t i = 0; i < size; i++) p->group_of[i] = p->row[i] = before[i] = p->next[i] = NONE;
    if (gradients) find_needs(p);

    plan_leaves(p, before);
    for (uint32_t i = 0; i < p->size; i++)
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

    plan->n_roots = gradients ? 1 : graph->n_roots; /* the derivatives stand with the parameters */
    plan->roots = ARENA_ARRAY(arena, Ref, plan->n_roots);
    for (uint32_t k = 0; k < plan->n_roots; k++) plan->roots[k] = value_ref(p, graph->roots[k], SAMPLE, 0);
    p->reached = ARENA_ARRAY(p->scratch, uint8_t, p->n_values + 1);
    Ref seed = {0};
    if (gradients) {
        seed = adjoint_ref(p, graph->roots[0], SAMPLE, 0);
        if (seed.space == IN_ROWS) p->reached[seed.at - p->n_values] = 1;
        plan_contributions(p);
        plan_backward(p, n_once_groups, p->groups.size, SAMPLE, &plan->forward);
        plan->backward = take_steps(p);
        plan_scatters(p, &gathers);
        plan_backward(p, 0, n_once_groups, ONCE, &once);
        plan->once_backward = take_steps(p);
    }

    if (graph->fault.rule) return MADE_BROKEN;
    const Plan *copy = verify_copy(graph, plan, seed.at);
    plan_rows(p, n_once_groups, &seed);
    plan->root_adjoint = seed.at;
    plan->most_outputs = most_outputs(&plan->backward);
    plan_bundles(p, &plan->backward);
    const StepList *all[] = {&plan->forward, &plan->backward, &plan->once_backward};
    for (int k = 0; k < 3; k++) {
        uint32_t members = most_members(all[k]), pointers = most_pointers(all[k]);
        if (members > plan->most_members) plan->most_members = members;
        if (pointers > plan->most_pointers) plan->most_pointers = pointers;
    }
    return verify_plan(graph, copy, plan, gradients) ? MADE_BROKEN : MADE;
}
