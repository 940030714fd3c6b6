/* SPDX-License-Identifier: MIT
 *
 * What the parts of the planner share: plan.c, plan_groups.c, plan_forward.c, plan_backward.c, plan_rows.c.
 */
#ifndef MICROGRAD_C_PLANNER_H
#define MICROGRAD_C_PLANNER_H

#include "ops/cells.h"
#include "plan.h"

/* Nodes of one operation whose operands stand side by side; or a chain of such; or sums or takes that look alike, with a step for each. */
typedef struct {
    uint32_t first, last;  /* members: nodes, linked by Planner.next */
    uint32_t count;
    uint32_t row;          /* of the first member's value */
    uint32_t step;         /* its first forward step */
    uint8_t strides_known; /* by the second member on */
    uint8_t stride_a, stride_b;
    uint8_t is_chain;      /* of each member but the first, the first operand is the member before */
} Group;

/* What a node's rule adds to an adjoint, in the order of the graph: a NODE_GAIN; or a record. */
typedef struct {
    uint32_t node;
    uint32_t to;   /* whose adjoint a gain adds to */
    uint32_t next; /* by the same rule: one more than its index */
} Contribution;

/* Where a contribution comes among those of its group. */
typedef struct {
    uint64_t rule, place, position;
    const Contribution *contribution;
} MemberKey;

/* Rows that live and die together. */
typedef struct {
    uint32_t first, count; /* virtual rows, as steps name them before rows are shared */
    uint32_t born, last;   /* steps */
    uint32_t place;
} Range;

typedef struct {
    Arena *arena;   /* of the program */
    Arena *scratch; /* of its making */
    Graph *graph;
    Plan *plan;
    uint32_t size;        /* nodes of the function; behind them stand its adjoints */
    uint8_t *needs;       /* it has an adjoint */
    uint32_t *group_of, *position, *next;
    GROWING(Group) groups;
    uint32_t *row;        /* of a node: a once row, or a virtual row of a block */
    uint32_t n_values;    /* virtual rows of values; adjoints stand behind */
    uint8_t *reached;     /* virtual adjoint rows that have been assigned */
    uint32_t n_once;
    GROWING(Step) steps;  /* of the stage and direction at hand */
    uint32_t *contribution; /* of a node: one more than the first contribution by its rule */
    Contribution *contributions;
    uint32_t n_contributions;
    GROWING(MemberKey) members; /* of the group at hand */
    GROWING(Range) ranges;
    uint32_t *range_of;   /* virtual row -> range */
} Planner;

static inline int is_sample(const Planner *p, uint32_t i) { return p->graph->nodes[i].stage == SAMPLE; }

/* -- steps ------------------------------------------------------------------------------------------ */

static inline Step *new_step(Planner *p, StepKind kind, uint32_t count) {
    GROW(p->scratch, &p->steps, Step, 1);
    Step *step = &p->steps.items[p->steps.size++];
    *step = (Step){.kind = kind, .count = count};
    return step;
}

static inline StepList take_steps(Planner *p) {
    StepList list = {ARENA_ARRAY(p->arena, Step, p->steps.size), p->steps.size};
    if (list.size) memcpy(list.items, p->steps.items, list.size * sizeof(Step));
    memset(&p->steps, 0, sizeof p->steps);
    return list;
}

/* Where node i's value stands, for a step of the given stage. */
static inline Ref value_ref(const Planner *p, uint32_t i, Stage stage, int stride) {
    int once = stage == SAMPLE && !is_sample(p, i);
    return (Ref){p->row[i], once ? IN_ONCE : IN_ROWS, (uint8_t)stride};
}

/* Where its adjoint stands: rows of a stage have their adjoints behind all of its values. */
static inline Ref adjoint_ref(const Planner *p, uint32_t i, Stage stage, int stride) {
    Ref ref = value_ref(p, i, stage, stride);
    if (ref.space == IN_ROWS) ref.at += is_sample(p, i) ? p->n_values : p->plan->n_once;
    return ref;
}

static inline int is_flat(uint32_t count, const Ref *refs, int n_refs) {
    if (count == 1) return 1;
    for (int k = 0; k < n_refs; k++) {
        if (refs[k].space == IN_ROWS && refs[k].stride == 0) return 0;
        if (refs[k].space == IN_ONCE && refs[k].stride != 0) return 0;
    }
    return 1;
}

static inline Ref *refs_of(Planner *p, const uint32_t *nodes, uint32_t count, Stage stage) {
    Ref *refs = ARENA_ARRAY(p->arena, Ref, count);
    for (uint32_t k = 0; k < count; k++) refs[k] = value_ref(p, nodes[k], stage, 0);
    return refs;
}

/* Puts the nodes of a stage into groups, and the nodes that stand before others in a row. */
void plan_groups(Planner *p, Stage stage, uint32_t *before);

/* Parameters and numbers, so that matrices lie in one piece wherever each weight has one place. */
void plan_leaves(Planner *p, uint32_t *before);

/* Forward steps of the groups from `from` on; then the matrices of those that have one. */
void plan_forward(Planner *p, uint32_t from, Stage stage);
void plan_matrices(Planner *p, StepList *forward);

/* Finds what adds to adjoints, of each node's rule; then the steps of the rules of the groups from `from`
 * up to `end`, the last first; forward: their steps. */
void plan_contributions(Planner *p);
void plan_backward(Planner *p, uint32_t from, uint32_t end, Stage stage, const StepList *forward);
void plan_scatters(Planner *p, const StepList *gathers);

/* Gives the virtual rows of a block their places: rows that die make place for others. */
void plan_rows(Planner *p, uint32_t first_group, Ref *seed);

#endif
