/* SPDX-License-Identifier: MIT
 *
 * Which rows of a block share memory: those that are not alive at the same time.
 */
#include "planner.h"

/* -- sharing rows -------------------------------------------------------------------------------------- */

typedef void (*VisitRef)(Planner *p, Ref *ref, uint32_t count, uint32_t time);

static void visit_refs(Planner *p, Step *step, uint32_t time, VisitRef visit) {
    Ref *own[] = {&step->out, &step->g, &step->x, &step->y, &step->w, &step->z};
    for (int k = 0; k < 6; k++) visit(p, own[k], step->count, time);
    for (uint32_t k = 0; k < step->n_refs; k++) visit(p, &step->refs[k], 1, time);
    for (uint32_t k = 0; k < step->n_runs; k++) {
        visit(p, &step->runs[k].a, step->runs[k].count, time);
        visit(p, &step->runs[k].b, step->runs[k].count, time);
    }
}

static void note_use(Planner *p, Ref *ref, uint32_t count, uint32_t time) {
    (void)count;
    if (ref->space != IN_ROWS) return;
    Range *range = &p->ranges.items[p->range_of[ref->at]];
    if (range->born == NONE) range->born = time;
    range->last = time;
}

static void put_in_place(Planner *p, Ref *ref, uint32_t count, uint32_t time) {
    (void)count, (void)time;
    if (ref->space != IN_ROWS) return;
    const Range *range = &p->ranges.items[p->range_of[ref->at]];
    ref->at = range->place + (ref->at - range->first);
}

static void new_range(Planner *p, uint32_t first, uint32_t count) {
    GROW(p->scratch, &p->ranges, Range, 1);
    for (uint32_t k = 0; k < count; k++) p->range_of[first + k] = p->ranges.size;
    p->ranges.items[p->ranges.size++] = (Range){first, count, NONE, 0, NONE};
}

/* Rows that die make place for rows of as large a range that are born later. */
static void share_rows(Planner *p, uint32_t total) {
    uint32_t n_ranges = p->ranges.size;
    uint32_t *by_birth = ARENA_ARRAY(p->scratch, uint32_t, total + 2);
    uint32_t *by_death = ARENA_ARRAY(p->scratch, uint32_t, total + 2);
    uint32_t *next_born = ARENA_ARRAY(p->scratch, uint32_t, n_ranges + 1);
    uint32_t *next_dead = ARENA_ARRAY(p->scratch, uint32_t, n_ranges + 1);
    uint32_t *next_free = ARENA_ARRAY(p->scratch, uint32_t, n_ranges + 1);
    uint32_t largest = 0, rows = 0;
    for (uint32_t r = n_ranges; r-- > 0;) { /* lists of range + 1 */
        const Range *range = &p->ranges.items[r];
        if (range->count > largest) largest = range->count;
        if (range->born == NONE) continue;
        next_born[r] = by_birth[range->born];
        by_birth[range->born] = r + 1;
        uint32_t last = range->last > total ? total : range->last;
        next_dead[r] = by_death[last];
        by_death[last] = r + 1;
    }
    uint32_t *free_list = ARENA_ARRAY(p->scratch, uint32_t, largest + 1);
    for (uint32_t time = 0; time <= total; time++) {
        for (uint32_t r = by_birth[time]; r; r = next_born[r - 1]) {
            Range *range = &p->ranges.items[r - 1];
            uint32_t donor = free_list[range->count];
            if (donor) {
                range->place = p->ranges.items[donor - 1].place;
                free_list[range->count] = next_free[donor - 1];
            } else {
                range->place = rows;
                rows += range->count;
            }
        }
        for (uint32_t r = by_death[time]; r; r = next_dead[r - 1]) {
            uint32_t count = p->ranges.items[r - 1].count;
            next_free[r - 1] = free_list[count];
            free_list[count] = r;
        }
    }
    p->plan->n_rows = rows;
    StepList *lists[] = {&p->plan->forward, &p->plan->backward};
    for (int k = 0; k < 2; k++)
        for (uint32_t s = 0; s < lists[k]->size; s++) visit_refs(p, &lists[k]->items[s], 0, put_in_place);
}

void plan_rows(Planner *p, uint32_t first_group, Ref *seed) {
    Plan *plan = p->plan;
    uint32_t n_roots = plan->n_roots;
    int gradients = seed->space != NOWHERE;
    p->range_of = ARENA_ARRAY(p->scratch, uint32_t, 2 * (size_t)p->n_values + 1);
    for (uint32_t half = 0; half < (gradients ? 2u : 1u); half++) {
        if (plan->n_columns) new_range(p, half * p->n_values, plan->n_columns);
        for (uint32_t g = first_group; g < p->groups.size; g++)
            new_range(p, half * p->n_values + p->groups.items[g].row, p->groups.items[g].count);
    }
    uint32_t time = 0, forward_end = plan->forward.size;
    for (uint32_t k = 0; k < plan->n_columns; k++) note_use(p, &(Ref){plan->column_rows[k], IN_ROWS, 0}, 1, 0);
    for (uint32_t k = 0; k < plan->forward.size; k++) visit_refs(p, &plan->forward.items[k], time++, note_use);
    for (uint32_t k = 0; k < n_roots; k++) note_use(p, &plan->roots[k], 1, forward_end);
    note_use(p, seed, 1, forward_end);
    time++;
    for (uint32_t k = 0; k < plan->backward.size; k++) visit_refs(p, &plan->backward.items[k], time++, note_use);
    /* A step's lists are shared with its gains': put each in place once. */
    for (uint32_t k = 0; k < plan->backward.size; k++) {
        Step *step = &plan->backward.items[k];
        if (step->kind != STEP_MATVEC_W) continue;
        Ref *own = ARENA_ARRAY(p->arena, Ref, step->n_refs);
        memcpy(own, step->refs, step->n_refs * sizeof(Ref));
        step->refs = own;
    }
    share_rows(p, time);
    for (uint32_t k = 0; k < plan->n_columns; k++) {
        Ref ref = {plan->column_rows[k], IN_ROWS, 0};
        put_in_place(p, &ref, 1, 0);
        plan->column_rows[k] = ref.at;
    }
    for (uint32_t k = 0; k < n_roots; k++) put_in_place(p, &plan->roots[k], 1, 0);
    put_in_place(p, seed, 1, 0);
}
